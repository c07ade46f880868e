"""qcow2, versions 2 and 3 (QEMU's docs/interop/qcow2.txt)."""
from __future__ import annotations

from minicompute.image.inspection.plan import (
    AtEnd,
    Facts,
    Plan,
    Refused,
    be,
    require_inside,
    set_virtual_size,
)

_V2_HEADER, _V3_HEADER, _MAX_HEADER = 72, 104, 4096
_CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = 1 << 1, 1 << 2, 1 << 3, 1 << 4
_KNOWN_FEATURES = 0b11111
_MAX_L1_BYTES = 32 * 1024 * 1024
_MAX_REFCOUNT_TABLE_BYTES = 8 * 1024 * 1024
_MAX_SNAPSHOTS = 65536
_MAX_EXTENSIONS = 64 * 1024
_REFUSED_EXTENSIONS = {
    0xe2792aca: 'a backing file format, which only an image with a backing file has',
    0x44415441: 'an external data file',
    0x0537be77: 'an encryption header',
}


def parse(head: bytes, facts: Facts) -> Plan:
    if not head.startswith(b'QFI\xfb'):
        raise Refused('it claims to be qcow2, but its header is not')
    header_size = _check_version(head)
    _check_references(head)
    cluster_size = _check_geometry(head)
    features = _check_features(head, header_size, cluster_size)
    _check_extensions(head, header_size, cluster_size)
    _check_tables(head, facts, cluster_size, features)
    yield AtEnd()
    if cluster_size > facts.file_size:
        raise Refused('it is truncated: it is shorter than its header cluster')
    require_inside(facts, be(head, 40, 8), be(head, 36, 4) * 8, 'L1 table')
    require_inside(facts, be(head, 48, 8), be(head, 56, 4) * cluster_size, 'refcount table')
    if be(head, 60, 4):
        require_inside(facts, be(head, 64, 8), be(head, 60, 4) * 40, 'snapshot table')


def _check_version(head: bytes) -> int:
    """-> the header's size in bytes, all of which is in `head`."""
    version = be(head, 4, 4)
    if version not in (2, 3):
        raise Refused(f'version {version} of qcow2 does not exist')
    minimum = _V2_HEADER if version == 2 else _V3_HEADER
    header_size = minimum if version == 2 or len(head) < minimum else be(head, 100, 4)
    if version == 3 and not (_V3_HEADER <= header_size <= _MAX_HEADER and header_size % 8 == 0):
        raise Refused(f'its header says that it has {header_size} bytes, which is impossible')
    if len(head) < header_size:
        raise Refused('the file ends inside its header: it is truncated')
    return header_size


def _check_references(head: bytes) -> None:
    """Nothing outside of the file, nothing encrypted."""
    if be(head, 8, 8):
        raise Refused('it has a backing file')
    method = be(head, 32, 4)
    if method:
        raise Refused('it is encrypted' if method in (1, 2) else 'it is encrypted by an unknown method')


def _check_geometry(head: bytes) -> int:
    cluster_bits = be(head, 20, 4)
    if not 9 <= cluster_bits <= 21:
        raise Refused(f'its clusters have 2**{cluster_bits} bytes; 2**9 to 2**21 is possible')
    return 1 << cluster_bits


def _check_features(head: bytes, header_size: int, cluster_size: int) -> int:
    """-> the incompatible features; version 2 has none."""
    if be(head, 4, 4) == 2:
        return 0
    features = be(head, 72, 8)
    if features & _DATA_FILE:
        raise Refused('its data are in an external data file')
    if features & ~_KNOWN_FEATURES:
        raise Refused(f'it needs unknown features (bits {features & ~_KNOWN_FEATURES:#x})')
    if features & _CORRUPT:
        raise Refused('it is marked as corrupt')
    if features & _EXTENDED_L2 and cluster_size < 1 << 14:
        raise Refused('its clusters are too small for extended L2 entries')
    if be(head, 96, 4) > 6:
        raise Refused('the width of its reference counts is impossible')
    compression = head[104] if header_size > 104 else 0
    if compression > 1 or bool(compression) != bool(features & _COMPRESSION):
        raise Refused('its compression type is unknown or contradicts its feature bits')
    return features


def _check_extensions(head: bytes, offset: int, cluster_size: int) -> None:
    """They follow the header, in the first cluster: type, length, data padded to 8."""
    end = min(cluster_size, _MAX_EXTENSIONS, len(head))
    while offset + 8 <= end:
        kind, length = be(head, offset, 4), be(head, offset + 4, 4)
        if kind == 0:
            return
        if kind in _REFUSED_EXTENSIONS:
            raise Refused(f'its header names {_REFUSED_EXTENSIONS[kind]}')
        offset += 8 + -(-length // 8) * 8
        if offset > end:
            raise Refused('a header extension is longer than the header can be')
    if offset < cluster_size:
        raise Refused('its header extensions do not end')


def _check_tables(head: bytes, facts: Facts, cluster_size: int, features: int) -> None:
    size = set_virtual_size(facts, be(head, 24, 8))
    l1_size, l1_offset = be(head, 36, 4), be(head, 40, 8)
    l2_entries = cluster_size // (16 if features & _EXTENDED_L2 else 8)
    if l1_size * 8 > _MAX_L1_BYTES:
        raise Refused('its L1 table is unreasonably large')
    if l1_size * l2_entries * cluster_size < size:
        raise Refused('its L1 table is too small for the size that its header gives')
    refcount_offset, refcount_bytes = be(head, 48, 8), be(head, 56, 4) * cluster_size
    if not 0 < refcount_bytes <= _MAX_REFCOUNT_TABLE_BYTES:
        raise Refused('its refcount table has an impossible size')
    for offset, what in ((l1_offset, 'L1 table'), (refcount_offset, 'refcount table')):
        if offset < cluster_size or offset % cluster_size:
            raise Refused(f'its {what} is at an impossible place')
    snapshots, offset = be(head, 60, 4), be(head, 64, 8)
    if snapshots > _MAX_SNAPSHOTS or (snapshots and (offset % cluster_size or not offset)):
        raise Refused('its snapshot table is impossible')
