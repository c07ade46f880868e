"""What of a move needs no libvirtd: holes, names of hosts, owners, base images and sizes."""
from __future__ import annotations

import os
import pathlib

import pytest

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Flavor, Instance
from minicompute.virt import images
from minicompute.virt.libvirt import arrival, carrier, disks, layout, remote
from minicompute.virt.libvirt.builder import Builder
from minicompute.virt.libvirt.config.base import parse, render
from minicompute.virt.libvirt.config.storage import DirectoryPool, File
from minicompute.virt.libvirt.verbs import moves

from .conftest import make_caps, make_instance

MIB = 1 << 20
GIB = 1 << 30


# -- what is sent ------------------------------------------------------------------------

def sections(path: pathlib.Path) -> list[tuple[bool, int]]:
    found = []
    with open(path, 'rb', buffering=0) as file:
        while True:
            data, length = carrier.section(None, file)
            if not length:
                return found
            found.append((data, length))
            file.seek(length, os.SEEK_CUR)


def test_holes_stay_holes(tmp_path):
    path = tmp_path / 'sparse'
    with open(path, 'wb') as file:
        file.write(b'a' * MIB)
        file.seek(9 * MIB, os.SEEK_CUR)
        file.write(b'b' * MIB)
        file.truncate(20 * MIB)
    assert sections(path) == [(True, MIB), (False, 9 * MIB), (True, MIB), (False, 9 * MIB)]


@pytest.mark.parametrize('size', [0, 1, MIB + 1])
def test_a_file_without_holes(tmp_path, size):
    path = tmp_path / 'plain'
    path.write_bytes(b'x' * size)
    assert sections(path) == ([(True, size)] if size else [])


def test_a_file_that_is_one_hole(tmp_path):
    path = tmp_path / 'hole'
    path.write_bytes(b'')
    os.truncate(path, 5 * MIB)
    assert sections(path) == [(False, 5 * MIB)]


def test_xml_of_a_landing():
    pool = parse(render(DirectoryPool('p', '/a/<b>')))
    assert (pool.get('type'), pool.findtext('name'), pool.findtext('target/path')) == ('dir', 'p', '/a/<b>')
    volume = parse(render(File('disk', 12345, 64055, 107)))
    assert [volume.findtext(path) for path in ('name', 'capacity', 'allocation', 'target/permissions/mode',
                                               'target/permissions/owner', 'target/permissions/group')] == [
        'disk', '12345', '0', '0644', '64055', '107']
    assert volume.find('target/format').get('type') == 'raw'


# -- who is asked ------------------------------------------------------------------------

@pytest.mark.parametrize(('name', 'found'), [
    ('host2', 'qemu+tls://host2/system'), ('host2.example.org', 'qemu+tls://host2.example.org/system'),
    ('192.0.2.7', 'qemu+tls://192.0.2.7/system'), ('2001:db8::7', 'qemu+tls://[2001:db8::7]/system')])
def test_uri(name, found):
    assert remote.uri(name) == found


@pytest.mark.parametrize('name', [
    '', 'a/b', 'a?no_verify=1', 'a:99', 'user@a', '-a', 'a b', 'a\n', '::1/x', 'a%', '[::1]', 'a#', 'é'])
def test_no_name_of_a_host(name):
    with pytest.raises(exception.InvalidInput):
        remote.uri(name)


def test_the_operators_uri(option):
    option('libvirt', remote_uri='qemu+ssh://root@%s/system?keyfile=/k')
    assert remote.uri('b') == 'qemu+ssh://root@b/system?keyfile=/k'


# -- whose disks are these -----------------------------------------------------------------

def test_owner():
    uuid = make_instance().uuid
    assert disks.owner(uuid) is None and not disks.is_own(uuid)
    with pytest.raises(FileNotFoundError):
        disks.own(uuid)
    os.makedirs(layout.directory(uuid))
    disks.own(uuid)
    assert disks.owner(uuid) == CONF.host and disks.is_own(uuid)
    disks.own(uuid, 'other')
    assert disks.owner(uuid) == 'other' and not disks.is_own(uuid)
    assert os.listdir(layout.directory(uuid)) == ['owner']


def test_a_marker_is_seen_where_the_directory_is_shared(state, option):
    uuid = make_instance().uuid
    token = carrier.Landing(None, uuid).mark()   # type: ignore[arg-type]
    assert carrier.sees(uuid, token)
    assert not carrier.sees(uuid, token[::-1]) and not carrier.sees(uuid, '')
    option('DEFAULT', instances_path=str(state / 'elsewhere'))
    assert not carrier.sees(uuid, token)


def test_the_base_waits_for_its_directory(base):
    uuid = make_instance().uuid
    landing = carrier.Landing(None, uuid)   # type: ignore[arg-type]
    landing.keep_base()     # there is none
    os.link(base, landing.base)
    os.makedirs(layout.directory(uuid))
    landing.keep_base()
    assert os.path.samefile(os.path.join(layout.directory(uuid), 'base'), base) and not os.path.exists(landing.base)


