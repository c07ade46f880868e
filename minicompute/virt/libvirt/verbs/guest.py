"""See `virt/interface/guest.py`."""
from __future__ import annotations

from minicompute.virt.interface.guest import GuestVerbs
from minicompute.virt.libvirt.base import LibvirtBase


class LibvirtGuest(LibvirtBase, GuestVerbs):
    pass
