"""Volumes of Cinder when nobody knows what a guest does with them, when the way back is closed, and what waits until
Cinder is through with what it does."""
from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute import exception, utils
from minicompute.compute.api import volume_orders
from minicompute.conductor import debts
from minicompute.conductor.flow import Flow
from minicompute.conductor.flows import connections
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import block_devices, owed
from minicompute.db.api import stuck as stuck_actions
from minicompute.db.models import instance_actions, services
from minicompute.image import base as image_base
from minicompute.objects import BlockDevice
from minicompute.virt.fake import FakeDriver
from tests.functional.cinder_server import CinderServer, always, once
from tests.functional.cloud import Cloud
from tests.functional.test_broken_off import held, record, reset
from tests.functional.test_cinder import attach, mapped, plugged, quiet


@pytest.fixture
def cloud(cinder: CinderServer, conf: Any) -> Iterator[Cloud]:
    made = Cloud()
    made.services['conductor1'].manager.engine._steady = lambda: True      # type: ignore[attr-defined]
    yield made
    made.stop()


@pytest.fixture
def server(cloud: Cloud) -> str:
    return str(cloud.wait(cloud.boot()['id'])['id'])


def silence(cloud: Cloud, uuid: str, down: bool = True) -> None:
    host = record(uuid).host
    session.write(lambda conn: conn.execute(services.update().where(services.c.host == host).values(
        forced_down=down)))


def attachments(cinder: CinderServer, uuid: str) -> set[tuple[str, str]]:
    return {(one['volume_id'], one['id']) for one in cinder.of_server(uuid)}


def known(uuid: str) -> set[tuple[str | None, str | None]]:
    """As `attachments`, by the record; each with what its host needs."""
    found = mapped(uuid)
    assert all(one.connection_info['state'] == 'attached' and one.connection_info['connection'] for one in found)
    return {(one.volume_id, one.attachment_id) for one in found}


