"""Files of a server go to another host: through its libvirtd, so that both ends are known and nobody listens in.

    destination   Landing.mark     a marker, which a source that shares our directory sees
    source        sees
    destination   Landing.open     a libvirt pool on the directory of the server
    source        send             each file becomes a volume of that pool, its holes stay holes
    destination   Landing.close

A landing is all on the disk and in libvirt: who dies in between leaves what the next `open` or `close` removes.
"""
from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from typing import Any, BinaryIO

import libvirt
from oslo_log import log as logging

from minicompute import concurrency, exception
from minicompute.conf import CONF
from minicompute.virt.driver import Progress
from minicompute.virt.libvirt import layout, remote
from minicompute.virt.libvirt.config.base import render
from minicompute.virt.libvirt.config.storage import DirectoryPool, File
from minicompute.virt.libvirt.host import Host, call, code_of

LOG = logging.getLogger(__name__)

_PREFIX = 'minicompute-move-'
Stop = Callable[[], bool]


class Stopped(Exception):
    """Something newer waits for this host: the copy is broken off."""


class Landing:
    """Where a server's files arrive on this host."""

    def __init__(self, host: Host, uuid: str) -> None:
        self._host, self._uuid = host, uuid

    def mark(self) -> str:
        """-> what the marker says: a source that reads the same beside its own instances shares our directory."""
        token = secrets.token_hex(16)
        path = _marker(self._uuid)
        with open(path + '.new', 'w', encoding='ascii') as file:
            file.write(token)
        os.replace(path + '.new', path)
        return token

    @property
    def base(self) -> str:
        """A reference to the base image of the root disk, until there is a directory that keeps it."""
        return _marker(self._uuid) + '.base'

    def keep_base(self) -> None:
        """It goes into the server's directory, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.base, os.path.join(layout.directory(self._uuid), 'base'))

    def open(self) -> str:
        """-> the name of the pool on the server's directory, which is there."""
        self._close_pool()
        pool = DirectoryPool(_PREFIX + self._uuid, layout.directory(self._uuid))
        try:
            call(self._host.connection().storagePoolCreateXML, render(pool), 0)
        except libvirt.libvirtError as error:
            raise exception.InternalError(
                reason=f'libvirt makes no pool for the disks: {error.get_error_message()}') from error
        return pool.name

    def close(self) -> None:
        """The files stay. Costs nothing when there was no landing."""
        path = _marker(self._uuid)
        if os.path.exists(path):
            self._close_pool()
            for name in (self.base, path):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)

    def _close_pool(self) -> None:
        try:
            pool = call(self._host.connection().storagePoolLookupByName, _PREFIX + self._uuid)
            call(pool.destroy)
        except libvirt.libvirtError as error:
            if code_of(error) != libvirt.VIR_ERR_NO_STORAGE_POOL:
                raise exception.InternalError(
                    reason=f'libvirt keeps the pool of the disks: {error.get_error_message()}') from error


def sees(uuid: str, token: str) -> bool:
    """At the source: whether the destination's marker is beside our own instances. Raises OSError, or Conflict, when
    what is there cannot be read: that a directory is not shared must be known, for then its disks go over it."""
    try:
        with open(_marker(uuid), 'rb') as file:
            said = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not said:
        raise exception.Conflict(f'The marker of the move of instance {uuid} is empty: whether the two hosts share '
                                 'their disks is not known.')
    return bool(token) and secrets.compare_digest(said, token.encode())


def _marker(uuid: str) -> str:
    return os.path.join(CONF.instances_path, f'.moving-{uuid}')


# -- sending ---------------------------------------------------------------------------

def send(dest: dict[str, Any], files: dict[str, str], progress: Progress, stop: Stop) -> int:
    """Copy `files` ({name there: path here}) to the landing that `dest` tells of. -> bytes that went.

    Raises Conflict when it was stopped, Unavailable, InternalError with libvirt's own words.
    """
    total = sum(os.stat(path).st_blocks * 512 for path in files.values()) or 1
    sent = 0

    def count(more: int) -> None:
        nonlocal sent
        sent += more
        progress('disks', min(99, sent * 100 // total))
        if stop():
            raise Stopped
    with remote.connected(dest['address']) as connection:
        try:
            pool = call(connection.storagePoolLookupByName, str(dest['pool']))
            for name, path in files.items():
                _send_one(connection, pool, File(name, os.path.getsize(path), int(dest['uid']), int(dest['gid'])),
                          path, count)
        except Stopped:
            raise exception.Conflict('The copy of the disks was broken off: something newer came.') from None
        except libvirt.libvirtError as error:
            raise exception.InternalError(
                reason=f'the disks cannot be copied: {error.get_error_message()}') from error
    progress('disks', 100)
    return sent


def _send_one(connection: libvirt.virConnect, pool: libvirt.virStoragePool, wanted: File, path: str,
              count: Callable[[int], None]) -> None:
    with contextlib.suppress(libvirt.libvirtError):     # half of it, from a copy that died
        call(call(pool.storageVolLookupByName, wanted.name).delete, 0)
    volume = call(pool.createXML, render(wanted), 0)
    with open(path, 'rb', buffering=0) as file:
        stream = call(connection.newStream, 0)
        try:
            call(volume.upload, stream, 0, wanted.size, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
            concurrency.native_call(stream.sparseSendAll, _Reader(count).read, section, _skip, file)
            call(stream.finish)
        except BaseException:
            with contextlib.suppress(libvirt.libvirtError):
                stream.abort()
            raise


class _Reader:
    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count

    def read(self, stream: Any, size: int, file: BinaryIO) -> bytes:
        data = file.read(size)
        self._count(len(data))
        return data


def section(stream: Any, file: BinaryIO) -> tuple[bool, int]:
    """-> (whether the file has data where it stands, how many bytes until that changes; 0 at the end)"""
    fd = file.fileno()
    here, end = file.tell(), os.fstat(fd).st_size
    if here >= end:
        return True, 0
    try:
        data = os.lseek(fd, here, os.SEEK_DATA)
    except OSError:     # nothing but a hole up to the end
        data = end
    if data > here:
        os.lseek(fd, here, os.SEEK_SET)
        return False, data - here
    hole = os.lseek(fd, here, os.SEEK_HOLE)
    os.lseek(fd, here, os.SEEK_SET)
    return True, hole - here


def _skip(stream: Any, length: int, file: BinaryIO) -> int:
    return file.seek(length, os.SEEK_CUR)
