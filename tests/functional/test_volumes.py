"""Volumes: the Block Storage calls, attachments, and servers that boot from them."""
from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable
from typing import Any

import openstack
import pytest

from minicompute.db import session
from minicompute.db.api import instances
from minicompute.db.api import volumes as db
from minicompute.objects import BlockDevice, Instance
from minicompute.virt.fake import FakeDriver
from minicompute.volume import files
from minicompute.volume.local import LocalVolumes
from tests.functional.cloud import Cloud
from tests.functional.small import Caller, Server

NOWHERE = '00000000-0000-4000-8000-000000000000'


@pytest.fixture
def server(cloud: Cloud) -> str:
    return str(cloud.wait(cloud.boot()['id'])['id'])


@pytest.fixture
def blocks(cloud: Cloud) -> Caller:
    return Caller(cloud.app, '/volume/v3', token='admin:demo')


@pytest.fixture
def volume(blocks: Caller) -> Callable[..., str]:
    def make(size: int = 1, **facts: Any) -> str:
        return str(blocks('POST', '/volumes', {'volume': {'size': size, **facts}}, status=202)['volume']['id'])
    return make


def record(uuid: str) -> Instance:
    with session.read() as conn:
        return instances.get(conn, uuid)


def mapped(uuid: str) -> list[BlockDevice]:
    return [device for device in record(uuid).block_devices if device.volume_id]


def plugged(cloud: Cloud, uuid: str) -> set[str]:
    driver: Any = cloud.services[str(record(uuid).host)].manager.driver   # type: ignore[attr-defined]
    return {name.removeprefix('volume.') for name in driver.plugged(uuid) if name.startswith('volume.')}


def attach(cloud: Cloud, uuid: str, volume_id: str, *, expect: int = 200, version: str = '2.100', **body: Any) -> Any:
    answer = cloud.api('POST', f'/servers/{uuid}/os-volume_attachments',
                       {'volumeAttachment': {'volumeId': volume_id, **body}}, expect=expect, version=version)
    return answer['volumeAttachment'] if expect == 200 else answer


def attached(cloud: Cloud, uuid: str, **more: Any) -> list[Any]:
    found = cloud.api('GET', f'/servers/{uuid}/os-volume_attachments', **more)
    return list(found['volumeAttachments'])


def quiet(cloud: Cloud) -> None:
    """Until nothing is under way."""
    cloud.until(lambda: 'locks' not in cloud.leaks(), 'the end of the actions')
    assert not cloud.leaks()


# -- the Block Storage API ---------------------------------------------------------

def test_the_life_of_a_volume(blocks: Caller) -> None:
    made = blocks('POST', '/volumes', {'volume': {
        'size': 2, 'name': 'data', 'description': 'd', 'metadata': {'a': 'b'}, 'imageRef': None}}, status=202)['volume']
    path = f"/volumes/{made['id']}"
    assert (made['status'], made['size'], made['bootable'], made['attachments']) == ('available', 2, 'false', [])
    blocks('PUT', path, {'volume': {'name': 'more'}})
    blocks('POST', f'{path}/action', {'os-extend': {'new_size': 3}}, status=202)
    blocks('POST', f'{path}/action', {'os-set_bootable': {'bootable': True}})
    shown = blocks('GET', path)['volume']
    assert (shown['name'], shown['size'], shown['bootable'], shown['metadata']) == ('more', 3, 'true', {'a': 'b'})
    assert blocks('GET', f'/demo{path}') == blocks('GET', path), 'older clients put a project in front'
    assert 'not more than' in blocks('POST', f'{path}/action', {'os-extend': {'new_size': 3}}, status=400)[
        'badRequest']['message']
    file = pathlib.Path(files.path_of(made['id']))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b'what a host has made')
    blocks('DELETE', path, status=202)
    assert blocks('GET', path, status=404)['itemNotFound']['message'] and not file.exists()
    blocks('DELETE', path, status=404)


