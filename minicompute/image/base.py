"""What we ask of an image service, Glance or the local store."""
from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, BinaryIO

from stevedore import driver as stevedore_driver

from minicompute import exception
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.objects import ImageMeta

NAMESPACE = 'minicompute.image.backends'
SOURCES, SINKS = 'minicompute.image.sources', 'minicompute.image.sinks'

Progress = Callable[[int], None]
Stop = Callable[[], bool]


class ImageBackend(abc.ABC):
    """`show` and `list` see what the caller may see; all raise ImageNotFound for the rest. A backend that is `remote`
    raises NeighbourUnavailable as well, and is never asked within a transaction."""

    remote = False

    @abc.abstractmethod
    def show(self, context: RequestContext, image_id: str) -> ImageMeta: ...

    def show_many(self, context: RequestContext, image_ids: Iterable[str]) -> dict[str, ImageMeta] | None:
        """Those of the images that the caller sees, at once; None when they can only be asked for one by one."""
        return None

    @abc.abstractmethod
    def list(self, context: RequestContext, *, filters: dict[str, Any] | None = None,
             limit: int | None = None, marker: str | None = None) -> list[ImageMeta]: ...

    @abc.abstractmethod
    def create(self, context: RequestContext, meta: ImageMeta) -> ImageMeta:
        """A queued image, without data. Keeps `meta.id` when it is given."""

    @abc.abstractmethod
    def upload(self, context: RequestContext, image_id: str, data: BinaryIO) -> ImageMeta:
        """Inspect and keep the data; the image is then active. Raises ImageUnacceptable."""

    @abc.abstractmethod
    def update(self, context: RequestContext, image_id: str, changes: dict[str, Any]) -> ImageMeta: ...

    @abc.abstractmethod
    def delete(self, context: RequestContext, image_id: str) -> None: ...

    def collect(self) -> Collection[str]:
        """End what a daemon that was killed began: deletions, and images whose data will not come. -> their ids.
        Asked now and then by conductors; several may do so at once."""
        return []

    @abc.abstractmethod
    def download(self, context: RequestContext, image_id: str) -> Iterator[bytes]: ...

    # -- images whose data a compute sends ---------------------------------

    @abc.abstractmethod
    def reserve(self, context: RequestContext, meta: ImageMeta) -> Callable[[Any], None] | None:
        """An image of the id `meta.id` whose data only an `ImageSink` will bring. -> what writes it in a transaction
        of the caller's (it takes the open connection), or None when it is there already."""

    @abc.abstractmethod
    def finish(self, image_id: str, facts: dict[str, Any]) -> Callable[[Any], None] | None:
        """The data is there, and `facts` is what the sink said of it: the image is to be active. -> what makes it so in
        a transaction of the caller's (twice is once; raises ImageNotFound), or None when it is already.
        Raises ImageNotFound when somebody has deleted it; nothing is left then."""

    @abc.abstractmethod
    def discard(self, image_id: str) -> None:
        """Nothing is left of an image that was reserved and never became active. Twice is once."""


def never() -> bool:
    """The `stop` of those who are not broken off."""
    return False


class ImageSource(abc.ABC):
    """The part of an image service that a compute needs: the bytes. Has no database."""

    #: under eventlet `fetch` runs in a native thread, beside all others: it blocks in C, and neither shares a lock
    #: with them nor waits for a socket. One that is not native lets the others go on by itself.
    native = False

    def check(self, image: ImageMeta) -> None:
        """Before an image is used, also one that was fetched earlier. Raises ImageUnacceptable."""
        return

    @abc.abstractmethod
    def fetch(self, image: ImageMeta, path: str, stop: Stop = never) -> None:
        """Write the image to `path`, checked against size and hash. `stop()` is asked now and then: True ends it with
        FetchStopped. Raises ImageNotFound, DiskFull."""


class ImageSink(abc.ABC):
    """The counterpart of `ImageSource`: a compute gives the bytes of an image that was reserved. Has no database."""

    @abc.abstractmethod
    def send(self, image_id: str, path: str, disk_format: str, progress: Progress, stop: Stop) -> dict[str, Any]:
        """Give the file at `path` to the image. -> the facts that `ImageBackend.finish` takes: size and virtual_size
        in bytes, checksum, os_hash_algo, os_hash_value, disk_format, container_format. Twice is once.

        `progress(percent)` is called now and then, `stop()` is asked as often: True ends it with SendStopped.
        Raises ImageUnacceptable when the file is not what `disk_format` says; nothing is left in the store then.
        """

    @abc.abstractmethod
    def forget(self, image_id: str) -> None:
        """Remove what a `send` that was killed left half done. Nothing left is fine."""


class SendStopped(exception.Conflict):
    msg_fmt = 'Sending image %(image_id)s was broken off: something newer is to be done with its server.'


class FetchStopped(exception.Conflict):
    msg_fmt = 'Fetching image %(image_id)s was broken off: something newer is to be done with its server.'


def load() -> ImageBackend:
    """The backend that [DEFAULT] image_backend names, one a process."""
    return _load(CONF.image_backend)


@functools.cache
def _load(name: str) -> ImageBackend:
    manager: Any = stevedore_driver.DriverManager(NAMESPACE, name, invoke_on_load=True)
    backend: ImageBackend = manager.driver
    return backend


def source() -> ImageSource:
    """The same for a compute: where it gets images."""
    found: ImageSource = _load_part(SOURCES, CONF.image_backend)
    return found


def sink() -> ImageSink:
    """And where it puts them."""
    found: ImageSink = _load_part(SINKS, CONF.image_backend)
    return found


@functools.cache
def _load_part(namespace: str, name: str) -> Any:
    manager: Any = stevedore_driver.DriverManager(namespace, name, invoke_on_load=True)
    return manager.driver
