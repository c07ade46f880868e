"""A host that was cut off comes late to what it was asked: what its guests have is what the records say."""
from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from typing import Any

import pytest

from minicompute.compute.manager import late
from minicompute.db import session
from minicompute.db.api import instances
from minicompute.db.models import services
from minicompute.objects import PowerState, StepRequest
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud
from tests.functional.small import Caller
from tests.functional.test_broken_off import driver_of, held, record
from tests.functional.test_snapshots import act
from tests.functional.test_volumes import attach, mapped, plugged, quiet


@pytest.fixture
def server(cloud: Cloud) -> str:
    cloud.services['conductor1'].manager.engine._steady = lambda: True      # type: ignore[attr-defined]
    return str(cloud.wait(cloud.boot(networks='auto')['id'])['id'])


@pytest.fixture
def volume(cloud: Cloud) -> str:
    made = Caller(cloud.app, '/volume/v3', token='admin:demo')('POST', '/volumes', {'volume': {'size': 1}}, status=202)
    return str(made['volume']['id'])


def guard_of(cloud: Cloud, uuid: str) -> Any:
    return cloud.services[str(record(uuid).host)].manager.guard   # type: ignore[attr-defined]


def silence(cloud: Cloud, uuid: str, down: bool = True) -> None:
    """Somebody says that its host is down, and what is under way there ends without it."""
    host = record(uuid).host
    session.write(lambda conn: conn.execute(services.update().where(services.c.host == host).values(
        forced_down=down)))
    if down:
        cloud.until(lambda: 'locks' not in cloud.leaks(), 'the action to end without its host')


def cut_off(cloud: Cloud, uuid: str, verb: str, begin: Callable[[], Any],
            meanwhile: Callable[[], Any] = lambda: None) -> None:
    """The host is cut off when it has done `verb`, of which nobody hears; then it comes to the undo as well."""
    guard = guard_of(cloud, uuid)
    with held(f'{verb}.after') as there:
        begin()
        assert there.wait(60)
        silence(cloud, uuid)
        cloud.until(lambda: guard._keys[uuid].waiting, 'the undo to wait for its turn')
        meanwhile()
    cloud.until(lambda: not guard.busy(), 'the host to have seen to all of it')


def kept_back(cloud: Cloud, uuid: str, monkeypatch: pytest.MonkeyPatch, begin: Callable[[], Any]) -> list[StepRequest]:
    """The host is cut off before it hears of it. -> what it was asked."""
    kept: list[StepRequest] = []
    with monkeypatch.context() as patched:
        patched.setattr(guard_of(cloud, uuid), 'admit', kept.append)
        begin()
        cloud.until(lambda: kept, 'the host to be asked')
        silence(cloud, uuid)
    return kept


def hear(cloud: Cloud, uuid: str, kept: list[StepRequest], age: float) -> None:
    guard = guard_of(cloud, uuid)
    for request in kept:
        assert request.asked_at is not None
        request.asked_at -= datetime.timedelta(seconds=age)
        guard.admit(request)
    cloud.until(lambda: not guard.busy(), 'the host to have seen to it')


def detach(cloud: Cloud, uuid: str, volume_id: str) -> None:
    cloud.api('DELETE', f'/servers/{uuid}/os-volume_attachments/{volume_id}', expect=202)


def cards_of(cloud: Cloud, uuid: str) -> set[str]:
    return {name.removeprefix('vif.') for name in driver_of(cloud, uuid).plugged(uuid) if name.startswith('vif.')}


# -- devices -----------------------------------------------------------------------------

def test_a_volume_that_was_unplugged_for_nothing(cloud: Cloud, server: str, volume: str) -> None:
    attach(cloud, server, volume)
    quiet(cloud)

    def lost() -> None:
        assert plugged(cloud, server) == set()
        assert [device.connection_info['state'] for device in mapped(server)] == ['attached']
    cut_off(cloud, server, 'detach_volume', lambda: detach(cloud, server, volume), lost)
    assert plugged(cloud, server) == {volume}
    silence(cloud, server, down=False)
    detach(cloud, server, volume)
    quiet(cloud)
    assert plugged(cloud, server) == set() and mapped(server) == []