def test_lists_go_by_pages(blocks: Caller, volume: Callable[..., str]) -> None:
    made = [volume(name=f'v{number}') for number in range(5)][::-1]
    found: list[str] = []
    path = '/volumes/detail?limit=2'
    while path:
        body = blocks('GET', path)
        found += [one['id'] for one in body['volumes']]
        links = body.get('volumes_links', [])
        path = links[0]['href'].partition('/volume/v3')[2] if links else ''
    assert found == made
    assert [one['id'] for one in blocks('GET', '/volumes?name=v3')['volumes']] == [made[1]]
    assert blocks('GET', '/volumes?status=in-use')['volumes'] == []
    blocks('GET', '/volumes?limit=x', status=400)
    blocks('GET', f'/volumes?marker={NOWHERE}', status=400)


def test_whose_volume_it_is(cloud: Cloud, volume: Callable[..., str]) -> None:
    mine = volume()
    bob = Caller(cloud.app, '/volume/v3', token='bob:other')
    reader = Caller(cloud.app, '/volume/v3', token='bob:demo')
    for method, path, body in (('GET', '', None), ('DELETE', '', None), ('PUT', '', {'volume': {}}),
                               ('POST', '/action', {'os-extend': {'new_size': 9}})):
        bob(method, f'/volumes/{mine}{path}', body, status=404)
    assert bob('GET', '/volumes?all_tenants=1')['volumes'] == []
    assert [one['id'] for one in reader('GET', '/volumes')['volumes']] == [mine]
    assert 'os-vol-host-attr:host' not in reader('GET', f'/volumes/{mine}')['volume']


@pytest.mark.parametrize('facts, word', [
    ({'size': 0}, 'size'), ({'size': 'x'}, 'size'), ({}, 'size'), ({'size': 1001}, '1000 GiB'),
    ({'size': 1, 'imageRef': NOWHERE}, 'imageRef'), ({'size': 1, 'snapshot_id': 7}, 'snapshot_id'),
    ({'size': 1, 'multiattach': True}, 'multiattach'), ({'size': 1, 'name': 'x' * 256}, 'name'),
    ({'size': 1, 'metadata': {'a': 1}}, 'attribute a'), ({'size': 1, 'availability_zone': 'moon'}, 'availability_zone'),
    ({'size': 1, 'more': 1}, 'more')])
def test_a_bad_volume_is_named(blocks: Caller, facts: dict[str, Any], word: str) -> None:
    assert word in blocks('POST', '/volumes', {'volume': facts}, status=400)['badRequest']['message']


def test_a_project_has_its_bound(cloud: Cloud, blocks: Caller, volume: Callable[..., str], conf: Any) -> None:
    conf.set_override('max_volumes', 2, 'local_volumes')
    volume(), volume()
    assert 'volumes' in blocks('POST', '/volumes', {'volume': {'size': 1}}, status=403)['forbidden']['message']
    Caller(cloud.app, '/volume/v3', token='bob:other')('POST', '/volumes', {'volume': {'size': 1}}, status=202)


def test_versions(cloud: Cloud) -> None:
    for path, code in (('', 300), ('/v3', 200), ('/v3/', 200)):
        found = Caller(cloud.app, '/volume')('GET', path, status=code)['versions'][0]
        assert found['id'] == 'v3.0' and found['links'][0]['href'].endswith('/volume/v3/')
    below = Caller(cloud.app, '/v2.1/v3', token='admin:demo')
    assert below('GET', '/volumes') == {'volumes': []}
    assert below('GET', '/snapshots') == {'snapshots': []}
    assert Caller(cloud.app, '/v2.1/demo/v3', token='admin:demo')('GET', '/demo/volumes') == {'volumes': []}


def test_the_sdk(cloud: Cloud) -> None:
    with Server(cloud.app) as url, openstack.connect(
            auth_type='none', auth={}, block_storage_endpoint_override=f'{url}/volume/v3') as client:
        made = client.block_storage.create_volume(size=1, name='data')
        assert client.block_storage.wait_for_status(made, 'available').size == 1
        client.block_storage.extend_volume(made, 2)
        client.block_storage.set_volume_bootable_status(made, True)
        found = client.block_storage.find_volume('data')
        assert (found.id, found.size, found.is_bootable) == (made.id, 2, True)
        assert [one.id for one in client.block_storage.volumes(all_projects=True)] == [made.id]
        with pytest.raises(openstack.exceptions.NotFoundException, match='Snapshot'):
            client.block_storage.create_volume(size=1, snapshot_id=NOWHERE)
        client.block_storage.delete_volume(made)
        assert list(client.block_storage.volumes()) == []


