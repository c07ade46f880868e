"""Servers whose root disk is a volume are rebuilt, with local volumes and with those of a Cinder."""
from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute import exception
from minicompute.conductor import debts
from minicompute.conductor.flow import Flow
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import instances
from minicompute.image import base as image_base
from minicompute.objects import BlockDevice, Instance
from minicompute.virt.fake import FakeDriver
from minicompute.volume import base as volume
from tests.functional.cinder_server import CinderServer, always, once
from tests.functional.cloud import Cloud
from tests.functional.test_flows import change
from tests.functional.test_rebuild import new_image
from tests.functional.test_snapshots import act, action_of


@pytest.fixture
def cloud(request: Any, database: str, conf: Any) -> Iterator[Cloud]:
    """Of a test with a Cinder it has that from its start."""
    if 'cinder' in request.fixturenames:
        request.getfixturevalue('cinder')
    made = Cloud()
    yield made
    made.stop()


def boot(cloud: Cloud) -> str:
    """A server with a root volume of 2 GiB, from the usual image."""
    root = {'source_type': 'image', 'uuid': cloud.image(), 'destination_type': 'volume', 'boot_index': 0,
            'volume_size': 2, 'delete_on_termination': True}
    return str(cloud.wait(cloud.boot('vm', block_device_mapping_v2=[root],
                                     flavorRef=cloud.flavor(disk=0))['id'])['id'])


def record(server: str) -> Instance:
    with session.read() as conn:
        return instances.get(conn, server)


def root(server: str) -> BlockDevice:
    return record(server).block_devices[0]


def rebuild(cloud: Cloud, server: str, image: str, version: str = '2.93', expect: int = 202, **more: Any) -> Any:
    return act(cloud, server, 'rebuild', {'imageRef': image, **more}, version=version, expect=expect)


def over(cloud: Cloud, server: str, status: str = 'ACTIVE') -> dict[str, Any]:
    shown: dict[str, Any] = {}

    def ended() -> bool:
        shown.update(cloud.show(server))
        return shown['OS-EXT-STS:task_state'] is None and shown['status'] == status
    cloud.until(ended, f'the rebuild to end in {status}')
    return shown


def steps(cloud: Cloud, server: str) -> list[str]:
    return [event['event'] for event in reversed(action_of(cloud, server, 'rebuild')['events'])]


def power(server: str) -> int:
    return FakeDriver(record(server).host).power_state(server)


# -- local volumes -------------------------------------------------------------------

def test_a_local_volume_gets_the_image(cloud: Cloud) -> None:
    server = boot(cloud)
    image = new_image(properties={'hw_disk_bus': 'scsi'})
    shown = rebuild(cloud, server, image)['server']
    assert shown['status'] == 'REBUILD' and not shown['image']
    shown = over(cloud, server)
    assert not shown['image'] and steps(cloud, server) == [
        'check_host', 'fetch_image', 'free_root', 'fill_volume', 'rebuild']
    kept = volume.load().show(admin_context(), str(root(server).volume_id))
    assert kept.image_metadata['base_image_ref'] == image and kept.image_metadata['hw_disk_bus'] == 'scsi'
    assert record(server).image_properties['hw_disk_bus'] == 'scsi'
    with session.read() as conn:
        assert instances.specs(conn, [server])[server].image_id == image
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    assert not cloud.leaks()


@pytest.mark.parametrize('verb, ended', [
    ('fetch_image', 'ACTIVE'), ('free_root', 'ACTIVE'), ('fill_volume', 'ACTIVE'), ('rebuild', 'ERROR')])
def test_what_fails_at_its_host(cloud: Cloud, verb: str, ended: str) -> None:
    """Before the new content is whole the server is what it was, and runs."""
    server = boot(cloud)
    before = record(server).image_properties

    def refuse(driver: Any, uuid: str) -> None:
        FakeDriver.faults.clear()
        raise exception.DiskFull(what='the volumes')
    FakeDriver.faults[verb] = refuse
    image = new_image()
    rebuild(cloud, server, image)
    over(cloud, server, ended)
    assert 'No space left' in action_of(cloud, server, 'rebuild')['message']
    kept = volume.load().show(admin_context(), str(root(server).volume_id)).image_metadata['base_image_ref']
    assert kept == (cloud.image() if ended == 'ACTIVE' else image), 'what the volume has'
    assert root(server).connection_info['state'] == 'attached'
    if ended == 'ACTIVE':
        assert record(server).image_properties == before and power(server) == 1
    rebuild(cloud, server, image)
    over(cloud, server)
    assert power(server) == 1


