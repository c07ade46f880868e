"""How a compute gives an image to the local store: it writes the file into the directory that it shares with the api.

    <id>.part, locked, inspected and hashed on the way --> <id>, whole --> the conductor makes the row active

The name is the only word between the two daemons: what lies under it is whole, so that a compute which is asked
again finds its own work and only reads it once more.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any, BinaryIO

from minicompute.image import local_files as files
from minicompute.image.base import ImageSink, Progress, SendStopped, Stop
from minicompute.image.inspection import StreamInspector


class LocalSink(ImageSink):
    """Writes `[local_images] path`/<id>."""

    def send(self, image_id: str, path: str, disk_format: str, progress: Progress, stop: Stop) -> dict[str, Any]:
        final = files.path_of(image_id)
        if os.path.exists(final):
            with open(final, 'rb') as reader:
                return _pass_on(reader, image_id, disk_format, progress, stop)
        if not files.has_room(os.path.getsize(path)):
            raise files.StoreFull
        with open(path, 'rb') as reader, files.writing(image_id) as part:
            try:
                facts = _pass_on(reader, image_id, disk_format, progress, stop, part.write)
                part.publish()
            except BaseException:
                part.discard()
                raise
        return facts

    def forget(self, image_id: str) -> None:
        files.clear_if_abandoned(image_id, lambda: False)


def _pass_on(reader: BinaryIO, image_id: str, disk_format: str, progress: Progress, stop: Stop,
             write: Callable[[bytes], None] | None = None) -> dict[str, Any]:
    """Read all of it, write it on if wanted. -> what `send` promises. Keeps one chunk in memory."""
    inspector = StreamInspector(disk_format, image_id=image_id)
    sha512, md5 = hashlib.sha512(), hashlib.md5(usedforsecurity=False)
    total = max(1, os.fstat(reader.fileno()).st_size)
    while chunk := reader.read(files.CHUNK):
        if stop():
            raise SendStopped(image_id=image_id)
        inspector.feed(chunk)
        sha512.update(chunk)
        md5.update(chunk)
        if write is not None:
            write(chunk)
        progress(100 * inspector.position // total)
    info = inspector.finish()
    return {'size': info.file_size, 'virtual_size': info.virtual_size, 'checksum': md5.hexdigest(),
            'os_hash_algo': 'sha512', 'os_hash_value': sha512.hexdigest(), 'disk_format': disk_format,
            'container_format': 'bare'}
