"""Base images: fetched once a host, shared by all disks that are overlays on them.

    <instances_path>/_base/<sha1 of the image's id and hash>.<qcow2 | raw | file>
    <instances_path>/<uuid>/base                     a hard link to it

The hard link is the reference count: a base with one name left has no users, and a server's directory that is
removed takes its reference along, whatever died in between.

A qcow2 that the inspection took (no backing file, no data file, no encryption) stays qcow2: converting each
image to raw, as Nova does, costs minutes of a small host at the first build and the disk space of the whole
image, and what it buys, QEMU not parsing a stranger's qcow2, the inspection has to give anyway. All other
formats become raw.
`file` is what is no disk: kernels and ramdisks.
"""
from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TextIO

from oslo_log import log as logging

from minicompute import concurrency, exception
from minicompute.conf import CONF
from minicompute.image.base import FetchStopped, ImageSource, Stop, never
from minicompute.image.inspection import inspect_file
from minicompute.objects import ImageMeta
from minicompute.virt import growth, images
from minicompute.virt.driver import Progress, no_progress
from minicompute.virt.libvirt import space

LOG = logging.getLogger(__name__)

#: a half-fetched image of a daemon that died is removed after so many seconds
HALF_FETCHED = 3600
#: seconds between two looks of who waits for another's fetch
LOOK = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class Base:
    """`virtual_size` in bytes."""

    path: str
    format: str
    virtual_size: int


class ImageCache:
    def __init__(self, source: ImageSource) -> None:
        self._source = source
        self._threads: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def directory(self) -> str:
        return os.path.join(CONF.instances_path, '_base')

    def disk(self, image: ImageMeta, link: str, progress: Progress = no_progress, stop: Stop = never) -> Base:
        """The base of `image`, fetched if need be, with a reference at `link`.

        Raises ImageNotFound, ImageUnacceptable, DiskFull; FetchStopped once `stop()` says True.
        """
        with self._locked(image, stop) as stem:
            base = self._cached(stem) or self._fetch_disk(image, stem, progress, stop)
            self._refer(base.path, link)
            return base

    def keep(self, image: ImageMeta, progress: Progress = no_progress) -> bool:
        """Have the base of `image` before a server needs it; unused it is swept like any other. -> whether it was
        fetched. Raises as `disk` does."""
        with self._locked(image) as stem:
            if self._cached(stem) is not None:
                return False
            self._fetch_disk(image, stem, progress, never)
            return True

    def plain(self, image: ImageMeta, link: str, stop: Stop = never) -> None:
        """A kernel or ramdisk, at `link`. Raises as `disk` does."""
        with self._locked(image, stop) as stem:
            path = f'{stem}.file'
            if not os.path.exists(path):
                with images.published(path, 0o444) as temp:
                    self._fetch(image, temp, stop)
            self._refer(path, link)

    def sweep(self, minimum_age: int) -> list[str]:
        """Remove what nobody refers to and nobody asked for in `minimum_age` seconds; -> their paths."""
        if not os.path.isdir(self.directory):
            return []
        removed = images.remove_leftovers(self.directory, HALF_FETCHED)
        for name in os.listdir(self.directory):
            stem, _, kind = name.partition('.')
            if not stem or kind in ('', 'lock'):
                continue    # what has no kind is Nova's, which may still run beside us
            with self._locked_stem(stem):
                path = os.path.join(self.directory, name)
                if self._unused(path, minimum_age):
                    os.unlink(path)
                    removed.append(path)
        return removed

    def _unused(self, path: str, age: int) -> bool:
        try:
            facts = os.stat(path)
        except FileNotFoundError:
            return False
        return facts.st_nlink == 1 and facts.st_mtime <= time.time() - age

    # -- one image -----------------------------------------------------------

    def _cached(self, stem: str) -> Base | None:
        for kind in ('qcow2', 'raw'):
            path = f'{stem}.{kind}'
            if os.path.exists(path):
                os.utime(path)   # the age of an image is the time since it was asked for
                return _facts(path, kind)
        return None

    def _fetch_disk(self, image: ImageMeta, stem: str, progress: Progress, stop: Stop) -> Base:
        progress('image', 0)
        fetched = f'{stem}.fetched'
        with images.published(fetched, 0o444) as temp:
            with growth.told(temp, image.size, 'image', progress):
                self._fetch(image, temp, stop)
            info = concurrency.native_call(
                inspect_file, temp, image.disk_format or 'raw', image_id=str(image.id)
            )
        kind = 'qcow2' if info.qemu_format == 'qcow2' else 'raw'
        path = f'{stem}.{kind}'
        if info.qemu_format == kind:
            os.replace(fetched, path)
        else:
            images.convert(fetched, info.qemu_format, path, kind, stop=stop)
            os.unlink(fetched)
        progress('image', 100)
        LOG.info('Image %s is cached as %s', image.id, path)
        return Base(path, kind, info.virtual_size)

    def _fetch(self, image: ImageMeta, path: str, stop: Stop) -> None:
        space.require(self.directory, image.size or 0, f'image {image.id}')
        if self._source.native:
            concurrency.native_call(self._source.fetch, image, path, stop)
        else:
            self._source.fetch(image, path, stop)

    def _refer(self, path: str, link: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        os.link(path, link)

    # -- locks ---------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self, image: ImageMeta, stop: Stop = never) -> Iterator[str]:
        if not image.id:
            raise exception.ImageNotFound(image_id=image.id)
        self._source.check(image)
        # An id may come again with other content, of another owner, once its image is deleted.
        name = f'{image.id} {image.os_hash_value}' if image.os_hash_value else str(image.id)
        stem = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()

        def go_on() -> None:
            if stop():
                raise FetchStopped(image_id=image.id)
        with self._locked_stem(stem, go_on):
            yield os.path.join(self.directory, stem)

    @contextlib.contextmanager
    def _locked_stem(self, stem: str, go_on: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Against the threads of this daemon, then against other daemons on the same directory. Who waits here waits
        for a fetch of another, which may take minutes: `go_on()` raises what ends that."""
        os.makedirs(self.directory, mode=0o755, exist_ok=True)
        with contextlib.ExitStack() as held:
            while not self._threads[stem].acquire(timeout=LOOK):
                go_on()
            held.callback(self._threads[stem].release)
            lock = held.enter_context(open(os.path.join(self.directory, f'{stem}.lock'), 'w', encoding='ascii'))
            while not _flock(lock):
                go_on()
                time.sleep(LOOK)
            yield


def _flock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _facts(path: str, kind: str) -> Base:
    size = os.path.getsize(path) if kind == 'raw' else inspect_file(path, kind).virtual_size
    return Base(path, kind, size)
