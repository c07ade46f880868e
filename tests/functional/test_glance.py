"""Images that Glance has, through all roles; and a Glance that goes away in the middle."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute import exception
from minicompute.compute.api import begin
from minicompute.conductor import debts
from minicompute.db import session
from minicompute.db.api import owed
from minicompute.image import base
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud
from tests.functional.test_snapshots import act, action_of, backup, snapshot
from tests.functional.test_volumes import boot
from tests.glance import Glance
from tests.neighbour import Neighbour, forget


@pytest.fixture
def glance() -> Glance:
    return Glance()


@pytest.fixture
def neighbour(database: str, conf: Any, glance: Glance) -> Iterator[Neighbour]:
    found = Neighbour(glance.answer)
    found.configure(conf, 'glance')
    conf.set_override('image_backend', 'glance')
    yield found
    found.stop()
    forget(conf)
    for cached in (base._load, base._load_part):
        cached.cache_clear()


@pytest.fixture
def cloud(neighbour: Neighbour) -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.stop()


@pytest.fixture
def image(glance: Glance) -> str:
    return glance.add(b'\0' * 65536, name='tiny', disk_format='raw', container_format='bare', visibility='public')


@pytest.fixture
def server(cloud: Cloud, image: str) -> str:
    uuid = str(cloud.boot('vm', imageRef=image)['id'])
    cloud.wait(uuid)
    return uuid


def owing() -> list[str]:
    with session.read() as conn:
        return [row.verb for row in owed.of_neighbours(conn, 10)]


def of_server(glance: Glance, **said: str) -> list[str]:
    return [one['id'] for one in glance.images.values() if one.get('image_type')
            and all(one.get(name) == value for name, value in said.items())]


def test_an_image_becomes_a_server_and_a_server_an_image(cloud: Cloud, glance: Glance, server: str, image: str) -> None:
    made = snapshot(cloud, server, metadata={'mine': 'yes'})
    assert glance.images[made]['status'] in ('queued', 'active')      # who is told its id finds it
    cloud.wait(server)
    said = glance.images[made]
    assert (said['status'], said['owner'], said['visibility'], said['mine'], said['base_image_ref']) == (
        'active', 'demo', 'private', 'yes', image)
    assert server.encode() in glance.data[made] and owing() == []
    second = cloud.boot('second', imageRef=made)['id']
    cloud.wait(second)


def test_a_server_of_another_project(cloud: Cloud, glance: Glance, image: str) -> None:
    uuid = cloud.boot('vm', imageRef=image, user='bob', project='theirs')['id']
    cloud.wait(uuid)
    made = snapshot(cloud, uuid)
    cloud.wait(uuid)
    assert glance.images[made]['owner'] == 'demo' and glance.images[made]['visibility'] == 'shared'
    assert glance.members == {made: ['theirs']}


def test_whose_server_it_was_is_not_inherited(cloud: Cloud, glance: Glance, image: str) -> None:
    uuid = cloud.boot('vm', imageRef=image, user='bob', project='theirs')['id']
    cloud.wait(uuid)
    shared = snapshot(cloud, uuid)
    cloud.wait(uuid)
    second = cloud.boot('second', imageRef=shared)['id']
    cloud.wait(second)
    made = snapshot(cloud, second)
    cloud.wait(second)
    assert 'instance_owner' not in glance.images[made] and glance.images[made]['visibility'] == 'private'
    said = snapshot(cloud, second, metadata={'instance_owner': 'mine'})
    cloud.wait(second)
    assert glance.images[said]['instance_owner'] == 'mine' and glance.members == {shared: ['theirs']}


@pytest.mark.parametrize('status', [403, 409])
def test_a_member_is_refused(cloud: Cloud, glance: Glance, image: str, status: int) -> None:
    uuid = cloud.boot('vm', imageRef=image, user='bob', project='theirs')['id']
    cloud.wait(uuid)
    glance.no_members = status
    assert cloud.request('POST', f'/servers/{uuid}/action', {'createImage': {'name': 'x'}}).status_code == status
    assert of_server(glance) == [] and owing() == []


def test_a_refusal_is_told_though_glance_is_away(cloud: Cloud, glance: Glance, neighbour: Neighbour, server: str,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        neighbour.stop()
        raise exception.ActionInProgress(method='createImage', instance_uuid=server)
    monkeypatch.setattr(begin, 'flow', refuse)
    try:
        said = act(cloud, server, 'createImage', {'name': 'x'}, expect=409)
        assert 'conflictingRequest' in said and len(owing()) == 1
    finally:
        neighbour.start()


def test_backups_rotate(cloud: Cloud, glance: Glance, server: str) -> None:
    for number in range(3):
        backup(cloud, server, f'b{number}')
        cloud.wait(server)
    backup(cloud, server, 'weekly', kind='weekly')
    cloud.wait(server)
    assert sorted(glance.images[made]['name'] for made in of_server(glance)) == ['b1', 'b2', 'weekly']


def test_shelf_rescue_and_rebuild(cloud: Cloud, glance: Glance, server: str, image: str) -> None:
    act(cloud, server, 'shelve')
    cloud.wait(server, 'SHELVED_OFFLOADED')
    assert len(of_server(glance)) == 1
    act(cloud, server, 'unshelve')
    cloud.wait(server)
    assert of_server(glance) == []
    cloud.api('POST', f'/servers/{server}/action', {'rescue': {'rescue_image_ref': image}}, expect=200)
    cloud.wait(server, 'RESCUE')
    act(cloud, server, 'unrescue')
    cloud.wait(server)
    act(cloud, server, 'rebuild', {'imageRef': image})
    cloud.wait(server)


def test_what_cannot_be_booted(cloud: Cloud, glance: Glance, image: str) -> None:
    kernel = glance.add(b'kernel', disk_format='aki', container_format='aki')
    glance.images[image]['kernel_id'] = kernel
    cloud.wait(cloud.boot('with a kernel', imageRef=image)['id'])
    del glance.images[kernel]
    assert 'kernel' in cloud.boot('without', imageRef=image, expect=400)['badRequest']['message']
    del glance.images[image]['kernel_id']
    glance.images[image]['status'] = 'deactivated'
    assert 'is not active' in cloud.boot('closed', imageRef=image, expect=400)['badRequest']['message']
    assert 'Can not find requested image' in cloud.boot(
        'none', imageRef='1c2dbe62-a7d6-4f0f-b54a-8d68a9c6b9d4', expect=400)['badRequest']['message']


def test_the_proxies(cloud: Cloud, glance: Glance, image: str) -> None:
    old = {'version': '2.1'}
    assert [one['id'] for one in cloud.api('GET', '/images', **old)['images']] == [image]
    assert cloud.api('GET', f'/images/{image}', **old)['image']['status'] == 'ACTIVE'
    found = cloud.api('GET', '/images/detail?status=ACTIVE&limit=1', **old)['images']
    assert [one['name'] for one in found] == ['tiny']
    cloud.api('POST', f'/images/{image}/metadata', {'metadata': {'a': 'b'}}, **old)
    assert glance.images[image]['a'] == 'b'
    cloud.api('DELETE', f'/images/{image}/metadata/a', expect=204, **old)
    assert 'a' not in glance.images[image]
    cloud.api('DELETE', f'/images/{image}', expect=204, **old)
    cloud.api('GET', f'/images/{image}', expect=404, **old)
    cloud.api('GET', '/images?marker=nowhere', expect=400, **old)


def test_glance_is_away(cloud: Cloud, glance: Glance, neighbour: Neighbour, server: str, image: str) -> None:
    """Whoever needs it is told so, at once; nothing begins, and all else goes on."""
    flavor = cloud.flavor()
    neighbour.stop()
    try:
        for method, path, body, version in (
                ('POST', '/servers', {'server': {'name': 'x', 'imageRef': image, 'flavorRef': flavor,
                                                 'networks': 'none'}}, '2.104'),
                ('POST', f'/servers/{server}/action', {'createImage': {'name': 'x'}}, '2.104'),
                ('POST', f'/servers/{server}/action', {'rebuild': {'imageRef': image}}, '2.104'),
                ('GET', '/images', None, '2.1'), ('GET', f'/images/{image}', None, '2.1')):
            said = cloud.api(method, path, body, version=version, expect=503)
            assert said['serviceUnavailable']['message'] == (
                'The Image service is not available: it cannot be reached'), path
        assert cloud.show(server)['status'] == 'ACTIVE'
        act(cloud, server, 'os-stop')
        cloud.wait(server, 'SHUTOFF')
    finally:
        neighbour.start()
    assert len(owing()) == 1        # of createImage: nobody knows whether it was heard


def hold(neighbour: Neighbour, verb: str) -> None:
    """At this verb of the driver, once, Glance is gone."""
    def stop(driver: Any, uuid: str) -> None:
        FakeDriver.faults.pop(verb, None)
        neighbour.stop()
    FakeDriver.faults[verb] = stop


@pytest.mark.parametrize('verb', ['extract', 'send_image', 'send_image.after'])
def test_a_snapshot_waits_for_glance(cloud: Cloud, glance: Glance, neighbour: Neighbour, server: str,
                                     verb: str) -> None:
    hold(neighbour, verb)
    made = snapshot(cloud, server)
    cloud.until(lambda: verb not in FakeDriver.faults and not neighbour.running, 'Glance to be gone')
    neighbour.start()
    cloud.wait(server)
    assert glance.images[made]['status'] == 'active' and owing() == []


def test_a_snapshot_unwinds_without_glance(cloud: Cloud, glance: Glance, neighbour: Neighbour, server: str,
                                           conf: Any) -> None:
    conf.set_override('image_deadline', 10, 'conductor')
    conf.set_override('step_deadline', 5, 'conductor')
    hold(neighbour, 'send_image')
    made = snapshot(cloud, server)
    try:
        cloud.wait(server)
        cloud.until(lambda: action_of(cloud, server, 'createImage')['message'], 'the action to end')
        assert 'The Image service is not available' in action_of(cloud, server, 'createImage')['message']
        assert owing() == [f'image {made}'] and debts.pay() == 0
    finally:
        neighbour.start()
    assert made in glance.images
    assert debts.pay() == 1 and made not in glance.images and owing() == []


def test_a_delete_does_not_wait_for_glance(cloud: Cloud, glance: Glance, neighbour: Neighbour, server: str) -> None:
    act(cloud, server, 'shelve')
    cloud.wait(server, 'SHELVED_OFFLOADED')
    (shelved,) = of_server(glance)
    neighbour.stop()
    try:
        cloud.api('DELETE', f'/servers/{server}', expect=204)
        cloud.wait_gone(server)
        assert owing() == [f'image {shelved}']
    finally:
        neighbour.start()
    assert debts.pay() == 1 and of_server(glance) == []


def test_a_backup_does_not_wait_for_its_rotation(cloud: Cloud, glance: Glance, neighbour: Neighbour, server: str,
                                                 conf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from minicompute.image.glance import GlanceImages
    conf.set_override('step_deadline', 5, 'conductor')
    backup(cloud, server, 'first', rotation=1)
    cloud.wait(server)
    listed = GlanceImages.list

    def lists(self: Any, *args: Any, **kwargs: Any) -> Any:
        neighbour.stop()
        return listed(self, *args, **kwargs)
    monkeypatch.setattr(GlanceImages, 'list', lists)
    try:
        backup(cloud, server, 'second', rotation=1)
        cloud.wait(server)
    finally:
        neighbour.start()
    assert sorted(glance.images[one]['name'] for one in of_server(glance, status='active')) == ['first', 'second']
    monkeypatch.undo()
    backup(cloud, server, 'third', rotation=1)
    cloud.wait(server)
    assert [glance.images[one]['name'] for one in of_server(glance)] == ['third']


def test_images_that_others_stand_on_stay(cloud: Cloud, glance: Glance, neighbour: Neighbour, server: str,
                                          image: str) -> None:
    """As a clone in Ceph does: nobody waits for their end, neither a deletion nor a backup."""
    for name in ('first', 'second'):
        backup(cloud, server, name, rotation=1)
        cloud.wait(server)
        glance.in_use |= set(of_server(glance))
    assert sorted(glance.images[one]['name'] for one in of_server(glance)) == ['first', 'second']
    assert action_of(cloud, server, 'createBackup')['message'] is None
    act(cloud, server, 'shelve')
    cloud.wait(server, 'SHELVED_OFFLOADED')
    glance.in_use |= set(glance.images)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    assert len(of_server(glance)) == 3 and owing() == []
    left = next(iter(of_server(glance)))
    session.write(lambda conn: owed.add_debt(conn, 'glance', server, f'image {left}', {}, 'it was away'))
    assert debts.pay() == 1 and owing() == [] and left in glance.images


def test_an_image_of_volumes_unwinds_without_glance(cloud: Cloud, glance: Glance, neighbour: Neighbour,
                                                    image: str) -> None:
    uuid = boot(cloud, {'source_type': 'image', 'uuid': image, 'destination_type': 'volume', 'boot_index': 0,
                        'volume_size': 1, 'delete_on_termination': True})['id']
    cloud.wait(uuid)

    def refuse(driver: Any, uuid: str) -> None:
        FakeDriver.faults.clear()
        neighbour.stop()
        raise exception.DiskFull(what='the snapshots')
    FakeDriver.faults['copy_volumes'] = refuse
    made = snapshot(cloud, uuid)
    try:
        cloud.wait(uuid)
        cloud.until(lambda: action_of(cloud, uuid, 'createImage')['message'], 'the action to end')
        assert owing() == [f'image {made}']
    finally:
        neighbour.start()
    assert debts.pay() == 1 and made not in glance.images


def test_a_build_that_is_late_says_why(cloud: Cloud, image: str, conf: Any) -> None:
    conf.set_override('build_deadline', 10, 'conductor')
    gate, asked = threading.Event(), []

    def spawn(driver: Any, uuid: str) -> None:
        asked.append(uuid)
        if len(asked) == 1:
            raise exception.NeighbourUnavailable(service='Image', reason='it cannot be reached')
        gate.wait(14)       # its undo waits for it
    FakeDriver.faults['spawn'] = spawn
    try:
        uuid = cloud.boot('vm', imageRef=image)['id']
        cloud.until(lambda: cloud.show(uuid).get('fault'), 'the build to fail')
        assert 'in 10 s: The Image service is not available' in cloud.show(uuid)['fault']['message']
    finally:
        gate.set()
    cloud.wait(uuid, 'ERROR')


def test_a_refused_action_leaves_no_image(cloud: Cloud, glance: Glance, server: str,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt
    monkeypatch.setattr(begin, 'flow', refuse)
    with pytest.raises(KeyboardInterrupt):
        cloud.request('POST', f'/servers/{server}/action', {'createImage': {'name': 'x'}})
    assert of_server(glance) == [] and owing() == []


def test_properties_with_names_of_attributes(cloud: Cloud, glance: Glance, server: str) -> None:
    said = act(cloud, server, 'createImage', {'name': 'x', 'metadata': {'owner': 'me'}}, expect=400)
    assert 'owner is an attribute of images' in said['badRequest']['message']
    assert of_server(glance) == [] and owing() == []
