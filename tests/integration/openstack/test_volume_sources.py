"""Servers that boot from volumes of the real Cinder: from each source, and what is made of such a server then."""
from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.openstack.conftest import GUEST, Lab
from tests.integration.openstack.test_volumes import (  # noqa: F401
    KINDS,
    admin,
    boot,
    clean,
    said,
    status,
    until,
    user,
    volume,
)

# Fixtures of another module.
# ruff: noqa: F811
UP = 'minicompute-guest: up'


def root(kind: str, source: str, uuid_: str | None = None, **more: Any) -> dict[str, Any]:
    found = {'source_type': source, 'destination_type': 'volume', 'boot_index': 0, 'delete_on_termination': True}
    found |= more
    if source != 'volume':
        found |= {'volume_size': 1, 'volume_type': kind}
    return found if uuid_ is None else {**found, 'uuid': uuid_}


def bootable(user: Any, clean: list[Any], kind: str) -> Any:
    return volume(user, clean, kind, image_id=user.image.find_image('minicompute-guest').id)


def attached(user: Any, server: Any) -> list[str]:
    return [one.volume_id for one in user.compute.volume_attachments(server)]


@pytest.mark.parametrize('kind', KINDS)
def test_from_a_volume_that_is_there(user: Any, clean: list[Any], kind: str) -> None:
    """It stays when its server goes, unless it was said to go."""
    one = bootable(user, clean, kind)
    server = boot(user, clean, block_device_mapping_v2=[root(kind, 'volume', one.id, delete_on_termination=False)])
    assert attached(user, server) == [one.id]
    assert user.compute.get(f'/servers/{server.id}').json()['server']['image'] == ''
    user.compute.delete_server(server)
    user.compute.wait_for_delete(server, interval=1, wait=120)
    status(user, one, 'available')


def test_from_a_snapshot(user: Any, clean: list[Any]) -> None:
    one = bootable(user, clean, 'rbd1')
    snapshot = user.block_storage.create_snapshot(volume_id=one.id, name='of-root')

    def gone() -> None:
        user.block_storage.delete_snapshot(snapshot, ignore_missing=True)
        until(lambda: user.block_storage.find_snapshot(snapshot.id) is None, 'the snapshot to go')
    clean.append(lambda: gone())
    until(lambda: user.block_storage.get_snapshot(snapshot.id).status == 'available', 'the snapshot')
    server = boot(user, clean, block_device_mapping_v2=[root('rbd1', 'snapshot', snapshot.id)])
    (made,) = attached(user, server)
    assert user.block_storage.get_volume(made).snapshot_id == snapshot.id
    user.compute.delete_server(server)
    user.compute.wait_for_delete(server, interval=1, wait=120)
    until(lambda: user.block_storage.find_volume(made) is None, 'its volume to go')


@pytest.mark.parametrize('kind', KINDS)
def test_an_image_and_a_blank_volume(user: Any, clean: list[Any], kind: str) -> None:
    image = user.image.find_image('minicompute-guest').id
    server = boot(user, clean, image_id=image, block_device_mapping_v2=[
        {'source_type': 'image', 'uuid': image, 'destination_type': 'local', 'boot_index': 0,
         'delete_on_termination': True},
        root(kind, 'blank', boot_index=-1)])
    said(user, server, 'volume-test: vdb sectors=2097152 word=new')
    (made,) = attached(user, server)
    assert user.block_storage.get_volume(made).volume_type == kind


def test_an_image_of_a_server_on_a_volume(user: Any, clean: list[Any]) -> None:
    """createImage: a snapshot of each volume, an image that names them, and a server that boots from it."""
    data = volume(user, clean, 'rbd1')
    server = boot(user, clean, block_device_mapping_v2=[
        root('rbd1', 'image', user.image.find_image('minicompute-guest').id)])
    user.compute.create_volume_attachment(server, volume_id=data.id)
    said(user, server, 'volume-test: vdb sectors=2097152 word=new')
    image = user.compute.create_server_image(server, f'of-{server.name}')

    def gone() -> None:
        snapshots = list(user.block_storage.snapshots(name=f'snapshot for of-{server.name}'))
        user.image.delete_image(image.id, ignore_missing=True)
        for one in snapshots:
            user.block_storage.delete_snapshot(one)
        until(lambda: all(user.block_storage.find_snapshot(one.id) is None for one in snapshots), 'snapshots to go')
    clean.append(lambda: gone())
    until(lambda: user.image.get_image(image.id).status == 'active', 'the image')
    until(lambda: user.compute.get_server(server).task_state is None, 'the server to rest')
    found = user.image.get(f'/images/{image.id}').json()
    assert found['size'] == 0 and found['block_device_mapping'].count('"snapshot_id"') == 2, found
    until(lambda: [one.status for one in user.block_storage.snapshots(name=f'snapshot for of-{server.name}')]
          == ['available'] * 2, 'its snapshots')
    copy = boot(user, clean, image_id=image.id, block_device_mapping_v2=[])
    said(user, copy, 'volume-test: vdb sectors=2097152 word=written0here0000')
    made = attached(user, copy)
    assert len(made) == 2 and data.id not in made
    user.compute.delete_server(copy)
    user.compute.wait_for_delete(copy, interval=1, wait=120)
    for one in made:
        if user.block_storage.find_volume(one):     # what the image does not say goes with the server
            status(user, user.block_storage.get_volume(one), 'available')
            user.block_storage.delete_volume(one)
    until(lambda: all(user.block_storage.find_volume(one) is None for one in made), 'its volumes to go')


@pytest.fixture
def image(lab: Lab) -> Iterator[str]:
    """The guest's, under another name."""
    made = lab.made('demo', 'image', 'create', f'again-{uuid.uuid4().hex[:6]}', '--file', str(GUEST), '--disk-format',
                    'qcow2', '--container-format', 'bare')['id']
    yield str(made)
    lab.of('demo').image.delete_image(made)


@pytest.mark.parametrize('kind', KINDS)
def test_a_rebuild_writes_the_volume_anew(lab: Lab, user: Any, clean: list[Any], image: str, kind: str) -> None:
    """2.93: Cinder's os-reimage, its event, and the same volume with another image."""
    server = boot(user, clean, block_device_mapping_v2=[
        root(kind, 'image', user.image.find_image('minicompute-guest').id)])
    (one,) = attached(user, server)
    asked = user.compute.request(f'/servers/{server.id}/action', 'POST', microversion='2.93',
                                 json={'rebuild': {'imageRef': image, 'metadata': {'again': 'yes'}}})
    assert asked.status_code == 202, asked.text
    until(lambda: lab.wait('demo', server.id, 'ACTIVE').metadata == {'again': 'yes'}, 'the rebuild')
    lab.wait('demo', server.id, 'ACTIVE')
    assert attached(user, server) == [one]
    found = user.block_storage.get_volume(one)
    assert found.volume_image_metadata['image_id'] == image and found.status == 'in-use'
    said(user, server, UP)
