"""What somebody breaks off, and what gets stuck: what the server has is what its record says."""
from __future__ import annotations

import contextlib
import datetime
import os
import threading
import uuid as uuidlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from minicompute import servicegroup
from minicompute.compute.manager import late, verbs
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import actions, instances, live_migrations, migrations, owed, system_metadata
from minicompute.db.models import services
from minicompute.objects import Action, Instance, Migration, PowerState
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud
from tests.functional.small import Caller
from tests.functional.test_snapshots import act, action_of
from tests.functional.test_volumes import attach, mapped, plugged, quiet


@pytest.fixture
def server(cloud: Cloud) -> str:
    return str(cloud.wait(cloud.boot(networks='auto')['id'])['id'])


@pytest.fixture
def blocks(cloud: Cloud) -> Caller:
    return Caller(cloud.app, '/volume/v3', token='admin:demo')


@pytest.fixture
def volume(blocks: Caller) -> Callable[[], str]:
    return lambda: str(blocks('POST', '/volumes', {'volume': {'size': 1}}, status=202)['volume']['id'])


def record(uuid: str) -> Instance:
    with session.read() as conn:
        return instances.get(conn, uuid)


def driver_of(cloud: Cloud, uuid: str) -> Any:
    return cloud.services[str(record(uuid).host)].manager.driver   # type: ignore[attr-defined]


@contextlib.contextmanager
def held(verb: str) -> Iterator[threading.Event]:
    """The next host that comes to `verb` waits there until the end of the block."""
    there, gate = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        FakeDriver.faults.pop(verb, None)
        there.set()
        gate.wait(60)
    FakeDriver.faults[verb] = hold
    try:
        yield there
    finally:
        gate.set()


def reset(cloud: Cloud, uuid: str, state: str = 'active') -> None:
    act(cloud, uuid, 'os-resetState', {'state': state})


# -- devices -------------------------------------------------------------------------

def test_a_reset_leaves_no_volume_with_a_guest(cloud: Cloud, server: str, blocks: Caller, volume: Any) -> None:
    one = volume()
    with held('attach_volume.after') as there:
        attach(cloud, server, one)
        assert there.wait(60)
        assert plugged(cloud, server) == {one}
        reset(cloud, server)
    quiet(cloud)
    assert plugged(cloud, server) == set() and mapped(server) == []
    assert blocks('GET', f'/volumes/{one}')['volume']['status'] == 'available'

    attach(cloud, server, one)
    quiet(cloud)
    with held('detach_volume.after') as there:
        cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{one}', expect=202)
        assert there.wait(60)
        reset(cloud, server)
    quiet(cloud)
    assert plugged(cloud, server) == {one}
    assert [device.connection_info['state'] for device in mapped(server)] == ['attached']


def test_a_reset_leaves_no_card_with_a_guest(cloud: Cloud, server: str) -> None:
    cards = {card.id for card in record(server).network_info}
    with held('attach_interface.after') as there:
        answer = threading.Thread(target=lambda: cloud.request(
            'POST', f'/servers/{server}/os-interface', {'interfaceAttachment': {}}))
        answer.start()
        assert there.wait(60)
        reset(cloud, server)
    answer.join()
    quiet(cloud)
    left = {name.removeprefix('vif.') for name in driver_of(cloud, server).plugged(server) if name.startswith('vif.')}
    assert left == set() and {card.id for card in record(server).network_info} == cards


def test_a_host_that_falls_silent_keeps_what_it_may_have(cloud: Cloud, server: str, blocks: Caller,
                                                         volume: Any) -> None:
    """The guest may use the volume: so nobody else gets it."""
    cloud.services['conductor1'].manager.engine._steady = lambda: True      # type: ignore[attr-defined]
    host, one = record(server).host, volume()
    with held('attach_volume.after') as there:
        attach(cloud, server, one)
        assert there.wait(60)
        session.write(lambda conn: conn.execute(services.update().where(services.c.host == host).values(
            forced_down=True)))
        cloud.until(lambda: 'locks' not in cloud.leaks(), 'the attachment to end')
    assert [device.connection_info['state'] for device in mapped(server)] == ['attached']
    assert blocks('GET', f'/volumes/{one}')['volume']['status'] == 'in-use'


