"""Volumes of a volume service, as a host reaches them."""
from __future__ import annotations

import os
import pathlib
import struct
import sys
import threading
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from minicompute import exception
from minicompute.objects import BlockDevice
from minicompute.virt import images
from minicompute.virt.hardware import GuestHardware, Topology
from minicompute.virt.libvirt import brick, hotplug, layout, shares, sources, volumes
from minicompute.virt.libvirt.builder import file_disk
from minicompute.virt.libvirt.config.base import render

VOLUME = '00000000-0000-4000-8000-00000000000a'
SERVER = '00000000-0000-4000-8000-00000000000b'
EXPORT = '127.0.0.1:/share'
PLAIN = GuestHardware(Topology(1, 1, 1))
RBD = {'driver_volume_type': 'rbd', 'name': f'volumes/volume-{VOLUME}', 'hosts': ['10.0.0.1', 'fd00::1'],
       'ports': ['6789', '3300'], 'auth_enabled': True, 'auth_username': 'cinder', 'secret_uuid': SERVER,
       'access_mode': 'rw'}
ISCSI = {'driver_volume_type': 'iscsi', 'target_portal': '[fd00::2]:3260', 'target_iqn': 'iqn.2026-01.org:v',
         'target_lun': 1, 'auth_method': 'CHAP', 'auth_username': 'u', 'auth_password': 's3cret'}


def device(info: dict[str, Any], **facts: Any) -> BlockDevice:
    return BlockDevice(source_type='volume', destination_type='volume', volume_id=VOLUME, instance_uuid=SERVER,
                       device_name='/dev/vdb', volume_size=1, connection_info={'connection': info, **facts})


def xml(info: dict[str, Any], **facts: Any) -> ElementTree.Element:
    made = layout.volume(device(info, **facts), PLAIN, [])
    return ElementTree.fromstring(render(file_disk(made, PLAIN)))


def test_rbd() -> None:
    disk = xml(RBD)
    assert disk.get('type') == 'network' and disk.find('driver').get('type') == 'raw'     # type: ignore[union-attr]
    source = disk.find('source')
    assert source is not None
    assert (source.get('protocol'), source.get('name')) == ('rbd', RBD['name'])
    assert [(host.get('name'), host.get('port')) for host in source.findall('host')] == [
        ('10.0.0.1', '6789'), ('fd00::1', '3300')]
    auth, secret = source.find('auth'), source.find('auth/secret')
    assert auth is not None and secret is not None
    assert (auth.get('username'), secret.get('type'), secret.get('uuid')) == ('cinder', 'ceph', SERVER)
    found = hotplug.disk_of(sources.of(device(RBD)))
    tree = ElementTree.fromstring(f'<domain><devices>{ElementTree.tostring(disk).decode()}</devices></domain>')
    assert found(tree) is not None
    assert hotplug.disk_of(sources.of(device({**RBD, 'name': 'volumes/other'})))(tree) is None


def test_rbd_without_a_secret(conf: Any) -> None:
    open_ = {**RBD, 'auth_enabled': False, 'auth_username': None}
    assert sources.of(device(open_)).secret is None
    bare = {**RBD, 'auth_username': None, 'secret_uuid': None}
    with pytest.raises(exception.InvalidVolume, match='which secret'):
        sources.of(device(bare))
    conf.set_override('rbd_user', 'me', 'libvirt')
    conf.set_override('rbd_secret_uuid', VOLUME, 'libvirt')
    found = sources.of(device(bare)).secret
    assert found is not None and (found.user, found.uuid) == ('me', VOLUME)


def test_iscsi_keeps_its_password_out_of_the_domain() -> None:
    disk = xml(ISCSI)
    assert 's3cret' not in ElementTree.tostring(disk).decode() and 's3cret' not in repr(sources.of(device(ISCSI)))
    source = disk.find('source')
    assert source is not None and source.get('name') == 'iqn.2026-01.org:v/1'
    host, secret = source.find('host'), source.find('auth/secret')
    assert host is not None and secret is not None
    assert (host.get('name'), host.get('port')) == ('fd00::2', '3260')
    assert secret.get('usage') == f'volume-{VOLUME}'


def test_nbd_and_what_several_servers_have() -> None:
    disk = xml({'driver_volume_type': 'nbd', 'host': 'h', 'port': 10809, 'name': 'x', 'access_mode': 'ro'},
               multiattach=True)
    assert disk.find('shareable') is not None and disk.find('readonly') is not None
    assert disk.find('driver').get('cache') == 'none'      # type: ignore[union-attr]


@pytest.mark.parametrize('info', [
    {**RBD, 'hosts': None}, {'driver_volume_type': 'iscsi', 'target_portal': 'x'},
    {'driver_volume_type': 'nfs', 'export': EXPORT, 'name': '../etc/passwd'},
    {'driver_volume_type': 'nfs', 'export': '-o x', 'name': 'volume'},
    {'driver_volume_type': 'nfs', 'export': EXPORT, 'name': 'volume', 'format': 'vmdk'}])
def test_what_cannot_be(info: dict[str, Any]) -> None:
    with pytest.raises(exception.InvalidVolume):
        sources.of(device(info))


@pytest.mark.parametrize('name', ['', 'disk'])
def test_an_nbd_disk_is_known_by_its_server(name: str) -> None:
    one = {'driver_volume_type': 'nbd', 'host': 'h', 'port': 10809, 'name': name}
    made = ElementTree.tostring(xml(one)).decode()
    tree = ElementTree.fromstring(f'<domain><devices>{made}</devices></domain>')
    assert ("name=''" not in made and 'name=""' not in made) or name
    assert hotplug.disk_of(sources.of(device(one)))(tree) is not None
    for other in ({**one, 'port': 10810}, {**one, 'host': 'i'}, {**one, 'name': 'other'}):
        assert hotplug.disk_of(sources.of(device(other)))(tree) is None


