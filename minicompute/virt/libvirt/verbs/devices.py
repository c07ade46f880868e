"""See `virt/interface/devices.py`."""
from __future__ import annotations

import dataclasses
import os
from typing import Any

from oslo_log import log as logging

from minicompute import exception
from minicompute.objects import VIF, BlockDevice, ImageMeta, Instance
from minicompute.virt.interface.devices import DeviceVerbs
from minicompute.virt.interface.moves import Stop, never
from minicompute.virt.libvirt import blockcopy, brick, guest, hotplug, layout, secrets, sources, vif, volumes
from minicompute.virt.libvirt.base import LibvirtBase
from minicompute.virt.libvirt.builder import file_disk
from minicompute.virt.libvirt.config.base import Element, Part, render
from minicompute.virt.libvirt.guest import Guest
from minicompute.virt.request import Progress, no_progress
from minicompute.volume import files

LOG = logging.getLogger(__name__)

#: where QEMU takes disks out and in while the guest runs
HOT = ('virtio', 'scsi', 'usb')


class LibvirtDevices(LibvirtBase, DeviceVerbs):

    def volume_connector(self) -> dict[str, Any]:
        return brick.connector()

    def attach_volume(self, instance: Instance, device: BlockDevice, image: ImageMeta | None = None) -> None:
        domain, source = self._domain(instance), volumes.source_of(device)
        trees = [domain.tree(), domain.tree(inactive=True)] if domain is not None else []
        if all(source is None or hotplug.disk_of(source)(tree) is None for tree in trees) and _has_otherwise(
                trees, instance, device):
            LOG.warning('Volume %s of instance %s is attached already, by another place than its record names',
                        device.volume_id, instance.uuid)
            return
        find = hotplug.disk_of(sources.of(device))
        if domain is None or not domain.running() or find(trees[0]) is None:    # else QEMU has the file open
            volumes.make(device, image, self._cache)
            secrets.keep(self._host, sources.of(device))
        if domain is None:
            return
        wanted = self._builder.hardware(instance)
        bus = device.disk_bus or wanted.disk_bus or 'virtio'
        if bus not in HOT and domain.running():
            raise exception.DeviceNotAttached(device=device.device_name,
                                              reason=f'the bus {bus} takes no disk while the guest runs')
        disk = layout.volume(device, wanted, [])
        disk = dataclasses.replace(disk, target=_target(trees, find) or layout.free_target(
            bus, {target.get('dev', '') for tree in trees for target in tree.findall('devices/disk/target')},
            disk.target))
        hotplug.plug(domain, find, render(file_disk(disk, wanted)), str(device.device_name))

    def make_volume(self, instance: Instance, device: BlockDevice, progress: Progress = no_progress,
                    stop: Stop = never) -> None:
        if not os.path.exists(files.path_of(str(device.volume_id))):     # else a guest may have it open
            volumes.make(device, None, self._cache, progress, stop)

    def detach_volume(self, instance: Instance, device: BlockDevice) -> None:
        domain = self._domain(instance)
        source = volumes.source_of(device)
        if domain is not None and source is not None:
            blockcopy.end(domain, source)     # QEMU would go on writing to a volume that is nobody's
            hotplug.unplug(domain, hotplug.disk_of(source), str(device.device_name))
        trees = [domain.tree(), domain.tree(inactive=True)] if domain is not None else []
        if _has_otherwise(trees, instance, device):
            sources.of(device)      # it made sense once: to be told why, not to be taken for one that never was here
            raise exception.DeviceNotReleased(
                f'The guest has volume {device.volume_id}, but not at the place that its record names.')
        self._let_go(device)

    def swap_volume(self, instance: Instance, device: BlockDevice, new: BlockDevice, progress: Progress = no_progress,
                    stop: Stop = never) -> None:
        domain, path = self._domain(instance), sources.of(new)
        if domain is None or not domain.running():
            if domain is not None and hotplug.disk_of(path)(domain.tree(inactive=True)) is not None:
                self._give_up(device)
                return      # it was, when the guest switched itself off
            raise exception.InstanceNotRunning(instance_id=instance.uuid)
        wanted = self._builder.hardware(instance)
        disk = layout.volume(new, wanted, [])

        def prepare() -> None:
            volumes.make(new, None, self._cache, progress, stop)
            secrets.keep(self._host, path)

        blockcopy.replace(domain, sources.of(device), path, render(file_disk(disk, wanted)),
                          prepare, progress, stop)
        self._give_up(device)

    def end_swap(self, instance: Instance, device: BlockDevice, new: BlockDevice) -> bool:
        domain = self._domain(instance)
        too_late = domain is not None and blockcopy.call_off(domain, sources.of(device), sources.of(new))
        self._give_up(device if too_late else new)
        return too_late

    def attach_interface(self, instance: Instance, vif: VIF) -> None:
        one = dataclasses.replace(instance, network_info=[vif])
        self._networks.plug(one)
        domain = self._domain(instance)
        if domain is not None:
            hotplug.plug(domain, hotplug.card_of(vif.mac_address), render(self._card(one)), vif.mac_address)
            # Until a domain has the card, a sweep of another daemon on this libvirtd takes its address for a leftover.
            self._networks.plug(one)

    def detach_interface(self, instance: Instance, vif: VIF) -> None:
        domain = self._domain(instance)
        if domain is not None:
            hotplug.unplug(domain, hotplug.card_of(vif.mac_address), vif.mac_address)
        self._networks.unplug(dataclasses.replace(instance, network_info=[vif]))

    def _card(self, instance: Instance) -> Part:
        assert instance.flavor is not None
        return vif.interfaces(instance, self._builder.hardware(instance), instance.flavor.vcpus)[0]

    def _domain(self, instance: Instance) -> Guest | None:
        try:
            return guest.find(self._host, instance.uuid)
        except exception.DomainNotFound:
            return None


def _has_otherwise(trees: list[Element], instance: Instance, device: BlockDevice) -> bool:
    """Whether a disk there says that it is this volume, and is none of the server's other ones: a volume that has
    taken the place of another has the serial of that."""
    others = [source for one in instance.block_devices if one.uuid != device.uuid and one.volume_id
              and (source := volumes.source_of(one)) is not None]
    return any(disk.findtext('serial') == device.volume_id and not any(one.is_in(disk) for one in others)
               for tree in trees for disk in tree.findall('devices/disk'))


def _target(trees: list[Element], find: hotplug.Finder) -> str | None:
    """The name that the disk has already in the running domain or in its definition."""
    for tree in trees:
        disk = find(tree)
        target = disk.find('target') if disk is not None else None
        if target is not None:
            return target.get('dev')
    return None
