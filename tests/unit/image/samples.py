"""Good images of every format, made by the tools, and helpers that spoil them."""
from __future__ import annotations

import struct
import subprocess
import uuid
import zlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

MIB = 1024 * 1024
SIZE = 8 * MIB

# name -> (what it claims to be in Glance, qemu-img's format, options)
QEMU_SAMPLES: dict[str, tuple[str, str, str]] = {
    'raw': ('raw', 'raw', ''),
    'qcow2': ('qcow2', 'qcow2', ''),
    'qcow2-v2': ('qcow2', 'qcow2', 'compat=0.10'),
    'qcow2-small-clusters': ('qcow2', 'qcow2', 'cluster_size=512'),
    'qcow2-big-clusters': ('qcow2', 'qcow2', 'cluster_size=2M'),
    'qcow2-extended': ('qcow2', 'qcow2', 'extended_l2=on,cluster_size=128k'),
    'qcow2-lazy': ('qcow2', 'qcow2', 'lazy_refcounts=on,preallocation=metadata'),
    'qcow2-zstd': ('qcow2', 'qcow2', 'compression_type=zstd'),
    'vmdk': ('vmdk', 'vmdk', 'subformat=monolithicSparse'),
    'vmdk-stream': ('vmdk', 'vmdk', 'subformat=streamOptimized'),
    'vmdk-lsilogic': ('vmdk', 'vmdk', 'adapter_type=lsilogic,zeroed_grain=on'),
    'vhd': ('vhd', 'vpc', 'subformat=dynamic'),
    'vhd-fixed': ('vhd', 'vpc', 'subformat=fixed'),
    'vhdx': ('vhdx', 'vhdx', 'subformat=dynamic'),
    'vhdx-fixed': ('vhdx', 'vhdx', 'subformat=fixed'),
    'vdi': ('vdi', 'vdi', ''),
    'vdi-static': ('vdi', 'vdi', 'static=on'),
}


def qemu_img(*args: str | Path) -> str:
    done = subprocess.run(['qemu-img', *map(str, args)], check=True, capture_output=True, text=True)
    return done.stdout


@cache
def made_by_qemu(fmt: str, options: str = '', size: int = SIZE) -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory, 'image')
        qemu_img('create', '-q', '-f', fmt, *(['-o', options] if options else []), path, str(size))
        return path.read_bytes()


def sample(name: str) -> bytes:
    _, fmt, options = QEMU_SAMPLES[name]
    return made_by_qemu(fmt, options)


@cache
def iso_image(hybrid: bool = False) -> bytes:
    with TemporaryDirectory() as directory:
        tree = Path(directory, 'tree')
        tree.mkdir()
        (tree / 'readme').write_bytes(b'hello\n' * 1000)
        out = Path(directory, 'out.iso')
        subprocess.run(['genisoimage', '-quiet', '-J', '-r', '-V', 'sample', '-o', out, tree], check=True)
        data = bytearray(out.read_bytes())
    if hybrid:
        data[446:462] = struct.pack('<B3sB3sII', 0x80, b'', 0x17, b'', 0, len(data) // 512)
        data[510:512] = b'\x55\xaa'
    return bytes(data)


def put(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new):]


def be(size: int, number: int) -> bytes:
    return number.to_bytes(size, 'big')


def le(size: int, number: int) -> bytes:
    return number.to_bytes(size, 'little')


def vhd_checksum(data: bytes, start: int, length: int, at: int) -> bytes:
    """The same image with a right checksum in the block at `start`."""
    block = put(data[start:start + length], at, bytes(4))
    return put(data, start + at, be(4, ~sum(block) & 0xffffffff))


def gpt_disk(size: int = SIZE, **fields: int) -> bytes:
    """A raw disk with a protective MBR and a GPT header; `fields` spoil the header."""
    facts = {'header_size': 92, 'my_lba': 1, 'first': 34, 'last': size // 512 - 34, 'entries_at': 2,
             'count': 128, 'entry_size': 128} | fields
    header = struct.pack('<8sIIIIQQQQ16sQIII', b'EFI PART', 0x10000, facts['header_size'], 0, 0,
                         facts['my_lba'], size // 512 - 1, facts['first'], facts['last'], uuid.uuid4().bytes,
                         facts['entries_at'], facts['count'], facts['entry_size'], 0)
    padded = header.ljust(512, b'\0')
    header = put(header, 16, le(4, zlib.crc32(padded[:facts['header_size']])))
    return put(put(mbr_disk(size, 0xee), 512, bytes(512)), 512, header)


def mbr_disk(size: int = SIZE, kind: int = 0x83, flag: int = 0x80) -> bytes:
    disk = put(bytes(size), 446, struct.pack('<B3sB3sII', flag, b'', kind, b'', 1, size // 512 - 1))
    return put(disk, 510, b'\x55\xaa')


def stream_optimized(footer_changes: dict[int, bytes] | None = None) -> bytes:
    """As VMware exports it: the grain directory's place is only in the footer."""
    image = put(sample('vmdk-stream'), 56, b'\xff' * 8)
    directory_at = sample('vmdk-stream')[56:64]
    footer = put(image[:512], 56, directory_at)
    for offset, new in (footer_changes or {}).items():
        footer = put(footer, offset, new)
    marker = struct.pack('<QII', 1, 0, 3).ljust(512, b'\0')
    return image + marker + footer + bytes(512)


def vmdk_with(old: str, new: str, base: str = 'vmdk') -> bytes:
    """The sample with one text of its descriptor replaced."""
    image = sample(base)
    at, length = 512, 20 * 512
    text = image[at:at + length].rstrip(b'\0')
    assert old.encode() in text
    return put(image, at, text.replace(old.encode(), new.encode()).ljust(length, b'\0')[:length])
