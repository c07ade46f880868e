"""The files of the local volumes, as a host makes and grows them, below `[local_volumes] path`.

A volume gets its file at its first use, empty or with the content of an image or of a snapshot. The file appears whole:
it is made under a name of this host's own and linked to its final one, which fails if another host was faster, and is
then as good.
"""
from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import BlockDevice, ImageMeta, Instance, from_primitive
from minicompute.objects.block_device import IMAGE
from minicompute.virt import growth, images
from minicompute.virt.driver import Progress, no_progress
from minicompute.virt.interface.moves import Stop, never
from minicompute.virt.libvirt import layout, shares, sources, space
from minicompute.virt.libvirt.imagecache import ImageCache
from minicompute.volume import files

LOG = logging.getLogger(__name__)

#: a temporary file of a tool that nobody touched for so many seconds is nobody's
LEFT_OVER = 3600 * 24
#: of a qcow2 file
MAGIC = b'QFI\xfb'


def make_all(instance: Instance, image: ImageMeta | None, cache: ImageCache, progress: Progress = no_progress,
             stop: Stop = never) -> None:
    """All volumes of a server that is to start; `image` is what its root volume begins with."""
    for device in instance.block_devices:
        if device.volume_id and not device.no_device:
            make(device, _begins_with(device, image), cache, progress, stop)


def _begins_with(device: BlockDevice, image: ImageMeta | None) -> ImageMeta | None:
    """One that is no root disk brings the image that it is made from."""
    if device.source_type != 'image':
        return None
    own = device.connection_info.get(IMAGE)
    known: ImageMeta | None = from_primitive(own) if own else image
    return known


def is_remote(device: BlockDevice) -> bool:
    return bool(device.connection_info.get('connection'))


def source_of(device: BlockDevice) -> sources.Source | None:
    """None: what the volume service said makes no sense, so it was never connected."""
    try:
        return sources.of(device)
    except exception.InvalidVolume as error:
        LOG.warning('%s', error)
        return None


def reach(device: BlockDevice) -> None:
    """A volume of a volume service is where QEMU finds it. Raises InvalidVolume."""
    info, source = device.connection_info['connection'], sources.of(device)
    if info.get('encrypted'):
        raise exception.InvalidVolume(reason=f'volume {device.volume_id} is encrypted, and this host cannot decrypt it')
    if source.kind == 'file':
        shares.ready(str(info['export']), info.get('options'), source.place, source.format)
    elif source.kind == 'block':
        from minicompute.virt.libvirt import brick

        brick.connect(device)


def let_go(device: BlockDevice) -> None:
    """No domain of this host uses the volume any more; never connected is fine. Raises InvalidVolume."""
    from minicompute.virt.libvirt import brick

    brick.disconnect(device)


def make(device: BlockDevice, image: ImageMeta | None, cache: ImageCache, progress: Progress = no_progress,
         stop: Stop = never) -> str:
    """-> the path of its file, which has the volume's size.

    Raises VolumeLost when it was made once and is not here, DiskFull, FlavorDiskTooSmall, ImageNotFound,
    ImageUnacceptable, ImageToolFailed, also once `stop()` says True."""
    if is_remote(device):
        reach(device)
        return sources.of(device).place
    path, size = files.path_of(str(device.volume_id)), (device.volume_size or 0) * space.GIB
    if not os.path.exists(path):
        if device.connection_info.get('made'):
            raise exception.VolumeLost(volume_id=device.volume_id)
        _make_new(path, size, device, image, cache, progress, stop)
    images.resize(path, files.FORMAT, size)
    return path


def refill(device: BlockDevice, image: ImageMeta, cache: ImageCache, progress: Progress = no_progress,
           stop: Stop = never) -> None:
    """The file of a volume gets the content of another image, and has its old one until that is whole. Raises as `make`
    does, and InvalidBDM when the image does not fit."""
    path, size = files.path_of(str(device.volume_id)), (device.volume_size or 0) * space.GIB
    if not os.path.exists(path) and device.connection_info.get('made'):
        raise exception.VolumeLost(volume_id=device.volume_id)
    _make_new(path, size, device, image, cache, progress, stop, os.replace)
    images.resize(path, files.FORMAT, size)


