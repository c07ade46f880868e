from __future__ import annotations

import os
import subprocess
import threading
import time

import pytest

from minicompute import concurrency, exception
from minicompute.image.base import FetchStopped, ImageSource, Stop, never
from minicompute.image.glance_data import GlanceSource
from minicompute.image.source import LocalSource
from minicompute.objects import BlockDevice, ImageMeta
from minicompute.virt import images
from minicompute.virt.driver import SpawnRequest
from minicompute.virt.libvirt import disks, layout, rescue, space, volumes
from minicompute.virt.libvirt.builder import Builder
from minicompute.virt.libvirt.imagecache import ImageCache

from .conftest import make_caps, make_instance

MIB = 1 << 20


class Source(ImageSource):
    """Images from files; counts, and may fail half-way."""

    def __init__(self, directory) -> None:
        self.directory = directory
        self.fetched: list[str] = []
        self.fault: Exception | None = None
        #: it goes on until it is broken off; `asked` once it has begun
        self.endless, self.asked = False, threading.Event()

    def fetch(self, image: ImageMeta, path: str, stop: Stop = never) -> None:
        self.fetched.append(str(image.id))
        self.asked.set()
        while self.endless:
            if stop():
                raise FetchStopped(image_id=image.id)
            time.sleep(0.01)
        source = self.directory / str(image.id)
        if not source.exists():
            raise exception.ImageNotFound(image_id=image.id)
        with open(path, 'wb') as writer:
            writer.write(source.read_bytes())
        if self.fault:
            raise self.fault


@pytest.fixture
def source(state):
    (state / 'images').mkdir()
    return Source(state / 'images')


@pytest.fixture
def cache(source):
    return ImageCache(source)


def add_image(source, name='img', fmt='qcow2', size=8 * MIB, **facts) -> ImageMeta:
    path = source.directory / name
    subprocess.run(
        ['qemu-img', 'create', '-q', '-f', 'vpc' if fmt == 'vhd' else fmt, path, str(size)], check=True
    )
    return ImageMeta(id=name, disk_format=fmt, size=path.stat().st_size, **facts)


def make(cache, instance, image, **more):
    plan = Builder(make_caps()).disks(instance)
    disks.Disks(cache).make(SpawnRequest(instance, image=image, **more), plan)
    return {disk.kind: disk for disk in plan}


def files(state) -> set[str]:
    return {
        os.path.relpath(os.path.join(path, name), state)
        for path, _, names in os.walk(state)
        for name in names
        if not name.endswith('.lock') and 'images' not in path
    }


# -- the disks of a server ------------------------------------------------------------

def test_root_is_an_overlay_of_the_size_of_the_flavor(source, cache):
    made = make(cache, make_instance(), add_image(source))
    info = images.info(made['root'].path, 'qcow2')
    assert info.virtual_size == 1024 * MIB
    assert info.backing_file.startswith(cache.directory) and info.backing_format == 'qcow2'


def test_root_gb_0_is_the_size_of_the_image(source, cache):
    made = make(cache, make_instance({'root_gb': 0}), add_image(source))
    assert images.info(made['root'].path, 'qcow2').virtual_size == 8 * MIB


def test_raw_disks_stand_alone(option, source, cache):
    option('libvirt', images_type='raw')
    made = make(cache, make_instance(), add_image(source))
    info = images.info(made['root'].path, 'raw')
    assert (info.virtual_size, info.backing_file) == (1024 * MIB, None)


def test_a_blank_root_disk(cache):
    made = make(cache, make_instance(image_ref=''), None)
    assert images.info(made['root'].path, 'qcow2').virtual_size == 1024 * MIB


def test_ephemeral_swap_and_config_drive(source, cache):
    instance = make_instance({'ephemeral_gb': 1, 'swap': 16}, config_drive=True)
    made = make(cache, instance, add_image(source), admin_password='secret')
    with open(made['ephemeral'].path, 'rb') as reader:
        assert reader.read(1082)[1080:] == b'\x53\xef'   # ext4
    with open(made['swap'].path, 'rb') as reader:
        assert reader.read(4096)[4086:] == b'SWAPSPACE2'
    assert os.path.getsize(made['swap'].path) == 16 * MIB
    with open(made['config'].path, 'rb') as reader:
        assert b'config-2' in reader.read(64 * 1024)


