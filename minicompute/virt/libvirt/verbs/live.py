"""See `virt/interface/live.py`. The copy itself is in `migration.py`."""
from __future__ import annotations

import os
import re
from typing import Any
from xml.etree import ElementTree

from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Instance, VMState
from minicompute.virt import images
from minicompute.virt.driver import SpawnRequest, no_progress
from minicompute.virt.interface import live
from minicompute.virt.interface.live import LiveVerbs, Watcher
from minicompute.virt.interface.moves import never
from minicompute.virt.libvirt import (
    arrival,
    carrier,
    disks,
    guest,
    layout,
    migration,
    remote,
    sharers,
    sources,
    space,
    vif,
    volumes,
)
from minicompute.virt.libvirt.base import LibvirtBase
from minicompute.virt.libvirt.config.base import Element, parse, render
from minicompute.virt.libvirt.imagecache import Base

LOG = logging.getLogger(__name__)

#: files of a server that are no disks
BOOT_FILES = ('kernel', 'ramdisk')
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,63}')
HERE = (live.RUNNING, live.PAUSED, live.INCOMING, live.OUTGOING)


class LibvirtLive(LibvirtBase, LiveVerbs):
    # -- before ----------------------------------------------------------------------

    def live_offer(self, instance: Instance) -> dict[str, Any]:
        self._must_be_ours(instance.uuid)
        tree = migration.running(self._host, instance.uuid).tree()
        if tree.find('devices/hostdev') is not None:
            raise exception.MigrationPreCheckError(reason='the guest holds devices of its host')
        disks.settled(instance.uuid)
        own, elsewhere = _disks(instance.uuid, tree)
        # A volume of a volume service is brought to the destination by its own steps.
        remote_ones = {sources.of(device).place for device in instance.block_devices if volumes.is_remote(device)}
        elsewhere = [path for path in elsewhere if path not in remote_ones]
        cpu, kind = tree.find('cpu'), tree.find('os/type')
        directory = layout.directory(instance.uuid)
        return {
            'host': CONF.host, 'token': _token(instance.uuid), 'disks': own, 'elsewhere': elsewhere,
            'files': [name for name in BOOT_FILES if os.path.exists(os.path.join(directory, name))],
            'cpu': ElementTree.tostring(cpu, encoding='unicode') if cpu is not None else '',
            'arch': kind.get('arch', '') if kind is not None else '',
            'machine': kind.get('machine', '') if kind is not None else '', 'virt_type': tree.get('type', 'qemu')}

    def live_accept(self, instance: Instance, offer: dict[str, Any], block: bool | None,
                    over_commit: bool | None) -> dict[str, Any]:
        uuid, path = instance.uuid, CONF.instances_path
        if migration.find(self._host, uuid) in HERE:
            raise exception.MigrationPreCheckError(reason=f'a domain of the server is on {CONF.host} already')
        shared = bool(offer['token']) and _token(uuid) == offer['token']
        if shared and block:
            raise exception.InvalidLocalStorage(path=path, reason='both hosts see the same disks, none is to be copied')
        if block is False and not shared and offer['disks']:
            raise exception.InvalidSharedStorage(path=path, reason='the disks of the server must be copied')
        for volume in offer['elsewhere']:
            if not os.path.exists(volume):
                raise exception.MigrationPreCheckError(reason=f'{CONF.host} does not see {os.path.basename(volume)}')
        self._builder.hardware(instance)
        migration.compare_cpu(self._host, offer)
        if not shared:
            self._check_room(uuid, offer, over_commit)
        return {'shared': shared}

    def _check_room(self, uuid: str, offer: dict[str, Any], over_commit: bool | None) -> None:
        try:
            disks.check_free(uuid, offer['host'])
        except exception.Conflict as error:
            raise exception.MigrationPreCheckError(reason=str(error)) from None
        if offer['disks'] and not CONF.libvirt.live_migration_with_native_tls:
            raise exception.MigrationPreCheckError(
                reason='disks cannot be copied through a tunnel ([libvirt] live_migration_with_native_tls)')
        size = 'virtual_size' if over_commit is False else 'held'
        try:
            space.require(CONF.instances_path, sum(disk[size] for disk in offer['disks']), f'the disks of {uuid}')
        except exception.DiskFull as error:
            raise exception.MigrationPreCheckError(reason=str(error)) from None

    def live_prepare(self, request: SpawnRequest, offer: dict[str, Any], shared: bool) -> dict[str, Any]:
        instance = request.instance
        uuid = instance.uuid
        with self._watch.quiet(uuid):
            if migration.find(self._host, uuid) in HERE:
                raise exception.Conflict(f'A domain of instance {uuid} is on {CONF.host} already.')
            guest.remove(self._host, uuid)
            self._networks.plug(instance)
            there: dict[str, Any] = {'full': False, 'copy': [], 'send': []}
            if not shared:
                with space.checked(f'the disks of instance {uuid}'):
                    there = self._make_room(request, offer)
            self._reach(instance)       # in the directory that is there by now
        # Files that this host has found: what is no server's own is copied by nobody.
        seen = bool(offer['elsewhere']) or any(
            sources.of(one).kind == 'file' for one in instance.block_devices if volumes.is_remote(one))
        # A MAC address is written in small letters in our records and by libvirt.
        cards = {card.mac.lower(): render(card) for card in vif.interfaces(
            instance, self._builder.hardware(instance), instance.flavor.vcpus if instance.flavor else 1)}
        return {**there, 'host': CONF.host, 'address': remote.address(self._host), 'shared': shared, 'seen': seen,
                'cards': cards, 'directory': layout.directory(uuid), 'vnc': CONF.vnc.server_listen,
                'spice': CONF.spice.server_listen, 'serial_address': CONF.serial_console.proxyclient_address,
                'serial_port': self._serial_ports.of(uuid)}

    def _make_room(self, request: SpawnRequest, offer: dict[str, Any]) -> dict[str, Any]:
        """An empty disk for each that libvirt fills, on the base image of this host where there is one, and a landing
        for what libvirt does not copy: what the guest cannot write to."""
        uuid = request.instance.uuid
        directory = layout.directory(uuid)
        disks.check_free(uuid, offer['host'])
        self._disks.remove(uuid)
        os.makedirs(directory, mode=0o755)
        disks.own(uuid)
        backed = any(disk['backed'] for disk in offer['disks'])
        base = self._base(request, os.path.join(directory, 'base')) if backed else None
        send, copy = [], []
        for disk in offer['disks']:
            _check(disk)
            if disk['readonly']:
                send.append(disk['name'])
                continue
            copy.append(disk['target'])
            path = os.path.join(directory, disk['name'])
            if disk['backed'] and base is not None:
                images.create_overlay(path, base.path, base.format, disk['virtual_size'])
            else:
                images.create(path, disk['format'], disk['virtual_size'])
        for name in offer['files']:
            image = {'kernel': request.kernel, 'ramdisk': request.ramdisk}.get(name)
            if image is not None:
                self._cache.plain(image, os.path.join(directory, name), request.stop)
            elif name in BOOT_FILES:
                send.append(name)
        landing = carrier.Landing(self._host, uuid)
        landing.mark()
        return {'full': backed and base is None, 'copy': copy, 'send': send, 'pool': landing.open(), 'uid': os.getuid(),
                'gid': os.getgid()}

    def _base(self, request: SpawnRequest, link: str) -> Base | None:
        """None: the image is not to be had any more, so all that lies below a disk is copied as well."""
        if request.image is None:
            return None
        try:
            return self._cache.disk(request.image, link, stop=request.stop)
        except (exception.NotFound, exception.Invalid) as error:
            LOG.warning('Image %s cannot be had: %s', request.image.id, error)
            return None

    def live_rollback(self, instance: Instance, *, shared: bool, force: bool, stale: bool = False) -> None:
        uuid = instance.uuid
        with self._watch.quiet(uuid):
            where = migration.find(self._host, uuid)
            # A domain that is defined and off has come with its disks, and gone off here.
            if not force and (where in (live.RUNNING, live.PAUSED) or (where == live.STOPPED and not stale)):
                raise exception.Conflict(f'Instance {uuid} is on {CONF.host}: {where}.')
            # What a preparation refused to touch is not ours to remove either.
            self._remove(instance, destroy_disks=not shared)

    # -- the copy --------------------------------------------------------------------

    def live_migrate(self, instance: Instance, there: dict[str, Any], watch: Watcher) -> tuple[str, str]:
        uuid = instance.uuid
        copy = migration.Copy(self._host, uuid, there, watch)
        with self._watch.quiet(uuid):
            where = migration.find(self._host, uuid)
            if where == live.OUTGOING:
                return copy.join()
            if where not in (live.RUNNING, live.PAUSED):
                # One that is off may have come to the destination before this host was cut off.
                return live.UNKNOWN, 'the guest is off' if where == live.STOPPED else f'it is {where}'
            try:
                self._send(uuid, there, watch)
            except exception.ComputeException as error:
                return live.FAILED, str(error)
            outcome, why = copy.run(layout.directory(uuid))
            if outcome == live.COMPLETED and not there['shared']:
                self._send_console(uuid, there)
            return outcome, why

    def _send_console(self, uuid: str, there: dict[str, Any]) -> None:
        """What the guest has said so far goes after it, as the older part of its log."""
        path = os.path.join(layout.directory(uuid), 'console.log')
        try:
            if os.path.exists(path):
                carrier.send(there, {'console.log.0': path}, no_progress, never)
        except exception.ComputeException as error:
            LOG.warning('The console log of instance %s stays behind: %s', uuid, error)

    def _send(self, uuid: str, there: dict[str, Any], watch: Watcher) -> None:
        directory = layout.directory(uuid)
        files = {name: os.path.join(directory, os.path.basename(name)) for name in there['send']}
        if files:
            carrier.send(there, files, lambda stage, percent: watch({}), never)

    def live_order(self, uuid: str, order: str) -> None:
        migration.order(self._host, uuid, order)

    def live_find(self, uuid: str) -> str:
        return migration.find(self._host, uuid)

    # -- after -----------------------------------------------------------------------

    def live_keep(self, instance: Instance) -> str:
        uuid = instance.uuid
        with self._watch.quiet(uuid):
            where = migration.end(self._host, uuid)
            # An order to complete pauses the guest; when the copy fails all the same it has to run again.
            if where == live.HELD or (where == live.PAUSED and instance.vm_state == VMState.ACTIVE):
                migration.resume(self._host, uuid)
            return migration.find(self._host, uuid)

    def live_finish(self, instance: Instance) -> dict[str, Any]:
        uuid = instance.uuid
        with self._watch.quiet(uuid):
            if migration.find(self._host, uuid) == live.HELD:
                migration.resume(self._host, uuid)
            if os.path.isdir(layout.directory(uuid)):
                disks.own(uuid)
            carrier.Landing(self._host, uuid).close()
            plan = render(self._builder.domain(instance))
            has = guest.find(self._host, uuid).tree()
            guest.define(self._host, uuid, plan)
        return {'deviations': migration.deviations(parse(plan), has)}

    def live_leave(self, instance: Instance, *, shared: bool) -> None:
        with self._watch.quiet(instance.uuid):
            if shared and instance.host and disks.is_own(instance.uuid):
                # The destination may not have come to it: what is ours our sweep would remove from under its guest.
                disks.own(instance.uuid, instance.host)
            self._remove(instance, destroy_disks=not shared)

    # -- a lost host -------------------------------------------------------------------

    def sees_disks_of(self, instance: Instance, host: str, *, said: bool = False) -> bool:
        # Ours while the server lives there: an evacuation to here that nobody could undo. A directory that is a copy of
        # the other host's says the same, and its disks are of yesterday.
        owner = disks.owner(instance.uuid)
        if owner not in (host, CONF.host) or sharers.known_apart(host):
            return False
        if sharers.proven(host) or (said and (owner == host or sharers.shares(host))):
            return True
        if owner == CONF.host:
            return False    # left here long ago
        raise exception.InvalidSharedStorage(path=f'Instance {instance.uuid}', reason=(
            f'{CONF.host} sees disks of {host}, but nothing proves that they are its own and not a copy: no host that '
            f'{host} had met there has met {CONF.host}. If you know that they are, evacuate it with onSharedStorage '
            '(before microversion 2.14), or to a host that was there before'))

    def adopt(self, instance: Instance, host: str, *, start: bool) -> None:
        uuid = instance.uuid
        with self._watch.quiet(uuid):
            if self._is_running(uuid):
                return
            if disks.owner(uuid) not in (host, CONF.host):
                raise exception.Conflict(f'The disks of instance {uuid} belong to {disks.owner(uuid)}.')
            arrival.complete(instance, self._builder.disks(instance))
            # Before the records say so: the lost host may be back at any time, and removes what is its own.
            disks.own(uuid)
            if start:
                self._define_and_start(instance)
            else:
                self._networks.plug(instance)
                guest.define(self._host, uuid, render(self._builder.domain(instance)))

    def give_back(self, instance: Instance, host: str) -> None:
        with self._watch.quiet(instance.uuid):
            guest.remove(self._host, instance.uuid)
            self._networks.unplug(instance)
            self._give_up(*instance.block_devices)
            if disks.is_own(instance.uuid):     # the next evacuation asks whose they are
                disks.own(instance.uuid, host)

    def take_over(self, instance: Instance) -> None:
        disks.own(instance.uuid)


