"""Microsoft's VHDX ([MS-VHDX]): two headers, two region tables, one metadata table."""
from __future__ import annotations

from uuid import UUID

from minicompute.image.inspection.plan import (
    HEAD_SIZE,
    AtEnd,
    Facts,
    Plan,
    Read,
    Refused,
    le,
    power_of_two,
    require_inside,
    set_virtual_size,
)

_KIB, _MIB = 1024, 1024 * 1024
_HEADERS_AT, _HEADER_SIZE = (64 * _KIB, 128 * _KIB), 4 * _KIB
_TABLES_AT, _TABLE_SIZE = (192 * _KIB, 256 * _KIB), 64 * _KIB
_MAX_ENTRIES = 2047
_MAX_OFFSET = 2 ** 60
_BAT = UUID('2dc27766-f623-4200-9d64-115e9bfd4a08').bytes_le
_METADATA = UUID('8b7ca206-4790-4b9a-b8fe-575f050f886e').bytes_le
_PARAMETERS = UUID('caa16737-fa36-4d43-b3b6-33f0aa44e76b').bytes_le
_DISK_SIZE = UUID('2fa54224-cd1b-4876-b211-5dbed83bf4b8').bytes_le
_SECTOR_SIZE = UUID('8141bf1d-a96f-4709-ba47-f233a8faab5f').bytes_le
_PARENT_LOCATOR = UUID('a8d35f2d-b30b-454d-abf7-d3d84834ab0c').bytes_le
# Length of each item that may be there; no other is needed to read the disk.
_ITEMS = {
    _PARAMETERS: 8,
    _DISK_SIZE: 8,
    _SECTOR_SIZE: 4,
    UUID('beca12ab-b2e6-4523-93ef-c309e000c746').bytes_le: 16,     # page 83 data
    UUID('cda348c7-445d-4471-9cc9-e9885251c556').bytes_le: 4,      # physical sector size
}
_HAS_PARENT = 2


def parse(head: bytes, facts: Facts) -> Plan:
    if not head.startswith(b'vhdxfile'):
        raise Refused('it claims to be vhdx, but its header is not')
    assert _HEADERS_AT[0] + _HEADER_SIZE <= HEAD_SIZE
    headers = []
    for offset in _HEADERS_AT:
        headers.append((yield Read(offset, _HEADER_SIZE)))
    _check_headers(headers)
    first = yield Read(_TABLES_AT[0], _TABLE_SIZE, 'region table')
    second = yield Read(_TABLES_AT[1], _TABLE_SIZE, 'region table')
    if first != second:
        raise Refused('its two region tables contradict each other')
    regions = _regions(first)
    metadata_at, metadata_size = regions[_METADATA]
    table = yield Read(metadata_at, _TABLE_SIZE, 'metadata table')
    items: dict[bytes, bytes] = {}
    for guid, offset, length in _metadata_entries(table, metadata_size):
        items[guid] = yield Read(metadata_at + offset, length, 'metadata')
    bat_size = _check_items(items, facts)
    yield AtEnd()
    require_inside(facts, metadata_at, metadata_size, 'metadata region')
    require_inside(facts, *regions[_BAT], 'block table region')
    if bat_size > regions[_BAT][1]:
        raise Refused('its block table is too small for the size that its header gives')


def _check_headers(headers: list[bytes]) -> None:
    """The valid header with the highest number counts; its log must be empty,
    because replaying a log rewrites all that we look at here."""
    valid = [h for h in headers if h[:4] == b'head' and crc32c(h[:4] + bytes(4) + h[8:]) == le(h, 4, 4)]
    if not valid:
        raise Refused('both of its headers are damaged')
    current = max(valid, key=lambda h: le(h, 8, 8))
    if le(current, 66, 2) != 1:
        raise Refused('its version of VHDX is unknown')
    if any(current[48:64]):
        raise Refused('it was not closed cleanly: its log is not empty')


