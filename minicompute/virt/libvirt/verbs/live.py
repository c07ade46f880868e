"""See `virt/interface/live.py`."""
from __future__ import annotations

from minicompute.virt.interface.live import LiveVerbs
from minicompute.virt.libvirt.base import LibvirtBase


class LibvirtLive(LibvirtBase, LiveVerbs):
    pass
