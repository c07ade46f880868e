"""What is done to a domain where it stands: pause, suspend, rescue, passwords."""
from __future__ import annotations


class GuestVerbs:
    """What is done to a domain where it stands: pause, suspend, rescue, passwords."""
