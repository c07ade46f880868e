"""Disks and network cards come and go."""
from __future__ import annotations


class DeviceVerbs:
    """Disks and network cards come and go."""
