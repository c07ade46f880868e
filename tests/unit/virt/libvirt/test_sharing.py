"""Hosts that have their servers in one directory: whose disks are whose, and who may remove which."""
from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Instance
from minicompute.virt.libvirt import arrival, carrier, disks, layout, sharers
from minicompute.virt.libvirt.builder import Builder
from minicompute.virt.libvirt.imagecache import ImageCache

from .conftest import make_caps, make_instance
from .test_disks import add_image, cache, make, source  # noqa: F401

# Fixtures of another module.
# ruff: noqa: F811


def place(instance: Instance) -> pathlib.Path:
    """The server's directory, which is made."""
    path = pathlib.Path(layout.directory(instance.uuid))
    path.mkdir()
    return path


def age(path: pathlib.Path) -> None:
    os.utime(path, (0, 0))


@pytest.fixture
def store(source) -> disks.Disks:
    return disks.Disks(ImageCache(source))


@pytest.fixture
def neighbour(option):
    """Another host that has its servers where ours are."""
    option('DEFAULT', host='neighbour')
    sharers.register()
    option('DEFAULT', host='h1')
    return 'neighbour'


# -- who is there ------------------------------------------------------------------------

def test_hosts_leave_their_names(state, neighbour, option):
    assert sharers.shares(neighbour)
    assert not sharers.shares('h1') and not sharers.shares(None) and not sharers.shares('')
    sharers.register()
    sharers.register()
    assert not sharers.shares('h1'), 'nobody is his own neighbour'
    (state / 'passwd').touch()
    assert not sharers.shares('/../../passwd'), 'a name is no path'
    assert sorted(os.listdir(state / 'instances')) == ['.host-h1', '.host-neighbour']


# -- owners ------------------------------------------------------------------------------

@pytest.mark.parametrize('content', [b'', b'\xff\xfe'])
def test_an_owner_that_cannot_be_read_is_somebody(content):
    instance = make_instance()
    (place(instance) / 'owner').write_bytes(content)
    assert disks.owner(instance.uuid) == disks.SOMEBODY and not disks.is_own(instance.uuid)
    with pytest.raises(exception.Conflict):
        disks.check_free(instance.uuid, None)
    disks.own(instance.uuid)
    assert disks.is_own(instance.uuid)


def test_an_owner_that_the_system_does_not_give_is_somebody():
    instance = make_instance()
    (place(instance) / 'owner').mkdir()
    assert disks.owner(instance.uuid) == disks.SOMEBODY


def test_without_a_directory_there_is_no_owner(state):
    instance = make_instance()
    assert disks.owner(instance.uuid) is None
    (state / 'instances' / instance.uuid).write_text('a file')
    assert disks.owner(instance.uuid) is None


def test_what_lives_with_a_neighbour_is_not_free(neighbour):
    instance = make_instance()
    disks.check_free(instance.uuid, neighbour)
    place(instance)
    disks.check_free(instance.uuid, 'somebody far away')
    disks.check_free(instance.uuid, CONF.host)
    with pytest.raises(exception.Conflict, match=neighbour):
        disks.check_free(instance.uuid, neighbour)
    disks.own(instance.uuid)
    with pytest.raises(exception.Conflict, match=neighbour):
        disks.check_free(instance.uuid, neighbour)


def test_disks_of_another_host_are_not_made_anew(source, cache):
    """What a lost host has there is all that is left of the server."""
    instance, image = make_instance(), add_image(source)
    made = make(cache, instance, image)
    disks.own(instance.uuid, 'a lost host')
    with pytest.raises(exception.Conflict, match='a lost host'):
        make(cache, instance, image)
    assert os.path.exists(made['root'].path)


def test_disks_of_a_neighbour_are_not_made_anew(source, cache, neighbour):
    """An evacuation to here that was not undone: they are ours by name, and the server lives there."""
    instance, image = make_instance(), add_image(source)
    made = make(cache, instance, image)
    instance.host = neighbour
    with pytest.raises(exception.Conflict, match=neighbour):
        make(cache, instance, image)
    assert os.path.exists(made['root'].path)


