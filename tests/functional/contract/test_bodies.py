"""Bodies made from our own schemas, for each POST and PUT, at real things.

Whatever is in them: never a 5xx but Nova's 501, and the server that it was about comes to rest and can be deleted.
"""
from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from minicompute.api.openapi import document as documents
from minicompute.api.openapi import parts
from minicompute.api.openstack import api_version_request as versions
from minicompute.api.openstack import router
from tests.functional.cloud import Cloud
from tests.functional.contract.from_schema import values
from tests.functional.contract.values import There

pytestmark = pytest.mark.generic      # one database tells as much as three


def bodies(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What the schema allows; and now and then with one more key, or one key of another type."""
    right = values(schema)
    return st.one_of(right, right, right, st.tuples(right, st.integers(0, 20), st.sampled_from(
        [None, -1, '', 'x', [], {}, True, 2 ** 63])).map(spoiled))


def spoiled(drawn: tuple[Any, int, Any]) -> Any:
    """One value inside, chosen by the number, is another one."""
    body, number, value = drawn
    body = json.loads(json.dumps(body))
    places: list[tuple[Any, Any]] = []
    left = [body] if isinstance(body, (dict, list)) else []
    while left:
        inner = left.pop()
        for key in list(inner) if isinstance(inner, dict) else range(len(inner)):
            places.append((inner, key))
            if isinstance(inner[key], (dict, list)):
                left.append(inner[key])
    if places:
        holder, key = places[number % len(places)]
        holder[key] = value
    return body


def with_what_is_there(there: There, body: Any) -> Any:
    """Images, flavors and networks that exist: else few requests would come further than the look-up."""
    real = {'imageRef': there.image, 'flavorRef': there.flavor, 'networks': 'none'}
    if isinstance(body, dict):
        return {key: real[key] if key in real and isinstance(inner, (str, list)) else with_what_is_there(there, inner)
                for key, inner in body.items()}
    return [with_what_is_there(there, inner) for inner in body] if isinstance(body, list) else body


def at_rest(cloud: Cloud, uuid: str) -> bool:
    answer = cloud.request('GET', f'/servers/{uuid}')
    return answer.status_int == 404 or 'locks' not in cloud.leaks()


def send(cloud: Cloud, there: There, entry: documents.Entry, version: str, examples: int) -> None:
    schema = entry.operation.promise.body.at(versions.parse(version)).schema   # type: ignore[union-attr]

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(body=bodies(parts.published(schema)))
    def ask(body: Any) -> None:
        known = there.of(entry.path)
        path = entry.path
        for name in ('id', 'server_id', 'flavor_id', 'image_id'):
            path = path.replace(f'{{{name}}}', known.get(name, 'unknown'))
        answer = cloud.request(entry.method, path, with_what_is_there(there, body), version=version)
        assert answer.status_int < 500 or answer.status_int == 501, f'{entry.name} {body}: {answer.text}'
        server = known.get('server_id') or known.get('id')
        if path.startswith('/servers/') and server:
            cloud.until(lambda: at_rest(cloud, server), f'{server} to come to rest after {body}')
    ask()


def send_all(cloud: Cloud, version: str, examples: int) -> None:
    table = router.Router(row for module in router.load_modules() for row in module.ROUTES)
    there, asked = There(cloud), 0
    for entry in documents.entries(table, versions.parse(version)):
        if entry.method in ('POST', 'PUT') and entry.operation.promise.body is not None:
            asked += 1
            send(cloud, there, entry, version, examples)
    assert asked > 40
    remove_all(cloud)


def remove_all(cloud: Cloud) -> None:
    """What is left of all of it can be deleted, and nothing stays held."""
    uuids = [row['id'] for row in cloud.api('GET', '/servers?all_tenants=1')['servers']]
    for uuid in uuids:
        cloud.request('POST', f'/servers/{uuid}/action', {'forceDelete': None})
    for uuid in uuids:
        cloud.wait_gone(uuid)
    cloud.until(lambda: not cloud.leaks(), 'nothing to be held')


@pytest.fixture(autouse=True)
def _plenty(conf: Any) -> None:
    """What one request made another must not miss."""
    for name in ('instances', 'cores', 'ram'):
        conf.set_override(name, -1, 'quota')


def test_the_newest_microversion(cloud: Cloud) -> None:
    send_all(cloud, '2.104', examples=5)


@pytest.mark.long
@pytest.mark.parametrize('version', ['2.1', '2.25', '2.56', '2.84', '2.93', '2.104'])
def test_many_bodies(cloud: Cloud, version: str) -> None:
    send_all(cloud, version, examples=60)
