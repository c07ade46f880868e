"""Would it fit? The dry run, and that what it names makes the create succeed; counts of servers."""
from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from webob import Request

from minicompute.compute.api import placement
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.models import allocations, compute_nodes, instances
from tests.functional.cloud import Cloud


def beyond(cloud: Cloud, method: str, path: str, body: Any = None, *, user: str = 'admin', project: str = 'demo',
           expect: int = 200) -> Any:
    request = Request.blank('/minicompute/v1' + path, method=method)
    request.headers.update({'OpenStack-API-Version': 'compute 2.104', 'X-Auth-Token': f'{user}:{project}'})
    if body is not None:
        request.body, request.content_type = json.dumps(body).encode(), 'application/json'
    answer = request.get_response(cloud.app)
    assert answer.status_int == expect, answer.text
    return answer.json


@pytest.fixture
def generous(cloud: Cloud) -> None:
    for name in ('instances', 'cores', 'ram'):
        CONF.set_override(name, -1, 'quota')


def body(cloud: Cloud, *, flavor: dict[str, Any] | None = None, **server: Any) -> dict[str, Any]:
    return {'server': {'name': 'p', 'imageRef': cloud.image(), 'networks': 'none',
                       'flavorRef': cloud.flavor(**{'disk': 1, **(flavor or {})}), **server}}


def explain(cloud: Cloud, asked: Any, **kwargs: Any) -> Any:
    return beyond(cloud, 'POST', '/placement', asked, **kwargs)['placement']


def test_what_fits(cloud: Cloud) -> None:
    found = explain(cloud, body(cloud, min_count=2))
    assert found['fits'] and (found['servers'], found['servers_that_fit']) == (2, 2)
    assert found['hosts'] and found['changes'] == [] and found['quota'] == {'fits': True, 'reason': None}
    assert found['funnel']['total'] == 2
    with session.read() as conn:
        for table in (instances, allocations):
            assert conn.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 0, 'nothing is written'


def test_more_memory_makes_the_create_succeed(cloud: Cloud, generous: None) -> None:
    asked = body(cloud, flavor={'ram': 900_000})
    found = explain(cloud, asked)
    assert not found['fits'] and found['servers_that_fit'] == 0
    change = found['changes'][0]
    (more,) = change['more']
    assert more['resource'] == 'MEMORY_MB' and f'{more["amount"]} MiB more on one host' in found['text']
    assert cloud.wait(cloud.api('POST', '/servers', asked)['server']['id'], 'ERROR')
    session.write(lambda conn: conn.execute(compute_nodes.update().where(
        compute_nodes.c.host == change['host']).values(
            memory_mb=compute_nodes.c.memory_mb + more['amount'], updated_at=session.now(conn),
            changed_at=session.now(conn))))
    found = explain(cloud, asked)
    assert found['hosts'] == [change['host']], found['text']
    server = cloud.api('POST', '/servers', asked)['server']['id']
    assert cloud.wait(server)['OS-EXT-SRV-ATTR:host'] == change['host']


def test_without_the_trait_the_create_succeeds(cloud: Cloud, generous: None) -> None:
    asked = body(cloud)
    flavor = asked['server']['flavorRef']
    cloud.api('POST', f'/flavors/{flavor}/os-extra_specs', {'extra_specs': {'trait:CUSTOM_GOLD': 'required'}})
    found = explain(cloud, asked)
    (change,) = found['changes']
    assert change['without'] == [{'filter': 'Traits', 'what': 'CUSTOM_GOLD', 'reason': 'without CUSTOM_GOLD'}]
    assert change['hosts'] == 2 and change['text'] == 'without trait CUSTOM_GOLD 2 hosts fit'
    cloud.api('DELETE', f'/flavors/{flavor}/os-extra_specs/trait:CUSTOM_GOLD')
    assert explain(cloud, asked)['fits']
    cloud.wait(cloud.api('POST', '/servers', asked)['server']['id'])


def test_a_disabled_host_would_help(cloud: Cloud, generous: None) -> None:
    for service in cloud.api('GET', '/os-services?binary=nova-compute')['services']:
        cloud.api('PUT', f'/os-services/{service["id"]}', {'status': 'disabled'})
    asked = body(cloud)
    (change,) = cloud.until(lambda: explain(cloud, asked)['changes'], 'the scheduler to see it')
    assert [one['filter'] for one in change['without']] == ['ComputeFilter'] and change['hosts'] == 2


def test_users_see_counts(cloud: Cloud) -> None:
    found = explain(cloud, body(cloud), user='alice', project='a')
    assert found['fits'] and found['hosts_chosen'] == 1 and 'hosts' not in found
    CONF.set_override('ram', -1, 'quota')
    found = explain(cloud, body(cloud, flavor={'ram': 900_000}), user='alice', project='a')
    assert 'host' not in found['changes'][0] and 'compute1' not in json.dumps(found)


