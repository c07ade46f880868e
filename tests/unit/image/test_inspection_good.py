"""What the tools make is accepted, with the size that they say."""
from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from minicompute.image.inspection import ImageInfo, StreamInspector, inspect_file
from tests.unit.image import samples


def inspect_stream(data: bytes, claimed: str, chunk: int = 65536, **kwargs: bool) -> ImageInfo:
    inspector = StreamInspector(claimed, **kwargs)
    for at in range(0, len(data), chunk):
        inspector.feed(data[at:at + chunk])
    return inspector.finish()


@pytest.mark.parametrize('name', samples.QEMU_SAMPLES)
def test_accepts_what_qemu_img_makes(name: str, tmp_path: Path) -> None:
    claimed, fmt, _ = samples.QEMU_SAMPLES[name]
    path = tmp_path / 'image'
    path.write_bytes(samples.sample(name))
    said = json.loads(samples.qemu_img('info', '--output=json', '-f', fmt, path))
    info = inspect_file(path, claimed)
    assert (info.format, info.qemu_format) == (claimed, fmt)
    assert info.virtual_size == said['virtual-size']
    assert info.file_size == path.stat().st_size


@pytest.mark.parametrize('name', samples.QEMU_SAMPLES)
@pytest.mark.parametrize('chunk', [1021, 65536, 1 << 30])
def test_stream_agrees_with_file(name: str, chunk: int, tmp_path: Path) -> None:
    claimed = samples.QEMU_SAMPLES[name][0]
    path = tmp_path / 'image'
    path.write_bytes(samples.sample(name))
    assert inspect_stream(samples.sample(name), claimed, chunk) == inspect_file(path, claimed)


@pytest.mark.parametrize('name', ['qcow2', 'vmdk', 'vmdk-stream', 'vhd', 'vhdx', 'vdi'])
def test_accepts_images_with_data(name: str, tmp_path: Path) -> None:
    claimed, fmt, options = samples.QEMU_SAMPLES[name]
    source, path = tmp_path / 'source', tmp_path / 'image'
    source.write_bytes(bytes(range(256)) * (2 * samples.MIB // 256) + bytes(30 * samples.MIB))
    args = ['-o', options] if options else []
    samples.qemu_img('convert', '-f', 'raw', '-O', fmt, *args, source, path)
    assert inspect_file(path, claimed).virtual_size >= 32 * samples.MIB


def test_accepts_compressed_and_snapshotted_qcow2(tmp_path: Path) -> None:
    source, path = tmp_path / 'source', tmp_path / 'image'
    source.write_bytes(b'compress me ' * 100000)
    samples.qemu_img('convert', '-c', '-f', 'raw', '-O', 'qcow2', source, path)
    samples.qemu_img('snapshot', '-c', 'one', path)
    samples.qemu_img('bitmap', '--add', path, 'b0')
    assert inspect_file(path, 'qcow2').virtual_size == -(-1200000 // 512) * 512


@pytest.mark.parametrize('hybrid', [False, True])
def test_accepts_iso(hybrid: bool) -> None:
    data = samples.iso_image(hybrid)
    info = inspect_stream(data, 'iso')
    assert (info.qemu_format, info.virtual_size) == ('raw', len(data))


@pytest.mark.parametrize(('data', 'layout'), [
    (samples.mbr_disk(), 'mbr'),
    (samples.gpt_disk(), 'gpt'),
    (samples.gpt_disk(count=4), 'gpt'),
    (samples.mbr_disk(kind=0xee), 'mbr'),
    (samples.mbr_disk(flag=0x33), None),      # a boot sector without a table
    (b'\0' * 4096, None),
])
def test_layout_of_raw(data: bytes, layout: str | None) -> None:
    assert inspect_stream(data, 'raw').layout == layout


def test_raw_size_is_rounded_up_to_sectors() -> None:
    assert inspect_stream(b'x' * 700, 'raw').virtual_size == 1024


@pytest.mark.parametrize('claimed', ['ami', 'aki', 'ari'])
def test_opaque_formats(claimed: str) -> None:
    info = inspect_stream(b'\x1f\x8b a compressed kernel', claimed)
    assert (info.format, info.qemu_format, info.layout) == (claimed, 'raw', None)


def test_vmdk_with_footer() -> None:
    assert inspect_stream(samples.stream_optimized(), 'vmdk').virtual_size == samples.SIZE


@pytest.fixture(scope='module')
def luks() -> bytes:
    return (b'LUKS\xba\xbe\0\1'.ljust(104, b'\0') + samples.be(4, 4096)).ljust(3 * samples.MIB, b'\0')


def test_luks_where_allowed(luks: bytes) -> None:
    assert inspect_stream(luks, 'luks', allow_luks=True).virtual_size == samples.MIB
    assert inspect_stream(luks, 'raw', allow_luks=True).virtual_size == 3 * samples.MIB


def test_size_is_known_before_the_end() -> None:
    inspector = StreamInspector('qcow2')
    inspector.feed(samples.sample('qcow2')[:70000])
    assert inspector.virtual_size == samples.SIZE


def test_memory_is_bounded() -> None:
    inspector = StreamInspector('raw')
    chunk = bytes(samples.MIB)
    tracemalloc.start()
    for _ in range(512):
        inspector.feed(chunk)
    assert inspector.finish().virtual_size == 512 * samples.MIB
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * samples.MIB
