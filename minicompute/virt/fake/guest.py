"""See `virt/interface/guest.py`."""
from __future__ import annotations

from minicompute.virt.fake.base import FakeBase
from minicompute.virt.interface.guest import GuestVerbs


class FakeGuest(FakeBase, GuestVerbs):
    pass
