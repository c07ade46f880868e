"""Images of servers that boot from a volume: snapshots of all their volumes, and an image that names them."""
from __future__ import annotations

import datetime
import json
import os
import pathlib
import threading
import uuid
from typing import Any

import pytest

from minicompute import exception
from minicompute.compute.manager import verbs
from minicompute.conductor import volume_copies
from minicompute.conductor.flow import Flow
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import volume_snapshots as db
from minicompute.db.api import volumes
from minicompute.db.models import volume_snapshots
from minicompute.image import base as image_base
from minicompute.objects import Volume, VolumeSnapshot
from minicompute.virt.fake import FakeDriver
from minicompute.volume import files
from minicompute.volume.local import LocalVolumes
from tests.functional.cloud import Cloud
from tests.functional.small import Caller
from tests.functional.test_evacuate import evacuate, lose
from tests.functional.test_snapshots import act, action_of, gone, show, snapshot
from tests.functional.test_volumes import NOWHERE, attach, boot, mapped, quiet


@pytest.fixture
def blocks(cloud: Cloud) -> Caller:
    return Caller(cloud.app, '/volume/v3', token='admin:demo')


@pytest.fixture
def server(cloud: Cloud) -> str:
    """Boots from a volume of 2 GiB, and has another."""
    root = {'source_type': 'image', 'uuid': cloud.image(), 'destination_type': 'volume', 'boot_index': 0,
            'volume_size': 2, 'delete_on_termination': True}
    blank = {'source_type': 'blank', 'destination_type': 'volume', 'volume_size': 3, 'device_name': '/dev/vdc'}
    return str(cloud.wait(boot(cloud, root, blank)['id'])['id'])


def mapping_of(image_id: str) -> list[dict[str, Any]]:
    said = show(image_id).properties
    assert said['bdm_v2'] == 'True' and said['root_device_name'] == '/dev/vda'
    return list(json.loads(said['block_device_mapping']))


def listed(blocks: Caller, query: str = '') -> list[dict[str, Any]]:
    return list(blocks('GET', f'/snapshots/detail{query}')['snapshots'])


def test_the_image_of_a_server_on_volumes(cloud: Cloud, blocks: Caller, server: str) -> None:
    image_id = snapshot(cloud, server, metadata={'mine': 'yes'})
    cloud.wait(server)
    meta = show(image_id)
    assert (meta.name, meta.status, meta.size, meta.owner) == ('copy', 'active', 0, 'demo')
    assert meta.properties['mine'] == 'yes' and meta.properties['image_type'] == 'snapshot'
    assert list(image_base.load().download(admin_context(), image_id)) == []
    Caller(cloud.app, '/image', token='admin:demo')('GET', f'/v2/images/{image_id}/file', status=204)
    first, second = mapping_of(image_id)
    assert [(one['source_type'], one['destination_type'], one['boot_index'], one['device_name'], one['volume_size'],
             one['delete_on_termination'], one['volume_id']) for one in (first, second)] == [
        ('snapshot', 'volume', 0, '/dev/vda', 2, True, None), ('snapshot', 'volume', None, '/dev/vdc', 3, False, None)]
    made = {one['id']: one for one in listed(blocks)}
    volumes = [device.volume_id for device in mapped(server)]
    assert [made[one['snapshot_id']]['volume_id'] for one in (first, second)] == volumes
    assert {(one['status'], one['name']) for one in made.values()} == {('available', 'snapshot for copy')}
    assert all(pathlib.Path(files.snapshot_path(one)).exists() for one in made)
    assert [event['event'] for event in reversed(action_of(cloud, server, 'createImage')['events'])] == [
        'reserve_image', 'copy_volumes', 'activate']
    assert not cloud.leaks()


