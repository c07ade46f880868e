"""Images and backups of servers, through all roles."""
from __future__ import annotations

import hashlib
import io
import os
import threading
import uuid
from typing import Any

import pytest

from minicompute import exception
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import images
from minicompute.image import base as image_base
from minicompute.image import local as image_local
from minicompute.image import local_files
from minicompute.objects import ImageMeta
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud


def act(cloud: Cloud, server: str, action: str, value: Any = None, **kwargs: Any) -> Any:
    return cloud.api('POST', f'/servers/{server}/action', {action: value}, **{'expect': 202, **kwargs})


def snapshot(cloud: Cloud, server: str, name: str = 'copy', **more: Any) -> str:
    return str(act(cloud, server, 'createImage', {'name': name, **more})['image_id'])


def backup(cloud: Cloud, server: str, name: str, rotation: int = 2, kind: str = 'daily') -> str:
    body = {'name': name, 'backup_type': kind, 'rotation': rotation}
    return str(act(cloud, server, 'createBackup', body)['image_id'])


def show(image_id: str) -> ImageMeta:
    return image_base.load().show(admin_context(), image_id)


def gone(image_id: str) -> bool:
    try:
        show(image_id)
    except exception.ImageNotFound:
        return not os.path.exists(local_files.path_of(image_id))
    return False


def left_over() -> list[str]:
    """What snapshots use on their way: in the store, and on the hosts."""
    found = [name for name in os.listdir(CONF.local_images.path) if name.endswith('.part')]
    for host in os.listdir(CONF.fake.state_dir):
        found += [name for name in os.listdir(os.path.join(CONF.fake.state_dir, host)) if name.endswith('.extract')]
    return found


def action_of(cloud: Cloud, server: str, name: str) -> Any:
    """The newest of this name, with its events."""
    listed = cloud.api('GET', f'/servers/{server}/os-instance-actions')['instanceActions']
    request = next(one['request_id'] for one in listed if one['action'] == name)
    return cloud.api('GET', f'/servers/{server}/os-instance-actions/{request}')['instanceAction']


@pytest.fixture
def server(cloud: Cloud) -> str:
    uuid = cloud.boot('vm', flavorRef=cloud.flavor(disk=3))['id']
    cloud.wait(uuid)
    return str(uuid)


def test_the_image_of_a_server(cloud: Cloud, server: str) -> None:
    image_id = snapshot(cloud, server, metadata={'mine': 'yes'})
    cloud.wait(server)
    meta = show(image_id)
    assert (meta.name, meta.status, meta.visibility, meta.owner) == ('copy', 'active', 'private', 'demo')
    assert (meta.disk_format, meta.container_format, meta.min_disk) == ('raw', 'bare', 3)
    said = meta.properties
    assert (said['instance_uuid'], said['image_type'], said['user_id'], said['mine']) == (
        server, 'snapshot', 'admin', 'yes')
    assert said['base_image_ref'] == cloud.image() and 'disk_format' not in said
    data = b''.join(image_base.load().download(admin_context(), image_id))
    assert server.encode() in data and hashlib.sha512(data).hexdigest() == meta.os_hash_value
    assert (meta.size, meta.checksum) == (len(data), hashlib.md5(data).hexdigest())
    assert left_over() == []
    log = action_of(cloud, server, 'createImage')
    assert log['message'] is None
    assert [event['event'] for event in reversed(log['events'])] == [
        'reserve_image', 'extract', 'send_image', 'activate_image']


@pytest.mark.parametrize('before, status', [('os-stop', 'SHUTOFF'), ('pause', 'PAUSED'), ('suspend', 'SUSPENDED')])
def test_it_stays_what_it_was(cloud: Cloud, server: str, before: str, status: str) -> None:
    act(cloud, server, before)
    cloud.wait(server, status)
    image_id = snapshot(cloud, server)
    cloud.wait(server, status)
    assert show(image_id).status == 'active'


def test_a_server_boots_from_it(cloud: Cloud, server: str) -> None:
    image_id = snapshot(cloud, server)
    cloud.wait(server)
    refused = cloud.boot('small', imageRef=image_id, flavorRef=cloud.flavor(disk=2), expect=400)
    assert 'minimum size is 3 GiB' in refused['badRequest']['message']
    second = cloud.boot('second', imageRef=image_id, flavorRef=cloud.flavor(disk=3))['id']
    cloud.wait(second)


def test_before_2_45_the_image_is_a_location(cloud: Cloud, server: str) -> None:
    answer = cloud.request('POST', f'/servers/{server}/action', {'createImage': {'name': 'old'}}, version='2.44')
    assert answer.status_int == 202 and not answer.body
    image_id = answer.headers['Location'].rpartition('/images/')[2]
    cloud.wait(server)
    assert show(image_id).name == 'old'
    body = {'createBackup': {'name': 'b', 'backup_type': 'daily', 'rotation': 0}}
    assert 'Location' not in cloud.request('POST', f'/servers/{server}/action', body, version='2.44').headers


