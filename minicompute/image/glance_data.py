"""The bytes of images, between a compute and Glance, as the service user of [glance].

    fetch: GET /file, hashed on the way; broken off, it is taken up where it was, or begun anew
    send:  PUT /file, inspected and hashed on the way; broken off, Glance puts the image back to `queued`

Nothing here has a database.
"""
from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

import requests
import urllib3
from oslo_log import log as logging

from minicompute import exception, service_auth
from minicompute.conf import CONF
from minicompute.image import glance
from minicompute.image.base import FetchStopped, ImageSink, ImageSource, Progress, SendStopped, Stop, never
from minicompute.image.inspection import StreamInspector
from minicompute.objects import ImageMeta

LOG = logging.getLogger(__name__)

CHUNK = 1 << 20
#: seconds that Glance has to notice that an earlier upload of the same image was broken off, and between two looks
NOTICE, LOOK = 30.0, 1.0


class GlanceSource(ImageSource):
    """What was fetched has the hash and the size that Glance said when the request was made, or it is not kept."""

    def __init__(self) -> None:
        service_auth.require('glance')

    def check(self, image: ImageMeta) -> None:
        """Where signatures are asked for none is believed: docs/adr/0027-image-signatures.md."""
        if CONF.glance.verify_glance_signatures:
            raise exception.ImageUnacceptable(
                image_id=image.id, reason='[glance] verify_glance_signatures is on, and there is no key manager with '
                                          'which its signature could be verified')

    def fetch(self, image: ImageMeta, path: str, stop: Stop = never) -> None:
        self.check(image)
        with open(path, 'wb') as writer:
            Download(image, writer, stop).run()


class Download:
    """One image into one file."""

    def __init__(self, image: ImageMeta, writer: BinaryIO, stop: Stop = never) -> None:
        self._image, self._writer, self._stop = image, writer, stop
        self._client = service_auth.adapter('glance')
        self._position = 0
        self._digest = self._hash()

    def run(self) -> None:
        """Raises ImageNotFound, ImageUnacceptable, Forbidden, DiskFull, NeighbourUnavailable, FetchStopped."""
        failures = 0
        while True:
            before = self._position
            self._go_on()
            try:
                self._some()
                break
            except (requests.RequestException, exception.NeighbourUnavailable) as error:
                failures = 0 if self._position > before else failures + 1
                if failures > CONF.glance.num_retries:
                    if isinstance(error, exception.NeighbourUnavailable):
                        raise
                    raise exception.NeighbourUnavailable(service='Image', reason='it breaks off downloads') from error
                LOG.warning('The download of image %s broke off at byte %d: %s', self._image.id, self._position,
                            error)
                time.sleep(min(0.5 * failures, 5))
        self._check()

    def _hash(self) -> Any:
        name = self._image.os_hash_algo if self._image.os_hash_value else 'md5' if self._image.checksum else 'sha512'
        try:
            return hashlib.new(str(name), usedforsecurity=False)
        except ValueError:
            raise exception.ImageUnacceptable(
                image_id=self._image.id, reason=f'its hash is made by {name}, which is not known here') from None

    def _some(self) -> None:
        """From where we are on, as far as it gets."""
        image_id = str(self._image.id)
        headers = {'Range': f'bytes={self._position}-'} if self._position else {}
        with self._client.get(glance.path_of(image_id, 'file'), stream=True, headers=headers,
                              errors=glance.not_found(image_id)) as answer:
            if self._position and not (answer.status_code == 206 and answer.headers.get('Content-Range', '').startswith(
                    f'bytes {self._position}-')):
                self._again()
            while chunk := self._read(answer):
                self._take(chunk)
                self._go_on()
                time.sleep(0)       # under eventlet a socket that always has something lets nobody else go on
            self._whole(answer)

    def _go_on(self) -> None:
        if self._stop():
            raise FetchStopped(image_id=self._image.id)

    def _read(self, answer: Any) -> bytes:
        """What has arrived, CHUNK at most: who waits for whole ones is not asked to stop while they trickle in."""
        try:
            found: bytes = answer.raw.read1(CHUNK, decode_content=True)
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error) from error
        return found

    def _again(self) -> None:
        """It does not give parts: from the beginning."""
        self._writer.seek(0)
        self._writer.truncate()
        self._position, self._digest = 0, self._hash()

    def _take(self, chunk: bytes) -> None:
        self._position += len(chunk)
        if self._image.size is not None and self._position > self._image.size:
            raise exception.ImageUnacceptable(image_id=self._image.id,
                                              reason='it is larger than the image service says')
        self._digest.update(chunk)
        try:
            self._writer.write(chunk)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise exception.DiskFull(what=f'image {self._image.id}') from error
            raise

    def _whole(self, answer: Any) -> None:
        """An older requests takes a short answer for a whole one."""
        if self._image.size is not None and self._position < self._image.size and answer.status_code != 204:
            raise requests.ConnectionError(f'{self._position} of {self._image.size} bytes')

    def _check(self) -> None:
        image = self._image
        if image.size is not None and self._position != image.size:
            raise exception.ImageUnacceptable(image_id=image.id, reason='the image service has no data of it')
        wanted = image.os_hash_value or image.checksum
        if wanted and self._digest.hexdigest() != wanted:
            raise exception.ImageUnacceptable(image_id=image.id, reason='its hash is not what the image service says')


