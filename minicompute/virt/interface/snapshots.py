"""Disks become images, and domains get new disks."""
from __future__ import annotations


class SnapshotVerbs:
    """Disks become images, and domains get new disks."""