def test_an_image_is_there_at_once_and_nobody_elses(cloud: Cloud, server: str) -> None:
    gate, copying = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        copying.set()
        gate.wait(60)
    FakeDriver.faults['extract'] = hold
    image_id = snapshot(cloud, server)
    assert show(image_id).status == 'importing'
    assert copying.wait(60)
    assert cloud.show(server)['OS-EXT-STS:task_state'] == 'image_pending_upload'
    with pytest.raises(exception.Conflict):
        image_base.load().upload(admin_context(), image_id, io.BytesIO(b'mine'))
    image_base.load().sweep()       # type: ignore[attr-defined]
    assert show(image_id).status == 'importing'
    again = cloud.request('POST', f'/servers/{server}/action', {'createImage': {'name': 'two'}})
    assert again.status_int == 409 and 'createImage' in again.text and 'task_state' in again.text
    gate.set()
    cloud.wait(server)
    assert show(image_id).status == 'active'


@pytest.mark.parametrize('fault', ['extract', 'extract.after', 'send_image', 'send_image.after'])
def test_what_fails_leaves_no_image(cloud: Cloud, server: str, fault: str) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        FakeDriver.faults.clear()
        raise exception.DiskFull(what='the image')
    FakeDriver.faults[fault] = refuse
    image_id = snapshot(cloud, server)
    cloud.wait(server)
    assert gone(image_id) and left_over() == []
    assert 'No space left' in action_of(cloud, server, 'createImage')['message']
    good = snapshot(cloud, server)
    cloud.wait(server)
    assert show(good).status == 'active'


def test_an_image_that_is_deleted_meanwhile(cloud: Cloud, server: str) -> None:
    deleted = []

    def delete(driver: Any, uuid: str) -> None:
        image_base.load().delete(admin_context(), image_id)
        deleted.append(image_id)
    gate = threading.Event()
    FakeDriver.faults['extract'] = lambda driver, uuid: gate.wait(60)
    FakeDriver.faults['send_image'] = delete
    image_id = snapshot(cloud, server)
    gate.set()
    cloud.wait(server)
    assert deleted and gone(image_id) and left_over() == []
    assert 'was deleted' in action_of(cloud, server, 'createImage')['message']


def test_a_delete_breaks_it_off(cloud: Cloud, server: str) -> None:
    """The copy hears of it: it does not go on to its end."""
    copying = threading.Event()
    stopped = []

    def copy(driver: Any, uuid: str) -> None:
        from minicompute.compute.manager.verbs.base import work
        copying.set()
        cloud.until(work().stop, 'the delete to be heard of')
        stopped.append(uuid)
    FakeDriver.faults['extract'] = copy
    image_id = snapshot(cloud, server)
    assert copying.wait(60)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    cloud.until(lambda: gone(image_id), 'the image to be gone')
    assert stopped == [server] and left_over() == [] and not cloud.leaks()


# -- backups -----------------------------------------------------------------------

def test_only_the_newest_backups_stay(cloud: Cloud, server: str) -> None:
    weekly = backup(cloud, server, 'w', kind='weekly')
    cloud.wait(server)
    made = []
    for number in range(3):
        made.append(backup(cloud, server, f'd{number}'))
        cloud.wait(server)
    assert gone(made[0]) and show(made[1]).name == 'd1' and show(made[2]).name == 'd2'
    assert show(weekly).properties['backup_type'] == 'weekly'
    assert 'rotate_backups' in {event['event'] for event in action_of(cloud, server, 'createBackup')['events']}


def test_rotation_zero_keeps_none(cloud: Cloud, server: str) -> None:
    first = backup(cloud, server, 'a')
    cloud.wait(server)
    second = backup(cloud, server, 'b', rotation=0)
    cloud.wait(server)
    assert gone(first) and gone(second)


def test_a_protected_backup_stays_and_the_log_says_so(cloud: Cloud, server: str) -> None:
    first = backup(cloud, server, 'a')
    cloud.wait(server)
    image_base.load().update(admin_context(), first, {'protected': True})
    second = backup(cloud, server, 'b', rotation=1)
    cloud.wait(server)
    assert show(first).protected and show(second).status == 'active'
    event = next(e for e in action_of(cloud, server, 'createBackup')['events'] if e['event'] == 'rotate_backups')
    assert first in event['details']