# -- what becomes of disks -----------------------------------------------------------------

@pytest.fixture
def base():
    """A base image of this host, 1 MiB."""
    directory = os.path.join(CONF.instances_path, '_base')
    os.makedirs(directory)
    path = os.path.join(directory, 'abc.raw')
    with open(path, 'wb') as file:
        file.write(os.urandom(MIB))
    return path


def server(**flavor) -> Instance:
    made = make_instance(flavor)
    os.makedirs(layout.directory(made.uuid))
    return made


def plan(instance: Instance) -> list[layout.Disk]:
    return Builder(make_caps()).disks(instance)


def in_directory(instance: Instance, name: str) -> str:
    return os.path.join(layout.directory(instance.uuid), name)


def test_an_overlay_goes_alone_to_who_has_its_base(base):
    instance = server()
    path = in_directory(instance, 'disk')
    images.create_overlay(path, base, 'raw', GIB)
    with arrival.portable({'disk': path}, 'abc.raw', lambda: False) as files:
        assert files == {'disk': path}


@pytest.mark.parametrize('there', [None, 'other.raw'])
def test_an_overlay_goes_with_its_base_to_all_others(base, there):
    instance = server()
    path = in_directory(instance, 'disk')
    images.create_overlay(path, base, 'raw', GIB)
    with arrival.portable({'disk': path, 'kernel': '/k'}, there, lambda: False) as files:
        whole = files['disk']
        assert whole != path and files['kernel'] == '/k'
        facts = images.info(whole, 'qcow2')
        assert (facts.backing_file, facts.virtual_size) == (None, GIB)
    assert not os.path.exists(whole) and os.path.exists(path)


def test_the_copy_is_broken_off(base):
    instance = server()
    path = in_directory(instance, 'disk')
    images.create_overlay(path, base, 'raw', GIB)
    with pytest.raises(ZeroDivisionError), arrival.portable({'disk': path}, None, lambda: False):
        1 / 0   # noqa: B018
    assert os.listdir(layout.directory(instance.uuid)) == ['disk']


def test_an_overlay_finds_the_base_of_its_new_host(base):
    instance = server()
    path = in_directory(instance, 'disk')
    images.create_overlay(path, base, 'raw', 4 * MIB)
    images.rebase(path, '/nowhere/_base/abc.raw', 'raw', content_is_same=True)
    arrival.fit(instance, plan(instance))
    facts = images.info(path, 'qcow2')
    assert (facts.backing_file, facts.virtual_size) == (base, GIB)


def test_an_overlay_without_its_base_is_refused(base):
    instance = server()
    path = in_directory(instance, 'disk')
    images.create_overlay(path, base, 'raw', 4 * MIB)
    os.unlink(base)
    with pytest.raises(exception.Conflict):
        arrival.fit(instance, plan(instance))


def test_disks_grow_and_never_shrink():
    instance = server(root_gb=2, ephemeral_gb=1, swap=64)
    root, ephemeral, swap = (in_directory(instance, name) for name in ('disk', 'disk.eph0', 'disk.swap'))
    images.create(root, 'qcow2', GIB)
    arrival.fit(instance, plan(instance))
    assert images.info(root, 'qcow2').virtual_size == 2 * GIB
    assert (os.path.getsize(ephemeral), os.path.getsize(swap)) == (GIB, 64 * MIB)
    instance.flavor = Flavor('2', 'small', 256, 1, 1, ephemeral_gb=2, swap=32)
    arrival.fit(instance, plan(instance))
    assert images.info(root, 'qcow2').virtual_size == 2 * GIB
    assert (os.path.getsize(ephemeral), os.path.getsize(swap)) == (2 * GIB, 32 * MIB)


def test_without_its_root_disk_nothing_is_made():
    instance = server(swap=64)
    with pytest.raises(exception.Conflict):
        arrival.fit(instance, plan(instance))
    assert os.listdir(layout.directory(instance.uuid)) == []


@pytest.mark.parametrize(('before', 'after', 'goes'), [
    (1, 1, True), (1, 2, True), (1, 3, True), (2, 1, False), (3, 2, True), (0, 1, False), (0, 0, True)])
def test_a_disk_that_a_revert_left_larger_may_go(tmp_path, before, after, goes):
    """It has 2 GiB of a resize that was reverted on a shared directory; what is asked for is less than before only
    when the flavor says less."""
    path = str(tmp_path / 'disk')
    images.create(path, 'qcow2', 2 * GIB)
    disk = layout.Disk('root', path, 'qcow2', 'virtio', 'vda', size=after * GIB)
    if goes:
        moves._check_size(disk, before * GIB)
    else:
        with pytest.raises(exception.InvalidInput, match='grow and never shrink'):
            moves._check_size(disk, before * GIB)