# -- attachments -------------------------------------------------------------------

def test_a_volume_comes_and_goes(cloud: Cloud, server: str, blocks: Caller, volume: Callable[..., str]) -> None:
    one = volume(2)
    answer = attach(cloud, server, one, tag='blue')
    assert answer == {'id': one, 'volumeId': one, 'serverId': server, 'device': '/dev/vdb', 'tag': 'blue',
                      'delete_on_termination': False}
    quiet(cloud)
    assert plugged(cloud, server) == {one}
    shown = blocks('GET', f'/volumes/{one}')['volume']
    assert shown['status'] == 'in-use'
    assert [(a['server_id'], a['device']) for a in shown['attachments']] == [(server, '/dev/vdb')]
    assert cloud.show(server)['os-extended-volumes:volumes_attached'] == [
        {'id': one, 'delete_on_termination': False}]
    device = mapped(server)[0]
    assert attached(cloud, server) == [{
        'volumeId': one, 'serverId': server, 'device': '/dev/vdb', 'tag': 'blue', 'delete_on_termination': False,
        'attachment_id': device.attachment_id, 'bdm_uuid': device.uuid}]
    old = attached(cloud, server, version='2.1')
    assert old == [{'id': one, 'volumeId': one, 'serverId': server, 'device': '/dev/vdb'}]
    assert cloud.api('GET', f'/servers/{server}/os-volume_attachments/{one}', version='2.1') == {
        'volumeAttachment': old[0]}
    with session.read() as conn:
        assert db.get_many(conn, [one])[one].made, 'the host has made its file'

    blocks('DELETE', f'/volumes/{one}', status=400)
    cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{one}', expect=202)
    quiet(cloud)
    assert plugged(cloud, server) == set() and attached(cloud, server) == []
    assert blocks('GET', f'/volumes/{one}')['volume']['status'] == 'available'
    blocks('DELETE', f'/volumes/{one}', status=202)


def test_from_2_101_on_nothing_is_answered(cloud: Cloud, server: str, volume: Callable[..., str]) -> None:
    one = volume()
    assert attach(cloud, server, one, expect=202, version='2.101') is None
    quiet(cloud)
    assert plugged(cloud, server) == {one}