def test_others_images_are_never_rotated_out(cloud: Cloud, server: str) -> None:
    said = {'image_type': 'backup', 'backup_type': 'daily', 'instance_uuid': server}
    foreign = image_base.load().create(admin_context(), ImageMeta(
        id=str(uuid.uuid4()), name='x', disk_format='raw', container_format='bare', owner='other',
        visibility='public', properties=said))
    image_base.load().upload(admin_context(), str(foreign.id), io.BytesIO(b'\0' * 512))
    backup(cloud, server, 'a', rotation=0)
    cloud.wait(server)
    assert show(str(foreign.id)).status == 'active'


# -- what is refused ---------------------------------------------------------------

@pytest.mark.parametrize('action, body, named', [
    ('createImage', None, 'createImage'), ('createImage', {}, 'name'), ('createImage', {'name': ''}, 'name'),
    ('createImage', {'name': 'n' * 256}, 'name'), ('createImage', {'name': 'n', 'more': 1}, 'more'),
    ('createImage', {'name': 'n', 'metadata': {'a': 1}}, 'a'), ('createImage', {'name': 'n\x00'}, 'name'),
    ('createBackup', {'name': 'n', 'backup_type': 'daily'}, 'rotation'),
    ('createBackup', {'name': 'n', 'backup_type': 'daily', 'rotation': -1}, 'rotation'),
    ('createBackup', {'name': 'n', 'backup_type': 'daily', 'rotation': 'x'}, 'rotation'),
    ('createBackup', {'name': 'n', 'backup_type': 3, 'rotation': 1}, 'backup_type')])
def test_bad_bodies(cloud: Cloud, server: str, action: str, body: Any, named: str) -> None:
    answer = cloud.request('POST', f'/servers/{server}/action', {action: body})
    assert answer.status_int == 400 and named in answer.json['badRequest']['message']


def test_the_quota_of_metadata_ends_with_2_38(cloud: Cloud, server: str) -> None:
    CONF.set_override('metadata_items', 1, 'quota')
    body = {'createImage': {'name': 'n', 'metadata': {'a': '1', 'b': '2'}}}
    answer = cloud.request('POST', f'/servers/{server}/action', body, version='2.38')
    assert answer.status_int == 403 and 'metadata limit' in answer.json['forbidden']['message']
    cloud.api('POST', f'/servers/{server}/action', body, version='2.39', expect=202)
    cloud.wait(server)


def test_a_lock_does_not_keep_its_owner_from_an_image(cloud: Cloud) -> None:
    """As in Nova: a lock is against accidents, and an image changes nothing."""
    server = cloud.boot('locked', user='alice', flavorRef=cloud.flavor(disk=1))['id']
    cloud.wait(server)
    from minicompute.db import session
    from minicompute.db.api import instances
    session.write(instances.update, server, {'locked': True})
    act(cloud, server, 'createImage', {'name': 'n'}, user='alice')
    cloud.wait(server)
    act(cloud, server, 'createBackup', {'name': 'n', 'backup_type': 'd', 'rotation': 1}, user='alice')
    cloud.wait(server)


def test_states_and_hosts_that_forbid_it(cloud: Cloud, server: str) -> None:
    from minicompute.db import session
    from minicompute.db.api import instances
    session.write(instances.update, server, {'vm_state': 'error'})
    answer = cloud.request('POST', f'/servers/{server}/action', {'createImage': {'name': 'n'}})
    assert answer.status_int == 409
    assert answer.json['conflictingRequest']['message'] == (
        f"Cannot 'createImage' instance {server} while it is in vm_state error")
    session.write(instances.update, server, {'vm_state': 'active', 'host': 'nowhere'})
    before = len(image_base.load().list(admin_context()))
    assert cloud.request('POST', f'/servers/{server}/action', {'createImage': {'name': 'n'}}).status_int == 503
    assert len(image_base.load().list(admin_context())) == before, 'a refused action must leave no image'
    session.write(instances.update, server, {'host': cloud.domains()[server]})


def test_a_deletion_that_was_broken_off_ends_by_itself(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who rotates backups, or takes an image off the shelf, may be killed between the mark and the removal."""
    server = cloud.boot()['id']
    cloud.wait(server)
    image_id = snapshot(cloud, server)
    cloud.until(lambda: show(image_id).status == 'active', 'the image')
    with monkeypatch.context() as killed:
        killed.setattr(image_local, '_finish_delete', lambda image_id: None)
        image_base.load().delete(admin_context(), image_id)
    with session.read() as conn:
        assert images.get(conn, image_id) is None and images.in_status(conn, images.GONE) == [image_id]

    def ended() -> bool:
        with session.read() as conn:
            return images.in_status(conn, images.GONE) == []
    cloud.until(ended, 'the rest of the deletion')
    assert not os.path.exists(os.path.join(CONF.local_images.path, image_id))