def test_kernel_and_ramdisk_lie_beside(source, cache):
    instance = make_instance()
    (source.directory / 'k').write_bytes(b'kernel')
    make(cache, instance, add_image(source), kernel=ImageMeta(id='k', disk_format='aki', size=6))
    with open(os.path.join(layout.directory(instance.uuid), 'kernel'), 'rb') as reader:
        assert reader.read() == b'kernel'


@pytest.mark.parametrize('facts', [{'virtual_size': 2048 * MIB}, {'min_disk': 2}])
def test_a_small_flavor_is_refused_before_the_fetch(source, cache, facts, state):
    with pytest.raises(exception.FlavorDiskTooSmall):
        make(cache, make_instance(), add_image(source, **facts))
    assert source.fetched == [] and files(state) == set()


def test_a_small_flavor_is_refused_after_the_fetch_when_nobody_knew(source, cache, state):
    with pytest.raises(exception.FlavorDiskTooSmall):
        make(cache, make_instance(), add_image(source, size=2048 * MIB))
    assert not any(path.startswith('instances/') and '_base' not in path for path in files(state))


def test_small_memory_is_refused(source, cache):
    with pytest.raises(exception.FlavorMemoryTooSmall):
        make(cache, make_instance(), add_image(source, min_ram=512))


@pytest.mark.parametrize('fault', [OSError(28, 'No space left on device'), exception.DiskFull(what='it'),
                                   exception.ImageUnacceptable(image_id='img', reason='hash')])
def test_a_failed_fetch_leaves_nothing(source, cache, state, fault):
    source.fault = fault
    with pytest.raises(exception.DiskFull if isinstance(fault, OSError) else type(fault)):
        make(cache, make_instance(), add_image(source))
    assert files(state) == set()


def test_no_room_is_seen_before_the_fetch(source, cache, monkeypatch):
    monkeypatch.setattr(space, 'FLOOR', 1 << 62)
    with pytest.raises(exception.DiskFull):
        make(cache, make_instance(), add_image(source))
    assert source.fetched == []


def test_a_hostile_image_never_gets_a_name(source, cache, state):
    secret = source.directory / 'secret'
    secret.write_bytes(b'x' * 4096)
    path = source.directory / 'img'
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', secret, '-F', 'raw', path], check=True)
    with pytest.raises(exception.ImageUnacceptable):
        make(cache, make_instance(), ImageMeta(id='img', disk_format='qcow2', size=path.stat().st_size))
    assert files(state) == set()


def test_removal_in_the_middle_of_which_somebody_died(source, cache, state):
    instance, store = make_instance(), disks.Disks(cache)
    make(cache, instance, add_image(source))
    os.rename(layout.directory(instance.uuid), f'{layout.directory(instance.uuid)}_del')
    store.remove(instance.uuid)
    assert not [path for path in files(state) if instance.uuid in path]
    assert store.remove(instance.uuid) is False


def test_sweep_takes_only_directories_of_servers(source, cache, state):
    kept, left, half, other = (make_instance() for _ in range(4))
    for instance in (kept, left, half, other):
        make(cache, instance, add_image(source))
    (state / 'instances' / other.uuid / 'owner').write_text('another-host')
    os.rename(layout.directory(half.uuid), f'{layout.directory(half.uuid)}_del')
    (state / 'instances' / 'lost+found').mkdir()
    removed = disks.Disks(cache).sweep({kept.uuid})
    assert len(removed) == 2
    assert set(os.listdir(state / 'instances')) == {'_base', 'lost+found', kept.uuid, other.uuid}


# -- the image cache ---------------------------------------------------------------------

@pytest.mark.parametrize('fmt, cached', [('qcow2', 'qcow2'), ('raw', 'raw'), ('vmdk', 'raw'), ('vdi', 'raw'),
                                         ('vhd', 'raw'), ('vhdx', 'raw')])
def test_formats(source, cache, state, fmt, cached):
    base = cache.disk(add_image(source, fmt=fmt), str(state / 'link'))
    assert base.format == cached and base.path.endswith(f'.{cached}')
    assert base.virtual_size >= 8 * MIB
    assert images.info(base.path, cached).virtual_size == base.virtual_size
    again = cache.disk(ImageMeta(id='img', disk_format=fmt), str(state / 'link'))
    assert again == base and source.fetched == ['img']


