"""Volumes of the real Cinder, NFS files and RBD, in guests that read and write them."""
from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.openstack.conftest import Lab

KINDS = ('nfs1', 'rbd1')
PATIENCE = 240.0
#: says what appears, writes a word to it unless there is one, and says what it reads
WATCH = '''#!/bin/sh
( seen=
while sleep 1; do
    for disk in vdb vdc; do
        [ -b /dev/$disk ] || { seen=$(echo "$seen" | sed "s/ $disk//"); continue; }
        size=$(cat /sys/block/$disk/size)
        case "$seen" in *" $disk:$size"*) continue ;; esac
        seen="$seen $disk:$size"
        word=$(dd if=/dev/$disk bs=16 count=1 2>/dev/null | tr -d '\\0' | tr -cd 'a-z0-9')
        [ -n "$word" ] || { printf 'written0here0000' | dd of=/dev/$disk bs=16 count=1 conv=fsync 2>/dev/null
            word=new; }
        echo "volume-test: $disk sectors=$size word=$word" > /dev/console
    done
done ) &
'''


@pytest.fixture
def user(lab: Lab) -> Any:
    """openstacksdk, as a plain user of the project `demo`."""
    return lab.of('demo')


@pytest.fixture
def admin(lab: Lab) -> Any:
    return lab.of('admin')


@pytest.fixture
def clean(user: Any) -> Iterator[list[Callable[[], Any]]]:
    """What is to be done at the end, last first, but for servers: what they have cannot go before them."""
    todo: list[Callable[[], Any]] = []
    yield todo
    for step in sorted(reversed(todo), key=lambda step: step.__name__ != 'gone'):
        step()


