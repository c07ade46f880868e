"""How a compute gives an image to the local store, and what is left when it does not."""
from __future__ import annotations

import datetime
import hashlib
import io
import os
import pathlib
import uuid
from typing import Any

import pytest

from minicompute import exception
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.models import images
from minicompute.image import local_files as files
from minicompute.image import source
from minicompute.image.base import SendStopped
from minicompute.image.local import LocalImages
from minicompute.image.sink import LocalSink
from minicompute.image.source import LocalSource
from minicompute.objects import ImageMeta
from tests.unit.image.test_local import ALICE, DATA, directory, left, store  # noqa: F401

# Fixtures of another module.
# ruff: noqa: F811


def never() -> bool:
    return False


def reserved(store: LocalImages) -> str:
    image_id = str(uuid.uuid4())
    session.write(store.reserve(ALICE, ImageMeta(id=image_id, name='copy', properties={'image_type': 'snapshot'})))
    return image_id


def send(image_id: str, path: pathlib.Path, **more: Any) -> dict[str, Any]:
    asked = {'disk_format': 'raw', 'progress': lambda percent: None, 'stop': never, **more}
    return LocalSink().send(image_id, str(path), **asked)


@pytest.fixture
def copy(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / 'copy-of-the-disk').write_bytes(DATA)
    return tmp_path / 'copy-of-the-disk'


def test_sent_and_finished(store: LocalImages, directory: pathlib.Path, copy: pathlib.Path,
                           tmp_path: pathlib.Path) -> None:
    image_id = reserved(store)
    before = store.show(ALICE, image_id)
    assert (before.status, before.owner, before.size) == ('importing', 'alice', None)
    told: list[int] = []
    facts = send(image_id, copy, progress=told.append)
    assert told == [100] and left(directory) == [image_id]
    assert store.show(ALICE, image_id).status == 'importing', 'the conductor says when'
    session.write(store.finish(image_id, facts))
    session.write(store.finish(image_id, facts))
    image = store.show(ALICE, image_id)
    assert (image.status, image.disk_format, image.container_format) == ('active', 'raw', 'bare')
    assert (image.size, image.virtual_size) == (5000, 5120) and image.checksum == hashlib.md5(DATA).hexdigest()
    LocalSource().fetch(image, str(tmp_path / 'back'))
    assert (tmp_path / 'back').read_bytes() == DATA


def test_asked_again_it_reads_what_it_sent(store: LocalImages, copy: pathlib.Path) -> None:
    """The daemon died after the file was whole; its own copy is gone."""
    image_id = reserved(store)
    facts = send(image_id, copy)
    copy.unlink()
    assert send(image_id, copy) == facts


def test_nobody_else_gives_it_data(store: LocalImages, directory: pathlib.Path, copy: pathlib.Path) -> None:
    image_id = reserved(store)
    with pytest.raises(exception.Conflict):
        store.upload(ALICE, image_id, io.BytesIO(DATA))
    with pytest.raises(exception.Forbidden):
        store.update(ALICE, image_id, {'disk_format': 'raw'})
    facts = send(image_id, copy)
    store.sweep()
    assert left(directory) == [image_id] and store.show(ALICE, image_id).status == 'importing'
    session.write(store.finish(image_id, facts))


@pytest.mark.parametrize('more, error', [
    ({'stop': lambda: True}, SendStopped), ({'disk_format': 'qcow2'}, exception.ImageUnacceptable)])
def test_what_is_broken_off_leaves_nothing(store: LocalImages, directory: pathlib.Path, copy: pathlib.Path,
                                           more: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        send(reserved(store), copy, **more)
    assert left(directory) == []


def test_a_full_store(store: LocalImages, directory: pathlib.Path, copy: pathlib.Path,
                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, 'free_bytes', lambda path: files.RESERVE)
    with pytest.raises(files.StoreFull):
        send(reserved(store), copy)
    assert left(directory) == []


def test_what_a_kill_left_is_forgotten(store: LocalImages, directory: pathlib.Path, copy: pathlib.Path) -> None:
    image_id = reserved(store)
    part = directory / f'{image_id}.part'
    directory.mkdir(exist_ok=True)
    part.write_bytes(b'half')
    LocalSink().forget(image_id)
    assert left(directory) == []
    with files.writing(image_id):
        LocalSink().forget(image_id)
        assert part.exists(), 'somebody writes it'


@pytest.mark.parametrize('progress', ['reserved', 'part', 'sent', 'deleted'])
def test_discarded_at_any_time(store: LocalImages, directory: pathlib.Path, copy: pathlib.Path, progress: str) -> None:
    image_id = reserved(store)
    if progress == 'part':
        directory.mkdir(exist_ok=True)
        (directory / f'{image_id}.part').write_bytes(b'half')
    if progress == 'sent':
        send(image_id, copy)
    if progress == 'deleted':
        store.delete(ALICE, image_id)
    store.discard(image_id)
    store.discard(image_id)
    assert left(directory) == []
    with pytest.raises(exception.ImageNotFound):
        store.show(ALICE, image_id)


def test_what_is_active_nobody_discards(store: LocalImages, directory: pathlib.Path, copy: pathlib.Path) -> None:
    """Also not an undo that comes too late: somebody may have booted from it."""
    image_id = reserved(store)
    session.write(store.finish(image_id, send(image_id, copy)))
    store.discard(image_id)
    assert left(directory) == [image_id] and store.show(ALICE, image_id).status == 'active'


def test_an_image_whose_data_never_came_is_swept(store: LocalImages, directory: pathlib.Path,
                                                 copy: pathlib.Path) -> None:
    old, young = reserved(store), reserved(store)
    send(old, copy)
    late = session.utcnow() - 3 * datetime.timedelta(seconds=CONF.conductor.image_deadline)
    session.write(lambda conn: conn.execute(images.update().where(images.c.uuid == old).values(updated_at=late)))
    store.sweep()
    assert left(directory) == [] and store.show(ALICE, young).status == 'importing'
    with pytest.raises(exception.ImageNotFound):
        store.show(ALICE, old)


def test_an_image_that_its_owner_deleted_meanwhile(store: LocalImages, directory: pathlib.Path,
                                                   copy: pathlib.Path) -> None:
    image_id = reserved(store)
    store.delete(ALICE, image_id)
    facts = send(image_id, copy)
    with pytest.raises(exception.ImageNotFound, match='was deleted'):
        store.finish(image_id, facts)
    assert left(directory) == [] and not os.path.exists(files.path_of(image_id))


def test_an_image_that_is_deleted_at_the_last_moment(store: LocalImages, copy: pathlib.Path) -> None:
    image_id = reserved(store)
    write = store.finish(image_id, send(image_id, copy))
    store.delete(ALICE, image_id)
    with pytest.raises(exception.ImageNotFound, match='was deleted'):
        session.write(write)
