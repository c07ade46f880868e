"""What all parts of the libvirt driver have in hand."""
from __future__ import annotations

import contextlib

import libvirt
from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.image import base as image
from minicompute.image.base import ImageSource
from minicompute.objects import BlockDevice, Instance
from minicompute.virt.interface.moves import Stop, never
from minicompute.virt.libvirt import (
    adoption,
    brick,
    capabilities,
    carrier,
    disks,
    guest,
    hotplug,
    rescue,
    secrets,
    sharers,
    sources,
    space,
    volumes,
)
from minicompute.virt.libvirt.builder import Builder, digest
from minicompute.virt.libvirt.config.base import render
from minicompute.virt.libvirt.disks import Disks
from minicompute.virt.libvirt.events import Events
from minicompute.virt.libvirt.guest import Guest
from minicompute.virt.libvirt.host import Host
from minicompute.virt.libvirt.imagecache import ImageCache
from minicompute.virt.libvirt.serial_ports import SerialPorts
from minicompute.virt.libvirt.vif import Networks

LOG = logging.getLogger(__name__)


class LibvirtBase:
    """The connection, the parts beside this module, and the verbs that other verbs are made of."""

    def __init__(self, source: ImageSource | None = None) -> None:
        self._host = Host()
        self._cache = ImageCache(source or image.source())
        self._sink = image.sink()
        self._disks = Disks(self._cache)
        self._networks = Networks(self._host)
        self._serial_ports = SerialPorts(self._host)
        #: {MAC address: the domain that was last seen with it}, for `LibvirtMetadata`
        self._seen_with: dict[str, str] = {}
        self._events: Events | None = None
        self._capabilities: capabilities.Capabilities | None = None

    @property
    def _caps(self) -> capabilities.Capabilities:
        if self._capabilities is None:
            raise exception.InternalError(reason='the libvirt driver has not been started')
        return self._capabilities

    @property
    def _builder(self) -> Builder:
        return Builder(self._caps, self._serial_ports.of if CONF.serial_console.enabled else None)

    @property
    def _watch(self) -> Events:
        assert self._events is not None, 'the libvirt driver has not been started'
        return self._events

    def _is_made(self, instance: Instance) -> bool:
        try:
            domain = guest.find(self._host, instance.uuid)
            said = domain.metadata()
            return domain.running() and said is not None and said.digest == digest(instance)
        except exception.DomainNotFound:
            return False

    def _must_be_ours(self, uuid: str) -> None:
        """Before anything of it is touched: what is Nova's still could not be started again."""
        with contextlib.suppress(exception.DomainNotFound):
            adoption.check(guest.find(self._host, uuid))

    def _define_and_start(self, instance: Instance, *, paused: bool = False) -> None:
        """From its record: what was suspended boots, what the record says is rescued starts from its rescue disk, and
        a rescue that is over leaves nothing."""
        self._must_be_ours(instance.uuid)
        self._networks.plug(instance)
        self._reach(instance)
        with contextlib.suppress(FileNotFoundError):    # who runs a server owns its disks, on a shared directory too
            disks.own(instance.uuid)
        with contextlib.suppress(exception.DomainNotFound):
            guest.find(self._host, instance.uuid).forget_saved()
        volumes.ready_all(instance, self._cache)
        guest.define(self._host, instance.uuid, render(self._builder.domain(instance))).start(paused)
        if not rescue.is_rescued(instance):
            rescue.remove(instance.uuid)

    def _reach(self, instance: Instance) -> None:
        """The volumes of a volume service: after a restart of the host nothing is connected. Raises InvalidVolume."""
        for device in instance.block_devices:
            if volumes.is_remote(device):
                volumes.reach(device)
                secrets.keep(self._host, sources.of(device))

    def _let_go(self, device: BlockDevice) -> None:
        """No domain of this host uses the volume any more. Raises InvalidVolume."""
        volumes.let_go(device)
        source = volumes.source_of(device)
        if source is not None:
            secrets.forget(self._host, source, str(device.instance_uuid))

    def _give_up(self, *devices: BlockDevice) -> None:
        """As `_let_go`, where there is no way back; a disk of ours is no volume."""
        for one in devices:
            if not one.volume_id:
                continue
            try:
                self._let_go(one)
            except Exception as error:      # what is left of one keeps nobody from the rest
                (LOG.error if isinstance(error, exception.InvalidVolume) else LOG.exception)(
                    'Volume %s of instance %s stays connected: %s', one.volume_id, one.instance_uuid, error)

    def _give_up_all(self, instance: Instance) -> None:
        """Also what only this host knows of: who cleans up may have no record of the server."""
        known = {sources.name_of(one) for one in instance.block_devices}
        self._give_up(*instance.block_devices, *(
            one for one in brick.connected().get(instance.uuid, ()) if sources.name_of(one) not in known))

    def _grow_in_guest(self, instance: Instance, domain: Guest) -> None:
        """Volumes that have grown while the guest slept."""
        for device in volumes.attached(instance):
            disk = hotplug.disk_of(sources.of(device))(domain.tree())
            target = disk.find('target') if disk is not None else None
            try:
                if target is not None:
                    domain.grow_disk(target.get('dev', ''), (device.volume_size or 0) * space.GIB)
            except libvirt.libvirtError as error:
                LOG.warning('Volume %s of instance %s does not grow before the next start: %s', device.volume_id,
                            instance.uuid, error.get_error_message())

    def _remove(self, instance: Instance, *, destroy_disks: bool = True) -> None:
        """The domain and its ports, and the disks unless they are another host's, which shares our directory."""
        guest.remove(self._host, instance.uuid)
        self._networks.unplug(instance)
        self._give_up_all(instance)     # what fails there must not keep a server from being deleted
        carrier.Landing(self._host, instance.uuid).close()
        if disks.is_made_for(instance.uuid, instance.host):
            self._disks.remove(instance.uuid)
        elif sharers.shares(instance.host):
            # It lives there: whatever died before it could say so, its disks are that host's.
            if disks.is_own(instance.uuid):
                disks.own(instance.uuid, instance.host)
        elif destroy_disks and disks.owner(instance.uuid) in (None, CONF.host):
            self._disks.remove(instance.uuid)

    def _is_running(self, uuid: str) -> bool:
        try:
            return guest.find(self._host, uuid).running()
        except exception.DomainNotFound:
            return False


def stop(domain: Guest, timeout: float, hurry: Stop = never) -> None:
    """Raises Conflict for a guest of Nova's that was not taken over: nothing here could start it again."""
    if not domain.running():
        return
    adoption.check(domain)
    if not (timeout and domain.shutdown(timeout, hurry)):
        domain.cut_off()
