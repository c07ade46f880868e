"""What a stranger could craft is refused, with a reason that says what it is."""
from __future__ import annotations

import struct
from pathlib import Path
from uuid import UUID

import pytest

from minicompute import exception
from minicompute.image.inspection import StreamInspector, inspect_file
from minicompute.image.inspection.vhdx import crc32c
from tests.unit.image import samples
from tests.unit.image.samples import be, le, put, vmdk_with

KIB, MIB = 1024, 1024 * 1024


def refuse(data: bytes, claimed: str, reason: str, tmp_path: Path, **kwargs: bool) -> None:
    """By file and by stream, for the same reason."""
    path = tmp_path / 'image'
    path.write_bytes(data)
    with pytest.raises(exception.ImageUnacceptable, match=reason) as by_file:
        inspect_file(path, claimed, image_id='the-id', **kwargs)
    assert 'the-id' in str(by_file.value)
    with pytest.raises(exception.ImageUnacceptable) as by_stream:
        inspector = StreamInspector(claimed, image_id='the-id', **kwargs)
        for at in range(0, len(data), 40000):
            inspector.feed(data[at:at + 40000])
        inspector.finish()
    assert str(by_stream.value) == str(by_file.value)


# -- one format dressed as another ----------------------------------------

OTHERS = {
    'qcow2': samples.sample('qcow2'), 'vmdk': samples.sample('vmdk'), 'vhd': samples.sample('vhd'),
    'vhdx': samples.sample('vhdx'), 'vdi': samples.sample('vdi'), 'iso': samples.iso_image(),
    'iso-hybrid': samples.iso_image(hybrid=True), 'vhd-fixed': samples.sample('vhd-fixed'),
    'qcow': samples.made_by_qemu('qcow'), 'qed': samples.made_by_qemu('qed'),
    'parallels': samples.made_by_qemu('parallels'), 'luks': b'LUKS\xba\xbe\0\1' + bytes(4096),
    'cowd': b'COWD' + bytes(4096), 'bochs': b'Bochs Virtual HD Image' + bytes(4096),
    'dmg': bytes(4096) + b'koly' + bytes(508),
    'descriptor': b'# Disk DescriptorFile\nversion=1\nRW 2048 FLAT "/etc/shadow" 0\n',
    'descriptor-odd': b'\n#x\n  # y\n\nversion=1\ncreateType="monolithicFlat"\n',
}


@pytest.mark.parametrize('claimed', ['raw', 'ami', 'aki', 'ari'])
@pytest.mark.parametrize('other', OTHERS)
def test_raw_that_is_another_format(claimed: str, other: str, tmp_path: Path) -> None:
    refuse(OTHERS[other], claimed, 'content is|ends like', tmp_path)