@pytest.mark.parametrize('changes', [{'task_state': 'rebuilding'}, {'host': 'elsewhere'}])
def test_a_host_that_the_server_leaves_plugs_nothing(cloud: Cloud, server: str, volume: str,
                                                     changes: dict[str, Any]) -> None:
    """An evacuation is under way, or over: the volume may be in use at another host."""
    attach(cloud, server, volume)
    quiet(cloud)
    driver, home = driver_of(cloud, server), record(server).host
    cut_off(cloud, server, 'detach_volume', lambda: detach(cloud, server, volume),
            lambda: session.write(instances.update, server, changes))
    session.write(instances.update, server, {'task_state': None, 'host': home})
    assert not any(name.startswith('volume.') for name in driver.plugged(server))


def test_a_card_that_was_unplugged_for_nothing(cloud: Cloud, server: str) -> None:
    (card,) = (one.id for one in record(server).network_info)
    cut_off(cloud, server, 'detach_interface',
            lambda: cloud.api('DELETE', f'/servers/{server}/os-interface/{card}', expect=202))
    assert cards_of(cloud, server) == {card} == {one.id for one in record(server).network_info}


def attach_card(cloud: Cloud, uuid: str) -> None:
    """Its caller waits for the end."""
    threading.Thread(target=lambda: cloud.request(
        'POST', f'/servers/{uuid}/os-interface', {'interfaceAttachment': {}}), daemon=True).start()


@pytest.mark.parametrize('age', [0.0, late.OLD + 1])
@pytest.mark.parametrize('verb', ['detach_volume', 'detach_interface'])
def test_nothing_is_unplugged_when_that_is_over(cloud: Cloud, server: str, volume: str, verb: str, age: float,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """However fresh it is: a host that is said to be down is asked a moment before."""
    unplugged: list[str] = []
    attach(cloud, server, volume)
    quiet(cloud)
    (card,) = (one.id for one in record(server).network_info)
    path = f'os-volume_attachments/{volume}' if verb == 'detach_volume' else f'os-interface/{card}'
    kept = kept_back(cloud, server, monkeypatch,
                     lambda: cloud.api('DELETE', f'/servers/{server}/{path}', expect=202))
    assert kept[0].verb == verb
    FakeDriver.faults[verb] = lambda driver, uuid: unplugged.append(uuid)
    hear(cloud, server, kept, age)
    assert not unplugged and plugged(cloud, server) == {volume}
    assert [one.id for one in record(server).network_info] == [card]


@pytest.mark.parametrize('verb', ['attach_volume', 'attach_interface'])
def test_what_a_guest_has_by_the_record_comes_late(cloud: Cloud, server: str, volume: str, verb: str,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knew whether the guest had got it, so it stayed the server's."""
    before = {one.id for one in record(server).network_info}
    kept = kept_back(cloud, server, monkeypatch, lambda: (
        attach(cloud, server, volume) if verb == 'attach_volume' else attach_card(cloud, server)))
    assert plugged(cloud, server) == cards_of(cloud, server) == set()
    hear(cloud, server, kept, late.OLD + 1)
    assert plugged(cloud, server) == {one.volume_id for one in mapped(server)}
    assert cards_of(cloud, server) == {one.id for one in record(server).network_info} - before
    assert plugged(cloud, server) | cards_of(cloud, server)


# -- power -------------------------------------------------------------------------------

@pytest.mark.parametrize('name', ['shelve', 'resize'])
def test_a_guest_that_was_switched_off_for_nothing(cloud: Cloud, server: str, name: str) -> None:
    small = cloud.flavor(disk=2)
    verb, body = {'shelve': ('power_off', None), 'resize': ('leave', {'flavorRef': small})}[name]
    cut_off(cloud, server, verb, lambda: act(cloud, server, name, body))
    assert cloud.show(server)['status'] == 'ACTIVE'
    assert driver_of(cloud, server).power_state(server) == PowerState.RUNNING
    silence(cloud, server, down=False)
    quiet(cloud)
    cloud.until(lambda: record(server).power_state == PowerState.RUNNING, 'the record to follow')


def test_a_resize_that_its_host_did_not_hear_of(cloud: Cloud, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its guest was not touched: it runs, and nobody stops it for that."""
    flavor = cloud.flavor(disk=2)
    kept = kept_back(cloud, server, monkeypatch, lambda: act(cloud, server, 'resize', {'flavorRef': flavor}))
    hear(cloud, server, kept, late.OLD + 1)
    silence(cloud, server, down=False)
    manager: Any = cloud.services[str(record(server).host)].manager
    manager.housekeeping.sync_power_states()
    quiet(cloud)
    assert cloud.show(server)['status'] == 'ACTIVE'
    assert manager.driver.power_state(server) == PowerState.RUNNING
