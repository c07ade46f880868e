"""See `virt/interface/devices.py`.

What was plugged into a domain beyond what it was built with is one link a device, in `.devices` beside the domains.
"""
from __future__ import annotations

import os
import shutil
from typing import Any

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import VIF, BlockDevice, ImageMeta, Instance, PowerState
from minicompute.virt.fake.base import FakeBase
from minicompute.virt.interface.devices import DeviceVerbs
from minicompute.virt.interface.moves import Stop, never
from minicompute.virt.request import Progress, no_progress


class FakeDevices(FakeBase, DeviceVerbs):

    def volume_connector(self) -> dict[str, Any]:
        self._fault('volume_connector', '')
        return {'host': self.host, 'ip': CONF.my_ip, 'initiator': f'iqn.2026-01.fake:{self.host}'}

    def attach_volume(self, instance: Instance, device: BlockDevice, image: ImageMeta | None = None) -> None:
        self._fault('attach_volume', instance.uuid)
        self._plug(instance.uuid, _name(device))
        self._fault('attach_volume.after', instance.uuid)

    def make_volume(self, instance: Instance, device: BlockDevice, progress: Progress = no_progress,
                    stop: Stop = never) -> None:
        self._fault('make_volume', instance.uuid)
        progress('volume', 0)
        self._fault('make_volume.after', instance.uuid)

    def detach_volume(self, instance: Instance, device: BlockDevice) -> None:
        self._fault('detach_volume', instance.uuid)
        self._unplug(instance.uuid, _name(device))
        self._fault('detach_volume.after', instance.uuid)

    def swap_volume(self, instance: Instance, device: BlockDevice, new: BlockDevice, progress: Progress = no_progress,
                    stop: Stop = never) -> None:
        self._fault('swap_volume', instance.uuid)
        progress('swap', 0)
        if stop():
            raise exception.DeviceNotAttached(device=str(new.device_name), reason='the copy was stopped')
        if _name(new) not in self.plugged(instance.uuid):
            self._require_running(instance.uuid)
            self._unplug(instance.uuid, _name(device))
            self._plug(instance.uuid, _name(new))
        self._fault('swap_volume.after', instance.uuid)

    def end_swap(self, instance: Instance, device: BlockDevice, new: BlockDevice) -> bool:
        self._fault('end_swap', instance.uuid)
        too_late = _name(new) in self.plugged(instance.uuid)
        self._fault('end_swap.after', instance.uuid)
        return too_late

    def attach_interface(self, instance: Instance, vif: VIF) -> None:
        self._fault('attach_interface', instance.uuid)
        self._plug(instance.uuid, f'vif.{vif.id}')
        self._fault('attach_interface.after', instance.uuid)

    def detach_interface(self, instance: Instance, vif: VIF) -> None:
        self._fault('detach_interface', instance.uuid)
        self._unplug(instance.uuid, f'vif.{vif.id}')
        self._fault('detach_interface.after', instance.uuid)

    def plugged(self, uuid: str) -> set[str]:
        """For tests: 'volume.<id>' and 'vif.<id>' of what was plugged in while the domain was there."""
        try:
            return set(os.listdir(self._devices(uuid)))
        except FileNotFoundError:
            return set()

    def _require_running(self, uuid: str) -> None:
        """QEMU copies, and a guest that is off has none."""
        if self._read(uuid).power_state not in (PowerState.RUNNING, PowerState.PAUSED):
            raise exception.InstanceNotRunning(instance_id=uuid)

    def _devices(self, uuid: str) -> str:
        return self._path(os.path.join('.devices', uuid))

    def _plug(self, uuid: str, name: str) -> None:
        os.makedirs(self._devices(uuid), exist_ok=True)
        try:
            os.symlink('plugged', os.path.join(self._devices(uuid), name))
        except FileExistsError:
            pass

    def _unplug(self, uuid: str, name: str) -> None:
        try:
            os.unlink(os.path.join(self._devices(uuid), name))
        except FileNotFoundError:
            pass

    def _remove(self, uuid: str) -> bool:
        try:
            shutil.rmtree(self._devices(uuid))
        except FileNotFoundError:
            pass
        return super()._remove(uuid)


def _name(device: BlockDevice) -> str:
    """As names on a host are made."""
    return f"volume.{device.connection_info.get('named') or device.volume_id}"