def test_concurrent_builds_fetch_once(source, cache, state):
    image, other = add_image(source), ImageCache(source)   # two daemons on one directory
    threads = [threading.Thread(target=(cache, other)[n % 2].disk, args=(image, str(state / f'link{n}')))
               for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.fetched == ['img']
    assert os.stat(state / 'link7').st_nlink == 9


@pytest.mark.parametrize('what', ['root', 'kernel', 'rebuild', 'rescue', 'volume'])
def test_a_fetch_is_broken_off(source, cache, state, what):
    source.endless, instance = True, make_instance(image_ref='img')
    request = SpawnRequest(instance, image=add_image(source), stop=source.asked.is_set,
                           kernel=ImageMeta(id='k') if what == 'kernel' else None)
    store, builder = disks.Disks(cache), Builder(make_caps())
    plan = builder.disks(instance)
    device = BlockDevice(volume_id='8d4ff9c1-4d4c-4b0d-9a25-0c0a1d0a6c33', instance_uuid=instance.uuid, volume_size=1,
                         source_type='image', destination_type='volume')
    if what in ('rescue', 'volume'):
        os.makedirs(layout.directory(instance.uuid))
    with pytest.raises(FetchStopped):
        match what:
            case 'root' | 'kernel':
                store.make(request, plan)
            case 'rebuild':
                store.remake(request, plan, False)
            case 'rescue':
                store.make_rescue(request, builder.all_disks(rescue.rescued(instance)))
            case _:
                volumes.make(device, request.image, cache, stop=request.stop)
    assert len(source.fetched) == 1 and not [path for path in files(state) if '_base' in path]


@pytest.mark.parametrize('daemons', [1, 2])
def test_who_waits_for_the_fetch_of_another_is_broken_off(source, cache, state, daemons):
    image, ended = add_image(source), threading.Event()
    source.endless = True

    def first():
        with pytest.raises(FetchStopped):
            cache.disk(image, str(state / 'one'), stop=ended.is_set)
    thread = threading.Thread(target=first)
    thread.start()
    assert source.asked.wait(60)
    other = cache if daemons == 1 else ImageCache(source)       # on the same directory
    with pytest.raises(FetchStopped):
        other.disk(image, str(state / 'two'), stop=lambda: True)
    ended.set()
    thread.join()
    assert source.fetched == ['img']
    source.endless = False      # and nothing stands in the way of the next
    assert other.disk(image, str(state / 'two')).format == 'qcow2'


@pytest.mark.parametrize('native', [True, False])
def test_only_a_native_source_runs_beside_green_threads(source, cache, state, monkeypatch, native):
    called, real = [], concurrency.native_call

    def note(func, *args, **kwargs):
        called.append(func)
        return real(func, *args, **kwargs)
    monkeypatch.setattr(concurrency, 'native_call', note)
    source.native = native
    cache.disk(add_image(source), str(state / 'link'))
    assert source.fetched == ['img'] and (source.fetch in called) is native
    assert LocalSource.native and not GlanceSource.native       # the one reads files, the other shares a session


def test_sweep_spares_what_is_used_or_young(source, cache, state):
    used, young, old = (add_image(source, name) for name in ('used', 'young', 'old'))
    paths = {image.id: cache.disk(image, str(state / image.id)).path for image in (used, young, old)}
    for name in ('young', 'old'):
        os.unlink(state / name)
    for name in ('used', 'old'):
        os.utime(paths[name], (0, 0))
    assert cache.sweep(3600) == [paths['old']]
    assert os.path.exists(paths['used']) and os.path.exists(paths['young'])
    assert cache.sweep(0) == [paths['young']]


def test_sweep_removes_what_a_dead_daemon_was_fetching(cache):
    os.makedirs(cache.directory)
    for name in ('.abc.fetched.0123456789ab.part', 'abc.fetched'):
        with open(os.path.join(cache.directory, name), 'wb'):
            pass
        os.utime(os.path.join(cache.directory, name), (0, 0))
    assert len(cache.sweep(0)) == 2


def test_there_may_be_no_cache_yet(cache):
    assert cache.sweep(0) == []


def test_an_id_that_comes_again_is_another_image(source, cache, tmp_path):
    first = add_image(source, size=8 * MIB, os_hash_value='aa')
    assert cache.disk(first, str(tmp_path / 'one')).virtual_size == 8 * MIB
    os.unlink(source.directory / 'img')
    second = add_image(source, size=16 * MIB, os_hash_value='bb')
    assert cache.disk(second, str(tmp_path / 'two')).virtual_size == 16 * MIB
