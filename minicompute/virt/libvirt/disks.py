"""Makes and removes the files of a server, below `instances_path`/<uuid>."""
from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Container

from oslo_log import log as logging

from minicompute import concurrency, exception
from minicompute.conf import CONF
from minicompute.objects import ImageMeta
from minicompute.virt import configdrive, guest_data, hardware, images, metadata
from minicompute.virt.driver import Progress, SpawnRequest, no_progress
from minicompute.virt.interface.moves import Stop
from minicompute.virt.libvirt import layout, rescue, sharers, space
from minicompute.virt.libvirt.imagecache import Base, ImageCache
from minicompute.virt.libvirt.layout import Disk

LOG = logging.getLogger(__name__)

_UUID = re.compile(r'^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(_del)?$')
#: the owner of a directory that does not say whose it is: never nobody, whose disks anybody may remove
SOMEBODY = '(unknown)'
#: beside disks that an evacuation has made: the host from which
MADE_FOR = 'evacuated-from'
#: a root disk that is copied out of its base image to go alone
WHOLE = '.whole'
#: a root disk that is copied out for an image, until that is sent
EXTRACT = 'extract.'
#: seconds after which what no host has its name on, or a daemon that died was making, is taken for left over
LONG = 86400.0


class Disks:
    def __init__(self, cache: ImageCache) -> None:
        self._cache = cache

    def make(self, request: SpawnRequest, plan: list[Disk], progress: Progress = no_progress) -> None:
        """All files of `plan`, from nothing; when one fails none is left.

        Raises DiskFull, FlavorDiskTooSmall, ImageNotFound, ImageUnacceptable, ImageToolFailed, and Conflict when
        another host, which shares the directory, has disks of this server.
        """
        uuid = request.instance.uuid
        check_free(uuid, request.instance.host)
        self.remove(uuid)
        check_image(request)
        try:
            with space.checked(f'the disks of instance {uuid}'):
                os.makedirs(layout.directory(uuid), mode=0o755)
                own(uuid)
                if request.instance.host not in (None, CONF.host):
                    _note_made_for(uuid, str(request.instance.host))
                self._boot_files(request)
                for disk in plan:
                    progress('disks', None)
                    self._make_one(request, disk, progress)
        except BaseException:
            self.remove(uuid)
            raise

    def remake(self, request: SpawnRequest, plan: list[Disk], keep_ephemerals: bool,
               progress: Progress = no_progress) -> None:
        """All files of `plan` anew, in the directory that is there; ephemeral disks stay if they are to be kept. Asked
        again half way it begins again. Raises as `make` does, but leaves what it has made."""
        uuid = request.instance.uuid
        check_image(request)
        kept = {disk.path for disk in plan if keep_ephemerals and disk.kind == 'ephemeral'}
        with space.checked(f'the disks of instance {uuid}'):
            os.makedirs(layout.directory(uuid), mode=0o755, exist_ok=True)
            own(uuid)
            with os.scandir(layout.directory(uuid)) as entries:
                for entry in entries:
                    if entry.path not in kept and entry.name != 'owner':
                        _remove_tree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
            self._boot_files(request)
            for disk in plan:
                if not os.path.exists(disk.path):
                    progress('disks', None)
                    self._make_one(request, disk, progress)

    def _make_one(self, request: SpawnRequest, disk: Disk, progress: Progress) -> None:
        if disk.kind == 'root' and disk.from_image:
            self._root(request, disk, progress)
        else:
            make_simple(request, disk)

    def _root(self, request: SpawnRequest, disk: Disk, progress: Progress) -> None:
        if request.image is None:
            raise exception.ImageNotFound(image_id=request.instance.image_ref)
        base = self._cache.disk(request.image, os.path.join(os.path.dirname(disk.path), 'base'), progress,
                                request.stop)
        size = disk.size or base.virtual_size
        check_fit(base.virtual_size, disk.size)
        # An image that is not the server's own (that of its time on the shelf) is deleted soon, and whoever makes the
        # disk's backing file again, such as a move, takes the server's own for it: nothing may hang on the other.
        own_image = str(request.image.id) == request.instance.image_ref
        if disk.format == 'qcow2' and own_image:
            images.create_overlay(disk.path, base.path, base.format, size)
        else:
            self._copy(base, disk, size, request.stop)
            if not own_image:
                os.unlink(os.path.join(os.path.dirname(disk.path), 'base'))

    def _copy(self, base: Base, disk: Disk, size: int, stop: Stop) -> None:
        """A root disk that stands alone: the whole image must fit."""
        needed = base.virtual_size if disk.format == 'raw' else os.path.getsize(base.path)
        space.require(os.path.dirname(disk.path), needed, disk.path)
        images.convert(base.path, base.format, disk.path, disk.format, stop=stop)
        if size > base.virtual_size:
            images.resize(disk.path, disk.format, size)

    def _boot_files(self, request: SpawnRequest, suffix: str = '') -> None:
        """For direct boot: the domain finds them by their names on each start."""
        for image, name in ((request.kernel, 'kernel'), (request.ramdisk, 'ramdisk')):
            if image is not None:
                self._cache.plain(image, os.path.join(layout.directory(request.instance.uuid), name + suffix),
                                  request.stop)

    def make_rescue(self, request: SpawnRequest, plan: list[Disk], progress: Progress = no_progress) -> None:
        """What `plan` has for a rescue alone; what an earlier one left is replaced, the server's own is not touched.

        Raises DiskFull, FlavorDiskTooSmall, ImageNotFound, ImageUnacceptable, ImageToolFailed.
        """
        uuid = request.instance.uuid
        rescue.remove(uuid)
        try:
            with space.checked(f'the rescue disk of instance {uuid}'):
                for disk in plan:
                    if disk.kind == rescue.KIND:
                        self._rescue_disk(request, disk, progress)
                    elif disk.path == rescue.path(uuid, 'disk.config'):
                        config_drive(request, disk)
                self._boot_files(request, rescue.SUFFIX)
        except BaseException:
            rescue.remove(uuid)
            raise

    def _rescue_disk(self, request: SpawnRequest, disk: Disk, progress: Progress) -> None:
        if request.image is None:
            raise exception.ImageNotFound(image_id=request.instance.system_metadata.get('rescue_image_ref'))
        base = self._cache.disk(request.image, rescue.path(request.instance.uuid, 'base'), progress, request.stop)
        if disk.device == 'disk':    # what a guest can fill must be in what it pays for
            check_fit(base.virtual_size, hardware.root_gb(request.instance) * space.GIB)
        images.create_overlay(disk.path, base.path, base.format, base.virtual_size)

    def remove(self, uuid: str) -> bool:
        """No file of this server is left; -> was there any?

        First the name goes, then the content: who dies in between leaves what the next removal, or the
        sweep, finds.
        """
        path, doomed = layout.directory(uuid), f'{layout.directory(uuid)}_del'
        _remove_tree(doomed)
        try:
            os.rename(path, doomed)
        except FileNotFoundError:
            return False
        _remove_tree(doomed)
        return True

    def present(self) -> set[str]:
        """The servers that have a directory of ours."""
        found = [match[1] for name in os.listdir(CONF.instances_path) if (match := _UUID.match(name))]
        return {uuid for uuid in found if is_own(uuid)}

    def abandoned(self) -> set[str]:
        """The servers that have a directory which does not say whose it is, and that nobody touched for long."""
        found = [match[1] for name in os.listdir(CONF.instances_path)
                 if (match := _UUID.match(name)) and not match[2]]
        return {uuid for uuid in found if owner(uuid) in (None, SOMEBODY) and _is_old(layout.directory(uuid))}

    def sweep(self, known: Container[str], gone: Container[str] = ()) -> list[str]:
        """Remove our directories of servers that are not `known`, those that are nobody's of servers in `gone`, and
        what died in the middle of its removal or its making; -> their paths."""
        removed = []
        for name in os.listdir(CONF.instances_path):
            match, path = _UUID.match(name), os.path.join(CONF.instances_path, name)
            if match is None:
                continue
            if match[2]:
                # This alone: the server may have a directory again, and of another host.
                if match[1] not in known:
                    _remove_tree(path)
                    removed.append(path)
            elif match[1] in known:
                removed += _sweep_files(path) if is_own(match[1]) else []
            elif is_own(match[1]) or (match[1] in gone and owner(match[1]) in (None, SOMEBODY)):
                removed.append(path)
                self.remove(match[1])
        return removed


