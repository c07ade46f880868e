"""Room on the disk of the instances."""
from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from minicompute import exception

GIB = 1 << 30
MIB = 1 << 20
#: what a host keeps free, so that overlays of running guests can still grow a little
FLOOR = 64 * MIB


def require(directory: str, size: int, what: str) -> None:
    """Raises DiskFull unless `size` bytes fit, and some are left."""
    facts = os.statvfs(directory)
    if facts.f_bavail * facts.f_frsize < size + FLOOR:
        raise exception.DiskFull(what=what)


@contextlib.contextmanager
def checked(what: str) -> Iterator[None]:
    """The disk may fill up in here: DiskFull."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise exception.DiskFull(what=what) from error
        raise


def closed_directory(path: str) -> str | None:
    """The first directory on the way to `path` that QEMU's own user cannot walk through, if any."""
    way = ''
    for name in os.path.abspath(path).split(os.sep):
        way += name + os.sep
        if not os.stat(way).st_mode & 0o001:
            return way
    return None


def usage(directory: str) -> dict[str, int]:
    """{'total_gb', 'free_gb'}"""
    facts = os.statvfs(directory)
    return {
        'total_gb': facts.f_blocks * facts.f_frsize // GIB,
        'free_gb': facts.f_bavail * facts.f_frsize // GIB,
    }