def swap(cloud: Cloud, uuid: str, old: str, new: str) -> None:
    cloud.api('PUT', f'/servers/{uuid}/os-volume_attachments/{old}', {'volumeAttachment': {'volumeId': new}},
              expect=202, version='2.84')


@pytest.mark.parametrize('verb', ['swap_volume', 'swap_volume.after'])
@pytest.mark.parametrize('ends', ['off', 'reset', 'both'])
def test_a_swap_that_is_broken_off(cloud: Cloud, server: str, blocks: Caller, volume: Any, verb: str,
                                   ends: str) -> None:
    """Also by the guest, which switches itself off: it goes on with the volume that it wrote to last."""
    old, new = volume(), volume()
    attach(cloud, server, old)
    quiet(cloud)
    with held(verb) as there:
        swap(cloud, server, old, new)
        assert there.wait(60)
        if ends in ('off', 'both'):
            driver_of(cloud, server).change_by_itself(server, PowerState.SHUTDOWN)
        if ends in ('reset', 'both'):
            reset(cloud, server)
    quiet(cloud)
    has = {'swap_volume': {'off': old, 'both': old, 'reset': new}[ends], 'swap_volume.after': new}[verb]
    assert plugged(cloud, server) == {has}
    assert [(device.volume_id, device.connection_info['state']) for device in mapped(server)] == [(has, 'attached')]
    other = ({old, new} - {has}).pop()
    assert blocks('GET', f'/volumes/{other}')['volume']['status'] == 'available'