def test_the_quota_is_part_of_the_answer(cloud: Cloud) -> None:
    CONF.set_override('instances', 1, 'quota')
    found = explain(cloud, body(cloud, min_count=2))
    assert not found['fits'] and (found['servers'], found['servers_that_fit']) == (2, 1)
    assert not found['quota']['fits'] and 'instances' in found['quota']['reason'] and found['quota']['reason'] in found[
        'text']


@pytest.mark.parametrize(('limit', 'tried'), [(0, 1), (3, 3), (-1, 50)])
def test_no_more_are_looked_for_than_the_quota_leaves(cloud: Cloud, generous: None, limit: int, tried: int,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    CONF.set_override('instances', limit, 'quota')
    asked = []
    select = placement._scheduler.select_destinations

    def count(context: Any, requests: list[dict[str, Any]], **kwargs: Any) -> Any:
        asked.append(len(requests[0]['instance_uuids']))
        return select(context, requests, **kwargs)
    monkeypatch.setattr(placement._scheduler, 'select_destinations', count)
    found = explain(cloud, body(cloud, min_count=50, max_count=50))
    assert asked == [tried] and found['servers'] == 50 and found['quota']['fits'] == (limit < 0)


def test_a_hundred_are_the_most_to_be_explained(cloud: Cloud, generous: None) -> None:
    beyond(cloud, 'POST', '/placement', body(cloud, min_count=101, max_count=101), expect=400)


@pytest.mark.parametrize(('change', 'code'), [({'flavorRef': 'nope'}, 400), ({'name': ''}, 400), ({'color': 1}, 400),
                                              ({'min_count': 5, 'max_count': 2}, 400)])
def test_what_a_create_refuses(cloud: Cloud, change: dict[str, Any], code: int) -> None:
    beyond(cloud, 'POST', '/placement', body(cloud, **change), expect=code)


def test_how_a_server_was_placed(cloud: Cloud, generous: None) -> None:
    good = cloud.api('POST', '/servers', body(cloud), user='alice', project='a')['server']['id']
    bad = cloud.api('POST', '/servers', body(cloud, flavor={'ram': 900_000}), user='alice', project='a')['server']['id']
    cloud.wait(good)
    cloud.wait(bad, 'ERROR')
    path = '/servers/{}/placement'
    found = beyond(cloud, 'GET', path.format(good))['placement']
    assert found['placed'] and found['host'].startswith('compute') and found['now']['fits']
    assert found['attempts'][0]['action'] == 'create' and found['attempts'][0]['funnel']['total'] == 2
    found = beyond(cloud, 'GET', path.format(bad), user='alice', project='a')['placement']
    assert not found['placed'] and 'host' not in found and not found['now']['fits']
    assert found['attempts'][0]['funnel']['stages'][-1]['left'] == 0
    assert found['now']['changes'][0]['more'][0]['resource'] == 'MEMORY_MB'
    beyond(cloud, 'GET', path.format(good), user='bob', project='b', expect=404)


def test_without_a_scheduler_the_records_are_told(cloud: Cloud, generous: None,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    server = cloud.wait(cloud.api('POST', '/servers', body(cloud))['server']['id'])['id']
    monkeypatch.setattr('minicompute.compute.api.placement.TIMEOUT', 0.2)
    cloud.stop('scheduler1')
    found = beyond(cloud, 'GET', f'/servers/{server}/placement')['placement']
    assert found['placed'] and found['attempts'] and found['now'] is None and 'scheduler' in found['now_unknown']
    refused = beyond(cloud, 'POST', '/placement', body(cloud), expect=503)
    assert 'only a scheduler knows' in str(refused)


def test_the_summary(cloud: Cloud, generous: None) -> None:
    assert beyond(cloud, 'GET', '/summary')['summary']['total'] == {'servers': 0, 'vcpus': 0, 'memory_mb': 0}
    flavor = cloud.flavor(disk=1, vcpus=2, ram=128)
    for project in ('a', 'a', 'b'):
        cloud.wait(cloud.boot(flavorRef=flavor, user='admin', project=project)['id'])
    found = beyond(cloud, 'GET', '/summary?all_projects=1')['summary']
    assert found['total'] == {'servers': 3, 'vcpus': 6, 'memory_mb': 384}
    assert found['status'] == {'ACTIVE': found['total']} and found['task_state'] == {'none': found['total']}
    assert {name: one['servers'] for name, one in found['project'].items()} == {'a': 2, 'b': 1}
    assert sum(one['servers'] for one in found['host'].values()) == 3
    mine = beyond(cloud, 'GET', '/summary', user='alice', project='a')['summary']
    assert mine['total']['servers'] == 2 and set(mine['project']) == {'a'} and 'host' not in mine
    beyond(cloud, 'GET', '/summary?all_projects=1', user='alice', project='a', expect=403)
    beyond(cloud, 'GET', '/summary?color=red', expect=400)


def test_the_health(cloud: Cloud) -> None:
    answer = Request.blank('/healthcheck').get_response(cloud.app)
    assert (answer.status_int, answer.json) == (200, {
        'status': 'ok', 'checks': {'broker': {'status': 'ok'}, 'database': {'status': 'ok'}}})
    assert Request.blank('/healthcheck', method='POST').get_response(cloud.app).status_int == 405
