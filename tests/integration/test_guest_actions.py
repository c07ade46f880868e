"""Pause, suspend, rescue, interrupts and passwords with real guests. See test_libvirt_driver.py for what it needs."""
from __future__ import annotations

import base64
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from minicompute import exception
from minicompute.objects import Instance, PowerState
from minicompute.virt.driver import SpawnRequest, no_progress
from minicompute.virt.libvirt import rescue
from tests.integration.test_libvirt_driver import (  # noqa: F401
    IMAGES,
    Cloud,
    cloud,
    driver,
    heard,
    image,
    left_of,
    libvirtd,
    request,
    source,
    state,
    wait_for,
)

pytestmark = pytest.mark.long

# Fixtures of another module.
# ruff: noqa: F811

REPO = pathlib.Path(__file__).resolve().parents[2]
AGENT = 'minicompute-guest-agent.qcow2'
MIB, GIB = 1 << 20, 1 << 30
#: seconds for a boot where other guests are emulated as well
PATIENCE = 600
#: the guest tells the console what it finds: its disks by size, whether it has a password, ...
TELL = base64.b64encode(b'#!/bin/sh\nguest-test\nsleep 1\nguest-test\n').decode()


def counting(cloud: Cloud, **changes) -> Instance:
    """A guest that counts aloud, from 1 after each boot."""
    return cloud.server(network=False, config_drive=True, metadata={'count': 'true'}, **changes)


def up(driver, instance) -> None:
    wait_for('the guest', lambda: 'minicompute-guest: up' in driver.console_output(instance, None), PATIENCE)


def counts(driver, instance) -> list[int]:
    return [int(number) for number in re.findall(r'count=(\d+)', driver.console_output(instance, None))]


def told(driver, instance) -> dict[str, str]:
    """What guest-test said since the last boot."""
    text = wait_for('the word of the guest', lambda: 'user_data exit=0' in driver.console_output(instance, None)
                    and driver.console_output(instance, None), PATIENCE)
    # Others write to the console as well: not each line is whole, so it is said twice.
    return dict(re.findall(r'\b(disk\.[a-z0-9]+|password)=([a-z0-9]+)', str(text)))


# -- pause, suspend ------------------------------------------------------------

def test_a_pause_stops_the_guest_where_it_is(driver, cloud, libvirtd, state, heard):
    instance = counting(cloud)
    driver.spawn(request(instance))
    up(driver, instance)
    wait_for('a count', lambda: counts(driver, instance), PATIENCE)
    number = libvirtd.lookupByUUIDString(instance.uuid).ID()
    for _ in range(2):
        driver.pause(instance)
        assert driver.power_state(instance.uuid) == PowerState.PAUSED
    before = counts(driver, instance)[-1]
    for _ in range(2):
        driver.unpause(instance)
        assert driver.power_state(instance.uuid) == PowerState.RUNNING
    wait_for('it to count on', lambda: counts(driver, instance)[-1] > before)
    assert libvirtd.lookupByUUIDString(instance.uuid).ID() == number
    driver.pause(instance)
    driver.reboot(instance, hard=True)
    up(driver, instance)
    driver.power_off(instance)
    for verb in (driver.pause, driver.unpause, driver.suspend, driver.trigger_crash_dump):
        with pytest.raises(exception.InstanceNotRunning):
            verb(instance)
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []
    assert [news for news in heard if news[0] == instance.uuid] == []


def test_a_suspended_guest_counts_on(driver, cloud, libvirtd, state, heard):
    instance = counting(cloud)
    driver.spawn(request(instance))
    up(driver, instance)
    wait_for('some counts', lambda: counts(driver, instance)[-1:] > [3], PATIENCE)
    before = counts(driver, instance)[-1]
    for _ in range(2):
        driver.suspend(instance)
        assert driver.power_state(instance.uuid) == PowerState.SHUTDOWN
    for _ in range(2):
        driver.resume(instance)
        assert driver.power_state(instance.uuid) == PowerState.RUNNING
    wait_for('it to count on', lambda: counts(driver, instance)[-1:] > [before])
    assert 1 not in counts(driver, instance)[counts(driver, instance).index(before + 1):]
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []
    assert [news for news in heard if news[0] == instance.uuid] == []


