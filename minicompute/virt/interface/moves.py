"""A domain goes to another host: cold."""
from __future__ import annotations


class MoveVerbs:
    """A domain goes to another host: cold."""