def test_what_os_brick_says_is_not_for_tenants(monkeypatch: Any) -> None:
    def factory(*args: Any, **more: Any) -> Any:
        raise RuntimeError('target 10.1.2.3 refuses')
    connector = SimpleNamespace(InitiatorConnector=SimpleNamespace(factory=factory))
    monkeypatch.setitem(sys.modules, 'os_brick', SimpleNamespace())
    monkeypatch.setitem(sys.modules, 'os_brick.initiator', SimpleNamespace(connector=connector))
    with pytest.raises(exception.InvalidVolume, match='cannot reach volume') as raised:
        volumes.reach(device({'driver_volume_type': 'fibre_channel'}))
    assert '10.1.2.3' not in str(raised.value)


def test_other_kinds_need_os_brick(conf: Any, tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    conf.set_override('instances_path', str(tmp_path))
    monkeypatch.setitem(__import__('sys').modules, 'os_brick.initiator', None)
    one = device({'driver_volume_type': 'fibre_channel'})
    assert sources.of(one).kind == 'block'
    with pytest.raises(exception.InvalidVolume, match='fibre_channel, for which this host needs os-brick'):
        volumes.reach(one)
    volumes.let_go(one)     # nothing was connected


def test_the_connector_names_the_host(conf: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(__import__('sys').modules, 'os_brick.initiator', None)
    conf.set_override('my_block_storage_ip', '10.9.9.9')
    found = brick.connector()
    assert (found['host'], found['ip'], found['multipath']) == (conf.host, '10.9.9.9', False)


# -- files in shares -----------------------------------------------------------------

@pytest.fixture
def share(conf: Any, tmp_path: pathlib.Path, monkeypatch: Any) -> pathlib.Path:
    conf.set_override('nfs_mount_point_base', str(tmp_path), 'libvirt')
    monkeypatch.setattr(shares, 'is_mounted', lambda where: True)
    made = pathlib.Path(shares.directory_of(EXPORT))
    made.mkdir()
    return made


def reach(name: str, form: str) -> None:
    volumes.reach(device({'driver_volume_type': 'nfs', 'export': EXPORT, 'name': name, 'format': form}))


def test_a_chain_of_snapshots(share: pathlib.Path) -> None:
    (share / 'volume').write_bytes(b'QFI\xfb' + b'\0' * 65532)      # raw, whatever its guest writes into it
    reach('volume', 'raw')
    images.create_overlay(str(share / 'one'), str(share / 'volume'), 'raw')
    images.create_overlay(str(share / 'two'), str(share / 'one'), 'qcow2')
    reach('two', 'qcow2')
    disk = xml({'driver_volume_type': 'nfs', 'export': EXPORT, 'name': 'two', 'format': 'qcow2'})
    source, driver = disk.find('source'), disk.find('driver')
    assert source is not None and driver is not None
    assert (source.get('file'), driver.get('type'), driver.get('io')) == (str(share / 'two'), 'qcow2', 'native')


def test_files_that_name_others(share: pathlib.Path, tmp_path: pathlib.Path) -> None:
    outside = tmp_path / 'secret'
    outside.write_bytes(b'\0' * 65536)
    images.create_overlay(str(share / 'foreign'), str(outside), 'raw')
    images.create(str(share / 'base'), 'qcow2', 1 << 20)
    os.symlink(outside, share / 'link')
    head = bytearray((share / 'base').read_bytes())
    head[72:80] = struct.pack('>Q', shares._EXTERNAL_DATA)
    (share / 'data').write_bytes(bytes(head))
    unsaid = bytearray((share / 'base').read_bytes())
    unsaid[8:20] = struct.pack('>QI', 4096, 4)
    unsaid[4096:4100] = b'base'
    (share / 'unsaid').write_bytes(bytes(unsaid))
    for name, why in (('foreign', 'not in the share'), ('link', 'no file'), ('data', 'another file'),
                      ('unsaid', 'does not say the format'), ('gone', 'no file')):
        with pytest.raises(exception.InvalidVolume, match=why):
            reach(name, 'qcow2')
    (share / 'plain').write_bytes(b'\0' * 65536)
    with pytest.raises(exception.InvalidVolume, match='said to be'):
        reach('plain', 'qcow2')


def test_a_share_that_cannot_be_mounted(conf: Any, tmp_path: pathlib.Path) -> None:
    conf.set_override('nfs_mount_point_base', str(tmp_path), 'libvirt')
    with pytest.raises(exception.InvalidVolume, match='cannot reach the share') as raised:
        reach('volume', 'raw')
    assert EXPORT not in str(raised.value)      # a tenant reads it


def test_a_share_that_does_not_answer_keeps_nobody_from_the_others(
        conf: Any, tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    conf.set_override('nfs_mount_point_base', str(tmp_path), 'libvirt')
    dead, real = shares.directory_of('dead:/x'), os.lstat

    def lstat(path: Any, **more: Any) -> os.stat_result:
        assert path != dead, 'it would wait for ever'
        return real(path, **more)
    monkeypatch.setattr(os, 'lstat', lstat)
    assert not shares.is_mounted(dead)
    done: list[str] = []

    def run(command: list[str], **more: Any) -> Any:
        if command[-1] == dead:
            other = threading.Thread(target=shares.mount, args=('alive:/x', None), daemon=True)
            other.start()
            other.join(60)
        done.append(command[-2])
        return SimpleNamespace(returncode=0, stderr='')
    monkeypatch.setattr(shares.subprocess, 'run', run)
    shares.mount('dead:/x', None)
    assert done == ['alive:/x', 'dead:/x']
