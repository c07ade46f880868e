"""VMware's VMDK: only the two kinds that are one file, hosted sparse extents.

monolithicSparse and streamOptimized begin with a binary header, which points
to a text descriptor inside the file.  Every other kind is a text that names
files, and whoever opens it opens these.
"""
from __future__ import annotations

import re

from minicompute.image.inspection.plan import (
    HEAD_SIZE,
    SECTOR,
    AtEnd,
    Facts,
    Plan,
    Refused,
    le,
    power_of_two,
    quote,
    require_inside,
    set_virtual_size,
)

_HEADER_END = 79
_MAX_GRAIN = 2 ** 17                    # sectors: 64 MiB
_MAX_DIRECTORY = 8 * 2 ** 20            # entries
_AT_END = 2 ** 64 - 1
_COMPRESSED, _MARKERS = 1 << 16, 1 << 17
# QEMU looks for a parent in these many bytes, whatever the header says.
_SEARCHED = 20 * SECTOR
_KINDS = ('monolithicsparse', 'streamoptimized')
_NO_PARENT = 'ffffffff'
_EXTENT = re.compile(r'(RW|RDONLY|NOACCESS)\s+(\d{1,15})\s+(\S+)(?:\s+"([^"]*)")?(?:\s+\d+)?', re.IGNORECASE)
_ASSIGNMENT = re.compile(r'([A-Za-z0-9_.:-]+)\s*=\s*(.*)')


def parse(head: bytes, facts: Facts) -> Plan:
    if not head.startswith(b'KDMV'):
        if head[:4] in (b'COWD', b'\xbe\xba\xfe\xca'):
            raise Refused('it is a snapshot or an extent of a virtual machine of VMware, not a whole disk')
        if head.lstrip(b' \t\r\n')[:1] == b'#':
            raise Refused('it is only a descriptor, whose data are in other files; '
                          'use monolithicSparse or streamOptimized')
        raise Refused('it claims to be vmdk, but its header is not')
    if len(head) < SECTOR:
        raise Refused('the file ends inside its header: it is truncated')
    capacity = _check_header(head)
    kind, extent = _check_descriptor(head)
    size = set_virtual_size(facts, max(capacity, extent) * SECTOR)
    directory_entries = _directory_entries(head, size)
    tail = yield AtEnd()
    if le(head, 56, 8) == _AT_END:
        directory_at = _check_footer(head, tail, kind)
    else:
        directory_at = le(head, 56, 8)
    require_inside(facts, directory_at * SECTOR, directory_entries * 4, 'grain directory')


def _check_header(head: bytes) -> int:
    """-> the capacity in sectors."""
    version, flags, capacity, grain = le(head, 4, 4), le(head, 8, 4), le(head, 12, 8), le(head, 20, 8)
    if version not in (1, 2, 3):
        raise Refused(f'version {version} of VMDK is unknown')
    if capacity == 0:
        # Tools take the descriptor instead, and open what that names.
        raise Refused('its header says that the disk has no size')
    if not power_of_two(grain) or not 8 <= grain <= _MAX_GRAIN or not 1 <= le(head, 44, 4) <= 512:
        raise Refused('the size of its grains or grain tables is impossible')
    if head[72] not in (0, 1):
        raise Refused('its header is malformed')
    if head[73:77] != b'\n \r\n':
        raise Refused('it was damaged by a transfer that changed its line ends')
    if le(head, 77, 2) > 1 or (bool(flags & _MARKERS) and not flags & _COMPRESSED):
        raise Refused('its compression is unknown')
    if le(head, 56, 8) == 0:
        raise Refused('it has no grain directory')
    return capacity


