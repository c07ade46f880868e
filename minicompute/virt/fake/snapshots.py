"""See `virt/interface/snapshots.py`. The image of a fake server is a small raw disk that names it."""
from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Mapping
from typing import Any

from minicompute import exception
from minicompute.conf import CONF
from minicompute.image import base as image_base
from minicompute.objects import BlockDevice, ImageMeta, Instance, PowerState
from minicompute.virt.fake.base import FakeBase
from minicompute.virt.interface.snapshots import SnapshotVerbs, Stop, never
from minicompute.virt.request import Progress, SpawnRequest, no_progress
from minicompute.volume import files

SIZE = 1 << 16


class FakeSnapshots(FakeBase, SnapshotVerbs):

    def extract(self, instance: Instance, image_id: str, progress: Progress = no_progress, stop: Stop = never) -> None:
        self._fault('extract', instance.uuid)
        self._read(instance.uuid)
        self._drop_extracts(instance.uuid)
        progress('extract', 0)
        with open(self._extract(instance.uuid, image_id), 'wb') as writer:
            writer.write(f'disk of {instance.uuid} on {self.host}\n'.encode().ljust(SIZE, b'\0'))
        if stop():
            raise exception.Conflict('The snapshot was broken off.')
        self._fault('extract.after', instance.uuid)

    def send_image(self, instance: Instance, image_id: str, progress: Progress = no_progress,
                   stop: Stop = never) -> dict[str, Any]:
        self._fault('send_image', instance.uuid)
        path = self._extract(instance.uuid, image_id)
        facts = image_base.sink().send(image_id, path, 'raw', lambda percent: progress('upload', percent), stop)
        self._drop_extracts(instance.uuid)
        self._fault('send_image.after', instance.uuid)
        return facts

    def drop_extract(self, instance: Instance, image_id: str) -> None:
        self._fault('drop_extract', instance.uuid)
        self._drop_extracts(instance.uuid)
        image_base.sink().forget(image_id)
        self._fault('drop_extract.after', instance.uuid)

    def copy_volumes(self, instance: Instance, copies: Mapping[str, str], progress: Progress = no_progress,
                     stop: Stop = never) -> None:
        self._fault('copy_volumes', instance.uuid)
        self._read(instance.uuid)
        progress('extract', 0)
        os.makedirs(CONF.local_volumes.path, exist_ok=True)
        for volume, made in copies.items():
            with open(files.snapshot_path(made), 'w') as writer:
                writer.write(f'what volume {volume} holds\n')
        if stop():
            raise exception.Conflict('The snapshots were broken off.')
        self._fault('copy_volumes.after', instance.uuid)

    def drop_copies(self, instance: Instance, copies: Mapping[str, str]) -> None:
        self._fault('drop_copies', instance.uuid)
        for made in copies.values():
            files.remove_snapshot(made)
        self._fault('drop_copies.after', instance.uuid)

    def check_rebuild(self, instance: Instance) -> None:
        self._fault('check_rebuild', instance.uuid)

    def fetch_image(self, instance: Instance, image: ImageMeta, progress: Progress = no_progress,
                    stop: Stop = never) -> None:
        self._fault('fetch_image', instance.uuid)
        self._fault('fetch_image.after', instance.uuid)

    def free_root(self, instance: Instance, device: BlockDevice, timeout: int = 0, stop: Stop = never) -> None:
        self._fault('free_root', instance.uuid)
        with contextlib.suppress(exception.DomainNotFound):
            self._change(instance.uuid, PowerState.SHUTDOWN)
        self._fault('free_root.after', instance.uuid)

    def fill_volume(self, instance: Instance, device: BlockDevice, image: ImageMeta, progress: Progress = no_progress,
                    stop: Stop = never) -> None:
        self._fault('fill_volume', instance.uuid)
        progress('volume', 0)
        self._fault('fill_volume.after', instance.uuid)

    def rebuild(self, request: SpawnRequest, *, preserve_ephemeral: bool, start: bool, timeout: int = 0,
                progress: Progress = no_progress) -> None:
        instance = request.instance
        self._fault('rebuild', instance.uuid)
        self._write(instance.uuid, instance.name, PowerState.RUNNING if start else PowerState.SHUTDOWN)
        self._fault('rebuild.after', instance.uuid)

    def _extract(self, uuid: str, image_id: str) -> str:
        """A name that no domain has."""
        return os.path.join(self._dir, f'.{uuid}.{os.path.basename(image_id)}.extract')

    def _drop_extracts(self, uuid: str) -> None:
        for path in glob.glob(glob.escape(os.path.join(self._dir, f'.{uuid}.')) + '*.extract'):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
