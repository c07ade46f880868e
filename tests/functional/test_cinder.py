"""Servers with volumes of a volume service that is not ours: attached, detached, booted from, deleted."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.conductor import debts
from minicompute.db import session
from minicompute.db.api import instances, owed
from minicompute.objects import BlockDevice
from minicompute.virt.fake import FakeDriver
from tests.functional.cinder_server import CinderServer, always, once
from tests.functional.cloud import Cloud


@pytest.fixture
def cloud(cinder: CinderServer, conf: Any) -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.stop()


@pytest.fixture
def server(cloud: Cloud) -> str:
    return str(cloud.wait(cloud.boot()['id'])['id'])


def mapped(uuid: str) -> list[BlockDevice]:
    with session.read() as conn:
        return [one for one in instances.get(conn, uuid).block_devices if one.destination_type == 'volume']


def plugged(cloud: Cloud, uuid: str) -> set[str]:
    with session.read() as conn:
        host = str(instances.get(conn, uuid).host)
    driver: Any = cloud.services[host].manager.driver   # type: ignore[attr-defined]
    return {name.removeprefix('volume.') for name in driver.plugged(uuid) if name.startswith('volume.')}


def quiet(cloud: Cloud) -> None:
    cloud.until(lambda: not cloud.leaks(), 'all actions to end')


def attach(cloud: Cloud, uuid: str, volume_id: str, *, expect: int = 202, version: str = '2.104', **body: Any) -> Any:
    return cloud.api('POST', f'/servers/{uuid}/os-volume_attachments',
                     {'volumeAttachment': {'volumeId': volume_id, **body}}, expect=expect, version=version)


def boot(cloud: Cloud, *devices: dict[str, Any], expect: int = 202, **more: Any) -> Any:
    return cloud.boot(block_device_mapping_v2=list(devices), flavorRef=cloud.flavor(disk=0), expect=expect, **more)


def test_it_comes_and_goes(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    one = cinder.volume()
    attach(cloud, server, one)
    quiet(cloud)
    (attachment,) = cinder.of_server(server)
    assert (attachment['status'], cinder.volumes[one]['status']) == ('attached', 'in-use')
    assert plugged(cloud, server) == {one}
    (device,) = mapped(server)
    assert device.attachment_id == attachment['id']
    assert device.connection_info['connection']['for_host'] == cloud.show(server)['OS-EXT-SRV-ATTR:host']
    assert attachment['connector']['mountpoint'] == '/dev/vdb'
    shown = cloud.api('GET', f'/servers/{server}/os-volume_attachments')['volumeAttachments']
    assert shown[0]['attachment_id'] == attachment['id']
    other = cloud.wait(cloud.boot()['id'])['id']
    assert 'already attached' in attach(cloud, other, one, expect=400)['badRequest']['message']
    cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{one}', expect=202)
    quiet(cloud)
    assert not cinder.attachments and cinder.volumes[one]['status'] == 'available'
    assert not mapped(server) and plugged(cloud, server) == set()


def test_reads_ask_nobody(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    attach(cloud, server, cinder.volume())
    quiet(cloud)
    cinder.asked.clear()
    cloud.api('GET', f'/servers/{server}/os-volume_attachments'), cloud.api('GET', '/servers/detail')
    assert cinder.asked == []


@pytest.mark.parametrize('facts, why', [
    ({'status': 'error'}, 'status must be'), ({'encrypted': True}, 'encrypted'), ({'status': 'creating', 'pending': 99},
                                                                                  'creating')])
def test_volumes_that_cannot_be_had(cloud: Cloud, cinder: CinderServer, server: str, facts: Any, why: str) -> None:
    one = cinder.volume(**facts)
    assert why in attach(cloud, server, one, expect=400)['badRequest']['message']
    assert not mapped(server) and not cinder.attachments


def test_a_volume_of_another_project_is_not_there(cloud: Cloud, cinder: CinderServer) -> None:
    one = cinder.volume()
    other = cloud.wait(cloud.boot(user='bob', project='other')['id'])['id']
    answer = cloud.request('POST', f'/servers/{other}/os-volume_attachments', {'volumeAttachment': {'volumeId': one}},
                           user='bob', project='other')
    assert answer.status_int == 404


def test_zones_may_not_be_crossed(cloud: Cloud, cinder: CinderServer, server: str, conf: Any) -> None:
    one = cinder.volume(availability_zone='far')
    conf.set_override('cross_az_attach', False, 'cinder')
    assert 'availability_zone' in attach(cloud, server, one, expect=400)['badRequest']['message']


def test_several_servers_have_one_that_may(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    one = cinder.volume(multiattach=True)
    other = cloud.wait(cloud.boot()['id'])['id']
    assert '2.60' in attach(cloud, server, one, expect=400, version='2.59')['badRequest']['message']
    attach(cloud, server, one), attach(cloud, other, one)
    quiet(cloud)
    assert {found['instance'] for found in cinder.attachments.values()} == {server, other}
    assert all(one.connection_info['multiattach'] for uuid in (server, other) for one in mapped(uuid)), 'to libvirt'
    assert 'already attached' in attach(cloud, server, one, expect=400)['badRequest']['message']
    cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{one}', expect=202)
    quiet(cloud)
    assert [found['instance'] for found in cinder.attachments.values()] == [other]


def test_what_was_in_the_way_may_be_over_when_it_is_looked_at(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    """A volume for several is refused while it goes to another server; a moment later it is in use, and free for us."""
    one = cinder.volume(multiattach=True)
    cinder.faults['reserve'] = once(400)
    attach(cloud, server, one)
    quiet(cloud)
    assert [found['status'] for found in cinder.of_server(server)] == ['attached']
    other = cloud.wait(cloud.boot()['id'])['id']
    cinder.faults['reserve'] = always(400)      # for another reason: then it ends with that
    attach(cloud, other, one)
    quiet(cloud)
    assert not mapped(other) and not cinder.of_server(other)


def test_a_volume_that_comes_with_a_server_may_be_for_several(cloud: Cloud, cinder: CinderServer) -> None:
    """Its type says so. The first guest's disk must be one that others may open, too."""
    for kind, shared in (('shared', True), ('__DEFAULT__', False)):
        device = {'source_type': 'image', 'uuid': cloud.image(), 'destination_type': 'volume', 'volume_size': 1,
                  'volume_type': kind, 'boot_index': 0}
        made = cloud.wait(boot(cloud, device, imageRef='')['id'])['id']
        told = [one.connection_info for one in mapped(made) if one.destination_type == 'volume']
        assert [bool(one.get('multiattach')) for one in told] == [shared] and told[0]['connection']