@pytest.mark.parametrize('start', ['reboot', 'power_on', 'lost memory', 'lost domain'])
def test_what_starts_a_suspended_guest_anew(driver, cloud, libvirtd, state, start):
    instance = counting(cloud)
    driver.spawn(request(instance))
    up(driver, instance)
    wait_for('some counts', lambda: counts(driver, instance)[-1:] > [3], PATIENCE)
    driver.suspend(instance)
    domain = libvirtd.lookupByUUIDString(instance.uuid)
    if start == 'reboot':
        driver.reboot(instance, hard=True)
    elif start == 'power_on':
        driver.power_on(instance)
    else:
        domain.managedSaveRemove()
        if start == 'lost domain':
            domain.undefine()
        driver.resume(instance)
    up(driver, instance)
    assert not libvirtd.lookupByUUIDString(instance.uuid).hasManagedSaveImage()
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


def test_a_suspended_guest_is_destroyed_with_its_memory(driver, cloud, libvirtd, state):
    instance = cloud.server(network=False)
    driver.spawn(request(instance))
    driver.suspend(instance)
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []
    driver.spawn(request(instance))     # of the same name and uuid: it boots
    up(driver, instance)
    driver.destroy(instance)


# -- rescue ----------------------------------------------------------------------

def to_rescue(instance: Instance, **more) -> SpawnRequest:
    return SpawnRequest(instance, image=image(), **more)


def rescued(instance: Instance) -> Instance:
    """The record once the rescue has been committed."""
    return rescue.rescued(instance)


def files(state, instance) -> set[str]:
    return {name for name in os.listdir(state / 'instances' / instance.uuid) if name.endswith('.rescue')}


def test_a_rescue_there_and_back(driver, cloud, libvirtd, state, heard):
    instance = cloud.server(network=False, config_drive=True, user_data=TELL)
    driver.spawn(request(instance))
    own = told(driver, instance)
    assert own['disk.vda'] == str(GIB) and 'disk.vdb' not in own and own['password'] == 'no'
    for _ in range(2):
        driver.prepare_rescue(to_rescue(instance, admin_password='s3cret'), no_progress)
    assert driver.power_state(instance.uuid) == PowerState.RUNNING

    driver.rescue(instance, 60)
    found = told(driver, instance)
    assert (found['disk.vda'], found['disk.vdb'], found['password']) == (str(64 * MIB), str(GIB), 'yes')
    number = libvirtd.lookupByUUIDString(instance.uuid).ID()
    driver.rescue(instance, 60)
    assert libvirtd.lookupByUUIDString(instance.uuid).ID() == number, 'rescuing what is rescued must not touch it'

    kept = rescued(instance)
    driver.power_off(kept)
    driver.power_on(kept)
    assert 'disk.rescue' in libvirtd.lookupByUUIDString(instance.uuid).XMLDesc()
    driver.reboot(kept, hard=True)
    found = told(driver, instance)
    assert (found['disk.vda'], found['disk.vdb'], found['password']) == (str(64 * MIB), str(GIB), 'yes')

    for _ in range(2):
        driver.unrescue(kept)
        assert files(state, instance) == set()
    back = told(driver, instance)
    assert (back['disk.vda'], back['password']) == (str(GIB), 'no') and 'disk.vdb' not in back
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []
    assert [news for news in heard if news[0] == instance.uuid] == []


