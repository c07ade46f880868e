"""See `virt/interface/moves.py`."""
from __future__ import annotations

from minicompute.virt.fake.base import FakeBase
from minicompute.virt.interface.moves import MoveVerbs


class FakeMoves(FakeBase, MoveVerbs):
    pass