class GlanceSink(ImageSink):

    def __init__(self) -> None:
        service_auth.require('glance')

    def send(self, image_id: str, path: str, disk_format: str, progress: Progress, stop: Stop) -> dict[str, Any]:
        client = service_auth.adapter('glance')
        image = self._ready(client, image_id, stop)
        sent = image.status == 'active'         # by one of us that was killed before it could say so
        if sent and not os.path.exists(path):   # and whose last deed was to remove the file: only then it is not here
            return _facts_of(image)
        with open(path, 'rb') as reader:
            reading = Reading(reader, image_id, disk_format, progress, stop)
            if sent:
                facts = reading.through()
                if trouble := glance.differs(image, facts):
                    raise exception.ImageUnacceptable(image_id=image_id, reason=trouble)
                return facts
            glance.give_formats(client, image, disk_format, 'bare')
            client.put(glance.path_of(image_id, 'file'), data=reading, timeout=glance.STORE,
                       headers={'Content-Type': 'application/octet-stream'}, errors=glance.not_found(image_id))
            return reading.facts()

    def _ready(self, client: service_auth.Neighbour, image_id: str, stop: Stop) -> ImageMeta:
        """Raises Conflict for one that Glance takes for being sent: a Glance that was killed does not know better."""
        until = time.monotonic() + NOTICE
        while True:
            image = glance.read(client, image_id)
            if image.status in ('queued', 'active'):
                return image
            if stop():
                raise SendStopped(image_id=image_id)
            if time.monotonic() > until:
                raise exception.Conflict(f"The image service has image {image_id} in status '{image.status}': an "
                                         'upload was broken off, and it takes no other.')
            time.sleep(LOOK)

    def forget(self, image_id: str) -> None:
        """What is half there is Glance's; the conductor deletes the image."""


def _facts_of(image: ImageMeta) -> dict[str, Any]:
    return {'size': image.size, 'virtual_size': image.virtual_size, 'checksum': image.checksum,
            'os_hash_algo': image.os_hash_algo, 'os_hash_value': image.os_hash_value,
            'disk_format': image.disk_format, 'container_format': image.container_format}


class Reading:
    """A file as requests sends it: as long as it is, once, and looked at on the way."""

    def __init__(self, reader: BinaryIO, image_id: str, disk_format: str, progress: Progress, stop: Stop) -> None:
        self._reader, self._image_id, self._format = reader, image_id, disk_format
        self._progress, self._stop = progress, stop
        self._inspector = StreamInspector(disk_format, image_id=image_id)
        self._sha512, self._md5 = hashlib.sha512(), hashlib.md5(usedforsecurity=False)
        self._size, self._ended, self._told = os.fstat(reader.fileno()).st_size, False, -1

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(CHUNK):
            yield chunk

    def read(self, size: int = -1) -> bytes:
        if self._ended:
            raise OSError('what was sent once is not sent again')     # a second log-in in the middle, say
        if self._stop():
            raise SendStopped(image_id=self._image_id)
        chunk = self._reader.read(CHUNK if size is None or size < 0 else size)
        self._ended = not chunk
        self._inspector.feed(chunk)
        self._sha512.update(chunk)
        self._md5.update(chunk)
        percent = 100 * self._inspector.position // max(1, self._size)
        if percent != self._told:
            self._told = percent
            self._progress(percent)
        return chunk

    def through(self) -> dict[str, Any]:
        """Read it without sending it."""
        for _ in self:
            pass
        return self.facts()

    def facts(self) -> dict[str, Any]:
        """Raises ImageUnacceptable when it is not what it should be."""
        info = self._inspector.finish()
        return {'size': info.file_size, 'virtual_size': info.virtual_size, 'checksum': self._md5.hexdigest(),
                'os_hash_algo': 'sha512', 'os_hash_value': self._sha512.hexdigest(), 'disk_format': self._format,
                'container_format': 'bare'}


