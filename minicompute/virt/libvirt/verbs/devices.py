"""See `virt/interface/devices.py`."""
from __future__ import annotations

from minicompute.virt.interface.devices import DeviceVerbs
from minicompute.virt.libvirt.base import LibvirtBase


class LibvirtDevices(LibvirtBase, DeviceVerbs):
    pass
