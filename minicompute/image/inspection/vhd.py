"""Microsoft's VHD (QEMU's vpc): a footer, and for a dynamic disk its copy in front."""
from __future__ import annotations

from minicompute.image.inspection.plan import (
    SECTOR,
    AtEnd,
    Facts,
    Plan,
    Read,
    Refused,
    be,
    require_inside,
    set_virtual_size,
)

_COOKIE = b'conectix'
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_DYNAMIC_HEADER = 1024
_VERSION = 0x00010000
_CHECKSUM_AT, _DYNAMIC_CHECKSUM_AT = 64, 36


def parse(head: bytes, facts: Facts) -> Plan:
    if head.startswith(_COOKIE):
        yield from _dynamic(head[:SECTOR], facts)
    else:
        yield from _fixed(facts)


def _fixed(facts: Facts) -> Plan:
    """The content, then 512 bytes that describe it: nothing is known until the end."""
    footer = (yield AtEnd())[-SECTOR:]
    if not footer.startswith(_COOKIE):
        raise Refused('it claims to be vhd, but has no footer of one: it is another format or truncated')
    if _check_footer(footer) != _FIXED:
        raise Refused('it is truncated: only a fixed disk has no header in front')
    size = set_virtual_size(facts, _size(footer))
    if be(footer, 48, 8) > facts.file_size - SECTOR:
        raise Refused(f'it is truncated: its footer says that the disk has {size} bytes')


def _dynamic(footer: bytes, facts: Facts) -> Plan:
    if len(footer) < SECTOR:
        raise Refused('the file ends inside its header: it is truncated')
    kind = _check_footer(footer)
    if kind != _DYNAMIC:
        raise Refused('it is a fixed disk, but has a header in front')
    size = set_virtual_size(facts, _size(footer))
    header_at = be(footer, 16, 8)
    if header_at < SECTOR or header_at % SECTOR or header_at > 2 ** 40:
        raise Refused('its dynamic header is at an impossible place')
    header = yield Read(header_at, _DYNAMIC_HEADER, 'dynamic header')
    table_at, entries = _check_dynamic_header(header, size)
    last = (yield AtEnd())[-SECTOR:]
    require_inside(facts, table_at, entries * 4, 'block table')
    if not last.startswith(_COOKIE):
        raise Refused('it is truncated: its footer is missing')
    if last[16:24] != footer[16:24] or last[40:64] != footer[40:64]:
        raise Refused('its header and its footer contradict each other')


def _check_dynamic_header(header: bytes, size: int) -> tuple[int, int]:
    """-> where the block table is, and how many entries it has."""
    if header[:8] != b'cxsparse' or be(header, 24, 4) != _VERSION:
        raise Refused('its dynamic header is malformed')
    _check_sum(header, _DYNAMIC_CHECKSUM_AT)
    if any(header[40:56]) or any(header[64:768]):
        raise Refused('it names a parent image')
    table_at, entries, block_size = be(header, 16, 8), be(header, 28, 4), be(header, 32, 4)
    if block_size % SECTOR or not SECTOR <= block_size <= 2 ** 28 or entries > 2 ** 26:
        raise Refused('its block table or its blocks have an impossible size')
    if entries * block_size < size:
        raise Refused('its block table is too small for the size that its header gives')
    if table_at < SECTOR or table_at % SECTOR:
        raise Refused('its block table is at an impossible place')
    return table_at, entries


def _check_footer(footer: bytes) -> int:
    """-> the disk's type, never one with a parent."""
    if be(footer, 12, 4) != _VERSION:
        raise Refused('its version of VHD is unknown')
    kind = be(footer, 60, 4)
    if kind == _DIFFERENCING:
        raise Refused('it is a difference to a parent image')
    if kind not in (_FIXED, _DYNAMIC):
        raise Refused(f'its disk type {kind} is unknown')
    _check_sum(footer, _CHECKSUM_AT)
    return kind


def _check_sum(block: bytes, at: int) -> None:
    """The one's complement of the sum of all bytes but the checksum's own."""
    total = sum(block) - sum(block[at:at + 4])
    if ~total & 0xffffffff != be(block, at, 4):
        raise Refused('its header is damaged: its checksum is wrong')


def _size(footer: bytes) -> int:
    """Bytes.  Tools disagree whether the size or the geometry counts: the larger."""
    cylinders, heads, sectors = be(footer, 56, 2), footer[58], footer[59]
    geometry = cylinders * heads * sectors * SECTOR
    size = be(footer, 48, 8)
    # A geometry at its limit says nothing, and rounding adds less than one cylinder.
    return max(size, min(geometry, size + heads * sectors * SECTOR)) if size else 0
