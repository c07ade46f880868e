"""What we ask of an image service, Glance or the local store."""
from __future__ import annotations

import abc
import functools
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from stevedore import driver as stevedore_driver

from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.objects import ImageMeta

NAMESPACE = 'minicompute.image.backends'


class ImageBackend(abc.ABC):
    """`show` and `list` see what the caller may see; all raise ImageNotFound for the rest."""

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

    @abc.abstractmethod
    def download(self, context: RequestContext, image_id: str) -> Iterator[bytes]: ...


class ImageSource(abc.ABC):
    """The part of an image service that a compute needs: the bytes. Has no database."""

    @abc.abstractmethod
    def fetch(self, image: ImageMeta, path: str) -> None:
        """Write the image to `path`, checked against size and hash. Raises ImageNotFound, DiskFull."""


def load() -> ImageBackend:
    """The backend that [DEFAULT] image_backend names, one a process."""
    return _load(CONF.image_backend)


@functools.cache
def _load(name: str) -> ImageBackend:
    manager: Any = stevedore_driver.DriverManager(NAMESPACE, name, invoke_on_load=True)
    backend: ImageBackend = manager.driver
    return backend