@pytest.mark.parametrize('claimed', ['qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'iso'])
@pytest.mark.parametrize('content', [bytes(MIB), samples.mbr_disk(), samples.gpt_disk(), b'x',
                                     *OTHERS.values()])
def test_claim_without_content(claimed: str, content: bytes, tmp_path: Path) -> None:
    if content in (OTHERS.get(claimed), OTHERS['vhd-fixed'] if claimed == 'vhd' else None,
                   OTHERS['iso-hybrid'] if claimed == 'iso' else None):
        return
    refuse(content, claimed, 'claims to be|truncated|descriptor|VMware', tmp_path)


@pytest.mark.parametrize('magic', [b'QFI\xfb\0\0\0\3', b'KDMV', b'conectix', b'vhdxfile', b'QED\0',
                                   b'LUKS\xba\xbe'])
def test_iso_that_is_also_another(magic: bytes, tmp_path: Path) -> None:
    refuse(put(samples.iso_image(hybrid=True), 0, magic), 'iso', 'its content is', tmp_path)
    ends_like_vhd = put(samples.iso_image(), len(samples.iso_image()) - 512, b'conectix')
    refuse(ends_like_vhd, 'iso', 'ends like a vhd', tmp_path)


def test_qcow2_that_is_also_an_iso(tmp_path: Path) -> None:
    both = put(samples.sample('qcow2'), 32768, samples.iso_image()[32768:32768 + 2048])
    refuse(both, 'qcow2', 'its content is iso', tmp_path)


def test_vdi_that_is_also_qcow2(tmp_path: Path) -> None:
    refuse(put(samples.sample('vdi'), 0, b'QFI\xfb\0\0\0\3'), 'vdi', 'content is qcow2', tmp_path)


@pytest.mark.parametrize('claimed', ['ploop', 'qed', 'qcow', 'vpc', 'luks', '', '../raw', 'RAW'])
def test_formats_that_we_do_not_take(claimed: str) -> None:
    with pytest.raises(exception.ImageUnacceptable, match='not supported'):
        StreamInspector(claimed)


@pytest.mark.parametrize('claimed', ['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'iso', 'aki'])
def test_empty(claimed: str, tmp_path: Path) -> None:
    refuse(b'', claimed, 'empty', tmp_path)


HEADER_BYTES = {'qcow2': (8, 100, 600, 70000, 196610), 'vmdk': (8, 100, 511, 600, 11000),
                'vdi': (100, 511, 600), 'vhd': (100, 511, 700, 1600, 2500),
                'vhdx': (100, 65600, 130000, 200000, 300000, 2 * MIB + 100),
                'vhd-fixed': (100, 4 * MIB, samples.SIZE)}


@pytest.mark.parametrize(('name', 'length'), [(n, at) for n, cuts in HEADER_BYTES.items() for at in cuts])
def test_truncated(name: str, length: int, tmp_path: Path) -> None:
    claimed = samples.QEMU_SAMPLES[name][0]
    reason = 'truncated|extensions do not end|no footer|damaged|header lies'
    refuse(samples.sample(name)[:length], claimed, reason, tmp_path)


def test_truncated_iso(tmp_path: Path) -> None:
    lying = put(samples.iso_image(), 32768 + 80, le(4, 1000000))
    refuse(lying, 'iso', 'truncated', tmp_path)
    refuse(put(samples.iso_image(), 32768 + 128, le(2, 0)), 'iso', 'malformed', tmp_path)
    refuse(put(samples.iso_image(), 32768, b'\xff'), 'iso', 'no primary', tmp_path)


def test_stays_refused() -> None:
    inspector = StreamInspector('raw')
    with pytest.raises(exception.ImageUnacceptable):
        inspector.feed(samples.sample('qcow2'))
    with pytest.raises(exception.ImageUnacceptable):
        inspector.feed(b'')
    with pytest.raises(exception.ImageUnacceptable):
        inspector.finish()


def test_reason_says_no_control_characters(tmp_path: Path) -> None:
    data = vmdk_with('monolithicSparse', 'a\x1b[31m\x07b')
    path = tmp_path / 'image'
    path.write_bytes(data)
    with pytest.raises(exception.ImageUnacceptable) as e:
        inspect_file(path, 'vmdk')
    assert str(e.value).isprintable()


def test_text_that_is_slow_to_match(tmp_path: Path) -> None:
    """Each line can be read in two ways; the inspection must not try them all."""
    inspector = StreamInspector('raw')
    inspector.feed(b'#\r\n' * 30000)
    assert inspector.finish().layout is None


# -- qcow2 ----------------------------------------------------------------

@pytest.mark.parametrize(('offset', 'new', 'reason'), [
    (4, be(4, 1), 'content is qcow'),
    (4, be(4, 4), 'version 4'),
    (8, be(8, 4096), 'backing file'),
    (20, be(4, 8), 'clusters'),
    (20, be(4, 22), 'clusters'),
    (20, be(4, 2 ** 32 - 1), 'clusters'),
    (24, be(8, 0), 'no size'),
    (24, be(8, 2 ** 63), 'more than any disk'),
    (24, be(8, 2 ** 64 - 1), 'more than any disk'),
    (24, be(8, 2 ** 40), 'L1 table is too small'),
    (32, be(4, 1), 'encrypted'),
    (32, be(4, 2), 'encrypted'),
    (32, be(4, 9), 'encrypted'),
    (36, be(4, 0), 'too small'),
    (36, be(4, 2 ** 31), 'unreasonably large'),
    (36, be(4, 100000), 'beyond the end'),
    (40, be(8, 0), 'L1 table is at'),
    (40, be(8, 0x30001), 'L1 table is at'),
    (40, be(8, 2 ** 63), 'beyond the end'),
    (48, be(8, 2 ** 62), 'beyond the end'),
    (56, be(4, 0), 'refcount table'),
    (56, be(4, 2 ** 32 - 1), 'refcount table'),
    (60, be(4, 2 ** 20), 'snapshot table'),
    (60, be(4, 1), 'snapshot table'),
    (60, be(4, 1) + be(8, 2 ** 62), 'snapshot table lies'),
    (72, be(8, 1 << 1), 'corrupt'),
    (72, be(8, 1 << 2), 'external data file'),
    (72, be(8, 1 << 3), 'compression'),
    (72, be(8, 1 << 5), 'unknown features'),
    (72, be(8, 1 << 63), 'unknown features'),
    (96, be(4, 7), 'reference counts'),
    (100, be(4, 96), 'impossible'),
    (100, be(4, 2 ** 31), 'impossible'),
    (104, b'\x07', 'compression'),
    (112, be(4, 0xe2792aca) + be(4, 5) + b'qcow2', 'backing file format'),
    (112, be(4, 0x44415441) + be(4, 11) + b'/etc/shadow', 'external data file'),
    (112, be(4, 0x0537be77) + be(4, 16), 'encryption'),
    (112, be(4, 0x12345678) + be(4, 2 ** 32 - 1), 'longer than the header'),
])
def test_qcow2(offset: int, new: bytes, reason: str, tmp_path: Path) -> None:
    refuse(put(samples.sample('qcow2'), offset, new), 'qcow2', reason, tmp_path)


def test_qcow2_v2_with_backing_file(tmp_path: Path) -> None:
    refuse(put(samples.sample('qcow2-v2'), 8, be(8, 512) + be(4, 11)), 'qcow2', 'backing file', tmp_path)


def test_qcow2_with_endless_extensions(tmp_path: Path) -> None:
    extension = be(4, 0x12345678) + be(4, 65536 - 120)
    refuse(put(samples.sample('qcow2-big-clusters'), 112, extension), 'qcow2', 'do not end', tmp_path)


def test_qcow2_by_qemu_img(tmp_path: Path) -> None:
    base, overlay, data = tmp_path / 'base', tmp_path / 'overlay', tmp_path / 'data'
    base.write_bytes(bytes(MIB))
    samples.qemu_img('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', overlay)
    refuse(overlay.read_bytes(), 'qcow2', 'backing file', tmp_path)
    samples.qemu_img('create', '-q', '-f', 'qcow2', '-o', f'data_file={data}', overlay, '1M')
    refuse(overlay.read_bytes(), 'qcow2', 'external data file', tmp_path)


# -- vmdk -----------------------------------------------------------------

@pytest.mark.parametrize('subformat', ['monolithicFlat', 'twoGbMaxExtentSparse', 'twoGbMaxExtentFlat'])
def test_vmdk_of_several_files(subformat: str, tmp_path: Path) -> None:
    path = tmp_path / 'several.vmdk'
    samples.qemu_img('create', '-q', '-f', 'vmdk', '-o', f'subformat={subformat}', path, '8M')
    refuse(path.read_bytes(), 'vmdk', 'only a descriptor', tmp_path)
    for extent in tmp_path.glob('several-s*.vmdk'):
        refuse(extent.read_bytes(), 'vmdk', 'its type is|claims to be', tmp_path)


@pytest.mark.parametrize(('old', 'new', 'reason'), [
    ('monolithicSparse', 'monolithicFlat', 'its type is'),
    ('monolithicSparse', 'custom', 'its type is'),
    ('createType="monolithicSparse"', 'x="y"', 'its type is'),
    ('parentCID=ffffffff', 'parentCID=12345678', 'parent image'),
    ('parentCID=ffffffff', 'parentCID=ffffffff\nparentFileNameHint="/etc/shadow"', 'parent image'),
    ('parentCID=ffffffff', 'parentCID=ffffffff\n# parentfilenamehint="/etc/shadow"', 'parent image'),
    ('parentCID=ffffffff', 'parentCID=ffffffff\nparentCID=ffffffff', 'twice'),
    ('parentCID=ffffffff', 'changeTrackPath="/x"', 'another file'),
    ('SPARSE "image"', 'FLAT "image-flat.vmdk" 0', 'type .FLAT'),
    ('SPARSE "image"', 'SPARSE "image-flat.vmdk"', 'another file'),
    ('SPARSE "image"', 'VMFS "image"', 'type .VMFS'),
    ('SPARSE "image"', 'SPARSE "/etc/shadow"', 'another file'),
    ('SPARSE "image"', 'SPARSE "..\\\\x"', 'another file'),
    ('SPARSE "image"', 'SPARSE', 'another file'),
    ('SPARSE "image"', 'SPARSE "image"\nRW 16384 SPARSE "other.vmdk"', '2 extents'),
    ('SPARSE "image"', 'SPARSE "image"\nRW 16384 FLAT "/dev/sda" 0', '2 extents'),
    ('RW 16384 SPARSE "image"', '', '0 extents'),
    ('RW 16384', 'RW 999999999999999', 'more than any disk'),
    ('RW 16384', 'nonsense here', 'not understood'),
    ('RW 16384', '\u00ff', 'not understood'),
])
def test_vmdk_descriptor(old: str, new: str, reason: str, tmp_path: Path) -> None:
    refuse(vmdk_with(old, new), 'vmdk', reason, tmp_path)


@pytest.mark.parametrize(('offset', 'new', 'reason'), [
    (4, le(4, 9), 'version 9'),
    (12, le(8, 0), 'no size'),
    (12, le(8, 2 ** 63), 'more than any disk'),
    (12, le(8, 2 ** 63 - 1), 'more than any disk'),
    (12, le(8, 2 ** 40), 'grain directory'),
    (20, le(8, 0), 'grains'),
    (20, le(8, 2 ** 63), 'grains'),
    (28, le(8, 0), 'no descriptor'),
    (28, le(8, 2 ** 55), 'unreasonable place'),
    (28, le(8, 200), 'unreasonable place'),
    (36, le(8, 0), 'no descriptor'),
    (36, le(8, 2 ** 55), 'unreasonable place'),
    (44, le(4, 0), 'grains'),
    (44, le(4, 2 ** 31), 'grains'),
    (56, le(8, 0), 'grain directory'),
    (56, le(8, 2 ** 40), 'beyond the end'),
    (56, le(8, 2 ** 64 - 1), 'only streamOptimized'),
    (72, b'\x09', 'malformed'),
    (73, b'\r\n\r\n', 'line ends'),
    (77, le(2, 7), 'compression'),
    (8, le(4, 1 << 17), 'compression'),
    (512 + 20 * 512 - 1, b'x', 'hidden'),
    (512, b'\xff\xfe', 'not text'),
])
def test_vmdk_header(offset: int, new: bytes, reason: str, tmp_path: Path) -> None:
    refuse(put(samples.sample('vmdk'), offset, new), 'vmdk', reason, tmp_path)


def test_vmdk_hint_behind_a_short_descriptor(tmp_path: Path) -> None:
    """QEMU reads 20 sectors of descriptor, also where the header says 2."""
    image = put(samples.sample('vmdk'), 36, le(8, 2))
    refuse(put(image, 512 + 3 * 512, b'parentFileNameHint="/etc/shadow"'), 'vmdk', 'parent image', tmp_path)


@pytest.mark.parametrize(('changes', 'reason'), [
    ({0: b'XXXX'}, 'footer is missing'),
    ({12: le(8, 0)}, 'contradict'),
    ({12: le(8, 2 ** 30)}, 'contradict'),
    ({28: le(8, 99)}, 'contradict'),
    ({77: le(2, 0)}, 'contradict'),
    ({56: le(8, 2 ** 64 - 1)}, 'footer is malformed'),
    ({56: le(8, 2 ** 50)}, 'beyond the end'),
])
def test_vmdk_footer(changes: dict[int, bytes], reason: str, tmp_path: Path) -> None:
    refuse(samples.stream_optimized(changes), 'vmdk', reason, tmp_path)


# -- vhd ------------------------------------------------------------------

def spoilt_vhd(offset: int, new: bytes) -> bytes:
    """With right checksums, and the same footer at the end."""
    data = put(samples.sample('vhd'), offset, new)
    data = samples.vhd_checksum(samples.vhd_checksum(data, 0, 512, 64), 512, 1024, 36)
    return data[:-512] + data[:512]


@pytest.mark.parametrize(('offset', 'new', 'reason'), [
    (12, be(4, 0x20000), 'version'),
    (16, be(8, 0), 'dynamic header'),
    (16, be(8, 2 ** 63), 'dynamic header'),
    (16, be(8, 2 ** 30), 'truncated'),
    (48, be(8, 0), 'no size'),
    (48, be(8, 2 ** 63), 'more than any disk'),
    (48, be(8, 2 ** 40), 'block table is too small'),
    (60, be(4, 2), 'fixed disk, but'),
    (60, be(4, 4), 'parent'),
    (60, be(4, 7), 'unknown'),
    (512, b'xxxxxxxx', 'malformed'),
    (512 + 16, be(8, 2 ** 62), 'beyond the end'),
    (512 + 16, be(8, 7), 'impossible place'),
    (512 + 28, be(4, 2 ** 32 - 1), 'impossible size'),
    (512 + 28, be(4, 1), 'too small'),
    (512 + 32, be(4, 0), 'impossible size'),
    (512 + 40, b'\1' * 16, 'parent'),
    (512 + 64, 'base.vhd'.encode('utf-16-be'), 'parent'),
    (512 + 576, b'W2ku', 'parent'),
])
def test_vhd(offset: int, new: bytes, reason: str, tmp_path: Path) -> None:
    refuse(spoilt_vhd(offset, new), 'vhd', reason, tmp_path)


def test_vhd_damage(tmp_path: Path) -> None:
    good = samples.sample('vhd')
    refuse(put(good, 100, b'\1'), 'vhd', 'checksum', tmp_path)
    refuse(good[:-512], 'vhd', 'footer is missing', tmp_path)
    refuse(spoilt_vhd(0, b'')[:-512] + samples.sample('vhd-fixed')[-512:], 'vhd', 'contradict', tmp_path)
    refuse(good[512:], 'vhd', 'truncated', tmp_path)


def test_fixed_vhd_that_lies(tmp_path: Path) -> None:
    footer = samples.vhd_checksum(put(samples.sample('vhd-fixed')[-512:], 48, be(8, 2 ** 40)), 0, 512, 64)
    refuse(bytes(MIB) + footer, 'vhd', 'truncated', tmp_path)
    refuse(samples.sample('qcow2') + samples.sample('vhd-fixed')[-512:], 'vhd', 'content is qcow2', tmp_path)


# -- vhdx -----------------------------------------------------------------

META = 2 * MIB


def vhdx_parts() -> tuple[bytes, int, dict[str, int]]:
    """The sample, where its metadata are, and where each metadata entry is."""
    data = samples.sample('vhdx')
    guids = {'parameters': 'caa16737-fa36-4d43-b3b6-33f0aa44e76b',
             'size': '2fa54224-cd1b-4876-b211-5dbed83bf4b8',
             'sector': '8141bf1d-a96f-4709-ba47-f233a8faab5f'}
    at = data.index(b'metadata')
    return data, at, {n: data.index(UUID(g).bytes_le, at) for n, g in guids.items()}


def spoilt_regions(offset: int, new: bytes, both: bool = True) -> bytes:
    data = samples.sample('vhdx')
    table = put(data[192 * KIB:256 * KIB], offset, new)
    table = put(table, 4, le(4, crc32c(table[:4] + bytes(4) + table[8:])))
    data = put(data, 192 * KIB, table)
    return put(data, 256 * KIB, table) if both else data


@pytest.mark.parametrize(('offset', 'new', 'reason'), [
    (0, b'xxxx', 'malformed'),
    (8, le(4, 2048), 'malformed'),
    (8, le(4, 0), 'missing'),
    (8, le(4, 1), 'missing'),
    (16, b'\1' * 16, 'unknown kind|missing'),
    (32, le(8, 0), 'impossible place'),
    (32, le(8, 64 * KIB), 'impossible place'),
    (32, le(8, 2 ** 63), 'impossible place'),
    (32, le(8, 2 ** 59), 'beyond the end|truncated'),
    (40, le(4, 0), 'impossible place'),
    (40, le(4, 4095 * MIB), 'beyond the end|overlap'),
    (64, le(8, 2 ** 59), 'beyond the end|truncated'),
])
def test_vhdx_regions(offset: int, new: bytes, reason: str, tmp_path: Path) -> None:
    refuse(spoilt_regions(offset, new), 'vhdx', reason, tmp_path)


def test_vhdx_regions_that_disagree(tmp_path: Path) -> None:
    refuse(spoilt_regions(32, le(8, 16 * MIB), both=False), 'vhdx', 'contradict', tmp_path)
    first = samples.sample('vhdx')[192 * KIB + 16:192 * KIB + 48]
    refuse(spoilt_regions(48, first), 'vhdx', 'twice', tmp_path)
    unknown = b'\7' * 16 + le(8, 8 * MIB) + le(4, MIB) + le(4, 1)
    refuse(put_entry(unknown), 'vhdx', 'unknown kind', tmp_path)
    damaged = put(put(samples.sample('vhdx'), 192 * KIB + 4, bytes(4)), 256 * KIB + 4, bytes(4))
    refuse(damaged, 'vhdx', 'checksum', tmp_path)


def put_entry(entry: bytes) -> bytes:
    entries = samples.sample('vhdx')[192 * KIB + 16:192 * KIB + 80]
    return spoilt_regions(8, le(4, 3) + bytes(4) + entries + entry)


@pytest.mark.parametrize(('name', 'entry_offset', 'new', 'reason'), [
    ('size', 0, UUID('a8d35f2d-b30b-454d-abf7-d3d84834ab0c').bytes_le, 'parent'),
    ('size', 0, b'\7' * 16, 'unknown kind'),
    ('size', 16, le(4, 0), 'impossible place'),
    ('size', 16, le(4, 2 ** 32 - 1), 'impossible place'),
    ('size', 20, le(4, 2 ** 32 - 1), 'impossible place'),
    ('size', 20, le(4, 0), 'impossible place'),
])
def test_vhdx_metadata_table(name: str, entry_offset: int, new: bytes, reason: str,
                             tmp_path: Path) -> None:
    data, _, entries = vhdx_parts()
    refuse(put(data, entries[name] + entry_offset, new), 'vhdx', reason, tmp_path)


@pytest.mark.parametrize(('name', 'new', 'reason'), [
    ('size', le(8, 0), 'no size'),
    ('size', le(8, 2 ** 63), 'more than any disk'),
    ('size', le(8, 2 ** 49), 'cannot have'),
    ('size', le(8, 1000), 'cannot have'),
    ('size', le(8, 2 ** 45), 'too small'),
    ('sector', le(4, 513), 'sectors'),
    ('parameters', le(4, 0), 'blocks'),
    ('parameters', le(4, 32 * MIB) + le(4, 2), 'parent'),
])
def test_vhdx_metadata(name: str, new: bytes, reason: str, tmp_path: Path) -> None:
    data, at, entries = vhdx_parts()
    offset = struct.unpack_from('<I', data, entries[name] + 16)[0]
    refuse(put(data, at + offset, new), 'vhdx', reason, tmp_path)


def test_vhdx_metadata_overlap_and_count(tmp_path: Path) -> None:
    data, at, entries = vhdx_parts()
    other = data[entries['parameters'] + 16:entries['parameters'] + 20]
    refuse(put(data, entries['size'] + 16, other), 'vhdx', 'where another structure is', tmp_path)
    refuse(put(data, at + 10, le(2, 2048)), 'vhdx', 'malformed', tmp_path)
    refuse(put(data, at + 10, le(2, 0)), 'vhdx', 'incomplete', tmp_path)
    twice = data[entries['size']:entries['size'] + 32]
    refuse(put(data, entries['parameters'], twice), 'vhdx', 'twice', tmp_path)


def spoilt_header(offset: int, new: bytes) -> bytes:
    data = samples.sample('vhdx')
    for at in (64 * KIB, 128 * KIB):
        header = put(data[at:at + 4096], offset, new)
        data = put(data, at, put(header, 4, le(4, crc32c(header[:4] + bytes(4) + header[8:]))))
    return data


def test_vhdx_headers(tmp_path: Path) -> None:
    refuse(spoilt_header(48, b'\5' * 16), 'vhdx', 'not closed cleanly', tmp_path)
    refuse(spoilt_header(66, le(2, 9)), 'vhdx', 'version', tmp_path)
    refuse(spoilt_header(0, b'xxxx'), 'vhdx', 'both of its headers', tmp_path)


# -- vdi, luks, gpt -------------------------------------------------------

@pytest.mark.parametrize(('offset', 'new', 'reason'), [
    (0x44, le(4, 9), 'version'),
    (0x4c, le(4, 3), 'parent'),
    (0x4c, le(4, 4), 'parent'),
    (0x4c, le(4, 77), 'type 77'),
    (0x1a8, b'\1', 'parent'),
    (0x1b8, b'\1', 'parent'),
    (0x154, le(4, 5), 'block map'),
    (0x154, le(4, 2 ** 32 - 512), 'overlap'),
    (0x158, le(4, 512), 'overlap'),
    (0x168, le(4, 4096), 'sectors'),
    (0x170, le(8, 0), 'no size'),
    (0x170, le(8, 2 ** 63), 'more than any disk'),
    (0x170, le(8, 2 ** 40), 'number of blocks'),
    (0x178, le(4, 0), 'blocks'),
    (0x178, le(4, 2 ** 31), 'blocks'),
    (0x180, le(4, 2 ** 32 - 1), 'number of blocks'),
    (0x184, le(4, 5), 'beyond the end'),
    (0x184, le(4, 2 ** 31), 'block map'),
])
def test_vdi(offset: int, new: bytes, reason: str, tmp_path: Path) -> None:
    refuse(put(samples.sample('vdi'), offset, new), 'vdi', reason, tmp_path)


@pytest.mark.parametrize(('version', 'payload', 'reason'), [
    (2, 4096, 'version 1'), (1, 0, 'impossible place'), (1, 2 ** 31, 'impossible place'),
    (1, 100000, 'truncated'),
])
def test_luks(version: int, payload: int, reason: str, tmp_path: Path) -> None:
    data = (b'LUKS\xba\xbe' + be(2, version)).ljust(104, b'\0') + be(4, payload) + bytes(MIB)
    refuse(data, 'luks', reason, tmp_path, allow_luks=True)


@pytest.mark.parametrize('fields', [
    {'header_size': 0}, {'header_size': 2 ** 32 - 1}, {'my_lba': 7}, {'entries_at': 0},
    {'first': 100, 'last': 9},
    {'last': 2 ** 63}, {'count': 2 ** 32 - 1},
    {'entry_size': 0}, {'entry_size': 129}, {'entry_size': 2 ** 31},
])
def test_gpt(fields: dict[str, int], tmp_path: Path) -> None:
    refuse(samples.gpt_disk(**fields), 'raw', 'GPT', tmp_path)


def test_gpt_checksum(tmp_path: Path) -> None:
    refuse(put(samples.gpt_disk(), 512 + 16, bytes(4)), 'raw', 'checksum', tmp_path)
