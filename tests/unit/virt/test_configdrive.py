from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from unittest import mock

import pytest

from minicompute import exception
from minicompute.image.inspection import inspect_file
from minicompute.virt import configdrive, metadata

FILES = {'openstack/latest/meta_data.json': b'{"name": "x"}',
         'openstack/latest/user_data': b'\x00\xff' * 5000,
         'openstack/content/0000': b'', 'ec2/latest/meta-data.json': b'{}'}


def read(path: str, fmt: str, name: str) -> bytes:
    if fmt == 'vfat':
        command = ['mcopy', '-n', '-i', path, f'::/{name}', '-']
    else:
        command = ['isoinfo', '-R', '-i', path, '-x', f'/{name}']
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.parametrize('fmt', configdrive.FORMATS)
def test_build(fmt: str, tmp_path: Path) -> None:
    path = str(tmp_path / 'disk.config')
    configdrive.build(path, FILES, fmt)
    configdrive.build(path, FILES, fmt)
    assert {name: read(path, fmt, name) for name in FILES} == FILES
    assert os.listdir(tmp_path) == ['disk.config']
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.path.getsize(path) <= configdrive.MAX_SIZE
    blkid = ['blkid', '-p', '-o', 'value', '-s', 'LABEL', path]
    said = subprocess.run(blkid, capture_output=True, text=True, check=True).stdout
    assert said.strip().lower() == 'config-2'
    if fmt == 'iso9660':
        inspect_file(path, 'iso')


@pytest.mark.parametrize('tool', ['genisoimage', 'mkisofs', 'xorriso'])
def test_any_tool_will_do(tool: str, tmp_path: Path) -> None:
    path = str(tmp_path / 'disk.config')
    with mock.patch.object(configdrive.shutil, 'which', side_effect=lambda name: name == tool or None):
        configdrive.build(path, FILES)
    assert read(path, 'iso9660', 'openstack/latest/user_data') == FILES['openstack/latest/user_data']


@pytest.mark.parametrize('fmt', configdrive.FORMATS)
def test_no_tool(fmt: str, tmp_path: Path) -> None:
    with mock.patch.object(configdrive.shutil, 'which', return_value=None), \
            pytest.raises(exception.ConfigurationError, match='install'):
        configdrive.build(str(tmp_path / 'x'), FILES, fmt)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('name', ['/etc/passwd', '../x', 'a/../../x', 'a//b', '', '.', '-o', 'a b', 'a\nb',
                                  'a;b', 'x' * 65, '/'.join('a' * 9), 'ä', 'a\\b', 'a=b'])
def test_unsafe_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(exception.InvalidInput, match='cannot be'):
        configdrive.build(str(tmp_path / 'x'), {name: b''})
    assert os.listdir(tmp_path) == []


def test_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(exception.InvalidInput, match='file and a directory'):
        configdrive.build(str(tmp_path / 'x'), {'a': b'', 'a/b': b''})


@pytest.mark.parametrize('files', [{'a': bytes(64 * 1024 * 1024)}, {f'f{n}': b'' for n in range(20000)}])
def test_too_much(files: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(exception.InvalidInput, match='larger than 64 MiB'):
        configdrive.build(str(tmp_path / 'x'), files)


def test_largest_fits_in_vfat(tmp_path: Path) -> None:
    path = str(tmp_path / 'x')
    configdrive.build(path, {'a': bytes(59 * 1024 * 1024)}, 'vfat')
    assert os.path.getsize(path) == configdrive.MAX_SIZE


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(exception.InvalidInput, match='iso9660 or vfat'):
        configdrive.build(str(tmp_path / 'x'), {}, 'ext4')


@pytest.mark.parametrize('fmt', configdrive.FORMATS)
def test_whole_metadata_fits(fmt: str, tmp_path: Path) -> None:
    md = metadata.InstanceMetadata('u', 'n', 'h', 'p', user_data=bytes(65535), files={'/etc/motd': b'hi'})
    path = str(tmp_path / 'x')
    tree = metadata.config_drive_tree(md)
    configdrive.build(path, tree, fmt)
    for name in ('openstack/2020-10-14/meta_data.json', 'openstack/content/0000', 'ec2/2009-04-04/user-data'):
        assert read(path, fmt, name) == tree[name]


def test_a_kill_leaves_secrets_only_where_they_go_with_the_server(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(configdrive, '_make_iso', lambda tree, temp, what: seen.append(tree))
    configdrive.build(str(tmp_path / 'x'), {'a': b'secret'})
    assert os.path.dirname(seen[0]) == str(tmp_path)
    assert os.listdir(tmp_path) == ['x']