def _token(uuid: str) -> str:
    """Equal on two hosts that see the same directory of the server: which file `owner` is, and whose. Raises
    OSError."""
    try:
        facts = os.stat(os.path.join(layout.directory(uuid), 'owner'))
    except (FileNotFoundError, NotADirectoryError):
        return ''
    return f'{disks.owner(uuid)} {facts.st_ino} {facts.st_mtime_ns} {facts.st_size}'


def _check(disk: dict[str, Any]) -> None:
    """It comes from another host, and becomes a file here. Raises InvalidInput."""
    if not _NAME.fullmatch(str(disk['name'])) or disk['format'] not in ('raw', 'qcow2'):
        raise exception.InvalidInput(reason='the source offers a disk that cannot be one')


def _disks(uuid: str, tree: Element) -> tuple[list[dict[str, Any]], list[str]]:
    """-> (disks in the server's own directory, paths of all others)"""
    own, elsewhere = [], []
    inside = layout.directory(uuid) + '/'
    for disk in tree.findall('devices/disk'):
        source, target, kind = disk.find('source'), disk.find('target'), disk.find('driver')
        path = source.get('file') if source is not None else None
        if not path or target is None:
            continue
        if not path.startswith(inside):
            elsewhere.append(path)
            continue
        form = kind.get('type', 'raw') if kind is not None else 'raw'
        facts = images.info(path, form, in_use=True)
        own.append({'name': os.path.basename(path), 'target': target.get('dev', ''), 'format': form,
                    'virtual_size': facts.virtual_size, 'held': os.stat(path).st_blocks * 512,
                    'backed': bool(facts.backing_file), 'readonly': disk.find('readonly') is not None})
    return own, elsewhere