def _make_new(path: str, size: int, device: BlockDevice, image: ImageMeta | None, cache: ImageCache,
              progress: Progress, stop: Stop, put: Callable[[str, str], None] = os.link) -> None:
    directory, name = os.path.split(path)
    os.makedirs(directory, mode=0o755, exist_ok=True)
    temp = os.path.join(directory, f'.{name}.{CONF.host}.new')     # one step at a time makes it on this host
    try:
        with space.checked(f'volume {device.volume_id}'):
            if device.snapshot_id and put is os.link:
                _copy(_snapshot(device.snapshot_id), temp, f'volume {device.volume_id}', progress, stop)
            elif image is None:
                images.create(temp, files.FORMAT, size)
            else:
                _fill(temp, size, device, image, cache, progress, stop)
            os.chmod(temp, 0o600)       # libvirt gives it to QEMU's user when it opens it
            with contextlib.suppress(FileExistsError):
                put(temp, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temp)
    LOG.info('The file of volume %s is made', device.volume_id)


def _snapshot(snapshot_id: str) -> str:
    """Raises SnapshotNotFound."""
    path = files.snapshot_path(snapshot_id)
    if not os.path.exists(path):
        raise exception.SnapshotNotFound(snapshot_id=snapshot_id)
    return path


def _copy(source: str, temp: str, what: str, progress: Progress, stop: Stop) -> None:
    taken = os.stat(source).st_blocks * 512
    space.require(os.path.dirname(temp), taken, what)
    images.convert(source, files.FORMAT, temp, files.FORMAT, stop=stop,
                   watch=lambda part: growth.told(part, taken, 'volume', progress))


def _fill(temp: str, size: int, device: BlockDevice, image: ImageMeta, cache: ImageCache,
          progress: Progress, stop: Stop) -> None:
    # In the server's directory: it goes with that, whoever dies here.
    link = os.path.join(layout.directory(str(device.instance_uuid)), f'base.{device.volume_id}')
    try:
        base = cache.disk(image, link, progress, stop)
        if base.virtual_size > size:
            raise exception.InvalidBDM(reason=f'volume_size: image {image.id} needs '
                                              f'{-(-base.virtual_size // space.GIB)} GiB')
        images.convert(base.path, base.format, temp, files.FORMAT, stop=stop)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)


def ready_all(instance: Instance, cache: ImageCache) -> None:
    """The files of volumes of a server that is to start. What has grown while nobody could tell its host grows; that
    one cannot keeps no server from starting. What was attached while its host fell silent may have no file yet. Raises
    as `make` does."""
    for device in attached(instance) if CONF.volume_backend == 'local' else ():
        if is_remote(device):
            continue    # whatever this host is told of backends: it has no file here
        path, size = files.path_of(str(device.volume_id)), (device.volume_size or 0) * space.GIB
        try:
            if not os.path.exists(path) and device.source_type != 'image':
                make(device, None, cache)
            elif 0 < _size(path) < size:
                images.resize(path, files.FORMAT, size)
                LOG.info('Volume %s has %d GiB now', device.volume_id, device.volume_size)
        except (OSError, exception.ComputeException) as error:
            if not os.path.exists(path):
                raise
            LOG.error('Volume %s does not grow: %s', device.volume_id, error)


def attached(instance: Instance) -> list[BlockDevice]:
    """What has a volume that the guest sees: what is to take the place of another does not yet."""
    return [device for device in instance.block_devices if device.volume_id and not device.no_device
            and device.connection_info.get('state') != 'swapping']


def _size(path: str) -> int:
    """In bytes, as the header of the file says, which costs less than to ask qemu-img; 0 without a file."""
    try:
        with open(path, 'rb') as reader:
            header = reader.read(32)
    except FileNotFoundError:
        return 0
    return int.from_bytes(header[24:32], 'big') if header[:4] == MAGIC else 0


def sweep() -> list[str]:
    """Remove what killed tools left; -> the paths."""
    if not os.path.isdir(CONF.local_volumes.path):
        return []
    return images.remove_leftovers(CONF.local_volumes.path, LEFT_OVER)
