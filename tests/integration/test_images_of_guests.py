"""Images, rebuilds and the shelf with real guests. See test_libvirt_driver.py for what it needs."""
from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import uuid

import pytest

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import ImageMeta, Instance, PowerState
from minicompute.virt import images
from minicompute.virt.driver import SpawnRequest
from minicompute.virt.libvirt import backup, guest
from tests.integration.test_libvirt_driver import (  # noqa: F401
    GUEST,
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
)
from tests.integration.test_libvirt_driver import wait_for as wait_shortly

pytestmark = pytest.mark.long

# Fixtures of another module.
# ruff: noqa: F811

MIB = 1 << 20
#: some of these guests share their processor with a copy of their disk
PATIENCE = 600
#: where on its disk, beyond its image, the guest writes the same number: first here, then there
FIRST, SECOND = 100 * MIB, 900 * MIB
WRITE = base64.b64encode(f'''#!/bin/sh
write() {{ printf 'n=%016d' $1 | dd of=/dev/vda bs=512 seek=$2 conv=notrunc,sync,fsync 2>/dev/null; }}
count() {{ i=0; while :; do i=$((i+1)); write $i {FIRST // 512}; write $i {SECOND // 512}; done; }}
count >/dev/null 2>&1 &
'''.encode()).decode()
MARK = base64.b64encode(f'''#!/bin/sh
printf 'n=%016d' 42 | dd of=/dev/vda bs=512 seek={FIRST // 512} conv=notrunc,sync,fsync
'''.encode()).decode()


def wait_for(what: str, found) -> object:
    return wait_shortly(what, found, PATIENCE)


def up(driver, instance) -> str:
    """Wait for the guest's own word; -> its console."""
    wait_for('the guest', lambda: 'minicompute-guest: up' in driver.console_output(instance, None))
    return driver.console_output(instance, None)


def writing(cloud: Cloud, script: str = WRITE, **changes) -> Instance:
    return cloud.server(network=False, config_drive=True, metadata={'count': 'true'}, user_data=script, **changes)


def counts(driver, instance) -> list[int]:
    return [int(number) for number in re.findall(r'count=(\d+)', driver.console_output(instance, None))]


def take(driver, instance) -> tuple[ImageMeta, str]:
    """-> what the image service would say of the new image, and its file."""
    image_id = str(uuid.uuid4())
    told: list[tuple[str, int | None]] = []
    driver.extract(instance, image_id, lambda stage, percent=None: told.append((stage, percent)))
    facts = driver.send_image(instance, image_id, lambda stage, percent=None: told.append((stage, percent)))
    assert told[0][0] == 'extract' and told[-1] == ('upload', 100)
    return ImageMeta(id=image_id, **facts), os.path.join(CONF.local_images.path, image_id)


def numbers(path: str, tmp_path, fmt: str = 'qcow2') -> tuple[int, int]:
    """What the guest had written, first and second place."""
    plain = str(tmp_path / 'plain')
    images.convert(path, fmt, plain, 'raw')
    found = []
    with open(plain, 'rb') as reader:
        for offset in (FIRST, SECOND):
            reader.seek(offset)
            text = reader.read(18)
            found.append(int(text[2:]) if text.startswith(b'n=') else 0)
    return found[0], found[1]


def files(state, instance) -> set[str]:
    return set(os.listdir(state / 'instances' / instance.uuid))


def test_a_guest_that_writes_is_copied_at_one_moment(driver, cloud, libvirtd, state, tmp_path):
    instance = writing(cloud)
    driver.spawn(request(instance))
    up(driver, instance)
    wait_for('the script', lambda: 'user_data exit=0' in driver.console_output(instance, None))
    wait_for('a few counts', lambda: len(counts(driver, instance)) > 3)
    before, xml = files(state, instance), libvirtd.lookupByUUIDString(instance.uuid).XMLDesc()
    meta, path = take(driver, instance)
    first, second = numbers(path, tmp_path)
    assert first > 0 and second in (first, first - 1), 'the second place was read later than the first'
    assert images.info(path, 'qcow2').backing_file is None and meta.virtual_size == 1 << 30
    assert hashlib.sha512(open(path, 'rb').read()).hexdigest() == meta.os_hash_value
    assert os.path.getsize(path) == meta.size < 300 * MIB, 'what was never written takes no room'
    assert files(state, instance) == before
    assert libvirtd.lookupByUUIDString(instance.uuid).XMLDesc() == xml, 'the domain is what it was'
    seen = len(counts(driver, instance))
    wait_for('more counts', lambda: len(counts(driver, instance)) > seen + 2)
    heard_counts = counts(driver, instance)
    assert heard_counts == list(range(heard_counts[0], heard_counts[-1] + 1)), 'the guest never stood still'
    driver.destroy(instance)

    second_server = cloud.server(network=False, image_ref=str(meta.id))
    driver.spawn(SpawnRequest(second_server, image=meta))
    up(driver, second_server)
    driver.destroy(second_server)
    assert left_of(libvirtd, state, second_server) == []


def test_a_copy_that_is_broken_off_and_one_that_died(driver, cloud, state):
    instance = cloud.server(network=False)
    driver.spawn(request(instance))
    before = files(state, instance)
    with pytest.raises(exception.ImageToolFailed, match='stopped'):
        driver.extract(instance, 'a', stop=lambda: True)
    driver.drop_extract(instance, 'a')
    assert files(state, instance) == before
    # A daemon that died has left its job running, and a half-written file.
    left = os.path.join(state / 'instances' / instance.uuid, 'extract.b')
    guest.find(driver._host, instance.uuid).begin_backup(backup.description({'vda': left}, []))
    meta, path = take(driver, instance)
    assert meta.size and images.info(path, 'qcow2').virtual_size == 1 << 30
    assert files(state, instance) == before
    assert driver.power_state(instance.uuid) == PowerState.RUNNING
    driver.destroy(instance)


