"""Copies of volumes that a host makes for nobody's server."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from minicompute.compute.manager import volume_copies
from minicompute.compute.manager.volume_copies import VolumeCopies
from minicompute.objects import BlockDevice
from minicompute.virt.libvirt.verbs import volume_files
from minicompute.virt.libvirt.verbs.volume_files import LibvirtVolumeFiles
from minicompute.volume import files

SNAPSHOT = '00000000-0000-4000-8000-00000000000b'
DEVICE = BlockDevice(source_type='volume', destination_type='volume', volume_id='00000000-0000-4000-8000-00000000000a')


def test_what_waits_for_a_thread_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(volume_copies.conductor, 'volume_copied', lambda what: said.append(what['status']))
    waiting: list[Callable[[], None]] = []
    driver: Any = type('Driver', (), {'copy_volume': lambda self, device, snapshot_id, stop: None})()
    copies = VolumeCopies('h', driver, waiting.append)
    copies.admit(SNAPSHOT, DEVICE)
    copies.admit(SNAPSHOT, DEVICE)
    assert said == ['copying'] * 2 and len(waiting) == 1
    waiting[0]()
    assert said[2:] == ['available']


def test_who_makes_the_volume_first_is_heard_of(conf: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what another host has made meanwhile stays."""
    conf.set_override('path', str(tmp_path), 'local_volumes')
    asked: list[str] = []

    def make(device: BlockDevice, image: Any, cache: Any, *args: Any, stop: Any) -> str:
        stop()
        return str(tmp_path / 'volume')
    monkeypatch.setattr(volume_files.volumes, 'make', make)
    (tmp_path / 'volume').write_text('')

    def convert(path: str, form: str, made: str, to: str, **more: Any) -> None:
        assert more['first']
        asked.append(made)
    monkeypatch.setattr(volume_files.images, 'convert', convert)
    driver = LibvirtVolumeFiles.__new__(LibvirtVolumeFiles)
    driver._cache = None  # type: ignore[assignment]
    driver.copy_volume(DEVICE, SNAPSHOT, lambda: bool(asked.append('on')))
    assert asked == ['on', files.snapshot_path(SNAPSHOT)]