def test_a_host_that_falls_silent_keeps_its_hold(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    one = cinder.volume()
    with held('attach_volume.after') as there:
        attach(cloud, server, one)
        assert there.wait(60)
        silence(cloud, server)
        cloud.until(lambda: 'locks' not in cloud.leaks(), 'the attachment to end')
    # The undo that was sent before the host was taken for silent comes to it now: too late.
    guard = cloud.services[str(record(server).host)].manager.guard      # type: ignore[attr-defined]
    cloud.until(lambda: not guard.busy(), 'the host to have done what it was asked')
    assert plugged(cloud, server) == {one}
    assert len(cinder.attachments) == 1 and attachments(cinder, server) == known(server)
    assert cinder.volumes[one]['status'] != 'available'


def test_a_swap_on_a_host_that_falls_silent_keeps_both(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    """Nobody waits for one that is forced down."""
    old, new = cinder.volume(), cinder.volume()
    attach(cloud, server, old)
    quiet(cloud)
    with held('swap_volume.after') as there:
        swap(cloud, server, old, new)
        assert there.wait(60)
        silence(cloud, server)
        cloud.until(lambda: 'locks' not in cloud.leaks(), 'the swap to be given up')
    assert len(cinder.attachments) == 2 and attachments(cinder, server) == known(server)


@pytest.mark.parametrize('stays', ['old', 'new', 'none'])
def test_a_move_of_the_service_that_is_in_doubt(cloud: Cloud, cinder: CinderServer, server: str, stays: str) -> None:
    """The service hears what became of it when the owner has taken one of the two away."""
    old, new = swapping(cloud, cinder, server)
    with held('swap_volume.after') as there:
        swap(cloud, server, old, new)
        assert there.wait(20)
        silence(cloud, server)
        cloud.until(lambda: 'locks' not in cloud.leaks(), 'the swap to be given up')
    silence(cloud, server, down=False)
    debts.pay()
    assert cinder.volumes[old]['migration_status'] == 'migrating' and new in cinder.volumes, 'who knows'
    if stays == 'none':
        cloud.api('DELETE', f'/servers/{server}', expect=204)
        cloud.wait_gone(server)
    else:
        for one in mapped(server) if stays == 'old' else ():
            if one.volume_id == new:
                session.write(block_devices.delete, str(one.uuid))
        for one in mapped(server) if stays == 'new' else ():
            if one.volume_id == old:
                session.write(block_devices.delete, str(one.uuid))
    debts.pay()
    assert cinder.volumes[old]['migration_status'] == ('success' if stays == 'new' else 'error')
    assert new not in cinder.volumes
    if stays != 'none':
        assert [one.volume_id for one in mapped(server)] == [old]


def test_a_build_on_a_host_that_falls_silent_keeps_its_hold(cloud: Cloud, cinder: CinderServer) -> None:
    one = cinder.volume(bootable='true')
    with held('spawn.after') as there:
        made = cloud.boot(block_device_mapping_v2=[{'source_type': 'volume', 'uuid': one, 'boot_index': 0,
                                                    'destination_type': 'volume'}], flavorRef=cloud.flavor(disk=0))
        assert there.wait(60)
        silence(cloud, made['id'])
        cloud.until(lambda: cloud.show(made['id'])['status'] == 'ERROR', 'the build to fail')
    conductor: Any = cloud.services['conductor1'].manager

    def paid() -> bool:
        """The undo that it was sent comes to the host too late now: it owes that."""
        conductor.remind()
        return not cloud.leaks()
    cloud.until(paid, 'the host to remove what it made')
    assert len(cinder.of_server(made['id'])) == 1 and cinder.volumes[one]['status'] != 'available'
    cloud.api('DELETE', f"/servers/{made['id']}", expect=204)
    cloud.wait_gone(made['id'])
    assert not cinder.attachments and cinder.volumes[one]['status'] == 'available'


def test_what_cinder_has_back_is_not_plugged_in_again(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    """The proxy before Cinder says that it failed, and an operator loses patience."""
    one = cinder.volume()
    attach(cloud, server, one)
    quiet(cloud)
    cinder.faults['give_back'] = lambda _name, done: 504 if done else None
    cinder.faults['attachments'] = lambda _name, done: 504 if 'give_back' in cinder.asked else None
    cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{one}', expect=202)
    cloud.until(lambda: 'give_back' in cinder.asked, 'the volume to be given back')
    reset(cloud, server)
    cinder.faults.clear()
    quiet(cloud)
    assert plugged(cloud, server) == set() and not mapped(server) and not cinder.attachments


# -- one takes the place of another ----------------------------------------------------

def swapping(cloud: Cloud, cinder: CinderServer, uuid: str, *, size: int = 1, moves: bool = True) -> tuple[str, str]:
    """-> (the old volume, the new one)"""
    old, new = cinder.volume(), cinder.volume(size)
    attach(cloud, uuid, old)
    quiet(cloud)
    if moves:
        cinder.volumes[old]['migration_status'] = 'migrating'
    return old, new


def swap(cloud: Cloud, uuid: str, old: str, new: str) -> None:
    cloud.api('PUT', f'/servers/{uuid}/os-volume_attachments/{old}', {'volumeAttachment': {'volumeId': new}},
              expect=202, version='2.84')


@pytest.mark.parametrize('asked', ['complete', 'give_back'])
def test_what_is_refused_behind_a_swap_is_counted(cloud: Cloud, cinder: CinderServer, server: str, conf: Any,
                                                  asked: str) -> None:
    conf.set_override('stuck_after', 3, 'conductor')
    old, new = swapping(cloud, cinder, server, moves=False)
    cinder.faults[asked] = always(409)
    before = cinder.count(asked)
    swap(cloud, server, old, new)

    def stuck() -> bool:
        with session.read() as conn:
            return bool(stuck_actions.find(conn, ['stuck']))
    cloud.until(stuck, 'somebody to be told')
    assert cinder.count(asked) - before == 3 and plugged(cloud, server) == {new}


@pytest.mark.parametrize('verb', ['volume_connector', 'swap_volume'])
def test_the_service_hears_that_a_move_failed(cloud: Cloud, cinder: CinderServer, server: str, verb: str) -> None:
    """Before anything is connected, and behind that."""
    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('no room')
    old, new = swapping(cloud, cinder, server)
    FakeDriver.faults[verb] = refuse
    swap(cloud, server, old, new)
    quiet(cloud)
    assert cinder.volumes[old]['migration_status'] == 'error' and new not in cinder.volumes
    assert attachments(cinder, server) == known(server) and plugged(cloud, server) == {old}


def test_a_moved_volume_keeps_its_id_when_the_answer_is_lost(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    old, new = swapping(cloud, cinder, server)
    cinder.faults['volume_action'] = once(500, after=True)
    swap(cloud, server, old, new)
    quiet(cloud)
    (device,) = mapped(server)
    assert (device.volume_id, cinder.count('volume_action')) == (old, 1)


@pytest.mark.parametrize('lost', [False, True])
def test_a_moved_volume_can_be_detached(cloud: Cloud, cinder: CinderServer, server: str, lost: bool) -> None:
    """By the names that it has on its host; and what is left of its time under another id is not taken for it."""
    old, new = swapping(cloud, cinder, server)
    cinder.lingers = True
    if lost:
        cinder.faults['volume_action'] = once(500, after=True)
    swap(cloud, server, old, new)
    quiet(cloud)
    (device,) = mapped(server)
    assert device.volume_id == old and attachments(cinder, server) == known(server) and len(cinder.attachments) == 1
    assert cinder.volumes[new]['status'] == 'deleting' and plugged(cloud, server) == {new}
    cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{old}', expect=202)
    quiet(cloud)
    assert plugged(cloud, server) == set() and not mapped(server) and not cinder.attachments


@pytest.mark.parametrize('what', ['begins', 'is swapped'])
def test_what_begins_while_the_service_is_told_of_a_move(cloud: Cloud, cinder: CinderServer, server: str, what: str,
                                                         monkeypatch: Any) -> None:
    old, new, third = cinder.volume(), cinder.volume(), cinder.volume()
    attach(cloud, server, new)
    quiet(cloud)
    (device,) = mapped(server)

    def told(*_: Any, **_more: Any) -> str:
        if what == 'begins':
            session.write(lambda conn: conn.execute(instance_actions.update().where(
                instance_actions.c.flow == 'attach_volume').values(busy=server)))
        else:
            session.write(block_devices.update, str(device.uuid), volume_id=third)
        return old
    monkeypatch.setattr(connections, '_end_migration', told)
    said = {'instance': server, 'new': new, 'error': False}
    if what == 'begins':
        with pytest.raises(connections.Busy):
            connections.settle_migration(old, said)
    else:
        connections.settle_migration(old, said)
    assert [one.volume_id for one in mapped(server)] == [new if what == 'begins' else third]
    session.write(lambda conn: conn.execute(instance_actions.update().values(busy=None)))


@pytest.mark.parametrize('fails', [False, True])
def test_a_service_that_is_away_hears_of_a_move_later(cloud: Cloud, cinder: CinderServer, server: str, fails: bool,
                                                      monkeypatch: Any) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        cinder.faults['*'] = always(503)
        raise RuntimeError('no room')

    def away(driver: Any, uuid: str) -> None:
        cinder.faults['*'] = always(503)
    steps = tuple(dataclasses.replace(step, deadline=lambda: 2) for step in Flow.registry['swap_volume'].steps)
    monkeypatch.setattr(Flow.registry['swap_volume'], 'steps', steps)
    old, new = swapping(cloud, cinder, server)
    FakeDriver.faults['swap_volume' if fails else 'swap_volume.after'] = refuse if fails else away
    swap(cloud, server, old, new)
    quiet(cloud)
    cinder.faults.clear()
    debts.pay()
    (device,) = mapped(server)
    assert device.volume_id == old and new not in cinder.volumes
    assert cinder.volumes[old]['migration_status'] == ('error' if fails else 'success')
    assert device.attachment_id in cinder.attachments


def test_the_larger_one_is_known_to_be(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    old, new = swapping(cloud, cinder, server, size=3, moves=False)
    swap(cloud, server, old, new)
    quiet(cloud)
    assert [one.volume_size for one in mapped(server)] == [3]


# -- what cinder is at work with -------------------------------------------------------

ROOT = {'source_type': 'blank', 'destination_type': 'volume', 'volume_size': 1, 'delete_on_termination': True}


def test_a_volume_that_is_being_made_goes_when_it_is(cloud: Cloud, cinder: CinderServer, monkeypatch: Any,
                                                     caplog: Any) -> None:
    """Cinder says when; it is not asked all the time."""
    cinder.pending = 10**6
    made = cloud.boot(block_device_mapping_v2=[ROOT], imageRef=cloud.image())['id']
    cloud.until(lambda: cinder.volumes and cinder.count('show') > 2, 'the server to wait for its volume')
    cloud.api('DELETE', f'/servers/{made}', expect=204)
    cloud.wait_gone(made)
    quiet(cloud)
    assert debts.pay() == 0 and len(cinder.volumes) == 1
    assert f'is still owed: Volume {next(iter(cinder.volumes))}' in caplog.text
    cinder.asked.clear()
    assert debts.pay() == 0 and cinder.asked == []
    later(monkeypatch)
    for one in cinder.volumes.values():
        one['pending'] = 0
    assert debts.pay() == 1 and not cinder.volumes


def test_a_server_that_goes_while_its_volume_is_ordered(cloud: Cloud, cinder: CinderServer) -> None:
    """Nobody is told that the accepted request was bad."""
    cinder.pending = 1
    device = BlockDevice(uuid=str(uuid.uuid4()), instance_uuid=str(uuid.uuid4()), source_type='blank',
                         destination_type='volume', volume_size=1)
    volume_orders.place(admin_context(), [device], None)
    assert debts.pay() == 1
    assert cinder.count('create') == 1 and not cinder.volumes


def later(monkeypatch: Any) -> None:
    """What was put off is due."""
    now = debts.utils.utcnow() + datetime.timedelta(hours=2)
    monkeypatch.setattr(debts.utils, 'utcnow', lambda: now)


def test_an_image_that_is_broken_off_owes_its_snapshots(cloud: Cloud, cinder: CinderServer, monkeypatch: Any) -> None:
    one = cinder.volume(1, bootable='true')
    made = cloud.wait(cloud.boot(block_device_mapping_v2=[{
        'source_type': 'volume', 'uuid': one, 'destination_type': 'volume', 'boot_index': 0}],
        flavorRef=cloud.flavor(disk=0))['id'])['id']
    cinder.pending = 10**6
    answer = cloud.api('POST', f'/servers/{made}/action', {'createImage': {'name': 'copy'}}, expect=202)
    cloud.until(lambda: cinder.count('show_snapshot') > 1, 'the image to wait')
    reset(cloud, made)
    quiet(cloud)
    with pytest.raises(exception.ImageNotFound):
        image_base.load().show(admin_context(), answer['image_id'])
    assert debts.pay() == 0 and len(cinder.snapshots) == 1
    for copy in cinder.snapshots.values():
        copy['status'] = 'available'
    later(monkeypatch)
    assert debts.pay() == 1 and not cinder.snapshots


def test_an_image_that_is_refused_leaves_no_snapshots(cloud: Cloud, cinder: CinderServer, monkeypatch: Any) -> None:
    """They were ordered, and cannot be deleted before they are made: also those that nobody has heard of."""
    made = volume_backed(cloud, cinder, 2)
    cinder.pending = 10**6

    def refuse(*_args: Any) -> Any:
        raise exception.OverQuota(overs='images')
    with monkeypatch.context() as patched:
        patched.setattr(type(image_base.load()), 'reserve', refuse)
        assert cloud.request('POST', f'/servers/{made}/action', {'createImage': {'name': 'copy'}}).status_int == 403
    assert len(cinder.snapshots) == 2 and debts.pay() == 0
    available(cinder)
    put_off_no_more()
    assert debts.pay() == 1 and not cinder.snapshots
    cinder.faults['create_snapshot'] = once(503, after=True)
    cloud.api('POST', f'/servers/{made}/action', {'createImage': {'name': 'copy'}}, expect=503)
    available(cinder)
    assert len(cinder.snapshots) == 1 and debts.pay() == 0      # it might have come later
    put_off_no_more()
    assert debts.pay() == 1 and not cinder.snapshots


@pytest.mark.parametrize('heard', [True, False])
def test_without_keystone_they_are_the_service_users(cloud: Cloud, cinder: CinderServer, monkeypatch: Any,
                                                     heard: bool) -> None:
    """Under noauth2 no user has a token to pass on: what is ordered is the service user's, and found as that."""
    made = volume_backed(cloud, cinder, 2)
    cinder.project = 'service'

    def refuse(*_args: Any) -> Any:
        raise exception.OverQuota(overs='images')
    monkeypatch.setattr(type(image_base.load()), 'reserve', refuse)
    if not heard:
        cinder.faults['create_snapshot'] = once(503, after=True)
    answer = cloud.request('POST', f'/servers/{made}/action', {'createImage': {'name': 'copy'}})
    assert answer.status_int == (403 if heard else 503) and cinder.snapshots
    available(cinder)
    if not heard:
        put_off_no_more()
    cloud.until(lambda: debts.pay() == 0 and not cinder.snapshots, 'the snapshots to be deleted')
    with session.read() as conn:
        assert not owed.of_neighbours(conn, 10)


def test_an_image_that_is_begun_owes_nothing(cloud: Cloud, cinder: CinderServer) -> None:
    made = volume_backed(cloud, cinder, 1)
    cloud.api('POST', f'/servers/{made}/action', {'createImage': {'name': 'copy'}}, expect=202)
    quiet(cloud)
    with session.read() as conn:
        assert not owed.of_neighbours(conn, 10)
    assert len(cinder.snapshots) == 1


def volume_backed(cloud: Cloud, cinder: CinderServer, count: int) -> str:
    made = cloud.boot(block_device_mapping_v2=[{
        'source_type': 'volume', 'uuid': cinder.volume(1, bootable='true'), 'destination_type': 'volume',
        'boot_index': -1 if number else 0} for number in range(count)], flavorRef=cloud.flavor(disk=0))
    return str(cloud.wait(made['id'])['id'])


def put_off_no_more() -> None:
    with session.read() as conn:
        (debt,) = owed.of_neighbours(conn, 10)
    assert debt.data['not_before'] > utils.utcnow().isoformat()
    session.write(owed.put_off, [(debt, {**debt.data, 'not_before': ''}, str(debt.reason))])


def available(cinder: CinderServer) -> None:
    for copy in cinder.snapshots.values():
        copy['status'] = 'available'


def test_passwords_of_volumes_go_with_the_action(cloud: Cloud, cinder: CinderServer, server: str,
                                                 monkeypatch: Any) -> None:
    """Also when what follows the switch is only owed."""
    steps = tuple(dataclasses.replace(step, deadline=lambda: 2) if step.name == 'give_back_rest' else step
                  for step in Flow.registry['resize'].steps)
    monkeypatch.setattr(Flow.registry['resize'], 'steps', steps)
    attach(cloud, server, cinder.volume())
    quiet(cloud)
    cinder.faults['give_back'] = always(503)
    cloud.api('POST', f'/servers/{server}/action', {'migrate': None}, expect=202)
    cloud.wait(server, 'VERIFY_RESIZE')
    quiet(cloud)
    with session.read() as conn:
        found = list(conn.execute(sa.select(instance_actions.c.data).where(
            instance_actions.c.instance_uuid == server)).scalars())
    assert found and 'for_host' not in str(found)
