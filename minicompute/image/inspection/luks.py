"""LUKS version 1: taken only where the caller allows an encrypted disk."""
from __future__ import annotations

from minicompute.image.inspection.plan import SECTOR, AtEnd, Facts, Plan, Refused, be, set_virtual_size

_HEADER_SIZE = 592
_MAX_PAYLOAD_OFFSET = 64 * 1024 * 1024


def parse(head: bytes, facts: Facts) -> Plan:
    if not head.startswith(b'LUKS\xba\xbe'):
        raise Refused('it claims to be luks, but its header is not')
    if len(head) < _HEADER_SIZE:
        raise Refused('the file ends inside its header: it is truncated')
    if be(head, 6, 2) != 1:
        raise Refused('only version 1 of LUKS is supported')
    payload = be(head, 104, 4) * SECTOR
    if not _HEADER_SIZE <= payload <= _MAX_PAYLOAD_OFFSET:
        raise Refused('its header says that the data begin at an impossible place')
    yield AtEnd()
    if payload >= facts.file_size:
        raise Refused('it is truncated: it ends before its data begin')
    set_virtual_size(facts, facts.file_size - payload)
