"""See `virt/interface/moves.py`.

Where disks lie on a directory that several hosts share, `owner` beside them says whose they are: nobody else removes
them (disks.py).
"""
from __future__ import annotations

import copy
import os
from typing import Any

from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Flavor, ImageMeta, Instance, PowerState
from minicompute.virt import images
from minicompute.virt.interface.moves import MoveVerbs, Stop, never
from minicompute.virt.libvirt import arrival, carrier, disks, guest, layout, remote, space
from minicompute.virt.libvirt.base import LibvirtBase
from minicompute.virt.libvirt.base import stop as switch_off
from minicompute.virt.libvirt.config.base import Element, parse, render
from minicompute.virt.libvirt.layout import Disk
from minicompute.virt.request import Progress, no_progress

LOG = logging.getLogger(__name__)

#: what a build may have left beside the disks
BOOT_FILES = ('kernel', 'ramdisk')


class LibvirtMoves(LibvirtBase, MoveVerbs):
    # -- at the destination ----------------------------------------------------------

    def prepare_move(self, instance: Instance, source: str, image: ImageMeta | None,
                     progress: Progress = no_progress, stop: Stop = never) -> dict[str, Any]:
        uuid, landing = instance.uuid, carrier.Landing(self._host, instance.uuid)
        facts: dict[str, Any] = {'host': CONF.host, 'ip': CONF.my_ip, 'address': remote.address(self._host)}
        with self._watch.quiet(uuid):
            facts['marker'] = landing.mark()
            if source != CONF.host:
                if self._is_running(uuid):
                    raise exception.Conflict(f'A domain of instance {uuid} runs on {CONF.host} already.')
                facts['base'] = self._fetch_base(instance, image, landing.base, progress, stop)
        return facts

    def _fetch_base(self, instance: Instance, image: ImageMeta | None, link: str, progress: Progress,
                    stop: Stop) -> str | None:
        """What the root disk is an overlay on, if it is to be had; else its whole content comes. -> its file's name"""
        if image is None or CONF.libvirt.images_type == 'raw':
            return None
        try:
            return os.path.basename(self._cache.disk(image, link, progress, stop).path)
        except (exception.NotFound, exception.Invalid) as error:
            LOG.warning('Image %s of instance %s cannot be had: %s', image.id, instance.uuid, error)
            return None

    def open_move(self, instance: Instance) -> dict[str, Any]:
        uuid, landing = instance.uuid, carrier.Landing(self._host, instance.uuid)
        with self._watch.quiet(uuid):
            if self._is_running(uuid):
                raise exception.Conflict(f'A domain of instance {uuid} runs on {CONF.host} already.')
            disks.check_free(uuid, instance.host)
            guest.remove(self._host, uuid)
            self._disks.remove(uuid)
            with space.checked(f'the disks of instance {uuid}'):
                os.makedirs(layout.directory(uuid), mode=0o755)
                disks.own(uuid)
                landing.keep_base()
            return {'pool': landing.open(), 'uid': os.getuid(), 'gid': os.getgid()}

    def arrive(self, instance: Instance, *, start: bool) -> None:
        uuid = instance.uuid
        with self._watch.quiet(uuid):
            if start and self._is_made(instance) and disks.complete(self._builder.disks(instance)):
                return
            if self._is_running(uuid):
                switch_off(guest.find(self._host, uuid), 0)
            carrier.Landing(self._host, uuid).close()
            disks.own(uuid)
            with space.checked(f'the disks of instance {uuid}'):
                arrival.fit(instance, self._builder.disks(instance))
            if start:
                self._define_and_start(instance)
            else:
                self._networks.plug(instance)
                guest.define(self._host, uuid, render(self._builder.domain(instance)))

    def check_move(self, instance: Instance, *, running: bool) -> dict[str, Any]:
        try:
            domain = guest.find(self._host, instance.uuid)
            state, has = domain.power_state(), domain.tree()
        except exception.DomainNotFound:
            raise exception.Conflict(f'No domain of instance {instance.uuid} is on {CONF.host}.') from None
        plan = parse(render(self._builder.domain(instance)))
        for what, xpath, attribute in (('disks', 'devices/disk/source', 'file'),
                                       ('network cards', 'devices/interface/mac', 'address')):
            wanted, found = (_values(tree, xpath, attribute) for tree in (plan, has))
            if wanted != found:
                raise exception.Conflict(f'The {what} of instance {instance.uuid} are not those of the plan.')
        for what, xpath in (('memory', 'memory'), ('processors', 'vcpu')):
            if _amount(plan, xpath) != _amount(has, xpath):
                raise exception.Conflict(f'The {what} of instance {instance.uuid} are not those of the plan.')
        if running and state != PowerState.RUNNING:
            raise exception.Conflict(f'The domain of instance {instance.uuid} is {PowerState.NAMES[state]} on '
                                     f'{CONF.host} and should run.')
        return {'power_state': state}

    def depart(self, instance: Instance, owner: str | None) -> None:
        uuid = instance.uuid
        with self._watch.quiet(uuid):
            try:
                switch_off(guest.find(self._host, uuid), 0)
            except exception.DomainNotFound:
                LOG.debug('No domain of %s departs', uuid)
            if owner is not None:
                disks.own(uuid, owner)

    def drop_move(self, instance: Instance, source: str, *, disks: bool) -> None:
        with self._watch.quiet(instance.uuid):
            carrier.Landing(self._host, instance.uuid).close()
            if source != CONF.host:
                self._remove(instance, destroy_disks=disks)

    # -- at the source -----------------------------------------------------------------

    def leave(self, instance: Instance, flavor: Flavor, dest: dict[str, Any], timeout: int) -> dict[str, Any]:
        uuid = instance.uuid
        self._must_be_ours(uuid)
        shared = carrier.sees(uuid, str(dest['marker']))
        disks.settled(uuid)
        grown = copy.copy(instance)
        grown.flavor = flavor
        if flavor != instance.flavor:
            self._builder.check(grown)
        before = {disk.path: disk.size for disk in self._builder.disks(instance)}
        for disk in self._builder.disks(grown):
            _check_size(disk, before.get(disk.path))
        with self._watch.quiet(uuid):
            try:
                switch_off(guest.find(self._host, uuid), timeout)
            except exception.DomainNotFound:
                LOG.warning('Instance %s had no domain when it left', uuid)
            self._give_up(*instance.block_devices)      # a start here connects them again
        return {'shared': shared, 'power_state': PowerState.SHUTDOWN}

    def send_disks(self, instance: Instance, dest: dict[str, Any], progress: Progress = no_progress,
                   stop: Stop = never) -> dict[str, int]:
        files = {os.path.basename(disk.path): disk.path for disk in self._builder.disks(instance)
                 if _is_own(disk) and disk.filesystem != 'swap'}
        for name in BOOT_FILES:
            path = os.path.join(layout.directory(instance.uuid), name)
            if os.path.exists(path):
                files[name] = path
        with arrival.portable(files, dest.get('base'), stop) as ready:
            return {'bytes': carrier.send(dest, ready, progress, stop)}