# -- markers of moves --------------------------------------------------------------------

def test_a_marker_that_says_nothing_is_no_answer(state):
    uuid = make_instance().uuid
    marker = state / 'instances' / f'.moving-{uuid}'
    marker.touch()
    with pytest.raises(exception.Conflict):
        carrier.sees(uuid, 'token')
    marker.write_bytes(b'\xff')
    assert not carrier.sees(uuid, 'token')
    marker.unlink()
    assert not carrier.sees(uuid, 'token')
    marker.mkdir()
    with pytest.raises(OSError):
        carrier.sees(uuid, 'token')


# -- what an evacuation finds --------------------------------------------------------------

def test_what_nothing_is_lost_with_is_made_again(source, cache):
    instance = make_instance({'swap': 16, 'ephemeral_gb': 1}, config_drive=True)
    made = make(cache, instance, add_image(source))
    plan = list(made.values())
    for kind in ('swap', 'config'):
        os.unlink(made[kind].path)
    arrival.complete(instance, plan)
    assert disks.complete(plan)
    os.unlink(made['ephemeral'].path)
    with pytest.raises(exception.Conflict, match='ephemeral disk disk.eph0'):
        arrival.complete(instance, plan)
    assert not os.path.exists(made['ephemeral'].path), 'an empty one would look like the data of the guest'


def test_without_its_root_disk_nothing_is_adopted():
    instance = make_instance({'swap': 16})
    place(instance)
    with pytest.raises(exception.Conflict, match='root disk'):
        arrival.complete(instance, Builder(make_caps()).disks(instance))


# -- sweeps --------------------------------------------------------------------------------

def test_a_removal_that_died_is_finished_and_nothing_else(state, store):
    """The server has a directory again, of another host."""
    instance = make_instance()
    half = state / 'instances' / f'{instance.uuid}_del'
    half.mkdir()
    (half / 'disk').touch()
    disks_of_other = place(instance)
    disks.own(instance.uuid, 'other')
    assert store.sweep(set()) == [str(half)]
    assert disks_of_other.exists() and not half.exists()


def test_what_is_nobodys_goes_when_it_is_old_and_known_to_be_deleted(state, store):
    names = {name: make_instance().uuid for name in ('deleted', 'unknown', 'young', 'empty', 'foreign', 'ours')}
    for uuid in names.values():
        (state / 'instances' / uuid).mkdir()
    (state / 'instances' / names['empty'] / 'owner').touch()
    disks.own(names['foreign'], 'other')
    disks.own(names['ours'])
    for name, uuid in names.items():
        if name != 'young':
            age(state / 'instances' / uuid)
    assert store.abandoned() == {names[name] for name in ('deleted', 'unknown', 'empty')}
    gone = {names[name] for name in ('deleted', 'empty', 'foreign')}
    removed = store.sweep({names['ours']}, gone)
    assert {os.path.basename(path) for path in removed} == {names['deleted'], names['empty']}
    assert {path.name for path in (state / 'instances').iterdir()} >= {
        names[name] for name in ('unknown', 'young', 'foreign', 'ours')}


def test_copies_that_died_are_removed_when_they_are_old(source, cache):
    instance, other = make_instance(), make_instance()
    for one in (instance, other):
        make(cache, one, add_image(source))
    disks.own(other.uuid, 'other')
    left = []
    for one in (instance, other):
        for name in ('disk.whole', '.disk.config.0123456789ab.part', 'young.whole'):
            path = pathlib.Path(layout.directory(one.uuid), name)
            path.touch()
            if not name.startswith('young'):
                age(path)
                left.append(str(path))
    removed = disks.Disks(cache).sweep({instance.uuid})
    assert sorted(removed) == sorted(path for path in left if instance.uuid in path)
    assert os.path.exists(layout.directory(instance.uuid) + '/disk')
    subprocess.run(['qemu-img', 'check', '-q', layout.directory(instance.uuid) + '/disk'], check=True)