@pytest.mark.parametrize('kind', ['qcow2', 'raw'])
def test_a_guest_that_is_off_or_stands_still(driver, cloud, state, tmp_path, kind):
    CONF.set_override('images_type', kind, 'libvirt')
    try:
        instance = writing(cloud, MARK)
        driver.spawn(request(instance))
        up(driver, instance)
        wait_for('the script', lambda: 'user_data exit=0' in driver.console_output(instance, None))
        driver.pause(instance)
        paused, path = take(driver, instance)
        assert numbers(path, tmp_path)[0] == 42 and driver.power_state(instance.uuid) == PowerState.PAUSED
        driver.unpause(instance)
        driver.suspend(instance)
        _, path = take(driver, instance)
        assert numbers(path, tmp_path)[0] == 42
        driver.resume(instance)
        seen = len(counts(driver, instance))
        wait_for('more counts', lambda: len(counts(driver, instance)) > seen)
        driver.power_off(instance)
        _, path = take(driver, instance)
        assert numbers(path, tmp_path)[0] == 42 and images.info(path, 'qcow2').backing_file is None
    finally:
        CONF.clear_override('images_type', 'libvirt')
    driver.destroy(instance)


def test_the_shelf(driver, cloud, libvirtd, state, tmp_path):
    """Off one host with its data, and back: the disk needs neither image any more."""
    instance = writing(cloud, MARK)
    driver.spawn(request(instance))
    wait_for('the script', lambda: 'user_data exit=0' in driver.console_output(instance, None))
    driver.power_off(instance, timeout=60)
    meta, path = take(driver, instance)
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []

    instance.user_data = None
    driver.spawn(SpawnRequest(instance, image=meta))
    os.unlink(path)
    up(driver, instance)
    driver.power_off(instance)
    disk = str(state / 'instances' / instance.uuid / 'disk')
    assert images.info(disk, 'qcow2').backing_file is None and 'base' not in files(state, instance)
    assert numbers(disk, tmp_path)[0] == 42
    driver.power_on(instance)
    up(driver, instance)
    _, path = take(driver, instance)
    assert numbers(path, tmp_path)[0] == 42
    driver.destroy(instance)


# -- rebuild ---------------------------------------------------------------------------

def rebuild(driver, instance, meta: ImageMeta | None = None, **more) -> None:
    wanted = meta or image()
    driver.fetch_image(instance, wanted)
    driver.rebuild(SpawnRequest(instance, image=wanted), **{'preserve_ephemeral': False, 'start': True, **more})


def test_new_disks_and_old_ones(driver, cloud, libvirtd, state, tmp_path):
    instance = writing(cloud, MARK, flavor={'ephemeral_gb': 1, 'swap': 16})
    driver.spawn(request(instance))
    wait_for('the script', lambda: 'user_data exit=0' in driver.console_output(instance, None))
    directory = state / 'instances' / instance.uuid
    driver.power_off(instance)
    with open(directory / 'disk.eph0', 'r+b') as disk:
        disk.seek(777 * MIB)
        disk.write(b'mine')

    def mine() -> bool:
        with open(directory / 'disk.eph0', 'rb') as disk:
            disk.seek(777 * MIB)
            return disk.read(4) == b'mine'
    instance.user_data = None
    rebuild(driver, instance, preserve_ephemeral=True)
    up(driver, instance)
    driver.power_off(instance)
    assert mine() and numbers(str(directory / 'disk'), tmp_path)[0] == 0, 'a new root disk, the old ephemeral one'
    rebuild(driver, instance, start=False)
    assert driver.power_state(instance.uuid) == PowerState.SHUTDOWN and not mine()
    driver.power_on(instance)
    assert 'source=config-drive' in up(driver, instance)
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


def test_another_image(driver, cloud, state):
    instance = cloud.server(network=False)
    driver.spawn(request(instance))
    base = os.stat(state / 'instances' / instance.uuid / 'base').st_ino
    other = str(uuid.uuid4())
    shutil.copy(IMAGES / GUEST, state / 'images' / other)
    instance.image_ref = other
    rebuild(driver, instance, ImageMeta(id=other, disk_format='qcow2'), timeout=60)
    up(driver, instance)
    assert os.stat(state / 'instances' / instance.uuid / 'base').st_ino != base
    driver.destroy(instance)


def test_an_image_that_is_hostile_costs_no_disk(driver, cloud, state):
    instance = cloud.server(network=False)
    driver.spawn(request(instance))
    bad = str(uuid.uuid4())
    images.create_overlay(str(state / 'images' / bad), str(state / 'images' / GUEST), 'qcow2')
    with pytest.raises(exception.ImageUnacceptable, match='backing file'):
        driver.fetch_image(instance, ImageMeta(id=bad, disk_format='qcow2'))
    assert driver.power_state(instance.uuid) == PowerState.RUNNING
    assert [name for name in os.listdir(state / 'instances' / '_base') if instance.uuid in name] == []
    driver.destroy(instance)


def test_a_rebuild_that_died_half_way_is_asked_again(driver, cloud, state):
    instance = cloud.server(network=False)
    driver.spawn(request(instance))
    directory = state / 'instances' / instance.uuid
    guest.remove(driver._host, instance.uuid)
    os.unlink(directory / 'disk')
    (directory / '.disk.0123456789ab.part').write_bytes(b'half')
    rebuild(driver, instance)
    up(driver, instance)
    assert '.disk.0123456789ab.part' not in files(state, instance)
    driver.destroy(instance)
