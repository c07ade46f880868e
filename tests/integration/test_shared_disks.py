"""Hosts that share the directory of their servers, on one libvirtd that they take turns with: whose disks are whose
after an evacuation or a live migration that stopped half way. The lab has real pairs of hosts (test_lab_shared.py)."""
from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import libvirt
import pytest

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Instance, PowerState
from minicompute.virt.libvirt import disks, layout, sharers
from tests.integration.test_cold_moves import on
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
)

pytestmark = pytest.mark.long

# Fixtures of another module.
# ruff: noqa: F811


@pytest.fixture
def pair(driver) -> Iterator[str]:
    """Another host in our directory. -> its name"""
    with on('other'):
        sharers.register()
    driver.holdings()    # as each few seconds: both have seen each other's markers
    yield 'other'


@pytest.fixture
def lost(driver, cloud, libvirtd, pair) -> Instance:
    """A server of this host, whose power was cut: its domain is gone, its disks are there."""
    instance = cloud.server({'swap': 16}, network=False, config_drive=True, host=CONF.host)
    driver.spawn(request(instance))
    domain = libvirtd.lookupByUUIDString(instance.uuid)
    domain.destroy()
    domain.undefine()
    return instance


def inode(instance: Instance) -> int:
    return os.stat(os.path.join(layout.directory(instance.uuid), 'disk')).st_ino


def ended(driver, libvirtd, state, instance: Instance) -> None:
    """Where it lives it is deleted, and nothing is left."""
    with on(str(instance.host)):
        driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


@pytest.mark.parametrize('start', [True, False])
def test_the_lost_host_is_back_before_the_evacuation_has_ended(driver, libvirtd, state, pair, lost, start):
    """The records say already that the server lives there; the lost host, which starts, sweeps and pays."""
    before, here = inode(lost), CONF.host
    with on(pair):
        assert driver.sees_disks_of(lost, here)
        for _ in range(2):
            driver.adopt(lost, here, start=start)
        wanted = PowerState.RUNNING if start else PowerState.SHUTDOWN
        assert driver.power_state(lost.uuid) == wanted
    assert disks.owner(lost.uuid) == pair
    there = dataclasses.replace(lost, host=pair)
    assert driver._disks.sweep(set()) == [] and lost.uuid not in driver._disks.present()
    with on(pair):
        driver.take_over(there)
        if not start:
            driver.power_on(there)
    assert inode(lost) == before
    ended(driver, libvirtd, state, there)


@pytest.mark.parametrize('undone', [True, False])
def test_an_evacuation_that_fails_leaves_the_disks_to_the_lost_host(driver, libvirtd, state, pair, lost, undone):
    """Its new host gives them back, or, when it died before it could, pays what it owes when it is back."""
    before, here = inode(lost), CONF.host
    with on(pair):
        driver.adopt(lost, here, start=True)
        if undone:
            driver.give_back(lost, here)
        else:
            assert driver.sees_disks_of(lost, here), 'a second evacuation finds them shared, not to be made anew'
            with pytest.raises(exception.Conflict):
                driver._disks.make(request(lost), driver._builder.disks(lost))
            driver.destroy(lost)
    assert disks.owner(lost.uuid) == here and inode(lost) == before
    with pytest.raises(exception.DomainNotFound):
        driver.power_state(lost.uuid)
    driver.power_on(lost)
    assert driver.power_state(lost.uuid) == PowerState.RUNNING
    ended(driver, libvirtd, state, lost)


@pytest.mark.parametrize('fails', [True, False])
def test_a_second_evacuation_of_a_server_without_disks(driver, cloud, libvirtd, state, pair, monkeypatch, fails):
    """What the first has made goes with it: the lost host, which sees the directory, is given nothing of it."""
    instance, here = cloud.server({'swap': 16}, network=False, config_drive=True, host=CONF.host), CONF.host
    with on(pair):
        assert not driver.sees_disks_of(instance, here)
        if fails:
            with monkeypatch.context() as patched:
                patched.setattr(driver, '_define_and_start', _refuse)
                with pytest.raises(exception.InternalError):
                    driver.spawn(request(instance))
        else:
            driver.spawn(request(instance))
            libvirtd.lookupByUUIDString(instance.uuid).destroy()
            driver.spawn(request(instance))     # asked again after a kill
            driver.destroy(instance)
        assert not os.path.exists(layout.directory(instance.uuid))
        assert not driver.sees_disks_of(instance, here)
        driver.spawn(request(instance))
        assert driver.power_state(instance.uuid) == PowerState.RUNNING
        there = dataclasses.replace(instance, host=pair)
        driver.reboot(there, hard=True)
    assert driver._disks.sweep(set()) == []
    ended(driver, libvirtd, state, there)


def _refuse(instance: Instance) -> None:
    raise exception.InternalError(reason='planned')


def test_a_missing_secondary_file_does_not_make_them_somebody_elses(driver, libvirtd, state, pair, lost):
    before, here = inode(lost), CONF.host
    os.unlink(os.path.join(layout.directory(lost.uuid), 'disk.swap'))
    with on(pair):
        assert driver.sees_disks_of(lost, here)
        driver.adopt(lost, here, start=True)
        assert driver.power_state(lost.uuid) == PowerState.RUNNING
    assert inode(lost) == before
    ended(driver, libvirtd, state, dataclasses.replace(lost, host=pair))


def test_what_cannot_be_made_again_is_told(driver, libvirtd, state, pair, lost):
    os.unlink(os.path.join(layout.directory(lost.uuid), 'disk'))
    here = CONF.host
    with on(pair):
        with pytest.raises(exception.Conflict, match='root disk'):
            driver.adopt(lost, here, start=True)
        driver.give_back(lost, here)
    assert disks.owner(lost.uuid) == here
    ended(driver, libvirtd, state, lost)


@pytest.mark.parametrize('finished', [True, False])
def test_what_a_source_owes_after_a_live_migration(driver, libvirtd, state, pair, lost, finished):
    """The guest is there; the source died before it could clean up, the destination perhaps before it could say that
    the disks are its own."""
    before = inode(lost)
    there = dataclasses.replace(lost, host=pair)
    with on(pair):
        driver.power_on(there) if finished else None
    driver.sweep({lost.uuid}, 3600)
    with contextlib.suppress(libvirt.libvirtError):
        libvirtd.lookupByUUIDString(lost.uuid).destroy()
    driver.destroy(there)       # what the source owes
    assert disks.owner(lost.uuid) == pair and inode(lost) == before
    ended(driver, libvirtd, state, there)


def test_a_rollback_removes_no_disks_that_the_preparation_refused(driver, libvirtd, state, pair, lost):
    before, here = inode(lost), CONF.host
    offer = {'host': here, 'token': '', 'disks': [], 'elsewhere': [], 'files': [], 'cpu': ''}
    with on(pair):
        with pytest.raises(exception.MigrationPreCheckError):
            driver._check_room(lost.uuid, offer, None)
        with pytest.raises(exception.Conflict):
            driver.live_prepare(request(lost), offer, False)
        driver.live_rollback(lost, shared=False, force=False)
    assert disks.owner(lost.uuid) == here and inode(lost) == before
    os.unlink(os.path.join(layout.directory(lost.uuid), 'owner'))      # of the time before there were owners
    with on(pair):
        with pytest.raises(exception.Conflict):
            driver.live_prepare(request(lost), offer, False)
        driver.live_rollback(lost, shared=False, force=False)
    assert inode(lost) == before
    disks.own(lost.uuid)
    ended(driver, libvirtd, state, lost)
