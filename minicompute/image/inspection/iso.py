"""ISO 9660 (ECMA-119): CD and DVD images, also those that boot from a stick."""
from __future__ import annotations

from minicompute.image.inspection.plan import (
    SECTOR,
    AtEnd,
    Facts,
    Plan,
    Refused,
    le,
    power_of_two,
    set_virtual_size,
)
from minicompute.image.inspection.raw import refuse_footer
from minicompute.image.inspection.signatures import ISO_OFFSET

_LOGICAL_SECTOR = 2048
_PRIMARY, _TERMINATOR = 1, 255
# Programs that burn discs count padding that a copy of the disc may miss.
_SLACK = 1024 * 1024


def parse(head: bytes, facts: Facts) -> Plan:
    volume_size = _volume_size(head)
    tail = yield AtEnd()
    refuse_footer(tail)
    if volume_size > facts.file_size + _SLACK:
        raise Refused(f'it is truncated: the volume has {volume_size} bytes, the file {facts.file_size}')
    set_virtual_size(facts, -(-facts.file_size // SECTOR) * SECTOR)


def _volume_size(head: bytes) -> int:
    """Bytes by the primary volume descriptor, which must be in the head."""
    for offset in range(ISO_OFFSET, len(head) - _LOGICAL_SECTOR + 1, _LOGICAL_SECTOR):
        descriptor = head[offset:offset + _LOGICAL_SECTOR]
        if descriptor[1:6] != b'CD001' or descriptor[0] == _TERMINATOR:
            break
        if descriptor[0] == _PRIMARY:
            blocks, block_size = le(descriptor, 80, 4), le(descriptor, 128, 2)
            if not blocks or not power_of_two(block_size) or not 512 <= block_size <= _LOGICAL_SECTOR:
                raise Refused('its primary volume descriptor is malformed')
            return blocks * block_size
    raise Refused('it claims to be iso, but has no primary volume descriptor of ISO 9660')