def until(look: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, f'waited {PATIENCE} s for {what}'
        time.sleep(1)
    return found


def volume(user: Any, clean: list[Any], kind: str, size: int = 1, **facts: Any) -> Any:
    made = user.block_storage.create_volume(name=f't-{uuid.uuid4().hex[:6]}', size=size, volume_type=kind, **facts)
    clean.append(lambda: user.block_storage.delete_volume(made, ignore_missing=True))
    return status(user, made, 'available')


def status(user: Any, one: Any, wanted: str) -> Any:
    def look() -> Any:
        found = user.block_storage.get_volume(one.id)
        assert wanted == found.status or 'error' not in found.status, found.status
        return found if found.status == wanted else None
    return until(look, f'volume {one.id} to be {wanted}')


def boot(user: Any, clean: list[Any], **facts: Any) -> Any:
    flavor = user.compute.find_flavor('m1.nano')
    if 'block_device_mapping_v2' not in facts and 'block_device_mapping' not in facts:
        facts['image_id'] = user.image.find_image('minicompute-guest').id
    made = user.compute.create_server(
        name=f't-{uuid.uuid4().hex[:6]}', flavor_id=flavor.id, networks='none', config_drive=True,
        user_data=base64.b64encode(WATCH.encode()).decode(), **facts)

    def gone() -> None:
        user.compute.delete_server(made, ignore_missing=True)
        user.compute.wait_for_delete(made, interval=1, wait=120)
    clean.append(gone)
    user.compute.wait_for_server(made, wait=PATIENCE)
    said(user, made, 'minicompute-guest: up')
    return made


def said(user: Any, server: Any, text: str, times: int = 1) -> str:
    def look() -> Any:
        log = user.compute.get_server_console_output(server)['output']
        return log if log.count(text) >= times else None
    found: str = until(look, f'the guest to say {text}')
    return found


@pytest.mark.parametrize('kind', KINDS)
def test_a_guest_writes_and_finds_it_again(user: Any, clean: list[Any], kind: str) -> None:
    one, server = volume(user, clean, kind), boot(user, clean)
    for word in ('new', 'written0here0000'):
        user.compute.create_volume_attachment(server, volume_id=one.id)
        status(user, one, 'in-use')
        said(user, server, f'volume-test: vdb sectors=2097152 word={word}')
        user.compute.delete_volume_attachment(server, one.id)
        status(user, one, 'available')


@pytest.mark.parametrize('kind', KINDS)
def test_boot_from_an_image_on_a_volume(user: Any, admin: Any, clean: list[Any], kind: str) -> None:
    image = user.image.find_image('minicompute-guest')
    server = boot(user, clean, block_device_mapping_v2=[
        {'source_type': 'image', 'uuid': image.id, 'destination_type': 'volume', 'boot_index': 0, 'volume_size': 1,
         'volume_type': kind, 'delete_on_termination': True}])
    (has,) = list(user.compute.volume_attachments(server))
    assert user.block_storage.get_volume(has.volume_id).status == 'in-use'
    user.compute.delete_server(server)
    user.compute.wait_for_delete(server, interval=1, wait=120)
    until(lambda: user.block_storage.find_volume(has.volume_id) is None, 'its volume to go')


def test_a_volume_grows_under_its_guest(user: Any, clean: list[Any]) -> None:
    one, server = volume(user, clean, 'rbd1'), boot(user, clean)
    user.compute.create_volume_attachment(server, volume_id=one.id)
    said(user, server, 'volume-test: vdb sectors=2097152')
    user.block_storage.default_microversion = '3.42'
    user.block_storage.extend_volume(one, 2)
    said(user, server, 'volume-test: vdb sectors=4194304')


def test_a_snapshot_and_a_volume_of_it(user: Any, clean: list[Any]) -> None:
    one, server = volume(user, clean, 'rbd1'), boot(user, clean)
    user.compute.create_volume_attachment(server, volume_id=one.id)
    said(user, server, 'volume-test: vdb sectors=2097152 word=new')
    snapshot = user.block_storage.create_snapshot(volume_id=one.id, name='s', force=True)
    clean.append(lambda: until(lambda: user.block_storage.find_snapshot(snapshot.id) is None, 'the snapshot to go'))
    clean.append(lambda: user.block_storage.delete_snapshot(snapshot, ignore_missing=True))
    until(lambda: user.block_storage.get_snapshot(snapshot.id).status == 'available', 'the snapshot')
    copy = volume(user, clean, 'rbd1', snapshot_id=snapshot.id)
    user.compute.create_volume_attachment(server, volume_id=copy.id)
    said(user, server, 'volume-test: vdc sectors=2097152 word=written0here0000')


def test_volumes_go_along_and_nothing_is_left(user: Any, admin: Any, clean: list[Any]) -> None:
    """Stopped, started, shelved and brought back: the guest finds what it wrote. Then all attachments are gone."""
    one, server = volume(user, clean, 'nfs1'), boot(user, clean)
    user.compute.create_volume_attachment(server, volume_id=one.id)
    said(user, server, 'volume-test: vdb sectors=2097152 word=new')
    user.compute.stop_server(server)
    user.compute.wait_for_server(server, status='SHUTOFF', wait=PATIENCE)
    user.compute.start_server(server)
    user.compute.wait_for_server(server, wait=PATIENCE)
    said(user, server, 'volume-test: vdb sectors=2097152 word=written0here0000')
    user.compute.shelve_server(server)
    user.compute.wait_for_server(server, status='SHELVED_OFFLOADED', wait=PATIENCE)
    until(lambda: user.block_storage.get_volume(one.id).status == 'reserved', 'the volume to be kept')
    user.compute.unshelve_server(server)
    user.compute.wait_for_server(server, wait=PATIENCE)
    status(user, one, 'in-use')
    user.compute.delete_server(server)
    user.compute.wait_for_delete(server, interval=1, wait=120)
    status(user, one, 'available')
    left = admin.block_storage.get('/attachments', params={'all_tenants': 1, 'instance_id': server.id},
                                   microversion='3.44').json()['attachments']
    assert left == []
