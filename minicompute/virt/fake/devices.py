"""See `virt/interface/devices.py`."""
from __future__ import annotations

from minicompute.virt.fake.base import FakeBase
from minicompute.virt.interface.devices import DeviceVerbs


class FakeDevices(FakeBase, DeviceVerbs):
    pass