@pytest.mark.parametrize('version', ['2.92', '2.93'])
def test_an_image_that_asks_for_what_nobody_gives_is_refused_at_once(cloud: Cloud, version: str) -> None:
    """Behind the new content there is no way back."""
    server = boot(cloud)
    image = cloud.image() if version == '2.92' else new_image()
    image_base.load().update(admin_context(), image, {'properties': {'hw_tpm_version': '2.0'}})
    said = rebuild(cloud, server, image, version, expect=400)
    assert 'hw_tpm_version' in said['badRequest']['message']
    assert cloud.show(server)['status'] == 'ACTIVE' and not cloud.leaks()


def test_what_its_host_has_not_leaves_the_server_as_it_was(cloud: Cloud) -> None:
    """Also before 2.93, when nothing but the domain is made anew."""
    server = boot(cloud)
    before = record(server).image_properties

    def refuse(driver: Any, uuid: str) -> None:
        raise exception.InvalidInput(reason="hw_machine_type: this host has no 'q35'")
    FakeDriver.faults['check_rebuild'] = refuse
    rebuild(cloud, server, cloud.image(), '2.92')
    over(cloud, server)
    assert 'hw_machine_type' in action_of(cloud, server, 'rebuild')['message']
    assert record(server).image_properties == before and power(server) == 1


def test_a_stopped_one_stays_stopped(cloud: Cloud) -> None:
    server = boot(cloud)
    act(cloud, server, 'os-stop')
    cloud.wait(server, 'SHUTOFF')
    rebuild(cloud, server, new_image())
    over(cloud, server, 'SHUTOFF')

    def refuse(driver: Any, uuid: str) -> None:
        raise exception.DiskFull(what='the volumes')
    FakeDriver.faults['fill_volume'] = refuse
    rebuild(cloud, server, new_image())
    over(cloud, server, 'SHUTOFF')
    assert power(server) == 4


def test_before_2_93_only_the_same_image_and_nothing_is_written(cloud: Cloud) -> None:
    server = boot(cloud)
    refused = rebuild(cloud, server, new_image(), version='2.92', expect=400)['badRequest']['message']
    assert 'Unable to rebuild with a different image for a volume-backed server' in refused
    rebuild(cloud, server, cloud.image(), version='2.92', metadata={'new': '1'})
    assert over(cloud, server)['metadata'] == {'new': '1'} and steps(cloud, server) == [
        'check_host', 'check_guest', 'rebuild']


@pytest.mark.parametrize('facts, more, said', [
    ({'min_disk': 3}, {}, 'Volume is smaller than the image'),
    ({}, {'trusted_image_certificates': ['c']}, 'certificate'), ({'min_ram': 10**6}, {}, 'memory')])
def test_what_cannot_be(cloud: Cloud, facts: Any, more: Any, said: str) -> None:
    server = boot(cloud)
    refused = rebuild(cloud, server, new_image(**facts), expect=400, **more)['badRequest']['message']
    assert said in refused and record(server).task_state is None


def test_a_delete_in_the_middle(cloud: Cloud) -> None:
    server = boot(cloud)
    gate, busy = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        busy.set()
        gate.wait(60)
    FakeDriver.faults['fill_volume'] = hold
    rebuild(cloud, server, new_image())
    assert busy.wait(60)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    gate.set()
    cloud.wait_gone(server)
    assert not cloud.leaks()


# -- volumes of Cinder ----------------------------------------------------------------

