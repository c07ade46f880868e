"""A volume grows under a real guest, which sees it at once; one of a guest that is off grows on the disk."""
from __future__ import annotations

import base64
import dataclasses

import pytest

from minicompute.virt import images
from minicompute.volume import files
from tests.integration.test_devices import says, volume
from tests.integration.test_libvirt_driver import (  # noqa: F401  (fixtures)
    cloud,
    driver,
    heard,
    image,
    libvirtd,
    request,
    source,
    state,
    up,
)

pytestmark = pytest.mark.long

GIB = 1 << 30
#: says each second how large the second disk is, in sectors
SCRIPT = """#!/bin/sh
( while :; do
    [ -e /sys/block/vdb/size ] && echo "vdb has <$(cat /sys/block/vdb/size)> sectors" > /dev/console
    sleep 1
  done ) &
"""


def test_a_volume_grows(driver, cloud):  # noqa: F811
    instance = cloud.server(user_data=base64.b64encode(SCRIPT.encode()).decode(), config_drive=True)
    driver.spawn(request(instance))
    up(driver, instance)
    disk = volume(instance)
    driver.attach_volume(instance, disk)
    instance.block_devices = [disk]
    says(driver, instance, f'vdb has <{GIB // 512}> sectors')
    larger = dataclasses.replace(disk, volume_size=2)
    driver.extend_volume(instance, larger)
    driver.extend_volume(instance, larger)
    says(driver, instance, f'vdb has <{2 * GIB // 512}> sectors')
    driver.extend_volume(instance, disk)        # an older word: it does not shrink
    path = files.path_of(disk.volume_id)
    assert images.info(path, 'qcow2', in_use=True).virtual_size == 2 * GIB

    driver.suspend(instance)
    asleep = dataclasses.replace(disk, volume_size=4)
    driver.extend_volume(instance, asleep)
    assert images.info(path, 'qcow2').virtual_size == 2 * GIB, 'it wakes up with the disk that it knew'
    instance.block_devices = [asleep]
    driver.resume(instance)
    says(driver, instance, f'vdb has <{4 * GIB // 512}> sectors')

    driver.power_off(instance)
    instance.block_devices = [dataclasses.replace(disk, volume_size=5)]     # and nobody could tell this host
    driver.power_on(instance)
    says(driver, instance, f'vdb has <{5 * GIB // 512}> sectors')

    driver.power_off(instance)
    driver.extend_volume(instance, dataclasses.replace(disk, volume_size=6))
    assert images.info(path, 'qcow2').virtual_size == 6 * GIB
    driver.destroy(instance)
    files.remove(disk.volume_id)