def _directory_entries(head: bytes, size: int) -> int:
    covered = le(head, 20, 8) * le(head, 44, 4) * SECTOR
    entries = -(-size // covered)
    if entries > _MAX_DIRECTORY:
        raise Refused('its grain directory is unreasonably large')
    return entries


def _check_descriptor(head: bytes) -> tuple[str, int]:
    """-> the kind in lower case, and the sectors of its one extent."""
    offset, length = le(head, 28, 8) * SECTOR, le(head, 36, 8) * SECTOR
    if not offset or not length:
        raise Refused('it has no descriptor of its own: it is one extent of several files')
    if offset + max(length, _SEARCHED) > HEAD_SIZE:
        raise Refused('its descriptor is at an unreasonable place or too large')
    if offset + length > len(head):
        raise Refused('the file ends inside its descriptor: it is truncated')
    if b'parentfilenamehint' in head[offset:offset + max(length, _SEARCHED)].lower():
        raise Refused('it names a parent image')
    text = head[offset:offset + length]
    # What follows the text must be padding, or two readers may see two texts.
    text, _, padding = text.partition(b'\0')
    if any(padding):
        raise Refused('its descriptor has something hidden behind its end')
    try:
        return _check_lines(text.decode('utf-8'))
    except UnicodeDecodeError:
        raise Refused('its descriptor is not text') from None


def _check_lines(text: str) -> tuple[str, int]:
    values: dict[str, str] = {}
    extents: list[tuple[str, ...]] = []
    for line in re.split(r'[\r\n]+', text):
        line = line.strip()
        if not line or line.startswith('#'):
            continue
        if assignment := _ASSIGNMENT.fullmatch(line):
            key = assignment[1].lower()
            if key in values and not key.startswith('ddb.'):
                raise Refused(f'its descriptor says {quote(key)} twice')
            values[key] = assignment[2].strip().strip('"').lower()
        elif extent := _EXTENT.fullmatch(line):
            extents.append((extent[1], extent[2], extent[3], extent[4] or ''))
        else:
            raise Refused(f'its descriptor has a line that is not understood: {quote(line)}')
    kind = values.get('createtype', '')
    if kind not in _KINDS:
        raise Refused(f'its type is {quote(kind)}; only monolithicSparse and streamOptimized are supported')
    if values.get('parentcid', _NO_PARENT) != _NO_PARENT:
        raise Refused('it has a parent image')
    for key in ('changetrackpath', 'parentfilenamehint'):
        if values.get(key):
            raise Refused(f'its descriptor names another file ({key})')
    return kind, _check_extents(extents)


def _check_extents(extents: list[tuple[str, ...]]) -> int:
    if len(extents) != 1:
        raise Refused(f'its descriptor names {len(extents)} extents; one is possible')
    access, sectors, kind, name = extents[0]
    if kind.upper() != 'SPARSE':
        raise Refused(f'its extent is of type {quote(kind)}; only SPARSE, which is this file, is supported')
    own_name = name and not set(name) & set('/\\') and not name.lower().endswith('-flat.vmdk')
    if access.upper() == 'NOACCESS' or not own_name:
        raise Refused(f'its extent names another file: {quote(name)}')
    return int(sectors)


def _check_footer(head: bytes, tail: bytes, kind: str) -> int:
    """A streamed image has its header again at the end, followed by an empty
    sector, and readers take that one: it may differ only in where the grain
    directories are. -> the place of the one that counts, in sectors."""
    if kind != 'streamoptimized':
        raise Refused('its grain directory is at its end, which only streamOptimized may have')
    footer, end_of_stream = tail[-2 * SECTOR:-SECTOR], tail[-SECTOR:]
    if len(footer) < SECTOR or footer[:4] != b'KDMV' or any(end_of_stream[:16]):
        raise Refused('it is truncated: its footer is missing')
    if footer[:48] + footer[72:_HEADER_END] != head[:48] + head[72:_HEADER_END]:
        raise Refused('its header and its footer contradict each other')
    directory_at = le(footer, 56, 8)
    if directory_at in (0, _AT_END):
        raise Refused('its footer is malformed')
    return directory_at
