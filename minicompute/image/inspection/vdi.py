"""VirtualBox's VDI, version 1.1."""
from __future__ import annotations

from minicompute.image.inspection.plan import (
    SECTOR,
    AtEnd,
    Facts,
    Plan,
    Refused,
    le,
    power_of_two,
    require_inside,
    set_virtual_size,
)

_HEADER_SIZE = 512
_DYNAMIC, _STATIC = 1, 2
_MAX_BLOCKS = 0x3fffffff // 4


def parse(head: bytes, facts: Facts) -> Plan:
    if head[0x40:0x44] != b'\x7f\x10\xda\xbe':
        raise Refused('it claims to be vdi, but its header is not')
    if len(head) < _HEADER_SIZE:
        raise Refused('the file ends inside its header: it is truncated')
    if le(head, 0x44, 4) != 0x00010001:
        raise Refused('only version 1.1 of VDI is supported')
    kind = le(head, 0x4c, 4)
    if kind not in (_DYNAMIC, _STATIC):
        raise Refused('it is a difference to a parent image' if kind in (3, 4)
                      else f'its image type {kind} is unknown')
    if any(head[0x1a8:0x1c8]):
        raise Refused('it has a parent image')
    disk_size, block_size, blocks = le(head, 0x170, 8), le(head, 0x178, 4), le(head, 0x180, 4)
    set_virtual_size(facts, disk_size)
    if le(head, 0x168, 4) != SECTOR or not power_of_two(block_size) or not 2 ** 16 <= block_size <= 2 ** 26:
        raise Refused('the size of its sectors or blocks is impossible')
    if blocks > _MAX_BLOCKS or blocks * block_size < disk_size:
        raise Refused('its number of blocks does not fit the size that its header gives')
    allocated, map_offset, data_offset = le(head, 0x184, 4), le(head, 0x154, 4), le(head, 0x158, 4)
    if allocated > blocks or map_offset < _HEADER_SIZE or map_offset % SECTOR or data_offset % SECTOR:
        raise Refused('its block map is impossible')
    if data_offset < map_offset + blocks * 4:
        raise Refused('its data overlap its block map')
    yield AtEnd()
    require_inside(facts, map_offset, blocks * 4, 'block map')
    require_inside(facts, data_offset, allocated * (block_size + le(head, 0x17c, 4)), 'data')
