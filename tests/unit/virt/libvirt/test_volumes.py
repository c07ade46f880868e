"""The files of local volumes: made, copied, grown."""
from __future__ import annotations

import os
import pathlib
import subprocess
import uuid
from typing import Any

import pytest

from minicompute import exception
from minicompute.objects import BlockDevice, ImageMeta, to_primitive
from minicompute.virt import images
from minicompute.virt.libvirt import space, volumes
from minicompute.virt.libvirt.imagecache import Base
from minicompute.volume import files

from .conftest import make_instance


def volume(size: int = 1, **facts: Any) -> BlockDevice:
    made = BlockDevice(source_type='volume', destination_type='volume', volume_id=str(uuid.uuid4()), volume_size=size,
                       connection_info={'state': 'attached', **facts.pop('info', {})}, **facts)
    os.makedirs(os.path.dirname(files.path_of(str(made.volume_id))), exist_ok=True)
    return made


def path_of(device: BlockDevice) -> str:
    return files.path_of(str(device.volume_id))


def gib(device: BlockDevice) -> int:
    return images.info(path_of(device), files.FORMAT).virtual_size // space.GIB


def test_what_has_grown_meanwhile_is_larger_at_the_start() -> None:
    grown, same, larger, swapping = volume(3), volume(2), volume(1), volume(3)
    swapping.connection_info['state'] = 'swapping'
    for device in (grown, same, larger, swapping):
        images.create(path_of(device), files.FORMAT, 2 * space.GIB)
    volumes.ready_all(make_instance(block_devices=[grown, same, larger, swapping]), None)  # type: ignore[arg-type]
    assert [gib(device) for device in (grown, same, larger, swapping)] == [3, 2, 2, 2]


def test_what_cannot_grow_keeps_no_server_from_starting() -> None:
    broken, grown = volume(3), volume(3)
    with open(path_of(broken), 'wb') as file:
        file.write(volumes.MAGIC + bytes(28))
        file.seek(24)
        file.write((1 << 30).to_bytes(8, 'big'))
    images.create(path_of(grown), files.FORMAT, space.GIB)
    volumes.ready_all(make_instance(block_devices=[broken, grown]), None)  # type: ignore[arg-type]
    assert gib(grown) == 3


def test_what_a_silent_host_never_made_is_made_at_the_start() -> None:
    """By the record the server has it, as nobody could say that it has not."""
    blank, copied, lost, image = volume(2), volume(3), volume(info={'made': True}), volume()
    copied.snapshot_id, image.source_type = snapshot(), 'image'
    volumes.ready_all(make_instance(block_devices=[blank, copied]), None)  # type: ignore[arg-type]
    assert (gib(blank), gib(copied)) == (2, 3)
    remote = volume(info={'connection': {'driver_volume_type': 'rbd'}})
    volumes.ready_all(make_instance(block_devices=[remote]), None)  # type: ignore[arg-type]
    assert not os.path.exists(path_of(remote))
    with pytest.raises(exception.VolumeLost):
        volumes.ready_all(make_instance(block_devices=[lost]), None)  # type: ignore[arg-type]
    assert not os.path.exists(path_of(lost))


def snapshot() -> str:
    made = str(uuid.uuid4())
    images.create(files.snapshot_path(made), files.FORMAT, space.GIB)
    return made


def test_a_copy_of_a_snapshot_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    device = volume()
    device.snapshot_id = snapshot()

    def convert(source: str, form: str, to: str, to_form: str, *, stop: Any, **more: Any) -> None:
        images.create(to, to_form, space.GIB)
        if stop():
            raise exception.ImageToolFailed(what='disk', reason='it was stopped')
    monkeypatch.setattr(images, 'convert', convert)
    with pytest.raises(exception.ImageToolFailed):
        volumes.make(device, None, None, stop=lambda: True)  # type: ignore[arg-type]
    assert os.listdir(os.path.dirname(path_of(device))) == [os.path.basename(files.snapshot_path(device.snapshot_id))]
    volumes.make(device, None, None)  # type: ignore[arg-type]
    assert gib(device) == 1