def test_a_server_boots_from_it(cloud: Cloud, blocks: Caller, server: str) -> None:
    image_id = snapshot(cloud, server)
    cloud.wait(server)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    flavor = cloud.flavor(disk=0)
    second = cloud.wait(cloud.boot('second', imageRef=image_id, flavorRef=flavor)['id'])
    named = [one['snapshot_id'] for one in mapping_of(image_id)]
    devices = mapped(second['id'])
    assert [(one.source_type, one.snapshot_id, one.device_name, one.volume_size, one.delete_on_termination)
            for one in devices] == [('snapshot', named[0], '/dev/vda', 2, True),
                                    ('snapshot', named[1], '/dev/vdc', 3, False)]
    shown = [blocks('GET', f'/volumes/{one.volume_id}')['volume'] for one in devices]
    assert [(one['snapshot_id'], one['bootable'], one['status']) for one in shown] == [
        (named[0], 'true', 'in-use'), (named[1], 'false', 'in-use')]
    again = snapshot(cloud, second['id'])       # what it inherits is not what it says of its own disks
    cloud.wait(second['id'])
    assert {one['snapshot_id'] for one in mapping_of(again)}.isdisjoint(named)

    larger = {'device_name': '/dev/vdc', 'source_type': 'blank', 'destination_type': 'volume', 'volume_size': 9}
    third = cloud.boot('third', imageRef=image_id, flavorRef=flavor, block_device_mapping_v2=[
        {'source_type': 'image', 'uuid': image_id, 'destination_type': 'local', 'boot_index': 0}, larger])
    assert [(one.snapshot_id, one.volume_size) for one in mapped(cloud.wait(third['id'])['id'])] == [
        (None, 9), (named[0], 2)][::-1]


def test_it_needs_the_image_no_more(cloud: Cloud, server: str) -> None:
    image_id = snapshot(cloud, server)
    cloud.wait(server)
    second = cloud.wait(cloud.boot('second', imageRef=image_id, flavorRef=cloud.flavor(disk=0))['id'])
    assert second['image']['id'] == image_id
    image_base.load().delete(admin_context(), image_id)
    lose(cloud, second['OS-EXT-SRV-ATTR:host'])
    evacuate(cloud, second['id'])
    assert cloud.wait(second['id'], 'SHUTOFF')['OS-EXT-SRV-ATTR:host'] != second['OS-EXT-SRV-ATTR:host']


def test_many_servers_boot_from_it(cloud: Cloud, server: str) -> None:
    image_id = snapshot(cloud, server)
    cloud.wait(server)
    answer = cloud.boot(imageRef=image_id, flavorRef=cloud.flavor(disk=0), min_count=2, max_count=2,
                        return_reservation_id=True)
    found = cloud.api('GET', f"/servers?reservation_id={answer['reservation_id']}")['servers']
    ids = {device.volume_id for one in found for device in mapped(cloud.wait(one['id'])['id'])}
    assert len(ids) == 4


def test_a_snapshot_is_named_by_itself(cloud: Cloud, blocks: Caller, server: str) -> None:
    image_id = snapshot(cloud, server)
    cloud.wait(server)
    root, blank = (one['snapshot_id'] for one in mapping_of(image_id))

    def entry(uuid: str, **more: Any) -> dict[str, Any]:
        return {'source_type': 'snapshot', 'uuid': uuid, 'destination_type': 'volume', 'boot_index': 0, **more}
    made = cloud.wait(boot(cloud, entry(root, volume_size=5))['id'])
    (device,) = mapped(made['id'])
    assert (device.snapshot_id, device.volume_size) == (root, 5)
    for wrong, why in ((entry(root, volume_size=1), 'has 2 GiB'), (entry(blank), 'not bootable'),
                       (entry(NOWHERE), 'failed to get snapshot')):
        assert why in boot(cloud, wrong, expect=400)['badRequest']['message']
    assert 'Boot sequence' in boot(cloud, entry(root), imageRef=cloud.image(), expect=400)['badRequest']['message']
    other = cloud.boot(block_device_mapping_v2=[entry(root)], flavorRef=cloud.flavor(disk=0), expect=400, user='bob',
                       project='other')
    assert 'failed to get snapshot' in other['badRequest']['message']


