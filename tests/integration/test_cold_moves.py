"""Cold moves of real guests with one libvirtd: a host that keeps the server, and two that take turns on the libvirtd.
The lab has real pairs of hosts (test_lab_resize.py)."""
from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
from collections.abc import Iterator

import pytest

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Flavor, Instance, PowerState
from minicompute.virt import images
from minicompute.virt.libvirt import disks, layout
from tests.integration.test_libvirt_driver import (  # noqa: F401
    cloud,
    driver,
    heard,
    image,
    left_of,
    libvirtd,
    request,
    source,
    state,
    up,
)

pytestmark = pytest.mark.long

GIB = 1 << 30
LARGER = Flavor(flavorid='2', name='larger', memory_mb=192, vcpus=2, root_gb=2, swap=32)


@contextlib.contextmanager
def on(host: str, path: pathlib.Path | None = None) -> Iterator[None]:
    """As the daemon of that host, whose instances lie at `path`."""
    before = CONF.host
    CONF.set_override('host', host)
    if path is not None:
        path.mkdir(mode=0o755, exist_ok=True)
        CONF.set_override('instances_path', str(path))
    try:
        yield
    finally:
        CONF.set_override('host', before)
        CONF.clear_override('instances_path')


@pytest.fixture
def through_here():
    CONF.set_override('remote_uri', 'qemu:///system', 'libvirt')
    yield
    CONF.clear_override('remote_uri', 'libvirt')


def sized(instance: Instance, flavor: Flavor) -> Instance:
    return dataclasses.replace(instance, flavor=flavor)


def root(instance: Instance) -> str:
    return os.path.join(layout.directory(instance.uuid), 'disk')


def test_a_host_keeps_what_it_resizes(driver, cloud, libvirtd, state):  # noqa: F811
    instance = cloud.server({'swap': 64})
    driver.spawn(request(instance))
    here = CONF.host
    dest = driver.prepare_move(instance, here, image())
    assert driver.leave(instance, LARGER, dest, 0) == {'shared': True, 'power_state': PowerState.SHUTDOWN}
    larger = sized(instance, LARGER)
    driver.arrive(larger, start=True)
    assert driver.check_move(larger, running=True) == {'power_state': PowerState.RUNNING}
    number = libvirtd.lookupByUUIDString(instance.uuid).ID()
    driver.arrive(larger, start=True)
    assert libvirtd.lookupByUUIDString(instance.uuid).ID() == number, 'what is here already must not be touched'
    with pytest.raises(exception.Conflict):
        driver.check_move(instance, running=True)       # that is another size
    assert images.info(root(instance), 'qcow2', in_use=True).virtual_size == 2 * GIB
    assert os.path.getsize(os.path.join(layout.directory(instance.uuid), 'disk.swap')) == 32 << 20
    up(driver, larger)

    driver.depart(larger, here)
    driver.arrive(instance, start=True)
    driver.drop_move(instance, here, disks=False)
    assert driver.check_move(instance, running=True)['power_state'] == PowerState.RUNNING
    with pytest.raises(exception.InvalidInput):
        driver.leave(sized(instance, LARGER), Flavor('3', 'small', 160, 1, 1), dest, 0)
    assert driver.power_state(instance.uuid) == PowerState.RUNNING, 'what cannot go is not stopped'
    # The disk is as large as the resize that was reverted has made it, and that is in nobody's way.
    assert driver.leave(instance, instance.flavor, dest, 0)['shared']
    driver.arrive(instance, start=True)
    assert driver.check_move(instance, running=True)['power_state'] == PowerState.RUNNING
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


def test_a_disk_lies_on_the_image_of_its_new_host(driver, cloud, libvirtd, state, through_here):  # noqa: F811
    instance, here, there = cloud.server({'ephemeral_gb': 1}, config_drive=True), CONF.host, state / 'there'
    driver.spawn(request(instance, admin_password='s3cret'))
    driver.power_off(instance)      # both ends are one libvirtd, which runs a domain once
    with open(os.path.join(layout.directory(instance.uuid), 'disk.eph0'), 'r+b') as disk:
        disk.seek(700 << 20)
        disk.write(b'a word')
    with on('other', there):
        dest = driver.prepare_move(instance, here, image())
    assert driver.leave(instance, LARGER, dest, 0)['shared'] is False
    with on('other', there):
        dest |= driver.open_move(instance)
        dest['address'] = 'here'
    sent = driver.send_disks(instance, dest)
    assert 0 < sent['bytes'] < 200 << 20, 'an overlay goes alone, and holes do not go'
    larger = sized(instance, dataclasses.replace(LARGER, ephemeral_gb=2))
    with on('other', there):
        driver.arrive(larger, start=True)
        assert driver.check_move(larger, running=True) == {'power_state': PowerState.RUNNING}
        facts = images.info(root(instance), 'qcow2', in_use=True)
        assert facts.virtual_size == 2 * GIB and facts.backing_file.startswith(str(there / '_base'))
        with open(os.path.join(layout.directory(instance.uuid), 'disk.eph0'), 'rb') as disk:
            disk.seek(700 << 20)
            assert disk.read(6) == b'a word'
        assert os.path.getsize(os.path.join(layout.directory(instance.uuid), 'disk.eph0')) == 2 * GIB
        assert 'keys=' in up(driver, larger)
        assert disks.owner(instance.uuid) == 'other'
        assert [name for name in os.listdir(there) if name.startswith('.moving')] == []
        driver.destroy(larger)
        assert not os.path.exists(layout.directory(instance.uuid))
    assert os.path.exists(root(instance)), 'the old disks wait for the word'
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []
    shutil.rmtree(there)


def test_a_disk_goes_whole_where_its_image_is_not_to_be_had(
        driver, cloud, libvirtd, state, through_here):  # noqa: F811
    instance, here, there = cloud.server(network=False), CONF.host, state / 'there'
    driver.spawn(request(instance))
    driver.power_off(instance)
    with on('other', there):
        dest = driver.prepare_move(instance, here, None)
    assert driver.leave(instance, LARGER, dest, 0)['shared'] is False
    with on('other', there):
        dest |= {**driver.open_move(instance), 'address': 'here'}
    assert driver.send_disks(instance, dest)['bytes'] > 8 << 20
    assert sorted(os.listdir(layout.directory(instance.uuid))) == ['base', 'console.log', 'disk', 'owner']
    with on('other', there):
        driver.arrive(sized(instance, LARGER), start=True)
        driver.check_move(sized(instance, LARGER), running=True)
        facts = images.info(root(instance), 'qcow2', in_use=True)
        assert (facts.backing_file, facts.virtual_size) == (None, 2 * GIB)
        driver.destroy(instance)
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []
    shutil.rmtree(there)


def test_hosts_that_share_a_directory(driver, cloud, libvirtd, state):  # noqa: F811
    instance, here = cloud.server(), CONF.host
    driver.spawn(request(instance))
    driver.power_off(instance)
    before = os.stat(root(instance)).st_ino
    with on('other'):
        dest = driver.prepare_move(instance, here, image())
    assert driver.leave(instance, LARGER, dest, 0)['shared'] is True
    larger = sized(instance, LARGER)
    with on('other'):
        driver.arrive(larger, start=True)
        driver.check_move(larger, running=True)
    driver._disks.sweep(set())
    assert os.stat(root(instance)).st_ino == before, 'it is the other host that owns it now'
    with on('other'):
        driver.depart(larger, here)
    driver.arrive(instance, start=True)
    with on('other'):
        driver.drop_move(instance, here, disks=False)
    assert os.stat(root(instance)).st_ino == before
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []
