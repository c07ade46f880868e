"""Images without Glance: rows in the database, files in `[local_images] path`.

    queued --upload--> saving --inspected, hashed, synced, renamed--> active
       ^                 |
       +-- refused, full, broken off, or its api died (`sweep`)

    importing --`finish`--> active      the data of a snapshot, which a compute puts beside the others (sink.py)
"""
from __future__ import annotations

import dataclasses
import datetime
import hashlib
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, BinaryIO

from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import images as db
from minicompute.image import local_files as files
from minicompute.image.base import ImageBackend
from minicompute.image.inspection import StreamInspector
from minicompute.objects import ImageMeta

LOG = logging.getLogger(__name__)

VISIBILITIES = ('public', 'community', 'shared', 'private')
DISK_FORMATS = ('raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'iso', 'ami', 'aki', 'ari')
CONTAINER_FORMATS = ('bare', 'ami', 'aki', 'ari')

#: what `update` takes; the formats only before there is data
CHANGEABLE = ('name', 'visibility', 'protected', 'min_disk', 'min_ram', 'tags', 'properties', 'owner',
              'disk_format', 'container_format')


class TooLarge(exception.ComputeException):
    msg_fmt = 'Image %(image_id)s is larger than the %(gb)s GiB that an image may have here.'
    code = 413


class LocalImages(ImageBackend):
    """Glance's rules of who sees and who changes what."""

    def show(self, context: RequestContext, image_id: str) -> ImageMeta:
        with session.read() as conn:
            image = db.get(conn, image_id)
        if image is None or not _sees(context, image):
            raise exception.ImageNotFound(image_id=image_id)
        return image

    def show_many(self, context: RequestContext, image_ids: Iterable[str]) -> dict[str, ImageMeta]:
        wanted = list(image_ids)
        if not wanted:
            return {}
        with session.read() as conn:
            return {str(image.id): image for image in db.get_many(conn, wanted) if _sees(context, image)}

    def list(self, context: RequestContext, *, filters: dict[str, Any] | None = None,
             limit: int | None = None, marker: str | None = None,
             sort: db.Sort = db.NEWEST_FIRST) -> list[ImageMeta]:
        """`filters` and `sort` as `db.api.images.page` takes them."""
        if marker is not None:
            try:
                self.show(context, marker)
            except exception.ImageNotFound:
                raise exception.MarkerNotFound(marker=marker) from None
        with session.read() as conn:
            return db.page(conn, viewer(context), filters=filters, sort=sort, limit=limit, marker=marker)

    def create(self, context: RequestContext, meta: ImageMeta) -> ImageMeta:
        try:
            meta.id = str(uuid.UUID(meta.id)) if meta.id else str(uuid.uuid4())   # it becomes a file's name
        except ValueError:
            raise exception.InvalidInput(reason=f'id: {meta.id!r} is not a UUID') from None
        _check_owner(context, meta.owner)
        meta.owner = meta.owner or context.project_id
        meta.status = 'queued'
        _check_choices(context, {'visibility': meta.visibility, 'disk_format': meta.disk_format,
                                 'container_format': meta.container_format})
        session.write(db.insert, meta)
        return self.show(context, meta.id)

    def update(self, context: RequestContext, image_id: str, changes: dict[str, Any]) -> ImageMeta:
        image = self._own(context, image_id, 'change')
        unknown = changes.keys() - set(CHANGEABLE)
        if unknown:
            raise exception.Forbidden(f"Attribute '{min(unknown)}' of an image is read-only.")
        changes = {name: value for name, value in changes.items() if value != getattr(image, name)}
        if 'owner' in changes:
            _check_owner(context, changes['owner'])
        _check_choices(context, changes)
        formats = changes.keys() & {'disk_format', 'container_format'}
        if formats and image.status != 'queued':
            raise exception.Forbidden(f"Attribute '{min(formats)}' of an image with data cannot be changed.")
        if changes and not session.write(db.change, image_id, was='queued' if formats else None, **changes):
            raise exception.ImageNotFound(image_id=image_id)
        return self.show(context, image_id)

    def set_active(self, context: RequestContext, image_id: str, active: bool) -> None:
        """Deactivate an image, so that only an administrator reads its data, or undo that."""
        if not context.is_admin:
            raise exception.Forbidden('Only an administrator may deactivate or reactivate an image.')
        image = self.show(context, image_id)
        if image.status not in ('active', 'deactivated'):
            raise exception.Forbidden(f"Image {image_id} in status '{image.status}' cannot be "
                                      f"{'reactivated' if active else 'deactivated'}.")
        session.write(db.change, image_id, was=image.status, status='active' if active else 'deactivated')

    def delete(self, context: RequestContext, image_id: str) -> None:
        image = self._own(context, image_id, 'delete')
        if image.protected:
            raise exception.Forbidden(f'Image {image_id} is protected and cannot be deleted.')
        if not session.write(db.change, image_id, status=db.GONE):
            raise exception.ImageNotFound(image_id=image_id)
        _finish_delete(image_id)

    def download(self, context: RequestContext, image_id: str) -> Iterator[bytes]:
        image = self.show(context, image_id)
        if image.status == 'deactivated' and not context.is_admin:
            raise exception.Forbidden(f'Image {image_id} is deactivated.')
        if image.status not in ('active', 'deactivated'):
            raise exception.ImageNotActive(image_id=image_id)
        return files.read(image_id) if image.size else iter(())     # an image that only says something has no file

    def upload(self, context: RequestContext, image_id: str, data: BinaryIO, *,
               size: int | None = None) -> ImageMeta:
        """`size`: what the caller says that will come, to refuse too large an image before its data."""
        image = self._own(context, image_id, 'upload to')
        if image.status != 'queued':
            raise exception.Conflict(f"Image {image_id} has data already: its status is '{image.status}'.")
        for field in ('disk_format', 'container_format'):
            if not getattr(image, field):
                raise exception.InvalidInput(reason=f'{field}: must be set before data is uploaded')
        limit = CONF.local_images.max_size_gb << 30
        if size is not None and size > limit:
            raise TooLarge(image_id=image_id, gb=CONF.local_images.max_size_gb)
        self.sweep()
        with files.writing(image_id) as part:
            _receive(image, part, data, limit, size)
        return self.show(context, image_id)

    # -- images whose data a compute sends ---------------------------------

    def reserve(self, context: RequestContext, meta: ImageMeta) -> Callable[[Any], None]:
        """Its status is `importing`: nobody uploads to it, and the sweep leaves it alone."""
        reserved = dataclasses.replace(meta, status='importing', owner=meta.owner or context.project_id)
        return lambda conn: db.insert(conn, reserved)

    def finish(self, image_id: str, facts: dict[str, Any]) -> Callable[[Any], None]:
        """In the caller's transaction: an action that fails at this very step has no image, and one that is active
        nobody discards."""
        deleted = exception.ImageNotFound(f'Image {image_id} was deleted while its data came.')
        with session.read() as conn:
            image = db.get(conn, image_id)
        if image is None:
            files.remove(image_id)
            raise deleted

        def write(conn: Any) -> None:
            if not db.change(conn, image_id, was='importing', status='active', **facts) and not db.get(conn, image_id):
                raise deleted
        return write

    def discard(self, image_id: str) -> None:
        session.write(db.change, image_id, was='importing', status=db.GONE)
        with session.read() as conn:
            if db.get(conn, image_id) is not None:
                return      # somebody may boot from it by now
        files.clear_if_abandoned(image_id, lambda: True)
        _finish_delete(image_id)

    def sweep(self) -> None:
        """Put right what a killed api left: half an upload, half a delete."""
        self.collect()
        with session.read() as conn:
            saving = db.in_status(conn, 'saving')
        for image_id in {*saving, *files.parts()}:
            abandoned = files.clear_if_abandoned(image_id, _has_status(image_id, 'saving'))
            if abandoned and session.write(db.change, image_id, was='saving', status='queued'):
                LOG.warning('The upload of image %s was broken off: it is queued again', image_id)

    def collect(self) -> Collection[str]:
        with session.read() as conn:
            gone = db.in_status(conn, db.GONE)
            # No copy and no upload of it may take longer than this, each.
            overdue = db.in_status(conn, 'importing', 2 * datetime.timedelta(seconds=CONF.conductor.image_deadline))
        for image_id in overdue:
            # It may have become active since the look.
            if session.write(db.change, image_id, was='importing', status=db.GONE):
                LOG.warning('The data of image %s never came: it is deleted', image_id)
                self.discard(image_id)
        for image_id in gone:
            _finish_delete(image_id)
        return gone + overdue

    def _own(self, context: RequestContext, image_id: str, verb: str) -> ImageMeta:
        image = self.show(context, image_id)
        if not context.is_admin and (image.owner is None or image.owner != context.project_id):
            raise exception.Forbidden(f"You may not {verb} image {image_id}: it is not your project's.")
        return image


def viewer(context: RequestContext) -> db.Viewer:
    return db.Viewer(context.project_id, bool(context.is_admin))


def _sees(context: RequestContext, image: ImageMeta) -> bool:
    own = image.owner is not None and image.owner == context.project_id
    return bool(context.is_admin or own or image.visibility in ('public', 'community'))


def _check_owner(context: RequestContext, owner: str | None) -> None:
    if owner is not None and owner != context.project_id and not context.is_admin:
        raise exception.Forbidden('owner: only an administrator may give an image to another project.')


def _check_choices(context: RequestContext, values: dict[str, Any]) -> None:
    for field, allowed in (('visibility', VISIBILITIES), ('disk_format', (None, *DISK_FORMATS)),
                           ('container_format', (None, *CONTAINER_FORMATS))):
        if field in values and values[field] not in allowed:
            names = ', '.join(name for name in allowed if name)
            raise exception.InvalidInput(reason=f'{field}: {values[field]!r} is not one of {names}')
    if values.get('visibility') == 'public' and not context.is_admin:
        raise exception.Forbidden('visibility: only an administrator may make an image public.')


def _has_status(image_id: str, status: str) -> Callable[[], bool]:
    def ask() -> bool:
        with session.read() as conn:
            image = db.get(conn, image_id)
        return image is not None and image.status == status
    return ask


def _finish_delete(image_id: str) -> None:
    files.remove(image_id)
    session.write(db.remove, image_id)


def _receive(image: ImageMeta, part: files.Part, data: BinaryIO, limit: int, size: int | None) -> None:
    """From queued to active, or back to queued with nothing left."""
    assert image.id is not None
    try:
        if size is not None and not files.has_room(size):
            raise files.StoreFull
        if not session.write(db.change, image.id, was='queued', status='saving'):
            raise exception.Conflict(f'Image {image.id} changed while the upload began.')
        facts = _copy(image, part, data, limit)
        part.publish()
        if not session.write(db.change, image.id, was='saving', status='active', **facts):
            raise exception.ImageNotFound(f'Image {image.id} was deleted during its upload.')
    except BaseException:    # a worker that is told to leave cleans up as well
        part.discard()
        session.write(db.change, image.id, was='saving', status='queued')
        raise


def _copy(image: ImageMeta, part: files.Part, data: BinaryIO, limit: int) -> dict[str, Any]:
    """-> the columns that the data decides. Keeps one chunk in memory."""
    inspector = StreamInspector(str(image.disk_format), image_id=str(image.id))
    sha512, md5 = hashlib.sha512(), hashlib.md5(usedforsecurity=False)
    while chunk := data.read(files.CHUNK):
        inspector.feed(chunk)
        if inspector.position > limit:
            raise TooLarge(image_id=image.id, gb=CONF.local_images.max_size_gb)
        sha512.update(chunk)
        md5.update(chunk)
        part.write(chunk)
    info = inspector.finish()
    return {'size': info.file_size, 'virtual_size': info.virtual_size, 'checksum': md5.hexdigest(),
            'os_hash_algo': 'sha512', 'os_hash_value': sha512.hexdigest()}
