"""See `virt/interface/live.py`."""
from __future__ import annotations

from minicompute.virt.fake.base import FakeBase
from minicompute.virt.interface.live import LiveVerbs


class FakeLive(FakeBase, LiveVerbs):
    pass