def test_a_volume_from_a_snapshot(cloud: Cloud, blocks: Caller, server: str) -> None:
    image_id = snapshot(cloud, server)
    cloud.wait(server)
    root = mapping_of(image_id)[0]['snapshot_id']
    assert 'less than the 2 GiB' in blocks('POST', '/volumes', {'volume': {'size': 1, 'snapshot_id': root}},
                                           status=400)['badRequest']['message']
    made = blocks('POST', '/volumes', {'volume': {'size': None, 'snapshot_id': root}}, status=202)['volume']
    assert (made['size'], made['snapshot_id'], made['bootable']) == (2, root, 'true')
    refused = blocks('DELETE', f'/snapshots/{root}', status=400)['badRequest']['message']
    assert made['id'] in refused, 'the volume has nothing of its own yet'
    plain = str(cloud.wait(cloud.boot()['id'])['id'])
    attach(cloud, plain, made['id'])
    quiet(cloud)
    assert [device.snapshot_id for device in mapped(plain)] == [root]
    blocks('DELETE', f'/snapshots/{root}', status=202)
    blocks('GET', f'/snapshots/{root}', status=404)
    assert not pathlib.Path(files.snapshot_path(root)).exists()


@pytest.fixture
def copied(cloud: Cloud, blocks: Caller, server: str) -> str:
    """A volume that begins as the copy of a snapshot, and has no file yet."""
    image_id = snapshot(cloud, server)
    cloud.wait(server)
    wanted = {'size': None, 'snapshot_id': mapping_of(image_id)[0]['snapshot_id']}
    return str(blocks('POST', '/volumes', {'volume': wanted}, status=202)['volume']['id'])


def test_a_copy_is_made_where_it_keeps_nobody_waiting(cloud: Cloud, copied: str) -> None:
    plain = str(cloud.wait(cloud.boot()['id'])['id'])
    threads: list[str] = []
    for verb in ('make_volume', 'attach_volume'):
        FakeDriver.faults[verb] = lambda driver, uuid: threads.append(threading.current_thread().name)
    attach(cloud, plain, copied)
    quiet(cloud)
    assert [name.partition('_')[0].partition('-')[0] for name in threads] == ['build', 'step']
    steps = [event['event'] for event in reversed(action_of(cloud, plain, 'attach_volume')['events'])]
    assert steps == ['check_volume', 'make_volume', 'plug_volume']
    assert Flow.registry['attach_volume'].step('make_volume').deadline() == CONF.conductor.image_deadline


def without(monkeypatch: pytest.MonkeyPatch, verb: str, text: bool) -> None:
    """Computes of an earlier version, which say so in one of two ways."""
    monkeypatch.delitem(verbs.VERBS, verb)
    if text:
        def old(verb: str) -> Exception:
            return exception.NotImplementedHere(f'{verb} is unknown to this compute')
        monkeypatch.setattr(exception, 'VerbUnknown', old)


@pytest.mark.parametrize('old', [False, True])
def test_an_older_compute_makes_it_where_it_attaches(cloud: Cloud, copied: str, monkeypatch: pytest.MonkeyPatch,
                                                     old: bool) -> None:
    plain = str(cloud.wait(cloud.boot()['id'])['id'])
    without(monkeypatch, 'make_volume', old)
    attach(cloud, plain, copied)
    quiet(cloud)
    assert [device.connection_info['state'] for device in mapped(plain)] == ['attached']
    assert action_of(cloud, plain, 'attach_volume')['message'] is None


@pytest.mark.parametrize('old', [False, True])
def test_an_older_compute_makes_no_snapshots(cloud: Cloud, server: str, monkeypatch: pytest.MonkeyPatch,
                                             old: bool) -> None:
    """It cannot undo either, and need not."""
    without(monkeypatch, 'copy_volumes', old)
    without(monkeypatch, 'drop_copies', old)
    image_id = snapshot(cloud, server)
    cloud.wait(server)
    gone(image_id)
    quiet(cloud)
    assert 'unknown to this compute' in action_of(cloud, server, 'createImage')['message']
    assert left_over() == []


