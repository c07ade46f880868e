"""A domain goes to another host while it runs."""
from __future__ import annotations


class LiveVerbs:
    """A domain goes to another host while it runs."""
