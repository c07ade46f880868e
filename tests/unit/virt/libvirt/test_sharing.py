"""Hosts that have their servers in one directory: whose disks are whose, and who may remove which."""
from __future__ import annotations

import errno
import json
import os
import pathlib
import shutil
import subprocess
import types

import pytest

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Instance
from minicompute.virt.libvirt import arrival, carrier, disks, guest, layout, sharers
from minicompute.virt.libvirt.builder import Builder
from minicompute.virt.libvirt.driver import LibvirtDriver
from minicompute.virt.libvirt.imagecache import ImageCache
from minicompute.virt.libvirt.verbs.live import LibvirtLive

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


# -- copies of directories ---------------------------------------------------------------

def copied(state: pathlib.Path) -> None:
    """The directory of the instances is another one from now on, with all that was in the first."""
    shutil.copytree(state / 'instances', state / 'copy')
    (state / 'instances').rename(state / 'first')
    (state / 'copy').rename(state / 'instances')


def test_the_marker_of_a_copied_directory_is_nobodys(state, neighbour):
    sharers.register()
    assert sharers.shares(neighbour) and not sharers.known_apart(neighbour)
    copied(state)
    assert not sharers.shares(neighbour) and sharers.known_apart(neighbour)
    instance = make_instance()
    place(instance)
    disks.check_free(instance.uuid, neighbour)
    sharers.register()
    assert not sharers.shares(neighbour) and not sharers.proven(neighbour)


@pytest.fixture
def as_host(option):
    """as_host(name, fn): what the daemon of that host does."""
    def run(name: str, do) -> None:
        option('DEFAULT', host=name)
        sharers._seen.clear()
        do()
        option('DEFAULT', host='h1')
        sharers._seen.clear()
    return run


def test_whom_to_believe(state, neighbour, as_host):
    """Who has seen our marker in its own directory."""
    sharers.register()
    assert sharers.shares(neighbour) and not sharers.proven(neighbour), 'it has started before us'
    as_host(neighbour, sharers.refresh)
    assert sharers.proven(neighbour)
    sharers.register()
    assert sharers.proven(neighbour), 'a new start is the same host'
    assert not sharers.proven('far away') and not sharers.proven('h1')


def test_a_spare_that_came_late_is_vouched_for(state, neighbour, as_host):
    """The neighbour is lost before we came; a third host has met it, and now meets us."""
    as_host('third', sharers.register)
    as_host(neighbour, sharers.refresh)
    as_host('third', sharers.refresh)
    sharers.register()
    assert not sharers.proven(neighbour) and not sharers.proven('third')
    as_host('third', sharers.refresh)
    assert sharers.proven('third') and sharers.proven(neighbour)


def test_one_that_never_met_the_lost_host_vouches_for_nobody(state, neighbour, as_host):
    as_host('third', sharers.register)      # the neighbour is lost already, and has never read this
    sharers.register()
    as_host('third', sharers.refresh)
    assert sharers.proven('third') and not sharers.proven(neighbour)


def test_a_copy_of_the_blocks_proves_nothing(state, neighbour, as_host, monkeypatch):
    """The same inodes and markers, also our own of the time when we lived there: but on another device."""
    sharers.register()
    as_host(neighbour, sharers.refresh)
    assert sharers.proven(neighbour)
    monkeypatch.setattr(sharers, '_mount', lambda: 'the copy')
    assert not sharers.proven(neighbour), 'mounted while the daemon runs'
    sharers.register()
    assert not sharers.proven(neighbour)
    for _ in range(2):
        sharers.refresh()
    assert sharers.shares(neighbour) and not sharers.proven(neighbour)


def test_a_start_of_the_machine_ends_what_we_were_known_by(state):
    boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    sharers.register()
    mine = json.loads((state / 'instances' / '.host-h1').read_text())
    assert mine['mount'].split() == [boot, str(os.stat(CONF.instances_path).st_dev)]


def test_a_marker_is_written_when_something_is_new(state, neighbour):
    sharers.register()
    mine = state / 'instances' / '.host-h1'
    age(mine)
    sharers.refresh()
    assert mine.stat().st_mtime == 0
    (state / 'instances' / '.host-third').write_text('{')
    sharers.refresh()
    assert mine.stat().st_mtime == 0, 'it says nothing new'
    mine.unlink()
    sharers.refresh()
    assert mine.exists()


def test_a_start_writes_the_marker_anew(state):
    """The directory may have moved, or the version, though nobody else is there."""
    sharers.register()
    mine = state / 'instances' / '.host-h1'
    whole = mine.read_text()
    for before in ('h1', whole.replace('"directory": ', '"directory": 9')):
        mine.write_text(before)
        sharers._seen.clear()
        sharers.register()
        assert json.loads(mine.read_text())['directory'] == json.loads(whole)['directory']


