"""Snapshots that users ask for, of volumes that a server has and of those that none has."""
from __future__ import annotations

import datetime
import os
import threading
from typing import Any

import pytest

from minicompute import exception
from minicompute.conductor import volume_copies
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import volume_snapshots as db
from minicompute.db.models import volume_snapshots
from minicompute.virt.fake import FakeDriver
from minicompute.volume import files
from tests.functional.cloud import Cloud
from tests.functional.small import Caller
from tests.functional.test_snapshots import action_of
from tests.functional.test_volumes import attach, boot, quiet


@pytest.fixture
def blocks(cloud: Cloud) -> Caller:
    return Caller(cloud.app, '/volume/v3', token='admin:demo')


def volume(blocks: Caller, **facts: Any) -> str:
    return str(blocks('POST', '/volumes', {'volume': {'size': 2, **facts}}, status=202)['volume']['id'])


def snap(blocks: Caller, volume_id: str, **facts: Any) -> str:
    body = {'snapshot': {'volume_id': volume_id, 'name': 'mine', **facts}}
    made = blocks('POST', '/snapshots', body, status=202)['snapshot']
    assert (made['status'], made['name'], made['size']) == ('creating', 'mine', 2)
    return str(made['id'])


def ends(cloud: Cloud, blocks: Caller, snapshot_id: str, status: str = 'available') -> None:
    def look() -> bool:
        found = blocks('GET', f'/snapshots/{snapshot_id}')['snapshot']['status']
        assert found in ('creating', status)
        return bool(found == status)
    cloud.until(look, f'the snapshot to be {status}')


def status_of(blocks: Caller, volume_id: str) -> str:
    return str(blocks('GET', f'/volumes/{volume_id}')['volume']['status'])


def test_of_a_volume_that_no_server_has(cloud: Cloud, blocks: Caller) -> None:
    of = volume(blocks, name='data')
    made = snap(blocks, of, metadata={'a': 'b'}, description='before')
    ends(cloud, blocks, made)
    shown = blocks('GET', f'/snapshots/{made}')['snapshot']
    assert (shown['metadata'], shown['description'], shown['volume_id']) == ({'a': 'b'}, 'before', of)
    assert shown['os-extended-snapshot-attributes:progress'] == '100%'
    assert os.path.exists(files.snapshot_path(made)) and status_of(blocks, of) == 'available'
    second = blocks('POST', '/volumes', {'volume': {'snapshot_id': made}}, status=202)['volume']
    assert (second['size'], second['snapshot_id']) == (2, made)
    blocks('DELETE', f'/volumes/{of}', status=202)
    blocks('DELETE', f"/volumes/{second['id']}", status=202)
    blocks('DELETE', f'/snapshots/{made}', status=202)
    blocks('GET', f'/snapshots/{made}', status=404)
    assert not os.path.exists(files.snapshot_path(made))


def test_nobody_has_it_while_it_is_copied(cloud: Cloud, blocks: Caller) -> None:
    gate = threading.Event()
    FakeDriver.faults['copy_volume'] = lambda driver, uuid: gate.wait(60)
    server = cloud.wait(cloud.boot()['id'])['id']
    of = volume(blocks)
    made = snap(blocks, of)
    assert status_of(blocks, of) == 'snapshotting'
    refused = attach(cloud, server, of, expect=400)
    assert 'snapshotting' in refused['badRequest']['message']
    blocks('DELETE', f'/volumes/{of}', status=400)
    blocks('DELETE', f'/snapshots/{made}', status=400)
    blocks('POST', '/snapshots', {'snapshot': {'volume_id': of}}, status=400)
    gate.set()
    ends(cloud, blocks, made)
    attach(cloud, server, of)
    quiet(cloud)