def test_many_at_once_all_come(cloud: Cloud, server: str, volume: Callable[..., str]) -> None:
    """From several threads, as users do; each gets a name of its own, at once."""
    wanted = [volume() for _ in range(6)]
    names: list[str] = []
    threads = [threading.Thread(target=lambda one=one: names.append(attach(cloud, server, one)['device']))
               for one in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == [f'/dev/vd{letter}' for letter in 'bcdefg']
    quiet(cloud)
    assert plugged(cloud, server) == set(wanted)
    for one in wanted[:4]:
        cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{one}', expect=202)
    quiet(cloud)
    assert plugged(cloud, server) == set(wanted[4:])
    assert {device.volume_id for device in mapped(server)} == set(wanted[4:])


def test_one_volume_has_one_server(cloud: Cloud, server: str, volume: Callable[..., str]) -> None:
    other = cloud.wait(cloud.boot()['id'])['id']
    one = volume()
    answers: list[int] = []
    body = {'volumeAttachment': {'volumeId': one}}
    threads = [threading.Thread(target=lambda uuid=uuid: answers.append(cloud.request(
        'POST', f'/servers/{uuid}/os-volume_attachments', body).status_int)) for uuid in (server, other) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [202, 400, 400, 400, 400, 400]
    quiet(cloud)
    assert len(mapped(server)) + len(mapped(other)) == 1


def test_refusals(cloud: Cloud, server: str, volume: Callable[..., str]) -> None:
    one, two = volume(), volume()
    bobs = Caller(cloud.app, '/volume/v3', token='bob:other')('POST', '/volumes', {'volume': {'size': 1}},
                                                              status=202)['volume']['id']
    attach(cloud, server, one, device='/dev/vdc')
    for volume_id, body, code in (
            (NOWHERE, {}, 404), ('x', {}, 400), (two, {'device': '/dev/vdc'}, 409), (two, {'device': '/dev/vda'}, 409),
            (two, {'device': 'vdb'}, 400), (two, {'tag': 'a,b'}, 400), (one, {}, 400)):
        attach(cloud, server, volume_id, expect=code, **body)
    other = cloud.wait(cloud.boot(user='bob', project='other')['id'])['id']
    path = f'/servers/{other}/os-volume_attachments'
    for wanted, code in ((two, 404), (bobs, 202)):
        body = {'volumeAttachment': {'volumeId': wanted}}
        assert cloud.request('POST', path, body, user='bob', project='other').status_int == code
    attach(cloud, server, two, expect=400, version='2.48', tag='blue')
    for method, wanted, code in (('GET', two, 404), ('DELETE', two, 404), ('DELETE', NOWHERE, 404)):
        assert cloud.request(method, f'/servers/{server}/os-volume_attachments/{wanted}').status_int == code
    quiet(cloud)
    assert plugged(cloud, server) == {one}


def test_a_host_that_cannot_leaves_nothing(cloud: Cloud, server: str, blocks: Caller,
                                           volume: Callable[..., str]) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('no slot is left')
    FakeDriver.faults['attach_volume.after'] = refuse
    one = volume()
    attach(cloud, server, one)
    quiet(cloud)
    assert plugged(cloud, server) == set() and mapped(server) == []
    assert blocks('GET', f'/volumes/{one}')['volume']['status'] == 'available'
    FakeDriver.faults.clear()
    attach(cloud, server, one)
    quiet(cloud)

    def keep(driver: Any, uuid: str) -> None:
        raise RuntimeError('the guest is busy')
    FakeDriver.faults['detach_volume'] = keep
    cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{one}', expect=202)
    cloud.request('DELETE', f'/servers/{server}/os-volume_attachments/{one}')
    quiet(cloud)
    assert plugged(cloud, server) == {one}
    assert blocks('GET', f'/volumes/{one}')['volume']['status'] == 'in-use'


def test_servers_that_do_not_run(cloud: Cloud, server: str, volume: Callable[..., str]) -> None:
    one, two, three = volume(), volume(), volume()
    cloud.api('POST', f'/servers/{server}/action', {'os-stop': None}, expect=202)
    cloud.wait(server, 'SHUTOFF')
    attach(cloud, server, one)
    quiet(cloud)
    host = record(server).host
    # As after a shelve whose server has left its host.
    session.write(instances.update, server, {'vm_state': 'shelved_offloaded', 'host': None, 'node': None})
    attach(cloud, server, two, expect=409, version='2.19')
    attach(cloud, server, two, expect=400, tag='blue')
    attach(cloud, server, two)
    cloud.until(lambda: 'locks' not in cloud.leaks(), 'the end of the action')
    assert {d.volume_id: d.connection_info['state'] for d in mapped(server)} == {one: 'attached', two: 'attached'}
    cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{one}', expect=202)
    cloud.until(lambda: [d.volume_id for d in mapped(server)] == [two], 'the detachment')
    session.write(instances.update, server, {'vm_state': 'building', 'host': host, 'node': host})
    attach(cloud, server, three, expect=409)


def test_what_put_changes(cloud: Cloud, server: str, blocks: Caller, volume: Callable[..., str]) -> None:
    one, two, small = volume(2), volume(3), volume(1)
    attach(cloud, server, one)
    quiet(cloud)
    path = f'/servers/{server}/os-volume_attachments/{one}'

    def put(expect: int = 202, version: str = '2.104', **body: Any) -> Any:
        return cloud.api('PUT', path, {'volumeAttachment': {'volumeId': one, **body}}, expect=expect, version=version)
    put(delete_on_termination=True, serverId=server, device='/dev/vdb')
    assert attached(cloud, server)[0]['delete_on_termination'] is True
    put(400, device='/dev/vdz'), put(400, tag='other'), put(400, serverId=NOWHERE), put(400, more=1)
    put(400, delete_on_termination=True, version='2.84')
    put(400, volumeId=NOWHERE), put(400, volumeId=small)

    put(volumeId=two)
    quiet(cloud)
    assert plugged(cloud, server) == {two} and [device.volume_id for device in mapped(server)] == [two]
    assert blocks('GET', f'/volumes/{one}')['volume']['status'] == 'available'
    assert blocks('GET', f'/volumes/{two}')['volume']['status'] == 'in-use'
    assert cloud.request('PUT', f'/servers/{server}/os-volume_attachments/{two}', {
        'volumeAttachment': {'volumeId': one}}, user='bob').status_int == 403

    def refuse(driver: Any, uuid: str) -> None:
        FakeDriver.faults.clear()
        raise RuntimeError('the copy broke off')
    FakeDriver.faults['swap_volume'] = refuse
    path = f'/servers/{server}/os-volume_attachments/{two}'
    three = volume(3)
    put(volumeId=three)
    quiet(cloud)
    assert plugged(cloud, server) == {two} and [device.volume_id for device in mapped(server)] == [two]
    assert blocks('GET', f'/volumes/{three}')['volume']['status'] == 'available'


def test_volumes_go_with_their_server_or_stay(cloud: Cloud, server: str, blocks: Caller,
                                              volume: Callable[..., str]) -> None:
    stays, goes = volume(), volume()
    attach(cloud, server, stays)
    attach(cloud, server, goes, delete_on_termination=True)
    quiet(cloud)
    file = pathlib.Path(files.path_of(goes))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b'')
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    assert blocks('GET', f'/volumes/{stays}')['volume']['status'] == 'available'
    assert blocks('GET', f'/volumes/{goes}')['volume']['status'] == 'deleting'
    assert LocalVolumes().collect() == [goes] and not file.exists()
    blocks('GET', f'/volumes/{goes}', status=404)


# -- boot from volume --------------------------------------------------------------

def boot(cloud: Cloud, *devices: dict[str, Any], expect: int = 202, **more: Any) -> Any:
    return cloud.boot(block_device_mapping_v2=list(devices), flavorRef=cloud.flavor(disk=0), expect=expect, **more)


def test_boot_from_an_image_on_a_new_volume(cloud: Cloud, blocks: Caller) -> None:
    image = cloud.image()
    root = {'source_type': 'image', 'uuid': image, 'destination_type': 'volume', 'boot_index': 0, 'volume_size': 2,
            'delete_on_termination': True}
    blank = {'source_type': 'blank', 'destination_type': 'volume', 'volume_size': 3}
    made = cloud.wait(boot(cloud, root, blank)['id'])
    assert made['image'] == ''
    first, second = mapped(made['id'])
    assert (first.device_name, second.device_name) == ('/dev/vda', '/dev/vdb')
    shown = {one['id']: one for one in blocks('GET', '/volumes/detail')['volumes']}
    assert (shown[first.volume_id]['bootable'], shown[first.volume_id]['size']) == ('true', 2)
    assert (shown[second.volume_id]['bootable'], shown[second.volume_id]['status']) == ('false', 'in-use')
    path = f"/servers/{made['id']}/os-volume_attachments/{first.volume_id}"
    assert 'root' in cloud.api('DELETE', path, expect=400)['badRequest']['message']

    cloud.api('DELETE', f"/servers/{made['id']}", expect=204)
    cloud.wait_gone(made['id'])
    LocalVolumes().collect()
    left = blocks('GET', '/volumes/detail')['volumes']
    assert [one['id'] for one in left] == [second.volume_id]

    again = {'source_type': 'volume', 'uuid': second.volume_id, 'destination_type': 'volume', 'boot_index': 0}
    assert 'not bootable' in boot(cloud, again, expect=400)['badRequest']['message']
    blocks('POST', f'/volumes/{second.volume_id}/action', {'os-set_bootable': {'bootable': True}})
    server = cloud.wait(boot(cloud, again)['id'])
    assert [device.volume_id for device in mapped(server['id'])] == [second.volume_id]
    assert 'already attached' in boot(cloud, again, expect=400)['badRequest']['message']
    assert blocks('GET', f'/volumes/{second.volume_id}')['volume']['status'] == 'in-use'


def test_a_further_volume_from_another_image(cloud: Cloud, blocks: Caller) -> None:
    """Nova has it made whatever its place in the order is; it may boot, and its image says how."""
    other = cloud.image(name='other', min_disk=2, properties={'hw_disk_bus': 'scsi'})
    more = {'source_type': 'image', 'uuid': other, 'destination_type': 'volume', 'boot_index': -1, 'volume_size': 2}
    made = cloud.wait(cloud.boot(imageRef=cloud.image(), block_device_mapping_v2=[more])['id'])
    (device,) = mapped(made['id'])
    with session.read() as conn:
        found = db.get_many(conn, [str(device.volume_id)])[str(device.volume_id)]
    assert found.bootable and found.image_metadata['hw_disk_bus'] == 'scsi'
    assert device.connection_info['image']['id'] == other and device.connection_info['state'] == 'attached'
    small = {**more, 'volume_size': 1}
    said = cloud.boot(imageRef=cloud.image(), block_device_mapping_v2=[small], expect=400)['badRequest']['message']
    assert 'smaller than the image' in said
    said = cloud.boot(imageRef=cloud.image(), block_device_mapping_v2=[{**more, 'uuid': NOWHERE}],
                      expect=400)['badRequest']['message']
    assert f'failed to get image {NOWHERE}' in said


def test_each_of_many_servers_has_its_own(cloud: Cloud, blocks: Caller) -> None:
    root = {'source_type': 'image', 'uuid': cloud.image(), 'destination_type': 'volume', 'boot_index': 0,
            'volume_size': 1}
    answer = boot(cloud, root, min_count=3, max_count=3, return_reservation_id=True)
    found = cloud.api('GET', f"/servers?reservation_id={answer['reservation_id']}")['servers']
    ids = {mapped(cloud.wait(one['id'])['id'])[0].volume_id for one in found}
    assert len(ids) == 3 == len(blocks('GET', '/volumes')['volumes'])


def test_a_build_that_fails_holds_no_volume_for_ever(cloud: Cloud, blocks: Caller, volume: Callable[..., str]) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('this host is broken')
    FakeDriver.faults['spawn'] = refuse
    one = volume()
    entry = {'source_type': 'volume', 'uuid': one, 'destination_type': 'volume', 'boot_index': -1}
    made = cloud.boot(imageRef=cloud.image(), block_device_mapping_v2=[entry])
    cloud.wait(made['id'], 'ERROR')
    cloud.api('DELETE', f"/servers/{made['id']}", expect=204)
    cloud.wait_gone(made['id'])
    assert blocks('GET', f'/volumes/{one}')['volume']['status'] == 'available'


@pytest.mark.parametrize('entry, why', [
    ({'source_type': 'volume', 'uuid': NOWHERE, 'boot_index': 0}, 'failed to get volume'),
    ({'source_type': 'snapshot', 'uuid': NOWHERE, 'boot_index': 0}, 'failed to get snapshot'),
    ({'source_type': 'blank', 'destination_type': 'volume', 'boot_index': 0, 'volume_size': 1}, 'cannot be booted'),
    ({'source_type': 'image', 'destination_type': 'volume', 'boot_index': 0}, 'non-zero size'),
    ({'source_type': 'image', 'destination_type': 'volume', 'boot_index': 0, 'volume_size': 2000}, '1000 GiB'),
    ({'source_type': 'image', 'destination_type': 'volume', 'boot_index': 0, 'volume_size': 1, 'volume_type': 'gold'},
     'Volume type gold')])
def test_boots_that_cannot_be(cloud: Cloud, entry: dict[str, Any], why: str) -> None:
    if entry['source_type'] == 'image':
        entry = {**entry, 'uuid': cloud.image()}
    assert why in boot(cloud, entry, expect=400)['badRequest']['message']
    assert cloud.api('GET', '/servers')['servers'] == []
