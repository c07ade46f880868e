"""How a compute reads the images of the local store: from the directory that it shares with the api."""
from __future__ import annotations

import errno
import hashlib
import os
import shutil

from minicompute import exception
from minicompute.conf import CONF
from minicompute.image.base import FetchStopped, ImageSource, Stop, never
from minicompute.objects import ImageMeta

CHUNK = 1 << 20


class LocalSource(ImageSource):
    """Reads `[local_images] path`/<id>; nothing is trusted, the hash is computed on the way."""

    native = True

    def fetch(self, image: ImageMeta, path: str, stop: Stop = never) -> None:
        source = os.path.join(CONF.local_images.path, str(image.id))
        digest = hashlib.new(image.os_hash_algo or 'sha512')
        try:
            with open(source, 'rb') as reader, open(path, 'wb') as writer:
                while chunk := reader.read(CHUNK):
                    if stop():
                        raise FetchStopped(image_id=image.id)
                    digest.update(chunk)
                    writer.write(chunk)
        except FileNotFoundError:
            raise exception.ImageNotFound(image_id=image.id) from None
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise exception.DiskFull(what=f'image {image.id}') from error
            raise
        if image.os_hash_value and digest.hexdigest() != image.os_hash_value:
            raise exception.ImageUnacceptable(image_id=image.id, reason='its hash is not what the image service says')


def free_bytes(path: str) -> int:
    return shutil.disk_usage(path).free
