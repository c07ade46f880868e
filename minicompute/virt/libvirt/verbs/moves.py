"""See `virt/interface/moves.py`."""
from __future__ import annotations

from minicompute.virt.interface.moves import MoveVerbs
from minicompute.virt.libvirt.base import LibvirtBase


class LibvirtMoves(LibvirtBase, MoveVerbs):
    pass
