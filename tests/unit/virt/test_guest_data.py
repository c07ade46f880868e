from __future__ import annotations

from typing import Any

from minicompute.objects import VIF, BlockDevice, Instance
from minicompute.virt import guest_data, metadata


def instance(**changes: Any) -> Instance:
    return Instance(**{'uuid': 'u', 'project_id': 'p', 'user_id': 'x', 'hostname': 'web', **changes})


def test_a_name_is_complete(conf: Any) -> None:
    assert guest_data.describe(instance()).hostname == 'web.novalocal'
    conf.set_override('dhcp_domain', '')
    assert guest_data.describe(instance()).hostname == 'web'


def test_a_certificate_is_no_ssh_key(conf: Any) -> None:
    for data, kind in (('ssh-rsa AAAA', 'ssh'), ('-----BEGIN CERTIFICATE-----\nMII', 'x509')):
        key, = guest_data.describe(instance(key_name='k', key_data=data)).keys
        assert key == metadata.Key('k', data, kind)
    assert guest_data.describe(instance(key_name='k')).keys == []


def test_devices_with_a_tag(conf: Any) -> None:
    cards = [VIF('1', 'n', 'net', 'fa:16:3e:00:00:01', tag='web'), VIF('2', 'n', 'net', 'fa:16:3e:00:00:02')]
    disks = [BlockDevice('volume', 'volume', volume_id='v', tag='db'), BlockDevice('image', 'local')]
    found = guest_data.describe(instance(network_info=cards, block_devices=disks)).devices
    assert [(one.type, one.tags, one.mac, one.serial) for one in found] == [
        ('nic', ['web'], 'fa:16:3e:00:00:01', None), ('disk', ['db'], None, 'v')]


def test_a_config_drive_alone_has_the_password(conf: Any) -> None:
    assert guest_data.describe(instance()).admin_pass is None
    assert guest_data.describe(instance(), admin_pass='secret').admin_pass == 'secret'
