"""What operators ask a host for."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.objects import ImageMeta, Instance
from minicompute.virt.request import Progress, no_progress


class AdminVerbs:
    """What operators ask a host for."""

    def diagnostics(self, instance: Instance) -> dict[str, Any]:
        """The body of microversion 2.48; what the driver does not know is None. Raises DomainNotFound."""
        raise exception.NotImplementedHere()

    def old_diagnostics(self, instance: Instance) -> dict[str, Any]:
        """Before 2.48 each driver tells numbers under its own names. Raises DomainNotFound."""
        raise exception.NotImplementedHere()

    def inject_network_info(self, instance: Instance) -> None:
        """Bring the networks of the server up here again as `instance` says they are; its guest notices nothing, or
        that its DHCP server answers again."""
        raise exception.NotImplementedHere()

    def keep_firewalls(self, cards: dict[str, dict[str, Any]]) -> bool:
        """{server: {MAC address: what the card may be sent and may send, as `db.api.security_groups.Firewall`; None:
        everything}}: let that hold for those of them that run here; cards of others stay as they are. -> whether
        anything here is filtered."""
        return False

    def cache_image(self, image: ImageMeta, progress: Progress = no_progress) -> bool:
        """Make sure that the image is where the disks of servers are made from. -> whether it was fetched for that.
        Raises ImageNotFound, ImageUnacceptable, DiskFull."""
        raise exception.NotImplementedHere()
