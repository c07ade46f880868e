"""The formats that we take, and the order of the questions asked of all."""
from __future__ import annotations

from collections.abc import Callable

from minicompute.image.inspection import iso, luks, qcow2, raw, vdi, vhd, vhdx, vmdk
from minicompute.image.inspection.plan import HEAD_SIZE, Facts, Plan, Read, Refused
from minicompute.image.inspection.signatures import recognise

PARSERS: dict[str, Callable[[bytes, Facts], Plan]] = {
    'raw': raw.parse,
    'qcow2': qcow2.parse,
    'vmdk': vmdk.parse,
    'vhd': vhd.parse,
    'vhdx': vhdx.parse,
    'vdi': vdi.parse,
    'iso': iso.parse,
    'luks': luks.parse,
    'ami': raw.parse_opaque,
    'aki': raw.parse_opaque,
    'ari': raw.parse_opaque,
}

# What qemu-img and libvirt call them.
QEMU_NAMES = {name: name for name in PARSERS} | {
    'vhd': 'vpc', 'iso': 'raw', 'ami': 'raw', 'aki': 'raw', 'ari': 'raw',
}


def examine(claimed: str, facts: Facts, allow_luks: bool) -> Plan:
    """The whole inspection: is it what it claims, only that, and harmless."""
    if claimed not in PARSERS or (claimed == 'luks' and not allow_luks):
        raise Refused(f'the disk format {claimed!r} is not supported')
    head = yield Read(0, HEAD_SIZE, short=True)
    if not head:
        raise Refused('it is empty')
    others = recognise(head) - {claimed}
    if allow_luks and claimed == 'raw':
        others.discard('luks')
    if others:
        raise Refused(f'it claims to be {claimed}, but its content is {" and ".join(sorted(others))}')
    yield from PARSERS[claimed](head, facts)