@pytest.mark.parametrize('fault', ['copy_volume', 'copy_volume.after'])
def test_a_host_that_cannot(cloud: Cloud, blocks: Caller, fault: str) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        raise exception.DiskFull(what='the snapshot')
    FakeDriver.faults[fault] = refuse
    of = volume(blocks)
    made = snap(blocks, of)
    ends(cloud, blocks, made, 'error')
    assert status_of(blocks, of) == 'available'
    blocks('POST', '/volumes', {'volume': {'snapshot_id': made}}, status=400)
    blocks('DELETE', f'/snapshots/{made}', status=202)
    assert not os.path.exists(files.snapshot_path(made))


def test_a_host_that_is_lost(cloud: Cloud, blocks: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another makes it; and what the first one made of it, when its owner has deleted it meanwhile, goes."""
    monkeypatch.setattr(volume_copies, 'UNHEARD', 0)
    asked: list[str] = []
    monkeypatch.setattr('minicompute.compute.rpcapi.copy_volume', lambda host, one, device: asked.append(host))
    of = volume(blocks)
    made = snap(blocks, of)
    cloud.until(lambda: asked, 'a host to be asked')
    monkeypatch.undo()
    monkeypatch.setattr(volume_copies, 'UNHEARD', 0)
    cloud.stop(asked[0])
    cloud.api('PUT', f'/os-services/{_service(cloud, asked[0])}', {'forced_down': True})
    volume_copies.sweep()
    ends(cloud, blocks, made)
    with session.read() as conn:
        assert db.get_many(conn, [made])[made].host not in ('', asked[0])
    blocks('DELETE', f'/snapshots/{made}', status=202)
    with open(files.snapshot_path(made), 'w') as writer:
        writer.write('late')
    volume_copies.note([{'id': made, 'host': asked[0], 'status': 'available', 'message': None}])
    assert not os.path.exists(files.snapshot_path(made))


def test_a_host_that_was_given_up_says_nothing_of_it(cloud: Cloud, blocks: Caller,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr('minicompute.compute.rpcapi.copy_volume', lambda host, one, device: asked.append(host))
    made = snap(blocks, volume(blocks))
    cloud.until(lambda: asked, 'a host to be asked')
    for host, status in (('elsewhere', 'creating'), (asked[0], 'error')):
        volume_copies.note([{'id': made, 'host': host, 'status': 'error', 'message': 'no room'}])
        assert blocks('GET', f'/snapshots/{made}')['snapshot']['status'] == status


def _service(cloud: Cloud, host: str) -> str:
    found = cloud.api('GET', f'/os-services?host={host}&binary=nova-compute')['services']
    return str(found[0]['id'])


def test_that_nobody_makes_ends(cloud: Cloud, blocks: Caller) -> None:
    for name in ('compute1', 'compute2'):
        cloud.stop(name)
        cloud.api('PUT', f'/os-services/{_service(cloud, name)}', {'forced_down': True})
    of = volume(blocks)
    made = snap(blocks, of)
    volume_copies.sweep()
    assert status_of(blocks, of) == 'snapshotting'
    long_ago = session.utcnow() - datetime.timedelta(seconds=CONF.conductor.image_deadline + 1)
    session.write(lambda conn: conn.execute(volume_snapshots.update().values(created_at=long_ago, updated_at=long_ago)))
    volume_copies.sweep()
    ends(cloud, blocks, made, 'error')
    assert status_of(blocks, of) == 'available'


def test_of_a_volume_that_a_server_has(cloud: Cloud, blocks: Caller) -> None:
    server = cloud.wait(cloud.boot()['id'])['id']
    of = volume(blocks)
    attach(cloud, server, of)
    quiet(cloud)
    refused = blocks('POST', '/snapshots', {'snapshot': {'volume_id': of}}, status=400)
    assert 'in-use' in refused['badRequest']['message']
    cloud.api('POST', f'/servers/{server}/action', {'lock': None})     # a lock protects the server, not its volume
    made = snap(blocks, of, force=True)
    ends(cloud, blocks, made)
    assert [event['event'] for event in reversed(action_of(cloud, server, 'snapshot_volume')['events'])] == [
        'check_device', 'copy_volume']
    assert status_of(blocks, of) == 'in-use' and os.path.exists(files.snapshot_path(made))
    assert not cloud.leaks()


@pytest.mark.parametrize('fault', ['copy_volumes', 'copy_volumes.after'])
def test_of_a_server_whose_host_cannot(cloud: Cloud, blocks: Caller, fault: str) -> None:
    server = cloud.wait(cloud.boot()['id'])['id']
    of = volume(blocks)
    attach(cloud, server, of)
    quiet(cloud)

    def refuse(driver: Any, uuid: str) -> None:
        raise exception.DiskFull(what='the snapshot')
    FakeDriver.faults[fault] = refuse
    made = snap(blocks, of, force=True)
    ends(cloud, blocks, made, 'error')
    quiet(cloud)
    assert cloud.show(server)['status'] == 'ACTIVE' and not os.path.exists(files.snapshot_path(made))
    blocks('DELETE', f'/snapshots/{made}', status=202)
    assert not cloud.leaks()


def test_of_a_server_that_is_deleted_meanwhile(cloud: Cloud, blocks: Caller) -> None:
    server = cloud.wait(cloud.boot()['id'])['id']
    of = volume(blocks)
    attach(cloud, server, of)
    quiet(cloud)
    gate, copying = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        copying.set()
        gate.wait(60)
    FakeDriver.faults['copy_volumes'] = hold
    made = snap(blocks, of, force=True)
    assert copying.wait(60)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    gate.set()
    cloud.wait_gone(server)
    ends(cloud, blocks, made, 'error')
    assert not cloud.leaks()


def test_of_a_shelved_server(cloud: Cloud, blocks: Caller) -> None:
    root = {'source_type': 'image', 'uuid': cloud.image(), 'destination_type': 'volume', 'boot_index': 0,
            'volume_size': 2}
    server = cloud.wait(boot(cloud, root)['id'])['id']
    cloud.api('POST', f'/servers/{server}/action', {'shelve': None})
    cloud.wait(server, 'SHELVED_OFFLOADED')
    of = cloud.show(server)['os-extended-volumes:volumes_attached'][0]['id']
    refused = blocks('POST', '/snapshots', {'snapshot': {'volume_id': of, 'force': True}}, status=400)
    assert 'unshelve' in refused['badRequest']['message']


def test_by_nova(cloud: Cloud, blocks: Caller) -> None:
    of = volume(blocks)
    body: dict[str, Any] = {'snapshot': {'volume_id': of, 'display_name': 'n', 'display_description': 'd'}}
    made = cloud.api('POST', '/os-snapshots', body, version='2.35')['snapshot']
    assert made == {'id': made['id'], 'volumeId': of, 'status': 'creating', 'size': 2, 'displayName': 'n',
                    'createdAt': made['createdAt'], 'displayDescription': 'd'}
    ends(cloud, blocks, made['id'])
    CONF.set_override('max_volumes', 1, 'local_volumes')
    cloud.api('POST', '/os-snapshots', body, version='2.35', expect=403)
    assert status_of(blocks, of) == 'available'
    server = cloud.wait(cloud.boot()['id'])['id']
    attach(cloud, server, of)
    quiet(cloud)
    CONF.set_override('max_volumes', 9, 'local_volumes')
    cloud.api('POST', '/os-snapshots', body, version='2.35', expect=400)
    body['snapshot']['force'] = True
    made = cloud.api('POST', '/os-snapshots', body, version='2.35')['snapshot']
    ends(cloud, blocks, made['id'])
    for path in ('/os-snapshots', '/os-snapshots/detail'):
        assert len(cloud.api('GET', path, version='2.35')['snapshots']) == 2
        assert [one['id'] for one in cloud.api('GET', f'{path}?limit=1', version='2.35')['snapshots']] == [made['id']]