def test_a_host_that_cannot_leaves_nothing(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('no slot is left')
    FakeDriver.faults['attach_volume.after'] = refuse
    one = cinder.volume()
    attach(cloud, server, one)
    quiet(cloud)
    assert not cinder.attachments and not mapped(server) and plugged(cloud, server) == set()


# -- servers that boot from volumes ----------------------------------------------------

def test_all_sources(cloud: Cloud, cinder: CinderServer) -> None:
    cinder.pending = 2
    image = cloud.image()
    source = cinder.volume(2, bootable='true', volume_image_metadata={'hw_disk_bus': 'scsi', 'min_disk': '1'})
    snapshot = cinder.snapshots['s'] = {
        'id': '00000000-0000-4000-8000-000000000001', 'volume_id': source, 'size': 2, 'status': 'available',
        'os-extended-snapshot-attributes:project_id': 'demo', 'pending': 0}
    cinder.snapshots[snapshot['id']] = cinder.snapshots.pop('s')
    there = cinder.volume(3)
    made = boot(cloud, {'source_type': 'image', 'uuid': image, 'destination_type': 'volume', 'boot_index': 0,
                        'volume_size': 4, 'delete_on_termination': True, 'volume_type': 'fast'},
                {'source_type': 'snapshot', 'uuid': snapshot['id'], 'destination_type': 'volume'},
                {'source_type': 'blank', 'destination_type': 'volume', 'volume_size': 5},
                {'source_type': 'volume', 'uuid': there, 'destination_type': 'volume'}, version='2.67')
    server = cloud.wait(made['id'])['id']
    quiet(cloud)
    devices = mapped(server)
    assert [cinder.volumes[str(one.volume_id)]['size'] for one in devices] == [4, 2, 5, 3]
    assert cinder.volumes[str(devices[0].volume_id)]['volume_type'] == 'fast'
    assert {one['status'] for one in cinder.of_server(server)} == {'attached'} and len(cinder.attachments) == 4
    assert [one.connection_info['state'] for one in devices] == ['attached'] * 4
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    assert not cinder.attachments
    assert set(cinder.volumes) == {source, there, *(str(one.volume_id) for one in devices[1:])}


def test_a_further_volume_from_an_image(cloud: Cloud, cinder: CinderServer) -> None:
    other = cloud.image(name='other')
    made = boot(cloud, {'source_type': 'image', 'uuid': cloud.image(), 'destination_type': 'volume', 'boot_index': 0,
                        'volume_size': 1},
                {'source_type': 'image', 'uuid': other, 'destination_type': 'volume', 'volume_size': 2})
    server = cloud.wait(made['id'])['id']
    assert [cinder.volumes[str(one.volume_id)]['imageRef'] == other for one in mapped(server)] == [False, True]


def test_the_image_of_a_volume_says_how_it_boots(cloud: Cloud, cinder: CinderServer) -> None:
    one = cinder.volume(1, bootable='true', volume_image_metadata={'hw_disk_bus': 'scsi', 'image_id': 'x'})
    made = cloud.wait(boot(cloud, {'source_type': 'volume', 'uuid': one, 'destination_type': 'volume',
                                   'boot_index': 0})['id'])
    with session.read() as conn:
        said = instances.get(conn, made['id']).image_properties
    assert said['hw_disk_bus'] == 'scsi' and 'image_id' not in said
    assert made['OS-EXT-SRV-ATTR:root_device_name'] == '/dev/sda'


def test_many_servers_have_their_own(cloud: Cloud, cinder: CinderServer) -> None:
    root = {'source_type': 'image', 'uuid': cloud.image(), 'destination_type': 'volume', 'boot_index': 0,
            'volume_size': 1, 'delete_on_termination': True}
    answer = boot(cloud, root, min_count=3, max_count=3, return_reservation_id=True)
    found = cloud.api('GET', f"/servers?reservation_id={answer['reservation_id']}")['servers']
    ids = {mapped(cloud.wait(one['id'])['id'])[0].volume_id for one in found}
    assert ids == set(cinder.volumes) and len(ids) == 3


def test_a_quota_of_volumes_fails_the_server(cloud: Cloud, cinder: CinderServer) -> None:
    cinder.most = 1
    root = {'source_type': 'image', 'uuid': cloud.image(), 'destination_type': 'volume', 'boot_index': 0,
            'volume_size': 1, 'delete_on_termination': True}
    blank = {'source_type': 'blank', 'destination_type': 'volume', 'volume_size': 1, 'delete_on_termination': True}
    made = boot(cloud, root, blank)     # both are ordered at once: either may be the one that is refused
    assert 'Quota exceeded' in cloud.wait(made['id'], 'ERROR')['fault']['message']
    cloud.api('DELETE', f"/servers/{made['id']}", expect=204)
    cloud.wait_gone(made['id'])

    def nothing_is_left() -> bool:
        # What was ordered beside the one that was refused, and came when its server was gone: it is asked for again in
        # a minute while the service makes it, which is too long for a test.
        with session.read() as conn:
            late = [(debt, {**debt.data, 'not_before': ''}, str(debt.reason)) for debt in owed.of_neighbours(conn, 10)]
        if late:
            session.write(owed.put_off, late)
        debts.pay()
        return not cinder.volumes and not cinder.attachments
    cloud.until(nothing_is_left, 'the volumes to be gone')


def test_an_order_whose_answer_is_lost(cloud: Cloud, cinder: CinderServer) -> None:
    cinder.faults['create'] = always(500, after=True)
    root = {'source_type': 'image', 'uuid': cloud.image(), 'destination_type': 'volume', 'boot_index': 0,
            'volume_size': 1, 'delete_on_termination': True}
    made = cloud.wait(boot(cloud, root)['id'])['id']
    assert len(cinder.volumes) == 1 == len(cinder.attachments)
    cloud.api('DELETE', f'/servers/{made}', expect=204)
    cloud.wait_gone(made)
    assert not cinder.volumes and not cinder.attachments


def test_a_volume_that_cannot_be_made(cloud: Cloud, cinder: CinderServer) -> None:
    cinder.pending = 10**6
    root = {'source_type': 'image', 'uuid': cloud.image(), 'destination_type': 'volume', 'boot_index': 0,
            'volume_size': 1, 'delete_on_termination': True}
    made = boot(cloud, root)['id']
    cloud.until(lambda: cinder.volumes, 'the order')
    (one,) = cinder.volumes.values()
    one['status'] = 'error'
    assert 'its status is error' in cloud.wait(made, 'ERROR')['fault']['message']
    cloud.api('DELETE', f'/servers/{made}', expect=204)
    cloud.wait_gone(made)
    assert not cinder.volumes and not cinder.attachments


# -- when it does not answer -------------------------------------------------------------

@pytest.mark.parametrize('after', [False, True], ids=['refused', 'lost'])
@pytest.mark.parametrize('step', ['attachments', 'reserve', 'connect', 'complete'])
def test_an_attachment_goes_on_when_it_answers_again(cloud: Cloud, cinder: CinderServer, server: str, step: str,
                                                     after: bool) -> None:
    cinder.faults[step] = once(503, after=after)
    one = cinder.volume()
    attach(cloud, server, one)
    quiet(cloud)
    assert plugged(cloud, server) == {one}
    assert [found['status'] for found in cinder.of_server(server)] == ['attached']
    cinder.faults['give_back'] = once(503, after=after)
    cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{one}', expect=202)
    quiet(cloud)
    assert not cinder.attachments and not mapped(server)


def test_an_api_call_says_that_it_is_away(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    one = cinder.volume()
    cinder.faults['*'] = always(503)
    answer = cloud.request('POST', f'/servers/{server}/os-volume_attachments', {'volumeAttachment': {'volumeId': one}})
    assert answer.status_int == 503 and 'Block Storage' in answer.text


# -- what it asks of us ------------------------------------------------------------------

def test_it_grows(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    one = cinder.volume()
    attach(cloud, server, one)
    quiet(cloud)
    cinder.volumes[one]['size'] = 3
    cloud.api('POST', '/os-server-external-events', {'events': [
        {'name': 'volume-extended', 'server_uuid': server, 'tag': one}]}, version='2.51')
    quiet(cloud)
    assert mapped(server)[0].volume_size == 3


def test_it_moves_a_volume(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    """A retype: the new volume's content becomes the old one's, whose id stays."""
    old, new = cinder.volume(), cinder.volume()
    attach(cloud, server, old)
    quiet(cloud)
    cinder.volumes[old]['migration_status'] = 'migrating'
    cloud.api('PUT', f'/servers/{server}/os-volume_attachments/{old}', {'volumeAttachment': {'volumeId': new}},
              expect=202)
    quiet(cloud)
    assert cinder.volumes[old]['migration_status'] == 'success'
    (device,), (attachment,) = mapped(server), cinder.of_server(server)
    assert (device.volume_id, device.attachment_id) == (old, attachment['id'])


def test_one_takes_the_place_of_another(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    old, new = cinder.volume(), cinder.volume()
    attach(cloud, server, old)
    quiet(cloud)
    cloud.api('PUT', f'/servers/{server}/os-volume_attachments/{old}', {'volumeAttachment': {'volumeId': new}},
              expect=202)
    quiet(cloud)
    (device,), (attachment,) = mapped(server), cinder.of_server(server)
    assert (device.volume_id, device.attachment_id) == (new, attachment['id'])
    assert plugged(cloud, server) == {new} and cinder.volumes[old]['status'] == 'available'


def waiting_snapshot(cinder: CinderServer, volume_id: str) -> str:
    cinder.snapshots['x'] = {'id': 'x', 'volume_id': volume_id, 'size': 1, 'status': 'creating', 'pending': 10**6}
    return 'x'


@pytest.mark.parametrize('fault', [None, 'host', 'unheard', 'lost'])
def test_snapshots_that_need_the_host(cloud: Cloud, cinder: CinderServer, server: str, fault: str | None) -> None:
    one = cinder.volume()
    attach(cloud, server, one)
    quiet(cloud)
    snapshot = waiting_snapshot(cinder, one)
    if fault == 'host':
        def refuse(driver: Any, uuid: str) -> None:
            raise RuntimeError('no room')
        FakeDriver.faults['branch_volume'] = refuse
    elif fault == 'unheard':
        def late(driver: Any, uuid: str) -> None:
            raise RuntimeError('the guest has gone on')
        FakeDriver.faults['branch_volume.after'] = late
    elif fault == 'lost':
        cinder.faults['snapshot_action'] = once(503)
    cloud.api('POST', '/os-assisted-volume-snapshots', {'snapshot': {'volume_id': one, 'create_info': {
        'type': 'qcow2', 'new_file': 'volume.1', 'snapshot_id': snapshot}}}, expect=200)
    quiet(cloud)
    info = mapped(server)[0].connection_info['connection']
    assert cinder.snapshots[snapshot]['progress'] == '90%'
    if fault == 'host':
        assert cinder.snapshots[snapshot]['status'] == 'error' and info['name'] != 'volume.1'
        return
    assert cinder.snapshots[snapshot]['status'] == 'creating' and (info['name'], info['format']) == (
        'volume.1', 'qcow2')
    cloud.api('DELETE', f'/os-assisted-volume-snapshots/{snapshot}?delete_info={{"volume_id":"{one}",'
                        '"type":"qcow2","file_to_merge":"volume.1","merge_target_file":"volume"}', expect=204)
    quiet(cloud)
    assert cinder.snapshots[snapshot]['status'] == 'deleting'


# -- images of servers that boot from volumes ----------------------------------------------

def volume_backed(cloud: Cloud, cinder: CinderServer) -> tuple[str, str]:
    one = cinder.volume(1, bootable='true')
    made = boot(cloud, {'source_type': 'volume', 'uuid': one, 'destination_type': 'volume', 'boot_index': 0})
    return str(cloud.wait(made['id'])['id']), one


def test_an_image_of_it_is_snapshots(cloud: Cloud, cinder: CinderServer) -> None:
    cinder.pending = 2
    server, one = volume_backed(cloud, cinder)
    answer = cloud.api('POST', f'/servers/{server}/action', {'createImage': {'name': 'copy'}}, expect=202)
    quiet(cloud)
    (snapshot,) = cinder.snapshots.values()
    assert (snapshot['volume_id'], snapshot['name']) == (one, 'snapshot for copy')
    again = cloud.wait(cloud.boot(imageRef=answer['image_id'], flavorRef=cloud.flavor(disk=0),
                                  block_device_mapping_v2=[])['id'])['id']
    (device,) = mapped(again)
    assert cinder.volumes[str(device.volume_id)]['snapshot_id'] == snapshot['id']


def test_an_image_that_cannot_be_leaves_nothing(cloud: Cloud, cinder: CinderServer) -> None:
    server, _one = volume_backed(cloud, cinder)
    cinder.faults['show_snapshot'] = lambda name, done: [
        found.update(status='error') for found in cinder.snapshots.values()] and None
    cloud.api('POST', f'/servers/{server}/action', {'createImage': {'name': 'copy'}}, expect=202)
    quiet(cloud)
    assert cloud.show(server)['status'] == 'ACTIVE' and not cinder.snapshots
    cinder.most = 0
    answer = cloud.request('POST', f'/servers/{server}/action', {'createImage': {'name': 'copy'}})
    assert answer.status_int in (403, 413) and not cinder.snapshots