def test_a_rescue_that_was_cut_off_is_made_whole(driver, cloud, libvirtd, state):
    """The daemon died before, between and after what a rescue does; it is asked again."""
    instance = cloud.server(network=False, config_drive=True, user_data=TELL)
    driver.spawn(request(instance))
    driver.prepare_rescue(to_rescue(instance), no_progress)
    libvirtd.lookupByUUIDString(instance.uuid).destroy()
    driver.rescue(instance, 0)
    libvirtd.lookupByUUIDString(instance.uuid).destroy()
    driver.rescue(instance, 0)
    assert told(driver, instance)['disk.vda'] == str(64 * MIB)
    libvirtd.lookupByUUIDString(instance.uuid).destroy()
    driver.unrescue(rescued(instance))
    assert driver.power_state(instance.uuid) == PowerState.RUNNING

    # A rescue that the records never knew of: the next start is no rescue.
    driver.prepare_rescue(to_rescue(instance), no_progress)
    driver.rescue(instance, 0)
    driver.reboot(instance, hard=True)
    assert 'disk.vdb' not in told(driver, instance) and files(state, instance) == set()
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


def test_a_stopped_server_is_rescued_and_destroyed(driver, cloud, libvirtd, state):
    instance = cloud.server(network=False)
    driver.spawn(request(instance))
    driver.power_off(instance)
    libvirtd.lookupByUUIDString(instance.uuid).undefine()
    driver.prepare_rescue(to_rescue(instance), no_progress)
    driver.rescue(instance, 0)
    up(driver, instance)
    driver.destroy(rescued(instance))
    assert left_of(libvirtd, state, instance) == []


@pytest.mark.parametrize(('said', 'properties'), [
    ({'rescue_device': 'disk', 'rescue_bus': 'virtio'}, {}), ({'rescue_bus': 'usb'}, {})])
def test_a_stable_rescue(driver, cloud, libvirtd, state, said, properties):
    instance = cloud.server({'ephemeral_gb': 1}, network=False, config_drive=True, user_data=TELL,
                            image_properties=properties, system_metadata={'rescue_image_ref': 'r', **said})
    driver.spawn(request(instance))
    driver.prepare_rescue(to_rescue(instance), no_progress)
    driver.rescue(instance, 0)
    found = told(driver, instance)
    assert found['disk.vda'] == found['disk.vdb'] == str(GIB)
    assert str(64 * MIB) in {size for name, size in found.items() if name.startswith('disk.')}
    domain = libvirtd.lookupByUUIDString(instance.uuid).XMLDesc()
    assert re.search(r'disk\.rescue.*?<boot order=.1.', domain, re.DOTALL)
    driver.unrescue(rescued(instance))
    assert 'disk.vdc' not in told(driver, instance)
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


def test_a_stable_rescue_as_a_cd(driver, cloud, libvirtd, state):
    """On q35, whose CDs are on SATA. The image is none that a BIOS boots from a CD, and libvirt lets it try no other
    disk (-boot strict=on): so this one brings its kernel along, and the guest says what it sees."""
    instance = cloud.server(network=False, config_drive=True, user_data=TELL,
                            image_properties={'hw_machine_type': 'q35'},
                            system_metadata={'rescue_image_ref': 'r', 'rescue_device': 'cdrom'})
    driver.spawn(request(instance))
    driver.prepare_rescue(to_rescue(instance, kernel=image('minicompute-guest-kernel', 'aki'),
                                    ramdisk=image('minicompute-guest-initrd', 'ari')), no_progress)
    driver.rescue(instance, 0)
    found = told(driver, instance)
    assert found['disk.vda'] == str(GIB) and str(64 * MIB) in {
        size for name, size in found.items() if name.startswith('disk.sr')}
    domain = libvirtd.lookupByUUIDString(instance.uuid).XMLDesc()
    assert re.search(r"device='cdrom'(?:(?!</disk>).)*disk\.rescue.*?bus='sata'.*?<boot order=.1.", domain, re.DOTALL)
    driver.unrescue(rescued(instance))
    back = told(driver, instance)
    assert str(64 * MIB) not in back.values() and files(state, instance) == set()
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


