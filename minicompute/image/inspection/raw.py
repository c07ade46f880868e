"""Raw disks, and the opaque ami, aki and ari: whatever they are, not another format."""
from __future__ import annotations

import zlib

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
from minicompute.image.inspection.signatures import recognise_tail

_PROTECTIVE = 0xee
_GPT_MIN_HEADER = 92
_GPT_MAX_ENTRIES_SIZE = 1024 * 1024


def parse(head: bytes, facts: Facts) -> Plan:
    facts.layout = _layout(head)
    yield from parse_opaque(head, facts)


def parse_opaque(head: bytes, facts: Facts) -> Plan:
    tail = yield AtEnd()
    refuse_footer(tail)
    set_virtual_size(facts, -(-facts.file_size // SECTOR) * SECTOR)


def refuse_footer(tail: bytes) -> None:
    others = recognise_tail(tail)
    if others:
        raise Refused(f'it ends like a {" and ".join(sorted(others))} image, which it does not claim to be')


def _layout(head: bytes) -> str | None:
    """`gpt`, `mbr` or None.  A boot sector without a partition table (of a file
    system on the bare disk) has the same signature: that is None, and fine."""
    if len(head) < SECTOR or head[510:512] != b'\x55\xaa':
        return None
    entries = [head[offset:offset + 16] for offset in range(446, 510, 16)]
    if any(entry[0] not in (0, 0x80) for entry in entries):
        return None
    used = [entry for entry in entries if entry[4] and le(entry, 12, 4)]
    if any(entry[4] == _PROTECTIVE for entry in used):
        for sector in (512, 4096):
            if head[sector:sector + 8] == b'EFI PART':
                _check_gpt(head[sector:sector + sector], sector)
                return 'gpt'
    return 'mbr' if used else None


def _check_gpt(header: bytes, sector: int) -> None:
    size = le(header, 12, 4)
    if not _GPT_MIN_HEADER <= size <= min(sector, len(header)):
        raise Refused('the header of its partition table (GPT) has an impossible size')
    summed = header[:16] + bytes(4) + header[20:size]
    if zlib.crc32(summed) != le(header, 16, 4):
        raise Refused('the header of its partition table (GPT) is damaged: its checksum is wrong')
    first, last, entries_at = le(header, 40, 8), le(header, 48, 8), le(header, 72, 8)
    count, entry_size = le(header, 80, 4), le(header, 84, 4)
    if le(header, 24, 8) != 1 or entries_at < 2 or first > last or last >= 2 ** 63:
        raise Refused('its partition table (GPT) has impossible positions')
    possible = power_of_two(entry_size) and 128 <= entry_size <= 4096
    if not possible or count * entry_size > _GPT_MAX_ENTRIES_SIZE:
        raise Refused('its partition table (GPT) has an impossible number of entries')
