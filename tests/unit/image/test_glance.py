"""Glance as our image service, over real sockets."""
from __future__ import annotations

import datetime
import hashlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from minicompute import exception
from minicompute.context import RequestContext, admin_context
from minicompute.image import base, glance_data
from minicompute.image.base import FetchStopped, SendStopped
from minicompute.image.glance import GlanceImages, meta_of
from minicompute.objects import ImageMeta
from minicompute.virt.libvirt.imagecache import ImageCache
from tests.glance import Glance
from tests.neighbour import Neighbour, forget

DATA = bytes(range(256)) * 20000        # five chunks
CHUNK = 1 << 20


@pytest.fixture
def glance() -> Glance:
    return Glance()


@pytest.fixture
def server(conf: Any, glance: Glance, monkeypatch: pytest.MonkeyPatch) -> Iterator[Neighbour]:
    found = Neighbour(glance.answer)
    found.configure(conf, 'glance')
    conf.set_override('auth_strategy', 'keystone', 'api')
    conf.set_override('image_backend', 'glance')
    monkeypatch.setattr(glance_data, 'NOTICE', 0.3)
    monkeypatch.setattr(glance_data, 'LOOK', 0.01)
    monkeypatch.setattr(glance_data.time, 'sleep', lambda seconds: None)
    yield found
    found.stop()
    forget(conf)
    for cached in (base._load, base._load_part):
        cached.cache_clear()


@pytest.fixture
def images(server: Neighbour) -> GlanceImages:
    found = base.load()
    assert isinstance(found, GlanceImages)
    return found


def user(glance: Glance, project: str) -> RequestContext:
    glance.users[f'token-of-{project}'] = project
    return RequestContext(user_id='u', project_id=project, auth_token=f'token-of-{project}', overwrite=False)


def test_show_is_what_glance_says(images: GlanceImages, glance: Glance) -> None:
    image_id = glance.add(DATA, name='n', hw_disk_bus='scsi', os_hidden=True, disk_format='raw',
                          container_format='bare', min_ram=64, tags=['t'], visibility='public')
    meta = images.show(admin_context(), image_id)
    assert (meta.id, meta.name, meta.status, meta.size, meta.min_ram, meta.tags, meta.disk_format) == (
        image_id, 'n', 'active', len(DATA), 64, ['t'], 'raw')
    assert meta.properties == {'hw_disk_bus': 'scsi', 'os_hidden': True}
    assert meta.os_hash_value == hashlib.sha512(DATA).hexdigest() and meta.visibility == 'public'
    assert meta.created_at == datetime.datetime(2026, 1, 2, 3, 0, 1)


def test_who_sees_what_is_for_glance_to_say(images: GlanceImages, glance: Glance) -> None:
    image_id = glance.add(DATA, owner='p', visibility='private')
    assert images.show(user(glance, 'p'), image_id).id == image_id
    assert images.show(admin_context(), image_id).id == image_id         # our service user
    with pytest.raises(exception.ImageNotFound, match=image_id):
        images.show(user(glance, 'other'), image_id)


@pytest.mark.parametrize('name', ['', '.', '..', 'a/../b', 'x?y=z', 'no such'])
def test_names_that_are_no_ids(images: GlanceImages, server: Neighbour, name: str) -> None:
    with pytest.raises(exception.ImageNotFound):
        images.show(admin_context(), name)
    assert all(seen[1].startswith('/v2/images/') and '/../' not in seen[1] for seen in server.seen)