def test_markers_of_an_earlier_version(state):
    (state / 'instances' / '.host-older').write_text('older')
    sharers.register()
    assert sharers.shares('older') and not sharers.known_apart('older')
    assert not sharers.proven('older'), 'it could not say whom it has met'


class Driver(LibvirtLive):
    """The verbs that look at files alone."""

    def __init__(self) -> None:
        pass


def test_what_an_evacuation_takes_for_shared(state, neighbour, as_host):
    instance = make_instance()
    place(instance)
    sharers.register()
    disks.own(instance.uuid, neighbour)
    with pytest.raises(exception.InvalidSharedStorage, match=f'h1 sees disks of {neighbour}.*not a copy'):
        Driver().sees_disks_of(instance, neighbour)
    assert Driver().sees_disks_of(instance, neighbour, said=True), 'the operator knows'
    disks.own(instance.uuid)
    assert not Driver().sees_disks_of(instance, neighbour), 'ours of long ago, and nobody knows what the other has'
    as_host(neighbour, sharers.refresh)
    assert Driver().sees_disks_of(instance, neighbour)
    disks.own(instance.uuid, neighbour)
    assert Driver().sees_disks_of(instance, neighbour)
    disks.own(instance.uuid, 'a third')
    assert not Driver().sees_disks_of(instance, neighbour, said=True)
    disks.own(instance.uuid, neighbour)
    copied(state)
    assert not Driver().sees_disks_of(instance, neighbour), 'the disks of yesterday'
    assert not Driver().sees_disks_of(instance, neighbour, said=True), 'which is sure'


# -- an evacuation that is broken off ------------------------------------------------------

def evacuated(source, cache, host):
    """Made here of a server that lives on `host`."""
    instance = make_instance(host=host)
    return instance, make(cache, instance, add_image(source))['root'].path


def test_what_was_made_here_can_be_made_again(source, cache, neighbour):
    instance, root = evacuated(source, cache, neighbour)
    make(cache, instance, add_image(source))
    assert disks.is_made_for(instance.uuid, neighbour) and not disks.is_made_for(instance.uuid, 'another')
    assert os.path.exists(root)


@pytest.mark.parametrize('over', ['moved', 'moves', None])
def test_only_what_was_made_here_is_ours_alone(source, cache, neighbour, over):
    instance, _ = evacuated(source, cache, neighbour)
    if over == 'moved':
        disks.own(instance.uuid, neighbour)
        disks.own(instance.uuid)
    elif over == 'moves':
        disks.settled(instance.uuid)
    assert disks.is_made_for(instance.uuid, neighbour) == (over is None)


@pytest.mark.parametrize('made', [True, False])
def test_its_removal_leaves_nothing_for_the_lost_host(source, cache, neighbour, store, monkeypatch, made):
    """Or the next evacuation takes it for the server's own disks, and does not begin."""
    instance, root = evacuated(source, cache, neighbour)
    if not made:    # the disks of a server whose host died before it could say that they are its own
        disks.settled(instance.uuid)
    driver = Driver()
    driver._host, driver._disks, driver._networks = None, store, types.SimpleNamespace(unplug=lambda one: None)
    monkeypatch.setattr(guest, 'remove', lambda host, uuid: True)
    monkeypatch.setattr(carrier, 'Landing', lambda host, uuid: types.SimpleNamespace(close=lambda: None))
    driver._remove(instance)
    assert os.path.exists(root) != made
    assert disks.owner(instance.uuid) == (None if made else neighbour)


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
        for name in ('disk.whole', '.disk.config.0123456789ab.part', 'young.whole', 'extract.an-image'):
            path = pathlib.Path(layout.directory(one.uuid), name)
            path.touch()
            if not name.startswith('young'):
                age(path)
                left.append(str(path))
    removed = disks.Disks(cache).sweep({instance.uuid})
    assert sorted(removed) == sorted(path for path in left if instance.uuid in path)
    assert os.path.exists(layout.directory(instance.uuid) + '/disk')
    subprocess.run(['qemu-img', 'check', '-q', layout.directory(instance.uuid) + '/disk'], check=True)


def test_a_full_disk_does_not_stop_the_sweep_that_makes_room(state, neighbour, monkeypatch):
    def full(marker):
        raise OSError(errno.ENOSPC, 'No space left on device')
    instance = make_instance()
    place(instance)
    disks.own(instance.uuid)
    monkeypatch.setattr(sharers, '_write', full)
    monkeypatch.setattr(guest, 'everyone', lambda host: iter(()))
    driver = LibvirtDriver.__new__(LibvirtDriver)
    driver._host, driver._disks = None, disks.Disks(None)
    assert driver.holdings().present == {instance.uuid}
