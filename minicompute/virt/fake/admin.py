"""See `virt/interface/admin.py`."""
from __future__ import annotations

import os
from typing import Any

from minicompute.objects import ImageMeta, Instance, PowerState
from minicompute.virt.fake.base import FakeBase
from minicompute.virt.interface.admin import AdminVerbs
from minicompute.virt.request import Progress, no_progress

#: beside the domains, in a directory whose name none of them can have
CACHE = '.images'


class FakeAdmin(FakeBase, AdminVerbs):

    def diagnostics(self, instance: Instance) -> dict[str, Any]:
        self._fault('diagnostics', instance.uuid)
        domain, flavor = self._read(instance.uuid), instance.flavor
        vcpus, memory = (flavor.vcpus, flavor.memory_mb) if flavor else (0, 0)
        cards = [{'mac_address': vif.mac_address, **dict.fromkeys(
            f'{way}_{what}' for way in ('rx', 'tx') for what in ('octets', 'packets', 'errors', 'drop', 'rate'))}
            for vif in instance.network_info]
        return {'state': PowerState.NAMES[domain.power_state], 'driver': 'fake', 'hypervisor': 'fake',
                'hypervisor_os': None, 'uptime': None, 'config_drive': instance.config_drive, 'num_cpus': vcpus,
                'num_nics': len(cards), 'num_disks': 1, 'nic_details': cards,
                'cpu_details': [{'id': cpu, 'time': None, 'utilisation': None} for cpu in range(vcpus)],
                'disk_details': [dict.fromkeys(
                    ('read_bytes', 'read_requests', 'write_bytes', 'write_requests', 'errors_count'))],
                'memory_details': {'maximum': memory, 'used': None}}

    def old_diagnostics(self, instance: Instance) -> dict[str, Any]:
        self._fault('diagnostics', instance.uuid)
        self._read(instance.uuid)
        return {'memory': instance.flavor.memory_mb * 1024 if instance.flavor else 0}

    def inject_network_info(self, instance: Instance) -> None:
        self._fault('inject_network_info', instance.uuid)
        self._read(instance.uuid)
        self._fault('inject_network_info.after', instance.uuid)

    def keep_firewalls(self, cards: dict[str, dict[str, Any]]) -> bool:
        self._fault('keep_firewalls', '')
        self.firewalls = {uuid: walls for uuid, walls in cards.items() if os.path.lexists(self._path(uuid))}
        return any(wall for walls in self.firewalls.values() for wall in walls.values())

    def cache_image(self, image: ImageMeta, progress: Progress = no_progress) -> bool:
        self._fault('cache_image', str(image.id))
        directory = os.path.join(self._dir, CACHE)
        path = os.path.join(directory, os.path.basename(str(image.id)))
        if os.path.lexists(path):
            return False
        progress('image', 0)
        os.makedirs(directory, exist_ok=True)
        try:
            os.symlink('cached', path)
        except FileExistsError:
            return False
        progress('image', 100)
        self._fault('cache_image.after', str(image.id))
        return True
