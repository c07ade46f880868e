"""See `virt/interface/snapshots.py`."""
from __future__ import annotations

from minicompute.virt.interface.snapshots import SnapshotVerbs
from minicompute.virt.libvirt.base import LibvirtBase


class LibvirtSnapshots(LibvirtBase, SnapshotVerbs):
    pass