def _sweep_files(directory: str) -> list[str]:
    """What a daemon that died was making. Who still reads a disk that is sent goes on reading it."""
    removed = images.remove_leftovers(directory, LONG)
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if (name.endswith(WHOLE) or name.startswith(EXTRACT)) and _is_old(path):
            os.unlink(path)
            removed.append(path)
    return removed


def _is_old(path: str) -> bool:
    try:
        return os.stat(path).st_mtime < time.time() - LONG
    except FileNotFoundError:
        return False


def make_simple(request: SpawnRequest, disk: Disk) -> None:
    """What needs no image."""
    if disk.kind == 'config':
        config_drive(request, disk)
    elif disk.filesystem == 'swap':
        images.make_swap(disk.path, disk.size)
    elif disk.filesystem:
        images.make_filesystem(
            disk.path, disk.filesystem, os.path.basename(disk.path).replace('disk.', ''), disk.size
        )
    else:
        images.create(disk.path, disk.format, disk.size)


def config_drive(request: SpawnRequest, disk: Disk) -> None:
    told = guest_data.describe(request.instance, admin_pass=request.admin_password, files=request.files)
    configdrive.build(disk.path, metadata.config_drive_tree(told), CONF.config_drive_format)


def own(uuid: str, host: str | None = None) -> None:
    """Note whose directory this is, ours or that of `host`: hosts may share `instances_path`, and each sweeps, and
    removes, only its own. Raises FileNotFoundError without a directory."""
    path = os.path.join(layout.directory(uuid), 'owner')
    if owner(uuid) == (host or CONF.host):
        return
    with open(path + '.new', 'w', encoding='utf-8') as writer:
        writer.write(host or CONF.host)
        writer.flush()
        os.fsync(writer.fileno())
    os.replace(path + '.new', path)
    settled(uuid)
    directory = os.open(layout.directory(uuid), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _note_made_for(uuid: str, host: str) -> None:
    """The server lives on `host`, which is lost, until its evacuation has come to an end."""
    with open(os.path.join(layout.directory(uuid), MADE_FOR), 'w', encoding='utf-8') as file:
        file.write(host)


def is_made_for(uuid: str, home: str | None) -> bool:
    """Whether we have made what is here of a server that lives at `home`, to evacuate it: nothing of it is that
    host's, also when it sees our directory."""
    try:
        with open(os.path.join(layout.directory(uuid), MADE_FOR), encoding='utf-8') as file:
            return is_own(uuid) and file.read() == home
    except (FileNotFoundError, NotADirectoryError):
        return False


def settled(uuid: str) -> None:
    """The evacuation is over: the server lives where its disks are, or goes elsewhere."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(layout.directory(uuid), MADE_FOR))


def owner(uuid: str) -> str | None:
    """The host whose directory this is; None when nobody's, or not there. A file that says nothing, or cannot be read,
    is `SOMEBODY`'s."""
    try:
        with open(os.path.join(layout.directory(uuid), 'owner'), encoding='utf-8') as reader:
            return reader.read() or SOMEBODY
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        LOG.warning('Whose the disks of instance %s are cannot be read: %s', uuid, error)
        return SOMEBODY


def check_free(uuid: str, home: str | None) -> None:
    """Raises Conflict when what lies here of the server is another host's, by name, or because the server lives at
    `home`, which has its disks in our directory: all that is left of the server may be there."""
    has = owner(uuid)
    if has not in (None, CONF.host):
        raise exception.Conflict(f'The disks of instance {uuid} that {CONF.host} sees belong to host {has}.')
    if sharers.shares(home) and os.path.lexists(layout.directory(uuid)) and not is_made_for(uuid, home):
        raise exception.Conflict(f'The disks of instance {uuid} that {CONF.host} sees are those of host {home}.')


def is_own(uuid: str) -> bool:
    return owner(uuid) == CONF.host


def complete(plan: list[Disk]) -> bool:
    return all(os.path.exists(disk.path) for disk in plan)


def check_image(request: SpawnRequest) -> None:
    """What the image service says of the image must fit the flavor, before a byte is fetched."""
    image, flavor = request.image, request.instance.flavor
    if image is None or flavor is None:
        return
    if image.min_ram > flavor.memory_mb:
        raise exception.FlavorMemoryTooSmall()
    root = layout.root_device(request.instance)
    size_gb = root.volume_size if root is not None and root.destination_type == 'volume' else flavor.root_gb
    if size_gb:
        check_fit(max(image.min_disk * space.GIB, _told_size(image)), size_gb * space.GIB)


def _told_size(image: ImageMeta) -> int:
    return image.virtual_size or (image.size or 0 if image.disk_format == 'raw' else 0)


def check_fit(needed: int, size: int) -> None:
    """Bytes. A flavor with root_gb 0 takes any image."""
    if size and needed > size:
        raise exception.FlavorDiskTooSmall(flavor_gb=size // space.GIB, image_gb=-(-needed // space.GIB))


def _remove_tree(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        concurrency.native_call(shutil.rmtree, path)