def test_cinder_writes_the_image(cloud: Cloud, cinder: CinderServer) -> None:
    server = boot(cloud)
    (old,) = cinder.of_server(server)
    image = new_image(properties={'hw_disk_bus': 'scsi'})
    cinder.pending = 2
    rebuild(cloud, server, image)
    over(cloud, server)
    assert steps(cloud, server) == [
        'check_host', 'ask_connector', 'free_root', 'reserve_root', 'leave_root', 'order_reimage', 'await_reimage',
        'connect_volumes', 'rebuild', 'complete_volumes']
    (new,) = cinder.of_server(server)
    device = root(server)
    assert new['id'] == device.attachment_id != old['id'] and new['status'] == 'attached'
    assert cinder.volumes[str(device.volume_id)]['volume_image_metadata'] == {'image_id': image}
    assert record(server).image_properties['hw_disk_bus'] == 'scsi' and power(server) == 1
    assert 'different image' in rebuild(cloud, server, cloud.image(), '2.92', expect=400)['badRequest']['message']
    rebuild(cloud, server, image, version='2.92')
    over(cloud, server)
    assert cinder.count('volume_action') == 1


def test_the_event_goes_before_the_look(cloud: Cloud, cinder: CinderServer) -> None:
    server = boot(cloud)
    CONF.set_override('block_device_allocate_retries_interval', 3600)
    cinder.pending = 10**6
    rebuild(cloud, server, new_image())
    (one,) = cinder.volumes.values()
    cloud.until(lambda: cinder.asked[-2:] == ['volume_action', 'show'], 'the first look')
    one['pending'] = 0
    cinder.asked.clear()
    end = time.monotonic() + 20
    while cloud.show(server)['OS-EXT-STS:task_state'] and time.monotonic() < end:    # it may look at this moment
        cloud.api('POST', '/os-server-external-events', {'events': [
            {'name': 'volume-reimaged', 'server_uuid': server, 'tag': one['id']}]}, version='2.93')
        time.sleep(0.05)
    over(cloud, server)


def test_cinder_refuses_and_the_server_runs_on(cloud: Cloud, cinder: CinderServer) -> None:
    server = boot(cloud)
    before = record(server).image_properties
    cinder.faults['volume_action'] = once(400)
    rebuild(cloud, server, new_image())
    over(cloud, server)
    (one,) = cinder.of_server(server)
    assert one['status'] == 'attached' and one['id'] == root(server).attachment_id and power(server) == 1
    assert root(server).connection_info['connection']['attachment_id'] == one['id']
    assert record(server).image_properties == before
    assert 'Failed to rebuild volume backed instance' in action_of(cloud, server, 'rebuild')['message']


def test_an_old_cinder_says_so(cloud: Cloud, cinder: CinderServer) -> None:
    server, cinder.newest = boot(cloud), '3.67'
    rebuild(cloud, server, new_image())
    over(cloud, server)
    assert '3.68' in action_of(cloud, server, 'rebuild')['message']


def test_cinder_fails_and_a_second_rebuild_heals(cloud: Cloud, cinder: CinderServer, conf: Any) -> None:
    server = boot(cloud)
    cinder.pending = 10**6
    rebuild(cloud, server, new_image())
    (one,) = cinder.volumes.values()
    cloud.until(lambda: one['status'] == 'downloading', 'the order')
    one['status'] = 'error'
    fault = over(cloud, server, 'ERROR')['fault']['message']
    assert 'is in status error' in fault and power(server) == 4
    (held,) = cinder.of_server(server)
    assert held['id'] == root(server).attachment_id and held['status'] == 'reserved'
    image = new_image()
    assert "status must be 'in-use'" in rebuild(cloud, server, image, expect=400)['badRequest']['message']
    one['status'], cinder.pending = 'reserved', 0       # an operator has looked after it
    rebuild(cloud, server, image)
    over(cloud, server)
    assert [found['status'] for found in cinder.of_server(server)] == ['attached'] and power(server) == 1


