"""See `virt/interface/admin.py`."""
from __future__ import annotations

from typing import Any

from minicompute.objects import ImageMeta, Instance
from minicompute.virt.interface.admin import AdminVerbs
from minicompute.virt.libvirt import guest, statistics
from minicompute.virt.libvirt.base import LibvirtBase
from minicompute.virt.request import Progress, no_progress


class LibvirtAdmin(LibvirtBase, AdminVerbs):

    def diagnostics(self, instance: Instance) -> dict[str, Any]:
        return statistics.read(self._host, instance, self._caps.virt_type)

    def old_diagnostics(self, instance: Instance) -> dict[str, Any]:
        return statistics.read_old(self._host, instance)

    def inject_network_info(self, instance: Instance) -> None:
        guest.find(self._host, instance.uuid)
        self._networks.plug(instance)

    def keep_firewalls(self, cards: dict[str, dict[str, Any]]) -> bool:
        return self._networks.firewalls.keep(cards)

    def cache_image(self, image: ImageMeta, progress: Progress = no_progress) -> bool:
        return self._cache.keep(image, progress)