def test_the_snapshots_of_the_block_storage_api(cloud: Cloud, blocks: Caller, server: str) -> None:
    for _ in range(2):
        snapshot(cloud, server)
        cloud.wait(server)
    everything = listed(blocks)
    assert len(everything) == 4 and [one['id'] for one in blocks('GET', '/snapshots')['snapshots']] == [
        one['id'] for one in everything]
    found, path = [], '/snapshots?limit=3'
    while path:
        body = blocks('GET', path)
        found += [one['id'] for one in body['snapshots']]
        path = body.get('snapshots_links', [{'href': ''}])[0]['href'].partition('/volume/v3')[2]
    assert found == [one['id'] for one in everything]
    volume_id = mapped(server)[0].volume_id
    assert len(listed(blocks, f'?volume_id={volume_id}')) == 2 and listed(blocks, '?status=creating') == []
    path = f'/snapshots/{found[0]}'
    assert blocks('PUT', path, {'snapshot': {'name': 'mine'}})['snapshot']['name'] == 'mine'
    assert blocks('GET', f'/demo{path}') == blocks('GET', path)
    bob = Caller(cloud.app, '/volume/v3', token='bob:other')
    for method, body in (('GET', None), ('PUT', {'snapshot': {}}), ('DELETE', None)):
        bob(method, path, body, status=404)
    assert bob('GET', '/snapshots?all_tenants=1')['snapshots'] == []
    refused = blocks('POST', '/snapshots', {'snapshot': {'volume_id': volume_id}}, status=400)
    assert 'force' in refused['badRequest']['message']
    blocks('POST', '/snapshots', {'snapshot': {'volume_id': volume_id, 'force': 'perhaps'}}, status=400)
    blocks('POST', '/snapshots', {'snapshot': {'volume_id': NOWHERE}}, status=404)
    blocks('POST', '/snapshots', {'snapshot': {'volume_id': 'x'}}, status=400)
    blocks('DELETE', path, status=202)
    blocks('DELETE', path, status=404)


def test_who_may(cloud: Cloud, server: str, conf: Any) -> None:
    body = {'createBackup': {'name': 'b', 'backup_type': 'daily', 'rotation': 1}}
    said = cloud.api('POST', f'/servers/{server}/action', body, expect=400)
    assert 'not supported for volume-backed' in said['badRequest']['message']
    conf.set_override('max_volumes', 3, 'local_volumes')
    snapshot(cloud, server)
    cloud.wait(server)
    said = cloud.api('POST', f'/servers/{server}/action', {'createImage': {'name': 'more'}}, expect=403)
    assert 'snapshots' in said['forbidden']['message']
    assert cloud.show(server)['OS-EXT-STS:task_state'] is None


# -- what goes wrong --------------------------------------------------------------------

def left_over() -> list[str]:
    """Snapshots of volumes: rows and files."""
    with session.read() as conn:
        rows = [one.id for one in db.page(conn, None)]
    return rows + [path.name for path in pathlib.Path(CONF.local_volumes.path).glob('*snapshot-*')]


@pytest.mark.parametrize('fault', ['copy_volumes', 'copy_volumes.after'])
def test_what_fails_leaves_nothing(cloud: Cloud, server: str, fault: str) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        FakeDriver.faults.clear()
        raise exception.DiskFull(what='the snapshots')
    FakeDriver.faults[fault] = refuse
    image_id = snapshot(cloud, server)
    cloud.wait(server)
    assert gone(image_id) and left_over() == []
    assert 'No space left' in action_of(cloud, server, 'createImage')['message']


@pytest.mark.parametrize('by', ['delete', 'reset', 'image'])
def test_what_is_broken_off_leaves_nothing(cloud: Cloud, server: str, by: str) -> None:
    gate, copying = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        copying.set()
        gate.wait(60)
    FakeDriver.faults['copy_volumes.after'] = hold
    image_id = snapshot(cloud, server)
    assert copying.wait(60)
    assert show(image_id).status == 'importing'
    assert 'creating' in {one.status for one in LocalVolumes().page_snapshots(admin_context(), all_projects=True)}
    if by == 'delete':
        cloud.api('DELETE', f'/servers/{server}', expect=204)
    elif by == 'reset':
        act(cloud, server, 'os-resetState', {'state': 'active'})
    else:
        image_base.load().delete(admin_context(), image_id)
    gate.set()
    if by == 'delete':
        cloud.wait_gone(server)
    else:
        cloud.wait(server)
    cloud.until(lambda: 'locks' not in cloud.leaks(), 'the end of the actions')
    assert gone(image_id) and left_over() == [] and not cloud.leaks()