def test_a_root_volume_that_is_only_reserved(cloud: Cloud, cinder: CinderServer) -> None:
    """No guest starts from it, who asks is told why and what to do, and that works, also once its state was reset."""
    server = boot(cloud)
    cinder.pending = 10**6
    image = new_image()
    rebuild(cloud, server, image)
    (one,) = cinder.volumes.values()
    cloud.until(lambda: one['status'] == 'downloading', 'the order')
    one['status'] = 'error'
    over(cloud, server, 'ERROR')
    said = rebuild(cloud, server, image, expect=400)['badRequest']['message']
    assert "Currently in 'error' status" in said and "status 'reserved' the server can be rebuilt" in said
    one['status'], cinder.pending = 'reserved', 0
    for state, action, body in (('error', 'reboot', {'type': 'HARD'}), ('active', 'reboot', {'type': 'SOFT'}),
                                ('stopped', 'os-start', None), ('error', 'rebuild', {'imageRef': image})):
        session.write(instances.update, server, {'vm_state': state})
        said = act(cloud, server, action, body, expect=409, version='2.92')['conflictingRequest']['message']
        assert f"root volume {one['id']} is reserved" in said and 'microversion 2.93' in said
    assert power(server) == 4 and cloud.show(server)['OS-EXT-STS:task_state'] is None
    session.write(instances.update, server, {'vm_state': 'active'})
    rebuild(cloud, server, image)
    over(cloud, server)
    act(cloud, server, 'reboot', {'type': 'HARD'})
    over(cloud, server)
    assert [found['status'] for found in cinder.of_server(server)] == ['attached'] and power(server) == 1


def test_a_host_fails_and_a_second_rebuild_heals(cloud: Cloud, cinder: CinderServer) -> None:
    """The volume was connected and nobody has it: Cinder says that it is being attached, until somebody is."""
    server = boot(cloud)

    def refuse(driver: Any, uuid: str) -> None:
        FakeDriver.faults.clear()
        raise exception.DiskFull(what='the host')
    FakeDriver.faults['rebuild'] = refuse
    image = new_image()
    rebuild(cloud, server, image)
    assert 'No space left' in over(cloud, server, 'ERROR')['fault']['message']
    rebuild(cloud, server, image)
    over(cloud, server)
    assert [found['status'] for found in cinder.of_server(server)] == ['attached'] and power(server) == 1


def test_cinder_takes_too_long(cloud: Cloud, cinder: CinderServer, monkeypatch: Any) -> None:
    CONF.set_override('reimage_timeout_per_gb', 1)
    server = boot(cloud)
    cinder.pending = 10**6
    rebuild(cloud, server, new_image())
    assert 'downloading still after 1 seconds' in over(cloud, server, 'ERROR')['fault']['message']
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    (one,) = cinder.volumes.values()
    assert not cinder.attachments
    one.update(status='available')      # it has finished at last
    debts.pay()
    assert not cinder.volumes


@pytest.mark.parametrize('at', ['reserve', 'give_back', 'volume_action', 'show'])
def test_cinder_goes_away_for_good(cloud: Cloud, cinder: CinderServer, monkeypatch: Any, at: str) -> None:
    """The server is in ERROR, or runs; the volume stays its own, and a second rebuild heals it."""
    server = boot(cloud)
    for step in Flow.registry['rebuild_volume'].steps:
        change(monkeypatch, 'rebuild_volume', step.name, deadline=lambda: 2)

    def away(_name: str, _done: bool) -> int:
        cinder.faults['*'] = always(503)
        return 503
    image = new_image()
    gate = threading.Event()

    def arm(driver: Any, uuid: str) -> None:
        cinder.faults[at] = away
        gate.set()
    FakeDriver.faults['free_root'] = arm
    rebuild(cloud, server, image)
    assert gate.wait(60)
    assert over(cloud, server, 'ERROR')['fault']['message']
    FakeDriver.faults.clear()
    cinder.faults.clear()
    debts.pay()
    (held,) = cinder.of_server(server)
    assert held['id'] == root(server).attachment_id
    (one,) = cinder.volumes.values()
    assert one['status'] in ('reserved', 'in-use')
    rebuild(cloud, server, image)
    over(cloud, server)
    assert [found['status'] for found in cinder.of_server(server)] == ['attached'] and power(server) == 1
