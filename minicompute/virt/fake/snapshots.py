"""See `virt/interface/snapshots.py`."""
from __future__ import annotations

from minicompute.virt.fake.base import FakeBase
from minicompute.virt.interface.snapshots import SnapshotVerbs


class FakeSnapshots(FakeBase, SnapshotVerbs):
    pass
