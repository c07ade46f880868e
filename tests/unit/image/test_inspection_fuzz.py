"""Whatever the bytes are: facts or `ImageUnacceptable`, the same by file and by stream."""
from __future__ import annotations

import io
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicompute import exception
from minicompute.image.inspection import StreamInspector, engine
from minicompute.image.inspection.plan import MAX_VIRTUAL_SIZE
from tests.unit.image import samples

NAMES = ['qcow2', 'qcow2-v2', 'qcow2-zstd', 'vmdk', 'vmdk-stream', 'vhd', 'vhd-fixed', 'vhdx', 'vdi', 'raw']
FORMATS = ['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'iso', 'ami', 'luks']
KIB, MIB = 1024, 1024 * 1024
# Where the interesting bytes of the formats are.
PLACES = st.one_of(st.integers(0, 600), st.integers(0, 4096), st.integers(64 * KIB, 64 * KIB + 90),
                   st.integers(192 * KIB, 192 * KIB + 90), st.integers(MIB, 3 * MIB + 256),
                   st.integers(-512, -1))
VALUES = st.one_of(st.binary(min_size=1, max_size=16),
                   st.sampled_from([b'\xff' * 8, b'\0' * 8, b'\x80' + bytes(7), bytes(7) + b'\x80',
                                    b'\x7f' + b'\xff' * 7]))
MUTATIONS = st.lists(st.tuples(PLACES, VALUES), max_size=4)
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def by_stream(data: bytes, claimed: str, sizes: list[int]) -> Any:
    try:
        inspector = StreamInspector(claimed, allow_luks=True)
        at, turn = 0, 0
        while at < len(data):
            size = sizes[turn % len(sizes)]
            inspector.feed(data[at:at + size])
            at, turn = at + size, turn + 1
        info = inspector.finish()
    except exception.ImageUnacceptable as e:
        return str(e)
    assert 0 < info.virtual_size <= MAX_VIRTUAL_SIZE
    return info


def by_file(data: bytes, claimed: str) -> Any:
    with mock.patch.object(engine, 'open', create=True, return_value=io.BytesIO(data)):
        try:
            return engine.inspect_file('/x', claimed, allow_luks=True)
        except exception.ImageUnacceptable as e:
            return str(e)


def mutate(data: bytes, mutations: list[tuple[int, bytes]]) -> bytes:
    changed = bytearray(data)
    for place, value in mutations:
        place = place % len(changed)
        changed[place:place + len(value)] = value[:len(changed) - place]
    return bytes(changed)


@pytest.mark.parametrize('name', NAMES)
@FUZZ
@given(mutations=MUTATIONS, cut=st.none() | st.integers(1, 3 * MIB),
       sizes=st.lists(st.integers(5000, 2 * MIB), min_size=1))
def test_mutated_images(name: str, mutations: list[tuple[int, bytes]], cut: int | None,
                        sizes: list[int]) -> None:
    data = mutate(samples.sample(name)[:cut], mutations)
    claimed = samples.QEMU_SAMPLES[name][0]
    assert by_stream(data, claimed, sizes) == by_file(data, claimed)


@FUZZ
@given(mutations=st.lists(st.tuples(st.integers(32768, 32768 + 4096), VALUES), max_size=4),
       sizes=st.lists(st.integers(1000, MIB), min_size=1))
def test_mutated_iso(mutations: list[tuple[int, bytes]], sizes: list[int]) -> None:
    data = mutate(samples.iso_image(), mutations)
    assert by_stream(data, 'iso', sizes) == by_file(data, 'iso')


MAGICS = st.sampled_from([b'', b'QFI\xfb\0\0\0\2', b'QFI\xfb\0\0\0\3', b'KDMV\1\0\0\0', b'conectix',
                          b'vhdxfile', b'LUKS\xba\xbe\0\1', b'# Disk Desc', b'\n#\nversion=1\n'])


@pytest.mark.parametrize('claimed', FORMATS)
@FUZZ
@given(magic=MAGICS, rest=st.binary(max_size=3000), sizes=st.lists(st.integers(1, 5000), min_size=1))
def test_noise(claimed: str, magic: bytes, rest: bytes, sizes: list[int]) -> None:
    data = magic + rest
    assert by_stream(data, claimed, sizes) == by_file(data, claimed)


@FUZZ
@given(old=st.sampled_from(['createType', 'RW', 'SPARSE', 'image', 'CID', '16384', '"', '\n']),
       new=st.text(max_size=60))
def test_mutated_descriptor(old: str, new: str) -> None:
    text = samples.sample('vmdk')[512:512 + 20 * 512].rstrip(b'\0').replace(old.encode(), new.encode())
    data = samples.put(samples.sample('vmdk'), 512, text.ljust(20 * 512, b'\0')[:20 * 512])
    assert by_stream(data, 'vmdk', [MIB]) == by_file(data, 'vmdk')