def test_a_copy_that_does_not_fit_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, 'FLOOR', 1 << 60)
    device = volume()
    device.snapshot_id = snapshot()
    with pytest.raises(exception.DiskFull):
        volumes.make(device, None, None)  # type: ignore[arg-type]
    assert not os.path.exists(path_of(device))


class Cache:
    """An image of 64 KiB of one letter, in a file of so many GiB."""

    def __init__(self, path: str, letter: bytes, size: int = 1) -> None:
        self.base = Base(path, 'raw', size * space.GIB)
        with open(path, 'wb') as file:
            file.write(letter * 65536)
            file.truncate(size * space.GIB)

    def disk(self, *_args: Any) -> Base:
        return self.base


def begins(device: BlockDevice, tmp_path: pathlib.Path) -> bytes:
    out = tmp_path / 'out'
    subprocess.run(['qemu-img', 'dd', '-f', 'qcow2', '-O', 'raw', f'if={path_of(device)}', f'of={out}', 'bs=4',
                    'count=1'], check=True)
    return out.read_bytes()[:4]


def test_a_volume_gets_another_image(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the new content is whole it has what it had, and it has its size afterwards."""
    device, image = volume(2, info={'made': True}), ImageMeta(id='i')
    images.create(path_of(device), files.FORMAT, space.GIB)
    new = Cache(str(tmp_path / 'new'), b'n')
    volumes.refill(device, image, Cache(str(tmp_path / 'old'), b'o'))  # type: ignore[arg-type]
    assert begins(device, tmp_path) == b'oooo' and gib(device) == 2
    real = images.convert

    def fails(*args: Any, **more: Any) -> None:
        real(*args, **more)
        raise exception.DiskFull(what='the volumes')
    monkeypatch.setattr(images, 'convert', fails)
    with pytest.raises(exception.DiskFull):
        volumes.refill(device, image, new)  # type: ignore[arg-type]
    assert begins(device, tmp_path) == b'oooo' and gib(device) == 2
    monkeypatch.setattr(images, 'convert', real)
    volumes.refill(device, image, new)  # type: ignore[arg-type]
    assert begins(device, tmp_path) == b'nnnn'
    assert [name for name in os.listdir(os.path.dirname(path_of(device))) if name.startswith('.')] == []


def test_an_image_that_does_not_fit_a_volume_that_is_there(tmp_path: pathlib.Path) -> None:
    device, lost = volume(1, info={'made': True}), volume(1, info={'made': True})
    images.create(path_of(device), files.FORMAT, space.GIB)
    large = Cache(str(tmp_path / 'large'), b'l', 2)
    with pytest.raises(exception.InvalidBDM, match='2 GiB'):
        volumes.refill(device, ImageMeta(id='i'), large)  # type: ignore[arg-type]
    assert begins(device, tmp_path) == bytes(4)
    with pytest.raises(exception.VolumeLost):
        volumes.refill(lost, ImageMeta(id='i'), large)  # type: ignore[arg-type]


def test_each_volume_begins_with_its_own_image(tmp_path: pathlib.Path) -> None:
    caches = {'root': Cache(str(tmp_path / 'root'), b'r'), 'other': Cache(str(tmp_path / 'other'), b'o')}

    class Both:
        def disk(self, image: ImageMeta, *args: Any) -> Base:
            return caches[str(image.id)].disk(image, *args)
    root = volume(1, boot_index=0)
    more = volume(1, info={'image': to_primitive(ImageMeta(id='other'))})
    root.source_type = more.source_type = 'image'
    instance = make_instance()
    instance.block_devices = [root, more]
    volumes.make_all(instance, ImageMeta(id='root'), Both())  # type: ignore[arg-type]
    assert (begins(root, tmp_path), begins(more, tmp_path)) == (b'rrrr', b'oooo')
