"""Names of disks, such as /dev/vdb: what a user is told, and what a host gives the disk if it can.

The disks of a server that have no name of their own (its local ones) come first on the bus, in the order of the record.
"""
from __future__ import annotations

import re
from collections.abc import Iterable
from string import ascii_lowercase

from minicompute import exception
from minicompute.objects import BlockDevice

_NAME = re.compile(r'/dev/(?:x?[a-z]?d)?([a-z]+)[0-9]*')


def pick(root_device_name: str | None, devices: Iterable[BlockDevice], wanted: str | None = None) -> str:
    """A free name, the `wanted` one if there is one. Raises DevicePathInUse, TooManyDiskDevices, Invalid."""
    prefix = (root_device_name or '/dev/vda').rstrip('0123456789')[:-1]
    taken = _taken(devices)
    if wanted:
        found = _NAME.fullmatch(wanted)
        if found is None or len(found[1]) != 1:
            raise exception.Invalid(f'The supplied device path ({wanted[:64]}) is invalid.')
        if found[1] in taken:
            raise exception.DevicePathInUse(path=wanted)
        return prefix + found[1]
    for letter in ascii_lowercase:
        if letter not in taken:
            return prefix + letter
    raise exception.TooManyDiskDevices(maximum=len(ascii_lowercase))


def _taken(devices: Iterable[BlockDevice]) -> set[str]:
    """Letters."""
    named, bare = set(), 0
    for device in devices:
        found = _NAME.fullmatch(device.device_name or '')
        if found is not None:
            named.add(found[1])
        elif not device.no_device:
            bare += 1
    free = [letter for letter in ascii_lowercase if letter not in named]
    return named | set(free[:bare])