def _is_own(disk: Disk) -> bool:
    """Not a volume's."""
    return disk.kind in ('root', 'ephemeral', 'swap', 'config')


def _check_size(disk: Disk, before: int | None) -> None:
    """Raises InvalidInput for a disk that would have to shrink. One that is larger than its flavor says, since a resize
    was reverted where both hosts see it, stays so: it is refused only when less than `before` is asked for."""
    if disk.kind not in ('root', 'ephemeral') or not disk.size or not os.path.exists(disk.path):
        return
    if before and disk.size >= before:
        return
    has = images.info(disk.path, disk.format, in_use=True).virtual_size
    if has > disk.size:
        raise exception.InvalidInput(reason=f'the {disk.kind} disk has {-(-has // space.GIB)} GiB, the flavor only '
                                            f'{disk.size // space.GIB} GiB: disks grow and never shrink')


def _values(tree: Element, xpath: str, attribute: str) -> list[str]:
    return sorted(found.get(attribute, '').lower() for found in tree.findall(xpath) if found.get(attribute))


#: KiB, as libvirt writes memory, of each unit that we write
_UNITS = {'KiB': 1, 'MiB': 1024, 'GiB': 1 << 20}


def _amount(tree: Element, xpath: str) -> int:
    found = tree.find(xpath)
    if found is None or not (found.text or '').strip().isdecimal():
        return -1
    return int(str(found.text)) * _UNITS.get(found.get('unit', 'KiB'), 1)