def test_lists_of_any_length(images: GlanceImages, glance: Glance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('minicompute.image.glance.PAGE', 3)
    ids = [glance.add(DATA[:10], name='same', image_type='backup' if number % 2 else 'snapshot') for number in range(8)]
    newest = ids[::-1]
    listed = [meta.id for meta in images.list(admin_context())]
    assert listed == newest
    assert [meta.id for meta in images.list(admin_context(), limit=4)] == newest[:4]
    assert [meta.id for meta in images.list(admin_context(), limit=4, marker=newest[3])] == newest[4:]
    assert [meta.id for meta in images.list(admin_context(), filters={
        'status': ['active', 'saving'], 'properties': {'image_type': 'backup'}, 'owner': 'p'})] == newest[::2]
    with pytest.raises(exception.MarkerNotFound):
        images.list(admin_context(), marker='nowhere')


def test_times_are_asked_for_in_glances_words(images: GlanceImages, server: Neighbour) -> None:
    images.list(admin_context(), filters={'updated_at': [('gte', datetime.datetime(2026, 1, 2, 3, 4, 5))]})
    assert 'updated_at=gte%3A2026-01-02T03%3A04%3A05Z' in server.seen[-1][1]


def test_properties_are_replaced(images: GlanceImages, glance: Glance) -> None:
    image_id = glance.add(DATA, a='1', b='2', **{'c/d~': '3'})
    changed = images.update(admin_context(), image_id, {'properties': {'a': '1', 'b': 'x', 'new/one': 4}, 'name': 'n'})
    assert changed.properties == {'a': '1', 'b': 'x', 'new/one': '4'} and changed.name == 'n'
    with pytest.raises(exception.InvalidInput, match='owner is an attribute of images'):
        images.update(admin_context(), image_id, {'properties': {'owner': 'me'}})


def test_refusals(images: GlanceImages, glance: Glance, server: Neighbour) -> None:
    image_id = glance.add(DATA, protected=True)
    with pytest.raises(exception.Forbidden, match='it is protected'):
        images.delete(admin_context(), image_id)
    images.discard(image_id)                                 # is not the place to insist
    with pytest.raises(exception.ImageNotFound):
        images.delete(admin_context(), 'nowhere')
    images.discard('nowhere')
    server.answer = lambda *_asked: (404, {'message': 'no such route'})
    with pytest.raises(exception.NeighbourUnavailable, match='404'):
        images.discard(image_id)                             # it is not Glance who says so
    server.answer = glance.answer
    with pytest.raises(exception.Conflict):
        images.create(admin_context(), ImageMeta(id=image_id, name='again'))


# -- downloads -------------------------------------------------------------------------------------

Fetch = Callable[[str], bytes]


@pytest.fixture
def fetch(images: GlanceImages, glance: Glance, tmp_path: pathlib.Path) -> Fetch:
    def fetched(image_id: str, **said: Any) -> bytes:
        meta = meta_of({**glance.images[image_id], **said})
        base.source().fetch(meta, str(tmp_path / 'image'))
        return (tmp_path / 'image').read_bytes()
    return fetched


def ranges(server: Neighbour) -> list[str | None]:
    return [seen[2]['Range'] for seen in server.seen if seen[1].endswith('/file')]


def test_download(fetch: Fetch, glance: Glance, server: Neighbour) -> None:
    assert fetch(glance.add(DATA)) == DATA
    assert ranges(server) == [None]


def test_a_broken_download_goes_on_where_it_was(fetch: Fetch, glance: Glance, server: Neighbour) -> None:
    glance.breaks = [2 * CHUNK, CHUNK]
    assert fetch(glance.add(DATA)) == DATA
    assert ranges(server) == [None, f'bytes={2 * CHUNK}-', f'bytes={3 * CHUNK}-']


def test_or_begins_anew(fetch: Fetch, glance: Glance, server: Neighbour) -> None:
    glance.breaks, glance.ranges = [2 * CHUNK], False
    assert fetch(glance.add(DATA)) == DATA


def test_or_is_given_up(fetch: Fetch, glance: Glance, server: Neighbour, conf: Any) -> None:
    conf.set_override('num_retries', 2, 'glance')
    glance.breaks = [0] * 10
    with pytest.raises(exception.NeighbourUnavailable, match='it breaks off downloads'):
        fetch(glance.add(DATA))
    assert len(ranges(server)) == 3


def test_a_download_is_broken_off(images: GlanceImages, glance: Glance, server: Neighbour,
                                  tmp_path: pathlib.Path) -> None:
    meta, path = meta_of(glance.images[glance.add(DATA)]), tmp_path / 'image'
    with pytest.raises(FetchStopped):
        base.source().fetch(meta, str(path), lambda: len(ranges(server)) > 0)
    assert path.stat().st_size < len(DATA)


def test_and_while_it_trickles(images: GlanceImages, glance: Glance, server: Neighbour,
                               tmp_path: pathlib.Path) -> None:
    """Who waits for a whole chunk is not asked."""
    glance.drops = 1000
    meta = meta_of(glance.images[glance.add(DATA)])
    with pytest.raises(FetchStopped):
        base.source().fetch(meta, str(tmp_path / 'image'), lambda: len(ranges(server)) > 0)
    assert 0 < glance.drops


@pytest.mark.parametrize(('said', 'reason'), [
    ({'os_hash_value': 'ab' * 64}, 'its hash is not what the image service says'),
    ({'os_hash_value': None, 'checksum': 'ab' * 16}, 'its hash is not what the image service says'),
    ({'os_hash_algo': 'crc7'}, 'made by crc7, which is not known here'),
    ({'size': 1000}, 'it is larger than the image service says')])
def test_what_is_not_what_was_said_is_refused(fetch: Fetch, glance: Glance, said: Any, reason: str) -> None:
    with pytest.raises(exception.ImageUnacceptable, match=reason):
        fetch(glance.add(DATA), **said)


def test_image_without_data(fetch: Fetch, glance: Glance) -> None:
    image_id = glance.add(DATA)
    del glance.data[image_id]
    with pytest.raises(exception.ImageUnacceptable, match='has no data of it'):
        fetch(image_id)


def test_image_that_is_gone_or_closed(fetch: Fetch, glance: Glance, server: Neighbour) -> None:
    image_id = glance.add(DATA)
    document = glance.images.pop(image_id)
    with pytest.raises(exception.ImageNotFound):
        base.source().fetch(meta_of(document), '/dev/null')
    server.answer = lambda *asked: (403, {'message': 'it is deactivated'})
    with pytest.raises(exception.Forbidden, match='it is deactivated'):
        base.source().fetch(meta_of(document), '/dev/null')


# -- uploads -----------------------------------------------------------------------------------------

@pytest.fixture
def disk(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / 'disk'
    path.write_bytes(bytes(512) + DATA)
    return path


def reserve(images: GlanceImages, glance: Glance) -> str:
    meta = ImageMeta(id='4e7a3b1c-5f06-4c86-9d5d-0d2c1f3f6d11', name='of a server', owner='p', visibility='private',
                     properties={'instance_uuid': 'x', 'n': 3, 'none': None, 'list': [1]})
    assert images.reserve(user(glance, 'p'), meta) is None
    return str(meta.id)


def no_stop() -> bool:
    return False


def send(image_id: str, disk: pathlib.Path, percents: list[int] | None = None, stop: Any = no_stop) -> dict[str, Any]:
    return base.sink().send(image_id, str(disk), 'raw', (percents if percents is not None else []).append, stop)


def test_image_of_a_server(images: GlanceImages, glance: Glance, disk: pathlib.Path) -> None:
    image_id, percents = reserve(images, glance), list[int]()
    assert glance.images[image_id]['n'] == '3' and glance.images[image_id]['list'] == '[1]'
    assert 'none' not in glance.images[image_id] and glance.images[image_id]['owner'] == 'p'
    facts = send(image_id, disk, percents)
    assert glance.data[image_id] == disk.read_bytes() and glance.images[image_id]['disk_format'] == 'raw'
    assert facts['size'] == len(DATA) + 512 and percents[-1] == 100 and len(percents) <= 102
    assert images.finish(image_id, facts) is None
    assert images.finish(image_id, facts) is None
    assert send(image_id, disk) == facts                     # asked again: it is there
    disk.write_bytes(bytes(512) + DATA[:-1] + b'x')
    with pytest.raises(exception.ImageUnacceptable, match='hash'):
        send(image_id, disk)
    images.discard(image_id)
    assert image_id not in glance.images


def test_asked_again_without_the_file(images: GlanceImages, glance: Glance, disk: pathlib.Path) -> None:
    image_id = reserve(images, glance)
    facts = send(image_id, disk)
    disk.unlink()                           # as a compute does at the end, which is killed before it could say so
    again = send(image_id, disk)
    assert again == {**facts, 'virtual_size': None}         # this Glance does not look into images
    assert images.finish(image_id, again) is None
    glance.images[image_id]['status'] = 'queued'
    with pytest.raises(FileNotFoundError):
        send(image_id, disk)


@pytest.mark.parametrize(('visibility', 'members'), [('private', {}), ('shared', {'an-id': ['theirs']})])
def test_members_are_of_shared_images(images: GlanceImages, glance: Glance, visibility: str, members: Any) -> None:
    meta = ImageMeta(id='an-id', visibility=visibility, properties={'instance_owner': 'theirs'})
    assert images.reserve(user(glance, 'p'), meta) is None
    assert glance.members == members


def test_what_arrived_is_compared(images: GlanceImages, glance: Glance, disk: pathlib.Path) -> None:
    image_id = reserve(images, glance)
    with pytest.raises(exception.ImageNotActive):
        images.finish(image_id, {'size': 7, 'disk_format': 'raw', 'container_format': 'bare'})
    facts = send(image_id, disk)
    for wrong in ({'size': 1}, {'os_hash_value': 'x'}):
        with pytest.raises(exception.ImageUnacceptable):
            images.finish(image_id, {**facts, **wrong})
    del glance.images[image_id]
    with pytest.raises(exception.ImageNotFound):
        images.finish(image_id, facts)


def test_image_that_only_says_something(images: GlanceImages, glance: Glance) -> None:
    image_id = reserve(images, glance)
    images.finish(image_id, {'size': 0, 'virtual_size': 0, 'disk_format': 'raw', 'container_format': 'bare'})
    assert glance.images[image_id]['status'] == 'active' and glance.data[image_id] == b''


def test_an_upload_that_is_stopped(images: GlanceImages, glance: Glance, disk: pathlib.Path) -> None:
    image_id = reserve(images, glance)
    answers = iter([False] * 10)
    with pytest.raises(SendStopped):
        send(image_id, disk, stop=lambda: next(answers, True))
    assert glance.images[image_id]['status'] == 'queued'


def test_glance_that_believes_in_a_dead_upload(images: GlanceImages, glance: Glance, disk: pathlib.Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    image_id = reserve(images, glance)
    glance.images[image_id]['status'] = 'saving'
    with pytest.raises(exception.Conflict, match="in status 'saving': an upload was broken off"):
        send(image_id, disk)
    monkeypatch.setattr(glance_data.time, 'sleep', lambda seconds: glance.images[image_id].update(status='queued'))
    assert send(image_id, disk)['size'] == disk.stat().st_size


def test_nothing_is_sent_twice(disk: pathlib.Path) -> None:
    with open(disk, 'rb') as reader:
        reading = glance_data.Reading(reader, 'an-id', 'raw', lambda percent: None, no_stop)
        assert b''.join(reading) == disk.read_bytes() and len(reading) == disk.stat().st_size
        with pytest.raises(OSError, match='not sent again'):
            reading.read(10)


def test_glance_is_away(images: GlanceImages, glance: Glance, server: Neighbour, disk: pathlib.Path) -> None:
    image_id = reserve(images, glance)
    server.stop()
    try:
        for ask in (lambda: images.show(admin_context(), image_id), lambda: send(image_id, disk),
                    lambda: images.discard(image_id),
                    lambda: base.source().fetch(ImageMeta(id=image_id), str(disk))):
            with pytest.raises(exception.NeighbourUnavailable):
                ask()
    finally:
        server.start()


def test_images_that_have_to_be_signed_are_not_believed(images: GlanceImages, glance: Glance, conf: Any,
                                                        tmp_path: pathlib.Path) -> None:
    """Also one that was fetched before somebody asked for signatures."""
    signed = {'img_signature': 'xx', 'img_signature_hash_method': 'SHA-256', 'img_signature_key_type': 'RSA-PSS',
              'img_signature_certificate_uuid': '0f0f'}
    meta = images.show(admin_context(), glance.add(DATA, disk_format='raw', **signed))
    source, cache = base.source(), ImageCache(base.source())
    conf.set_override('instances_path', str(tmp_path))
    (tmp_path / '_base').mkdir()
    cache.keep(meta)
    conf.set_override('verify_glance_signatures', True, 'glance')
    for use in (lambda: source.fetch(meta, str(tmp_path / 'x')), lambda: cache.keep(meta)):
        with pytest.raises(exception.ImageUnacceptable, match='verify_glance_signatures'):
            use()
    assert not (tmp_path / 'x').exists()