def test_a_swap_that_an_older_host_cannot_undo(cloud: Cloud, server: str, blocks: Caller, volume: Any,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it could not be asked: nobody else gets either volume."""
    monkeypatch.delitem(verbs.VERBS, 'end_swap')
    old, new = volume(), volume()
    attach(cloud, server, old)
    quiet(cloud)

    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('the copy broke off')
    FakeDriver.faults['swap_volume'] = refuse
    swap(cloud, server, old, new)
    quiet(cloud)
    assert {(device.volume_id, device.connection_info['state']) for device in mapped(server)} == {
        (old, 'attached'), (new, 'attached')}
    assert 'RuntimeError' in action_of(cloud, server, 'swap_volume')['message']


@pytest.mark.parametrize('ends', ['back', 'delete', 'reset', 'dead'])
def test_a_swap_on_a_host_that_falls_silent(cloud: Cloud, server: str, blocks: Caller, volume: Any, ends: str,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest has gone over, and nobody heard of it: no start may give it the old volume."""
    heard, unheard = servicegroup.down_hosts, set()

    def down_hosts(conn: Any, hosts: set[str], **kwargs: Any) -> Any:
        return {**heard(conn, hosts, **kwargs), **dict.fromkeys(unheard & hosts)}
    monkeypatch.setattr(servicegroup, 'down_hosts', down_hosts)
    engine: Any = cloud.services['conductor1'].manager.engine      # type: ignore[attr-defined]
    engine._steady = lambda: True
    old, new, host = volume(), volume(), record(server).host
    attach(cloud, server, old)
    quiet(cloud)

    def force_down() -> None:
        session.write(lambda conn: conn.execute(services.update().where(services.c.host == host).values(
            forced_down=True)))

    with held('swap_volume.after') as there:
        swap(cloud, server, old, new)
        assert there.wait(60)
        unheard.add(str(host))
        cloud.until(lambda: engine.load()['waiting'], 'the swap to be undone, and to wait')
        if ends in ('reset', 'dead'):
            reset(cloud, server) if ends == 'reset' else force_down()
            cloud.until(lambda: 'locks' not in cloud.leaks(), 'the swap to be given up')
    if ends == 'delete':
        cloud.api('DELETE', f'/servers/{server}', expect=204)
        cloud.wait_gone(server)
        assert {blocks('GET', f'/volumes/{one}')['volume']['status'] for one in (old, new)} == {'available'}
        return
    if ends == 'back':
        assert {device.connection_info['state'] for device in mapped(server)} == {'detaching', 'swapping'}
        unheard.clear()
    quiet(cloud)
    assert plugged(cloud, server) == {new}
    has = {(device.volume_id, device.connection_info['state']) for device in mapped(server)}
    # Who would not wait for the host keeps both: nobody else gets either.
    assert has == {(one, 'attached') for one in ((new,) if ends == 'back' else (old, new))}
    with session.read() as conn:
        assert not owed.debts(conn) and not owed.of_hosts(conn, [str(host)])


def test_what_is_queued_behind_a_silent_host_is_refused(cloud: Cloud, server: str, blocks: Caller, volume: Any,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """The swap waits for its host, which alone knows what the guest uses. The others need not wait with it."""
    heard, unheard = servicegroup.down_hosts, set()

    def down_hosts(conn: Any, hosts: set[str], **kwargs: Any) -> Any:
        return {**heard(conn, hosts, **kwargs), **dict.fromkeys(unheard & hosts)}
    monkeypatch.setattr(servicegroup, 'down_hosts', down_hosts)
    conductor: Any = cloud.services['conductor1'].manager
    conductor.engine._steady = conductor.wire.steady = lambda: True
    old, new, other, third, host = volume(), volume(), volume(), volume(), record(server).host
    for one in (old, other):
        attach(cloud, server, one)
    quiet(cloud)
    with held('swap_volume.after') as there:
        swap(cloud, server, old, new)
        assert there.wait(20)
        attach(cloud, server, third)
        cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{other}', expect=202)
        unheard.add(str(host))
        cloud.until(lambda: {(one.volume_id, one.connection_info['state']) for one in mapped(server)} == {
            (old, 'detaching'), (new, 'swapping'), (other, 'attached')}, 'the others to be refused')
        assert blocks('GET', f'/volumes/{third}')['volume']['status'] == 'available'
        assert 'does not answer' in action_of(cloud, server, 'attach_volume')['message']
        reset(cloud, server)
        cloud.until(lambda: 'locks' not in cloud.leaks(), 'the swap to be given up')
        unheard.clear()
    quiet(cloud)
    attach(cloud, server, third)
    quiet(cloud)
    assert third in plugged(cloud, server)


def test_what_comes_too_late_is_not_done(cloud: Cloud, server: str, blocks: Caller, volume: Any,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """A host is cut off while it is to unplug a volume: the action ends without it, and the volume stays the server's.
    What it was asked comes to it when it is back."""
    one, host = volume(), str(record(server).host)
    attach(cloud, server, one)
    quiet(cloud)
    manager: Any = cloud.services[host].manager
    kept: list[Any] = []
    with monkeypatch.context() as patched:
        patched.setattr(manager.guard, 'admit', kept.append)
        cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{one}', expect=202)
        cloud.until(lambda: kept, 'the host to be asked')
        session.write(lambda conn: conn.execute(services.update().where(services.c.host == host).values(
            forced_down=True)))
        cloud.until(lambda: 'locks' not in cloud.leaks(), 'the detachment to end')
    assert [device.connection_info['state'] for device in mapped(server)] == ['attached']
    for request in kept:
        request.asked_at -= datetime.timedelta(seconds=late.OLD + 1)
        manager.guard.admit(request)
    cloud.until(lambda: not manager.guard.busy(), 'the host to have seen to it')
    assert plugged(cloud, server) == {one}


# -- images ----------------------------------------------------------------------------

def test_a_rebuild_that_is_broken_off_leaves_the_old_image(cloud: Cloud, server: str) -> None:
    before = record(server)
    act(cloud, server, 'createImage', {'name': 'other'})
    cloud.wait(server)
    other = next(one['id'] for one in cloud.api('GET', '/images', version='2.35')['images'] if one['name'] == 'other')
    with held('fetch_image') as there:
        act(cloud, server, 'rebuild', {'imageRef': other})
        assert there.wait(60)
        assert record(server).image_ref == other
        reset(cloud, server)
    cloud.wait(server)
    quiet(cloud)
    now = record(server)
    assert (now.image_ref, now.image_properties) == (before.image_ref, before.image_properties)
    assert [device.image_id for device in now.block_devices] == [before.image_ref]
    with session.read() as conn:
        assert instances.specs(conn, [server])[server].image_id == before.image_ref


def test_a_rescue_that_is_broken_off_leaves_no_facts(cloud: Cloud, server: str) -> None:
    with held('prepare_rescue') as there:
        cloud.api('POST', f'/servers/{server}/action', {'rescue': None})
        assert there.wait(60)
        assert 'rescue_image_ref' in record(server).system_metadata
        reset(cloud, server)
    cloud.wait(server)
    quiet(cloud)
    assert record(server).system_metadata == {}


# -- facts that several leave ------------------------------------------------------------

def test_what_others_leave_meanwhile_stays(cloud: Cloud, server: str) -> None:
    """Each action changes only its own keys of the server's facts."""
    places = iter(range(100))

    def leave(driver: Any, uuid: str) -> None:
        session.write(system_metadata.merge, uuid, {f'fact{next(places)}': 'x'})
    for verb in ('check_move', 'extract', 'destroy'):
        FakeDriver.faults[verb] = leave
    act(cloud, server, 'resize', {'flavorRef': cloud.flavor(ram=128, disk=2)})
    cloud.wait(server, 'VERIFY_RESIZE')
    act(cloud, server, 'confirmResize', expect=204)
    cloud.wait(server)
    CONF.set_override('shelved_offload_time', 0)
    act(cloud, server, 'shelve')
    cloud.wait(server, 'SHELVED_OFFLOADED')
    FakeDriver.faults['spawn'] = leave
    act(cloud, server, 'unshelve', None)
    cloud.wait(server)
    assert record(server).system_metadata == {f'fact{place}': 'x' for place in range(next(places))}
    assert next(places) > 3


# -- one copy ----------------------------------------------------------------------------

def test_an_unshelve_that_is_broken_off_on_a_silent_host(cloud: Cloud, server: str) -> None:
    CONF.set_override('shelved_offload_time', 0)
    act(cloud, server, 'shelve')
    cloud.wait(server, 'SHELVED_OFFLOADED')
    cloud.services['conductor1'].manager.engine._steady = lambda: True      # type: ignore[attr-defined]
    with held('spawn.after') as there:
        act(cloud, server, 'unshelve', None)
        assert there.wait(60)
        host = record(server).host
        session.write(lambda conn: conn.execute(services.update().where(services.c.host == host).values(
            forced_down=True)))
        reset(cloud, server, 'error')
        cloud.until(lambda: 'locks' not in cloud.leaks(), 'the conductor to give it up')
    assert record(server).system_metadata['unshelve_doubt'] == host, 'as an older conductor reads it'


def test_an_abort_that_comes_too_late(cloud: Cloud, server: str) -> None:
    """The copy has ended: the guest is at the destination, and the records follow."""
    source = record(server).host

    def lost(driver: Any, uuid: str) -> None:
        raise RuntimeError('how the copy ended nobody heard')

    def fail(driver: Any, uuid: str) -> None:
        FakeDriver.faults.clear()
        with session.read() as conn:
            (move,) = migrations.of_instance(conn, uuid)
        session.write(live_migrations.order, move.uuid, 'abort')
        raise RuntimeError('the hypervisor does not answer')
    FakeDriver.faults.update({'live_migrate.after': lost, 'live_find': fail})
    act(cloud, server, 'os-migrateLive', {'host': None, 'block_migration': 'auto'})
    cloud.wait(server)
    quiet(cloud)
    now = record(server)
    assert now.host != source and cloud.domains() == {server: now.host}
    assert action_of(cloud, server, 'live-migration')['message'] is None


@pytest.mark.parametrize('first', ['delete', 'reset'])
def test_the_delete_of_a_stuck_move_asks_both_hosts(cloud: Cloud, server: str, first: str) -> None:
    home = str(record(server).host)
    other = 'compute2' if home == 'compute1' else 'compute1'
    move = Migration(uuid=str(uuidlib.uuid4()), instance_uuid=server, migration_type='live-migration',
                     status='running', source_compute=home, dest_compute=other, source_node=home, dest_node=other)

    def write(conn: Any) -> None:
        migrations.create(conn, move)
        actions.begin(conn, [Action(action='live-migration', flow='live-migration', step='switch', busy=server,
                                    instance_uuid=server, request_id='req-1', state='stuck',
                                    data={'migration': move.uuid})])
    session.write(write)
    copy = os.path.join(CONF.fake.state_dir, other, server)
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    os.symlink('1:copy', copy)
    if first == 'reset':
        reset(cloud, server)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    assert not os.path.lexists(copy) and not cloud.leaks()


# -- power states --------------------------------------------------------------------------

def test_one_server_that_is_busy_costs_the_others_nothing(cloud: Cloud, server: str,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """Something begins with one of them between the look and the insert."""
    others = [str(cloud.wait(cloud.boot()['id'])['id']) for _ in range(2)]
    everyone = sorted([server, *others])
    host, busy = str(record(server).host), everyone[0]
    for uuid in everyone:
        session.write(instances.update, uuid, {'vm_state': 'stopped', 'power_state': 4, 'host': host})
    session.write(lambda conn: actions.begin(conn, [Action(
        action='x', flow='unknown here', step='x', busy=busy, instance_uuid=busy, request_id='req-1')]))
    monkeypatch.setattr(actions, 'running', lambda conn, uuid: None)
    manager: Any = cloud.services['conductor1'].manager     # type: ignore[attr-defined]
    manager.power_states(admin_context(), host, dict.fromkeys(everyone, 1))
    begun = {uuid for uuid in everyone if any(
        one['action'] == 'stop' for one in cloud.api('GET', f'/servers/{uuid}/os-instance-actions')['instanceActions'])}
    assert begun == set(everyone) - {busy}
    assert record(busy).task_state is None


# -- servers that never ran --------------------------------------------------------------------

@pytest.mark.parametrize(('action', 'argument', 'state'), [
    ('os-stop', None, 'active'), ('os-start', None, 'stopped'), ('reboot', {'type': 'HARD'}, 'error'),
    ('pause', None, 'active'), ('suspend', None, 'active'), ('rescue', None, 'error'), ('shelve', None, 'active'),
    ('createImage', {'name': 'x'}, 'active'), ('rebuild', {'imageRef': None}, 'error'),
    ('trigger_crash_dump', None, 'error'), ('changePassword', {'adminPass': 'x'}, 'active'),
    ('migrate', None, 'active'), ('os-migrateLive', {'host': None, 'block_migration': 'auto'}, 'active')])
def test_a_server_that_never_ran(cloud: Cloud, server: str, action: str, argument: Any, state: str) -> None:
    if action == 'rebuild':
        argument = {'imageRef': cloud.image()}
    session.write(instances.update, server, {'launched_at': None, 'vm_state': state})
    said = cloud.api('POST', f'/servers/{server}/action', {action: argument}, expect=409)
    assert 'launched_at' in said['conflictingRequest']['message']


def test_what_a_server_may_that_never_ran(cloud: Cloud, server: str, volume: Any) -> None:
    session.write(instances.update, server, {'launched_at': None})
    attach(cloud, server, volume(), expect=409)
    cloud.api('PUT', f'/servers/{server}/metadata', {'metadata': {'a': 'b'}}, expect=409)
    cloud.api('PUT', f'/servers/{server}/tags', {'tags': ['a']})
    act(cloud, server, 'lock')
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)


def test_a_limit_of_nothing_is_none(cloud: Cloud, server: str, volume: Any) -> None:
    one, two = volume(), volume()
    attach(cloud, server, one)
    attach(cloud, server, two)
    quiet(cloud)

    def shown(query: str) -> list[str]:
        found = cloud.api('GET', f'/servers/{server}/os-volume_attachments?{query}')
        return [each['volumeId'] for each in found['volumeAttachments']]
    assert shown('limit=0') == [one, two] == shown('') and shown('limit=1&offset=1') == [two]