def _regions(table: bytes) -> dict[bytes, tuple[int, int]]:
    """{guid: (offset, length)} of the two regions that there must be, apart from each other."""
    count = le(table, 8, 4)
    if table[:4] != b'regi' or count > _MAX_ENTRIES:
        raise Refused('its region table is malformed')
    if crc32c(table[:4] + bytes(4) + table[8:]) != le(table, 4, 4):
        raise Refused('its region table is damaged: its checksum is wrong')
    regions: dict[bytes, tuple[int, int]] = {}
    for at in range(16, 16 + count * 32, 32):
        guid, offset, length = table[at:at + 16], le(table, at + 16, 8), le(table, at + 24, 4)
        if guid not in (_BAT, _METADATA):
            if le(table, at + 28, 4) & 1:
                raise Refused('it needs a region of an unknown kind')
            continue
        if guid in regions:
            raise Refused('a region is there twice')
        if offset < _MIB or offset % _MIB or not length or length % _MIB or offset + length > _MAX_OFFSET:
            raise Refused('a region is at an impossible place')
        regions[guid] = (offset, length)
    if len(regions) != 2:
        raise Refused('its block table or its metadata are missing')
    (bat_at, bat_size), (metadata_at, metadata_size) = regions[_BAT], regions[_METADATA]
    if bat_at < metadata_at + metadata_size and metadata_at < bat_at + bat_size:
        raise Refused('its regions overlap')
    return regions


def _metadata_entries(table: bytes, region_size: int) -> list[tuple[bytes, int, int]]:
    """(guid, offset in the region, length) in the order of the offsets, without overlap."""
    count = le(table, 10, 2)
    if table[:8] != b'metadata' or count > _MAX_ENTRIES:
        raise Refused('its metadata table is malformed')
    entries = []
    for at in range(32, 32 + count * 32, 32):
        guid, flags = table[at:at + 16], le(table, at + 24, 4)
        offset, length = le(table, at + 16, 4), le(table, at + 20, 4)
        if guid == _PARENT_LOCATOR:
            raise Refused('it is a difference to a parent image')
        if guid not in _ITEMS:
            if flags & 4:
                raise Refused('it needs metadata of an unknown kind')
            continue
        if length != _ITEMS[guid] or offset < _TABLE_SIZE or offset + length > region_size:
            raise Refused('its metadata are at an impossible place')
        entries.append((guid, offset, length))
    entries.sort(key=lambda entry: entry[1])
    if len({guid for guid, _, _ in entries}) != len(entries):
        raise Refused('its metadata say the same twice')
    return entries


def _check_items(items: dict[bytes, bytes], facts: Facts) -> int:
    """-> bytes of block table that this disk needs."""
    if not {_PARAMETERS, _DISK_SIZE, _SECTOR_SIZE} <= items.keys():
        raise Refused('its metadata are incomplete')
    block_size, flags = le(items[_PARAMETERS], 0, 4), le(items[_PARAMETERS], 4, 4)
    if flags & _HAS_PARENT:
        raise Refused('it is a difference to a parent image')
    sector = le(items[_SECTOR_SIZE], 0, 4)
    if not power_of_two(block_size) or not _MIB <= block_size <= 256 * _MIB or sector not in (512, 4096):
        raise Refused('the size of its sectors or blocks is impossible')
    size = set_virtual_size(facts, le(items[_DISK_SIZE], 0, 8))
    if size > 64 * 2 ** 40 or size % sector:
        raise Refused(f'its header says that the disk has {size} bytes, which a VHDX cannot have')
    blocks = -(-size // block_size)
    # One entry for a sector bitmap follows each "chunk" of blocks.
    chunk = 2 ** 23 * sector // block_size
    return (blocks + (blocks - 1) // chunk) * 8


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82f63b78 if value & 1 else 0)
        table.append(value)
    return table


_CRC = _crc_table()


def crc32c(data: bytes) -> int:
    """The Castagnoli CRC, which zlib does not have; 64 KiB take about 5 ms."""
    crc = 0xffffffff
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xff] ^ (crc >> 8)
    return crc ^ 0xffffffff
