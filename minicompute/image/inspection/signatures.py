"""Which formats a tool that probes would see in these bytes.

Wider than we accept: a name here that is no accepted format is a reason to
refuse.  A partition table is no format, it is content.
"""
from __future__ import annotations

import re

ISO_OFFSET = 32768
_QCOW = b'QFI\xfb'
# (offset, bytes, name)
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b'QED\0', 'qed'),
    (0, b'KDMV', 'vmdk'),
    (0, b'COWD', 'vmdk'),
    (0, b'\xbe\xba\xfe\xca\0\0\0\0', 'vmdk'),               # seSparse
    (0, b'conectix', 'vhd'),
    (0, b'vhdxfile', 'vhdx'),
    (0x40, b'\x7f\x10\xda\xbe', 'vdi'),
    (0, b'LUKS\xba\xbe', 'luks'),
    (0, b'SKUL\xba\xbe', 'luks'),                            # LUKS2's second header
    (0, b'WithoutFreeSpace', 'ploop'),
    (0, b'WithouFreSpacExt', 'ploop'),
    (0, b'Bochs Virtual HD Image', 'bochs'),
    (0, b'#!/bin/sh\n#V2.0 Format\nmodprobe cloop', 'cloop'),
)
_VMDK_TITLE = re.compile(rb'\s*#\s*disk\s*descriptorfile', re.IGNORECASE)
_VMDK_TEXT_LIMIT = 4096


def recognise(head: bytes) -> set[str]:
    """Names of all formats whose signature is in the first bytes of an image."""
    found = {name for offset, magic, name in _MAGIC if head[offset:offset + len(magic)] == magic}
    if head.startswith(_QCOW):
        found.add('qcow' if head[4:8] == b'\0\0\0\1' else 'qcow2')
    if _is_vmdk_text(head[:_VMDK_TEXT_LIMIT]):
        found.add('vmdk')
    if has_volume_descriptor(head):
        found.add('iso')
    return found


def recognise_tail(tail: bytes) -> set[str]:
    """The formats whose signature is in a footer; `tail` ends where the image does."""
    footer = tail[-512:]
    found = set()
    if footer.startswith(b'conectix') or tail[-511:].startswith(b'conectix'):
        found.add('vhd')
    if footer.startswith(b'koly'):
        found.add('dmg')
    return found


def has_volume_descriptor(head: bytes) -> bool:
    """Is one of the sectors from the 16th on a descriptor of ISO 9660 (or of UDF)?"""
    return head[ISO_OFFSET + 1:ISO_OFFSET + 6] in (b'CD001', b'BEA01', b'NSR02', b'NSR03')


def _is_vmdk_text(text: bytes) -> bool:
    """A descriptor of VMware has a title, and for tools that probe it is any number
    of comments and blank lines, then the version."""
    if _VMDK_TITLE.match(text):
        return True
    for line in text.split(b'\n'):
        line = line.strip(b' \t\r')
        if line and not line.startswith(b'#'):
            return line in (b'version=1', b'version=2', b'version=3')
    return False
