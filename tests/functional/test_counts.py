"""The guard of the main path's cost: it counts, so that it can fail in CI where a time could not.

What the counts may be stands in counts.json. Who makes one smaller writes it down there with
`COUNTS_WRITE=1 pytest tests/functional/test_counts.py`; who makes one larger has to say why.
"""
from __future__ import annotations

import json
import os
import pathlib
import time
from typing import Any

import pytest

from minicompute.compute.manager.firewalls import LOOK
from minicompute.conf import CONF
from tests.functional.cloud import Cloud
from tests.functional.counting import Counts, as_text, counting

GOLDEN = pathlib.Path(__file__).with_name('counts.json')
MANY = 40


@pytest.fixture
def cloud(make_cloud: Any) -> Cloud:
    # A sweep, or a look at the clock, in the middle of a count would be counted by its thread, not by its cause.
    CONF.set_override('update_resources_interval', 3600)
    made: Cloud = make_cloud(computes=2)
    made.wait(warm_up(made))
    made.until(lambda: all(_has_looked(made, name) for name in ('compute1', 'compute2')), 'the computes to know')
    return made


def _has_looked(cloud: Cloud, name: str) -> bool:
    """A compute that has just started asks for the rules of its cards once, and then seldom."""
    firewalls = cloud.services[name].manager.firewalls    # type: ignore[attr-defined]
    return bool(firewalls._due > time.monotonic() + LOOK / 2)


def warm_up(cloud: Cloud) -> str:
    return str(boot(cloud, 'warm'))


def boot(cloud: Cloud, name: str, **changes: Any) -> Any:
    return cloud.boot(name, flavorRef=flavor(cloud), networks='none', **changes)['id']


def flavor(cloud: Cloud) -> str:
    found = [one['id'] for one in cloud.api('GET', '/flavors')['flavors'] if one['name'] == 'counted']
    return str(found[0]) if found else cloud.flavor(name='counted', disk=1)


def check(what: str, found: dict[str, Any]) -> None:
    """Fails when a count of `found` is larger than what is written down."""
    written = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get('COUNTS_WRITE'):
        GOLDEN.write_text(as_text({**written, what: found}))
        return
    allowed = written[what]
    grown = {f'{kind} {name}': f'{number}, not {allowed[kind].get(name, 0)}' for kind, numbers in found.items()
             for name, number in numbers.items() if number > allowed[kind].get(name, 0)}
    assert not grown, f'{what} costs more than it did: {grown}'


def built(cloud: Cloud, counts: Counts) -> dict[str, Any]:
    counts.passed_over = 'api'
    cloud.until(lambda: not cloud.api('GET', '/servers?status=BUILD')['servers'], 'all to be built')
    cloud.until(lambda: idle(cloud), 'the conductor to be idle')
    return counts.record()


def idle(cloud: Cloud) -> bool:
    return not any(cloud.services['conductor1'].manager.engine.load().values())  # type: ignore[attr-defined]


def test_a_boot(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    request = {'name': 'one', 'imageRef': cloud.image(), 'flavorRef': flavor(cloud), 'networks': 'none'}
    with counting(monkeypatch) as counts:
        cloud.api('POST', '/servers', {'server': request})
        found = built(cloud, counts)
    check('boot of one', found)


def test_a_boot_of_many(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups gather as they may, so what is held here is a bound for the request, far below its servers' number."""
    for name in ('instances', 'cores', 'ram'):
        CONF.set_override(name, -1, 'quota')
    request = {'name': 'many', 'imageRef': cloud.image(), 'flavorRef': flavor(cloud), 'networks': 'none',
               'min_count': MANY}
    with counting(monkeypatch) as counts:
        cloud.api('POST', '/servers', {'server': request})
        found = built(cloud, counts)
    assert sum(found['statements'].values()) < 6 * MANY, counts.seen
    assert sum(found['commits'].values()) < MANY
    assert sum(found['messages'].values()) < 2 * MANY
    check('accepting many in one request', {'statements': {'api': found['statements']['api']},
                                            'commits': {'api': found['commits']['api']}})


def test_a_delete(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    server = boot(cloud, 'gone')
    cloud.wait(server)
    with counting(monkeypatch) as counts:
        cloud.api('DELETE', f'/servers/{server}')
        counts.passed_over = 'api'
        cloud.wait_gone(server)
        cloud.until(lambda: idle(cloud), 'the conductor to be idle')
    check('delete of one', counts.record())


@pytest.mark.every_case
@pytest.mark.parametrize('path', ['/servers', '/servers/detail', '/flavors/detail', '/os-hypervisors/detail',
                                  '/os-services', '/os-availability-zone/detail', '/os-keypairs',
                                  '/os-server-groups', '/limits'])
def test_a_list(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    for name in ('instances', 'cores', 'ram'):
        CONF.set_override(name, -1, 'quota')
    counted = []
    for more in (1, 9):
        cloud.wait(boot(cloud, 'list', min_count=more))
        cloud.until(lambda: not cloud.api('GET', '/servers?status=BUILD')['servers'], 'all to be built')
        with counting(monkeypatch) as counts:
            cloud.api('GET', path)
        counted.append(counts.statements['api'])
    assert counted[0] == counted[1], counts.seen
    check(f'GET {path}', {'statements': {'api': counted[0]}})
