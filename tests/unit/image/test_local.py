"""The local image store: who sees what, and what is left when an upload goes wrong."""
from __future__ import annotations

import errno
import hashlib
import io
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute import exception
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import images as db
from minicompute.image import local_files as files
from minicompute.image.local import LocalImages
from minicompute.image.source import LocalSource
from minicompute.objects import ImageMeta

ALICE = RequestContext(user_id='u', project_id='alice', overwrite=False)
BOB = RequestContext(user_id='v', project_id='bob', overwrite=False)
ADMIN = RequestContext(user_id='a', project_id='ops', is_admin=True, overwrite=False)
DATA = b'\x01' * 5000


@pytest.fixture
def directory(conf: Any, tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    conf.set_override('path', str(tmp_path / 'images'), 'local_images')
    conf.set_override('max_size_gb', 1, 'local_images')
    yield tmp_path / 'images'
    for name in ('path', 'max_size_gb'):
        conf.clear_override(name, 'local_images')


@pytest.fixture
def store(database: str, directory: pathlib.Path) -> LocalImages:
    return LocalImages()


def queued(store: LocalImages, context: RequestContext = ALICE, **kwargs: Any) -> str:
    meta = ImageMeta(**{'name': 'i', 'disk_format': 'raw', 'container_format': 'bare', **kwargs})
    return str(store.create(context, meta).id)


def left(directory: pathlib.Path) -> list[str]:
    return sorted(os.listdir(directory)) if directory.exists() else []


def test_an_upload_is_hashed_and_readable_by_a_compute(store: LocalImages, tmp_path: pathlib.Path) -> None:
    image = store.upload(ALICE, queued(store), io.BytesIO(DATA))
    assert (image.status, image.size, image.checksum) == ('active', 5000, hashlib.md5(DATA).hexdigest())
    assert image.os_hash_value == hashlib.sha512(DATA).hexdigest()
    assert b''.join(store.download(ALICE, str(image.id))) == DATA
    LocalSource().fetch(image, str(tmp_path / 'copy'))
    assert (tmp_path / 'copy').read_bytes() == DATA


class Broken(io.BytesIO):
    def __init__(self, error: BaseException) -> None:
        super().__init__(DATA)
        self.error = error

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(1000)
        if self.tell() > 3000:
            raise self.error
        return data


@pytest.mark.parametrize(('data', 'error'), [
    (b'QFI\xfb' + b'\x00' * 600, exception.ImageUnacceptable), (b'', exception.ImageUnacceptable),
    (Broken(exception.Invalid('gone')), exception.Invalid), (Broken(SystemExit()), SystemExit)])
def test_a_failed_upload_leaves_nothing(store: LocalImages, directory: pathlib.Path, data: Any,
                                        error: type[BaseException]) -> None:
    image_id = queued(store)
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    with pytest.raises(error):
        store.upload(ALICE, image_id, stream)
    assert store.show(ALICE, image_id).status == 'queued'
    assert left(directory) == []
    assert store.upload(ALICE, image_id, io.BytesIO(DATA)).status == 'active'


def test_a_full_disk(store: LocalImages, directory: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_id = queued(store)

    def full(*_args: Any) -> int:
        raise OSError(errno.ENOSPC, 'No space left on device')
    with monkeypatch.context() as patched:
        patched.setattr(files.os, 'write', full)
        with pytest.raises(files.StoreFull, match='no space'):
            store.upload(ALICE, image_id, io.BytesIO(DATA))
    monkeypatch.setattr(files.source, 'free_bytes', lambda path: 6000)
    with pytest.raises(files.StoreFull):
        store.upload(ALICE, image_id, io.BytesIO(DATA), size=5000)
    assert (left(directory), store.show(ALICE, image_id).status) == ([], 'queued')


def test_too_large(store: LocalImages, directory: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_id = queued(store)

    class Endless(io.RawIOBase):
        sent = 0

        def read(self, size: int = -1) -> bytes:
            self.sent += size
            return b'\x01' * size
    monkeypatch.setattr(files.Part, 'write', lambda part, chunk: None)
    endless = Endless()
    with pytest.raises(exception.ComputeException) as caught:
        store.upload(ALICE, image_id, endless)    # type: ignore[arg-type]
    assert caught.value.code == 413 and endless.sent <= (1 << 30) + 2 * files.CHUNK
    with pytest.raises(exception.ComputeException, match='1 GiB'):
        store.upload(ALICE, image_id, io.BytesIO(), size=(1 << 30) + 1)
    assert left(directory) == []


@pytest.mark.parametrize('published', [False, True])
def test_what_a_killed_api_left_is_cleared(store: LocalImages, directory: pathlib.Path,
                                           published: bool) -> None:
    """Killed while writing, and between the renaming and the record of it."""
    image_id = queued(store)
    with files.writing(image_id) as part:
        part.write(b'half')
        session.write(db.change, image_id, status='saving')
        if published:
            part.publish()
        store.sweep()    # the writer lives: nothing happens
        assert store.show(ALICE, image_id).status == 'saving' and len(left(directory)) == 1
    store.upload(ALICE, queued(store), io.BytesIO(DATA))
    assert store.show(ALICE, image_id).status == 'queued'
    assert len(left(directory)) == 1


def test_a_sweep_never_takes_a_complete_image(store: LocalImages, directory: pathlib.Path) -> None:
    image_id = queued(store)
    store.upload(ALICE, image_id, io.BytesIO(DATA))
    assert files.clear_if_abandoned(image_id, lambda: False)
    store.sweep()
    assert left(directory) == [image_id]


def test_a_half_finished_delete_is_finished(store: LocalImages, directory: pathlib.Path) -> None:
    image_id = queued(store)
    store.upload(ALICE, image_id, io.BytesIO(DATA))
    session.write(db.change, image_id, status=db.GONE)
    with pytest.raises(exception.ImageNotFound):
        store.show(ALICE, image_id)
    store.sweep()
    assert left(directory) == []


def test_two_uploads_at_once(store: LocalImages) -> None:
    image_id = queued(store)
    with files.writing(image_id), pytest.raises(exception.Conflict):
        store.upload(ALICE, image_id, io.BytesIO(DATA))


def test_deleted_while_it_is_uploaded(store: LocalImages, directory: pathlib.Path) -> None:
    image_id = queued(store)

    class Deleting(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if not data:
                store.delete(ALICE, image_id)
            return data
    with pytest.raises(exception.ImageNotFound, match='deleted'):
        store.upload(ALICE, image_id, Deleting(DATA))
    assert left(directory) == []


def test_who_sees_what(store: LocalImages) -> None:
    ids = {v: queued(store, ADMIN, owner='alice', visibility=v)
           for v in ('public', 'community', 'shared', 'private')}

    def listed(context: RequestContext, **filters: Any) -> set[str]:
        seen = {image.id for image in store.list(context, filters=filters)}
        return {v for v, image_id in ids.items() if image_id in seen}
    assert listed(ALICE) == listed(ADMIN) == set(ids)
    assert listed(BOB) == {'public'}
    assert listed(BOB, visibility='community') == {'community'}
    assert listed(BOB, visibility='all') == {'public', 'community'}
    assert listed(BOB, visibility='private') == set()
    for visibility, image_id in ids.items():
        if visibility in ('public', 'community'):
            store.show(BOB, image_id)
            with pytest.raises(exception.Forbidden):
                store.delete(BOB, image_id)
            with pytest.raises(exception.Forbidden):
                store.update(BOB, image_id, {'name': 'mine'})
        else:
            with pytest.raises(exception.ImageNotFound):
                store.delete(BOB, image_id)


def test_what_only_an_administrator_may_do(store: LocalImages) -> None:
    image_id = queued(store)
    for changes in ({'visibility': 'public'}, {'owner': 'bob'}, {'status': 'active'}):
        with pytest.raises(exception.Forbidden):
            store.update(ALICE, image_id, changes)
    with pytest.raises(exception.Forbidden):
        queued(store, visibility='public')
    assert store.update(ADMIN, image_id, {'visibility': 'public'}).visibility == 'public'
    with pytest.raises(exception.Forbidden):
        store.set_active(ALICE, image_id, active=False)


def test_a_protected_image_stays(store: LocalImages) -> None:
    image_id = queued(store, protected=True)
    with pytest.raises(exception.Forbidden):
        store.delete(ALICE, image_id)
    store.update(ALICE, image_id, {'protected': False})
    store.delete(ALICE, image_id)


def test_ids_are_uuids_and_taken_once(store: LocalImages) -> None:
    with pytest.raises(exception.Invalid, match='id'):
        queued(store, id='../../etc/passwd')
    image_id = queued(store)
    with pytest.raises(exception.Conflict):
        queued(store, id=image_id.upper())


SORTS = [(('name', 'asc'),), (('size', 'desc'), ('name', 'asc')),
         (('disk_format', 'asc'), ('created_at', 'desc'))]


@pytest.mark.parametrize('sort', SORTS)
def test_pages_hold_everything_once(store: LocalImages, sort: db.Sort) -> None:
    for number in range(11):
        queued(store, name=None if number % 5 == 0 else f'n{number % 3}',
               disk_format=None if number % 4 == 0 else 'raw', tags=['odd'] if number % 2 else [])
    for filters in ({}, {'tags': ['odd']}):
        whole = [image.id for image in store.list(ALICE, filters=filters, sort=sort)]
        paged: list[str | None] = []
        while page := store.list(ALICE, filters=filters, sort=sort, limit=3,
                                 marker=paged[-1] if paged else None):
            paged += [image.id for image in page]
        assert paged == whole and len(set(whole)) == (5 if filters else 11)


def test_filters(store: LocalImages) -> None:
    one = queued(store, name='one', tags=['a', 'b'], properties={'os_distro': 'debian'}, min_ram=64)
    two = queued(store, name='two', tags=['a'])
    store.upload(ALICE, two, io.BytesIO(DATA))
    hidden = queued(store, name='three', properties={'os_hidden': True})

    def found(**filters: Any) -> list[str | None]:
        return [image.name for image in store.list(ALICE, filters=filters, sort=(('name', 'asc'),))]
    assert found() == ['one', 'two']
    assert found(name=['one', 'four']) == found(id=one) == found(tags=['a', 'b']) == ['one']
    assert found(min_ram=64) == ['one']
    assert found(properties={'os_distro': 'debian'}) == ['one'] and found(properties={'os_distro': 'x'}) == []
    assert found(size_min=5000) == found(size_max=5000) == found(status='active') == ['two']
    assert found(size_min=5001) == []
    assert found(os_hidden=True) == ['three'] and hidden
    assert found(created_at=[('gt', store.show(ALICE, one).created_at)]) == ['two']
    with pytest.raises(exception.MarkerNotFound):
        store.list(BOB, marker=one)