def test_copies_that_a_silent_host_has_made_late(cloud: Cloud, server: str) -> None:
    """Their rows went while nobody could reach it."""
    kept = snapshot(cloud, server)
    cloud.wait(server)
    known = pathlib.Path(files.snapshot_path(mapping_of(kept)[0]['snapshot_id']))
    late, young = (pathlib.Path(files.snapshot_path(str(uuid.uuid4()))) for _ in range(2))
    foreign = known.parent / 'snapshot-of-my-cat.qcow2'
    for path in (late, young, foreign):
        path.write_bytes(b'')
    for path in (late, foreign, known):
        os.utime(path, (0, 0))
    LocalVolumes().collect()
    assert not late.exists() and young.exists() and foreign.exists() and known.exists()


def test_snapshots_that_nobody_makes_any_more(cloud: Cloud) -> None:
    """Their action was given up: in the end they go, with what there is of their files."""
    one = VolumeSnapshot(id='3f2c1d1e-0000-4000-8000-000000000001', volume_id=NOWHERE, project_id='demo', size=1)
    session.write(db.insert, [one])
    path = pathlib.Path(files.snapshot_path(one.id))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'half')
    LocalVolumes().collect()
    assert left_over() == [one.id, path.name]
    long_ago = session.utcnow() - 3 * datetime.timedelta(seconds=CONF.conductor.image_deadline)
    session.write(lambda conn: conn.execute(volume_snapshots.update().values(updated_at=long_ago)))
    LocalVolumes().collect()
    assert left_over() == []


@pytest.mark.parametrize('said, why', [
    ('{', 'no JSON'), ('{}', 'no list'), ('[1]', 'no list'), ('[{"source_type": "image"}]', 'source_type'),
    ('[{"source_type": ["x"]}]', 'no text'), ('[{"source_type": "blank", "volume_size": -1}]', 'volume_size'),
    ('[{"source_type": "blank", "boot_index": "0"}]', 'boot_index'),
    ('[{"source_type": "blank", "delete_on_termination": 1}]', 'delete_on_termination'),
    ('[{"source_type": "blank", "destination_type": "moon"}]', 'destination_type'),
    ('[{"source_type": "snapshot", "boot_index": 0}]', 'needs a uuid'),
    (json.dumps([{'source_type': 'snapshot', 'snapshot_id': NOWHERE, 'boot_index': 0}]), 'failed to get snapshot'),
    (json.dumps([{'source_type': 'blank'}] * 33), 'more than 32')])
def test_what_an_image_says_is_checked(cloud: Cloud, said: str, why: str) -> None:
    """Anybody can write properties."""
    image_id = cloud.image()
    says = {'block_device_mapping': said, 'bdm_v2': 'true'}
    image_base.load().update(admin_context(), image_id, {'properties': says})
    refused = cloud.boot(imageRef=image_id, expect=400)
    assert why in refused['badRequest']['message']




def test_a_host_of_which_nothing_is_heard_is_not_asked_for_ever(cloud: Cloud, monkeypatch: Any) -> None:
    """It may be too old to know what it was asked for."""
    asked: list[str] = []
    monkeypatch.setattr(volume_copies.compute, 'copy_volume', lambda host, *_: asked.append(host))
    volume_id = str(uuid.uuid4())
    one = VolumeSnapshot(id=str(uuid.uuid4()), volume_id=volume_id, project_id='demo', size=1, host='compute1')
    session.write(volumes.insert, [Volume(id=volume_id, project_id='demo', size=1, status='snapshotting')])
    session.write(db.insert, [one])
    def silent(seconds: int) -> None:
        long_ago = session.utcnow() - datetime.timedelta(seconds=seconds)
        session.write(lambda conn: conn.execute(volume_snapshots.update().values(updated_at=long_ago)))
        volume_copies.sweep()
    for _ in range(2):
        silent(60)
    assert asked == ['compute2', 'compute1']
    silent(20)      # it may only be slow: another copy would make it slower
    assert set(asked[2:]) == {'compute1'}
