"""The files of the local image store: `<id>` is an image, `<id>.part` one that is being written.

Whoever writes a part holds a lock on it, which the kernel drops when the writer dies; a part that can be
locked by another is therefore left over, and anybody may remove it.
"""
from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator

from minicompute import exception
from minicompute.conf import CONF
from minicompute.image import source

CHUNK = source.CHUNK
SUFFIX = '.part'
FULL = (errno.ENOSPC, errno.EDQUOT)
#: kept free on the store's file system, so that a full store does not stop what else lives there
RESERVE = 16 << 20


class StoreFull(exception.ComputeException):
    msg_fmt = 'The image store has no space left for this image. Delete images, or ask the operator for room.'
    code = 507


def path_of(image_id: str) -> str:
    return os.path.join(CONF.local_images.path, image_id)


class Part:
    """An image under way. Every method but `publish` may be called twice."""

    def __init__(self, image_id: str, fd: int) -> None:
        self.image_id = image_id
        self._fd = fd
        self._path = path_of(image_id) + SUFFIX

    def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._fd, rest):]

    def publish(self) -> None:
        """From here on the image's file is whole, also after a crash of the machine."""
        if CONF.local_images.fsync:
            os.fsync(self._fd)
        os.rename(self._path, path_of(self.image_id))
        self._path = path_of(self.image_id)
        if CONF.local_images.fsync:
            _sync_directory()

    def discard(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)


def _sync_directory() -> None:
    fd = os.open(CONF.local_images.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def writing(image_id: str) -> Iterator[Part]:
    """The one writer of this image. Raises Conflict when another is at it, StoreFull."""
    try:
        os.makedirs(CONF.local_images.path, exist_ok=True)
        fd = _locked(path_of(image_id) + SUFFIX, os.O_WRONLY | os.O_CREAT)
    except OSError as error:
        raise _explained(error) from error
    if fd is None:
        raise exception.Conflict(f'Image {image_id} is being uploaded by another request.')
    part = Part(image_id, fd)
    try:
        os.ftruncate(fd, 0)
        yield part
    except OSError as error:
        raise _explained(error) from error
    finally:
        os.close(fd)


def _explained(error: OSError) -> exception.ComputeException | OSError:
    if error.errno in FULL:
        return StoreFull()
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return exception.ServiceUnavailable(
            'The image store cannot be written to: its operator must look at [local_images] path.')
    return error


def _locked(path: str, flags: int) -> int | None:
    """-> a descriptor with the lock, None when another has it. Raises FileNotFoundError."""
    while True:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between open and lock another may have removed or renamed it: then this locks nothing.
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                os.close(fd)
                raise
        os.close(fd)


def parts() -> list[str]:
    """Ids of the images that have a part, whether or not somebody still writes it."""
    try:
        names = os.listdir(CONF.local_images.path)
    except FileNotFoundError:
        return []
    return [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]


def clear_if_abandoned(image_id: str, unfinished: Callable[[], bool]) -> bool:
    """Remove what a dead writer left: its part, or the file that it had just renamed.

    -> False when the writer is alive.  The part is looked at first: a living writer renames it, so that it
    is found under one of the two names.  Under its final name a file is removed only if `unfinished()` under
    the lock: a writer lets go of the lock after it recorded the image as complete.
    """
    for path, is_part in ((path_of(image_id) + SUFFIX, True), (path_of(image_id), False)):
        try:
            fd = _locked(path, os.O_WRONLY)
        except FileNotFoundError:
            continue
        if fd is None:
            return False
        if is_part or unfinished():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        os.close(fd)
    return True


def remove(image_id: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path_of(image_id))


def read(image_id: str) -> Iterator[bytes]:
    """Opens at once, so that a missing file is an error before the first byte is sent."""
    try:
        file = open(path_of(image_id), 'rb')    # noqa: SIM115  closed by the generator below
    except FileNotFoundError:
        raise exception.ImageNotFound(f'The data of image {image_id} is not in the image store.') from None

    def chunks() -> Iterator[bytes]:
        with file:
            while chunk := file.read(CHUNK):
                yield chunk
    return chunks()


def has_room(size: int) -> bool:
    os.makedirs(CONF.local_images.path, exist_ok=True)
    return source.free_bytes(CONF.local_images.path) >= size + RESERVE
