"""What a format's parser and the engine say to each other.

A parser is a generator.  It yields `Read` to get bytes by offset, or `AtEnd`
to wait for the end of the image and get its last bytes; by then
`facts.file_size` is known.  So that a stream can be served without keeping
it, a `Read` that reaches beyond the first HEAD_SIZE bytes may not go back
behind an earlier one; the engine refuses the image that makes it try.
"""
from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

HEAD_SIZE = 68 * 1024           # holds the volume descriptors of an ISO
TAIL_SIZE = 2048                # holds the footer of a VHD, VMDK or DMG
MAX_READ = 1024 * 1024
SECTOR = 512
MAX_VIRTUAL_SIZE = 2 ** 50      # 1 PiB: beyond it a header lies


class Refused(Exception):
    """The image is unacceptable; the text is shown to its owner."""


@dataclass(frozen=True)
class ImageInfo:
    """Facts of an accepted image; sizes are bytes.

    `format` is Glance's `disk_format`, `qemu_format` what `qemu-img -f` and
    libvirt call it.  `layout` is `gpt`, `mbr` or None, for raw content only.
    """

    format: str
    virtual_size: int
    file_size: int
    qemu_format: str
    layout: str | None = None


@dataclass
class Facts:
    """What is known so far; a parser fills it in."""

    virtual_size: int | None = None
    file_size: int = 0
    layout: str | None = None


@dataclass(frozen=True)
class Read:
    """Bytes [offset, offset + length); an image that ends earlier is refused as
    truncated, unless `short` allows fewer bytes."""

    offset: int
    length: int
    what: str = 'header'
    short: bool = False


@dataclass(frozen=True)
class AtEnd:
    """The last TAIL_SIZE bytes, or all of a smaller image."""


Plan = Generator[Read | AtEnd, bytes, None]


def le(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset:offset + size], 'little')


def be(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset:offset + size], 'big')


def power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def quote(text: bytes | str) -> str:
    """Text from the image, made safe and short for a message."""
    if isinstance(text, bytes):
        text = text.decode('ascii', 'replace')
    return repr(text[:40])


def set_virtual_size(facts: Facts, size: int) -> int:
    """The one place where a header's size is believed.

    Whoever feeds a stream may look at it from now on, so a parser calls this
    as early as it can.
    """
    if size <= 0:
        raise Refused('its header says that the disk has no size')
    if size > MAX_VIRTUAL_SIZE:
        raise Refused(f'its header says that the disk has {size} bytes, which is more than any disk has')
    facts.virtual_size = size
    return size


def require_inside(facts: Facts, offset: int, length: int, what: str) -> None:
    """Call after `AtEnd`: a table must lie inside the file."""
    if offset + length > facts.file_size:
        raise Refused(f'its {what} lies beyond the end of the file: it is truncated or its header lies')