def test_a_rescue_that_libvirt_refuses_leaves_the_server_off_and_its_own(driver, cloud, libvirtd, state):
    instance = cloud.server(network=False, image_properties={'hw_machine_type': 'q35'},
                            system_metadata={'rescue_bus': 'ide'})     # q35 has none
    driver.spawn(request(instance))
    driver.prepare_rescue(to_rescue(instance), no_progress)
    with pytest.raises(exception.InternalError):
        driver.rescue(instance, 0)
    assert driver.power_state(instance.uuid) == PowerState.SHUTDOWN and files(state, instance) == set()
    driver.power_on(dataclasses.replace(instance, system_metadata={}))
    up(driver, instance)
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


# -- looked for by the guest -------------------------------------------------------

def test_an_interrupt_reaches_the_kernel(driver, cloud):
    instance = cloud.server(network=False)
    driver.spawn(request(instance))
    up(driver, instance)
    driver.trigger_crash_dump(instance)
    wait_for('the kernel to say so', lambda: 'NMI' in driver.console_output(instance, None))
    driver.destroy(instance)


def test_a_password_needs_an_agent(driver, cloud):
    instance = cloud.server(network=False)
    driver.spawn(request(instance))
    with pytest.raises(exception.InstanceAgentNotEnabled):
        driver.set_admin_password(instance, 's3cret')
    driver.destroy(instance)
    instance = cloud.server(network=False, image_properties={'hw_qemu_guest_agent': 'yes'})
    driver.spawn(request(instance))
    up(driver, instance)
    with pytest.raises(exception.NotImplementedHere):   # the guest has none that answers
        driver.set_admin_password(instance, 's3cret')
    driver.pause(instance)
    driver.unpause(instance)    # nor one that is told the time, which is no error
    driver.power_off(instance)
    with pytest.raises(exception.InstancePasswordSetFailed):
        driver.set_admin_password(instance, 's3cret')
    driver.destroy(instance)


#: says when the password of root is the one that its server was told
WATCH = base64.b64encode(b"""#!/bin/sh
(until [ "$(cat /run/guest/password)" = yes ]; do sleep 1; done
salt="$(head -n 1 /etc/shadow | cut -d '$' -f 3)"
wanted="$(printf '%s\\n' 'n3w $ecret' | mkpasswd -m sha512 -S "$salt" -P 0)"
[ "$wanted" = "$(head -n 1 /etc/shadow | cut -d : -f 2)" ] || exit
echo 'agent-test: it is right' > /dev/ttyS0) > /dev/null 2>&1 &
""").decode()


@pytest.fixture(scope='module')
def with_agent(state) -> str:
    """-> the image of a guest that has the agent"""
    subprocess.run([REPO / 'tools' / 'build_guest.sh', '--agent'], check=True, timeout=600)
    shutil.copy(IMAGES / AGENT, state / 'images' / AGENT)
    return AGENT


def test_a_password_is_set_by_the_agent(driver, cloud, libvirtd, state, with_agent):
    instance = cloud.server(network=False, config_drive=True, user_data=WATCH, image_ref=with_agent,
                            image_properties={'hw_qemu_guest_agent': 'yes'})
    driver.spawn(SpawnRequest(instance, image=image(with_agent)))
    up(driver, instance)

    def change() -> bool:
        try:
            driver.set_admin_password(instance, 'n3w $ecret')
        except exception.NotImplementedHere:    # what libvirt says of an agent that has not connected yet
            return False
        return True
    wait_for('the agent', change, PATIENCE)
    wait_for('the password', lambda: 'agent-test: it is right' in driver.console_output(instance, None), PATIENCE)
    assert 'n3w' not in driver.console_output(instance, None)
    driver.pause(instance)
    driver.unpause(instance)    # it is told the time
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []
