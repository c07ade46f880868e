"""Requests that somebody writes who means no good: each ends in a 400, soon, and says why."""
from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from minicompute.db import session
from tests.functional.cloud import Cloud
from tests.functional.counting import told

pytestmark = pytest.mark.every_case     # what one database takes, another refuses

#: seconds of this thread's own CPU, which a busy machine does not lengthen: without a bound each of these takes hours
SHARE = 5


def server(cloud: Cloud, **changes: Any) -> dict[str, Any]:
    return {'name': 'vm', 'imageRef': cloud.image(), 'flavorRef': cloud.flavor(disk=1), 'networks': 'none', **changes}


def refused(cloud: Cloud, method: str, path: str, body: Any = None, **more: Any) -> str:
    """-> the text of the 400, which must come soon."""
    began = time.thread_time()
    answer = cloud.request(method, path, body, **more)
    assert answer.status_int == 400, answer.text[:300]
    assert time.thread_time() - began < SHARE
    return str(answer.text)


@pytest.fixture
def still(make_cloud: Any) -> Cloud:
    """A cloud without computes: enough for what is refused."""
    return make_cloud(computes=0)


@pytest.mark.parametrize('expression', ['(a|aa)+$', '(a+)+$', '.*.*.*.*.*.*.*.*b', 'a{99999999999999999999}',
                                        '(' * 120])
def test_an_expression_costs_no_more_than_its_share(still: Cloud, expression: str) -> None:
    still.boot('a' * 200 + '!')
    began = time.thread_time()
    answer = still.request('GET', f'/servers?name={expression.replace("+", "%2B")}')
    assert answer.status_int == 400 or answer.json == {'servers': []}
    assert time.thread_time() - began < SHARE
    still.api('GET', '/servers?name=a%2B')


def test_a_request_for_very_many_servers_is_cheap(still: Cloud) -> None:
    began = time.thread_time()
    answer = still.request('POST', '/servers', {'server': server(still, min_count=2147483647, max_count=2147483647)})
    assert answer.status_int == 403
    still.api('POST', '/servers', {'server': server(still, min_count=1, max_count=2147483647)})
    assert time.thread_time() - began < SHARE


def test_unique_items_are_checked_in_linear_time(still: Cloud) -> None:
    items: list[Any] = [item for number in range(8000) for item in (number, str(number))]
    refused(still, 'POST', '/servers', {'server': server(still, trusted_image_certificates=items)})


@pytest.mark.parametrize('depth', [100, 300, 900, 5000, 50000])
def test_a_deep_document_is_refused(still: Cloud, depth: int) -> None:
    body = json.dumps({'server': server(still), 'os:scheduler_hints': {'x': 'DEEP'}}).replace(
        '"DEEP"', '[' * depth + ']' * depth)
    from webob import Request
    request = Request.blank('/v2.1/servers', method='POST')
    request.headers.update({'OpenStack-API-Version': 'compute 2.100', 'X-Auth-Token': 'admin:demo'})
    request.body, request.content_type = body.encode(), 'application/json'
    answer = request.get_response(still.app)
    assert answer.status_int == 400, answer.text


@pytest.mark.parametrize('device', [
    {'boot_index': -1, 'source_type': 'blank', 'volume_size': '9' * 5000},
    {'boot_index': -1, 'source_type': 'blank', 'volume_size': 1, 'disk_bus': 'nonsense'},
    {'boot_index': -1, 'source_type': 'blank', 'volume_size': 1, 'guest_format': 'a\0b'},
    {'boot_index': -1, 'source_type': 'blank', 'volume_size': 1, 'tag': 'a\0b'},
])
def test_wrong_disks(still: Cloud, device: dict[str, Any]) -> None:
    body = server(still, flavorRef=still.flavor(disk=1, **{'OS-FLV-EXT-DATA:ephemeral': 5}))
    root = {'boot_index': 0, 'source_type': 'image', 'destination_type': 'local', 'uuid': body['imageRef']}
    refused(still, 'POST', '/servers', {'server': {**body, 'block_device_mapping_v2': [root, device]}})


@pytest.mark.parametrize('query', ['created_at=9999-12-31T23:59:59Z', 'created_at=0001-01-01T00:00:00%2B10:00',
                                   'launched_at=9999-12-31T23:59:59-10:00'])
def test_times_at_the_end_of_all_times(still: Cloud, query: str) -> None:
    assert still.request('GET', f'/servers?{query}').status_int in (200, 400)


@pytest.mark.parametrize('changes', [{'flavorRef': 'a\0b'}, {'tags': ['a\0b']}, {'user_data': 'YWJj\u2003'},
                                     {'key_name': 'x' * 256}, {'trusted_image_certificates': ['a\0b']}])
def test_text_that_no_database_takes(still: Cloud, changes: dict[str, Any]) -> None:
    refused(still, 'POST', '/servers', {'server': server(still, **changes)})


@pytest.mark.parametrize('path', [
    '/v2/images?id=in:a%0Ab', '/v2/images?limit=' + '9' * 5000, '/v2/images?size_min=' + '9' * 5000,
    '/v2.0/networks?limit=' + '9' * 5000])
def test_queries_of_the_other_two(still: Cloud, path: str) -> None:
    refused(still, 'GET', path)


def test_a_filter_that_nothing_matches_costs_few_queries(still: Cloud) -> None:
    for number in range(20):
        still.api('POST', '/v2/images', {'name': str(number)})
    counted: list[str] = []
    here = threading.get_ident()     # others, such as the sweep, ask meanwhile

    def count(*event: Any) -> None:
        if threading.get_ident() == here:
            counted.append(event[2])
    with told('before_cursor_execute', count, session.engines()[1]):
        assert still.api('GET', '/v2/images?limit=1&nothing=is')['images'] == []
    assert len(counted) <= 3


@pytest.mark.parametrize('cidr', ['8.8.8.0/24', '192.0.2.4/30', '10.77.0.0/16', '10.0.0.0/8'])
def test_a_project_takes_no_addresses_that_hosts_need(still: Cloud, cidr: str) -> None:
    mine = {'user': 'alice', 'project': 'wonderland'}
    network = still.api('POST', '/v2.0/networks', {'network': {'name': 'n'}}, **mine)['network']['id']
    body = {'subnet': {'network_id': network, 'ip_version': 4, 'cidr': cidr}}
    assert 'cidr' in refused(still, 'POST', '/v2.0/subnets', body, **mine)
    body['subnet']['cidr'] = '10.9.0.0/24'
    still.api('POST', '/v2.0/subnets', body, **mine)


def test_a_path_makes_no_lines_in_the_log(still: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level('INFO', 'minicompute.api.filters')
    still.request('GET', '/servers/x%0AINFO%20forged')
    assert '/v2.1/servers/x%0AINFO%20forged' in caplog.text


def test_a_tag_makes_no_headers(cloud: Cloud) -> None:
    uuid = cloud.wait(cloud.boot()['id'])['id']
    answer = cloud.request('PUT', f'/servers/{uuid}/tags/a%0D%0ASet-Cookie:%20b')
    assert answer.status_int == 201 and answer.headers['Location'].endswith('/tags/a%0D%0ASet-Cookie%3A%20b')
