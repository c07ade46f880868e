from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from minicompute.objects import VIF, BlockDevice, FixedIP, Flavor, Instance, Subnet
from minicompute.virt import metadata
from minicompute.virt.metadata import Device, InstanceMetadata, Key


@pytest.fixture
def md() -> InstanceMetadata:
    v4 = Subnet('s4', '10.0.0.0/24', gateway='10.0.0.1', dns=['8.8.8.8', '8.8.4.4'], dhcp=False)
    v6 = Subnet('s6', 'fd00::/64', version=6, gateway='fd00::1', dns=['8.8.8.8'], dhcp=False)
    dhcp = Subnet('s5', '10.1.0.0/24', gateway='10.1.0.1')
    network_info = [
        VIF('11111111-aaaa', 'net-1', 'one', '52:54:00:00:00:01', mtu=1400, subnets=[v4, v6],
            fixed_ips=[FixedIP('10.0.0.5', 's4', floating_ips=['1.2.3.4']), FixedIP('fd00::5', 's6', 6)]),
        VIF('22222222-bbbb', 'net-2', 'two', '52:54:00:00:00:02', kind='network', subnets=[dhcp],
            fixed_ips=[FixedIP('10.1.0.5', 's5'), FixedIP('10.1.0.6', 's5')]),
    ]
    return InstanceMetadata(
        'the-uuid', 'Ä server', 'host.novalocal', 'the-project', launch_index=3, availability_zone='nova',
        meta={'role': 'db'}, keys=[Key('mine', 'ssh-rsa AAA'), Key('win', 'CERT', 'x509')],
        user_data=b'\x00#cloud-config', random_seed=b'seed',
        devices=[Device('nic', ['web'], 'pci', '0000:00:02.0', mac='52:54:00:00:00:01', vlan=7),
                 Device('disk', ['db'], 'scsi', '1:0:2:0', serial='s', path='/dev/sda')],
        dedicated_cpus=[3, 1], network_info=network_info, vendor_data={'a': 1},
        vendor_data2={'dyn': {'b': 2}},
        files={'/etc/motd': b'hi', '/etc/x': b'there'}, ec2_id='i-00000001', ec2_image_id='ami-1',
        instance_type='m1.tiny', reservation_id='r-1', security_groups=['default', 'web'],
        block_device_mapping={'ami': 'vda', 'root': '/dev/vda'})


def load(md: InstanceMetadata, version: str, name: str = 'meta_data.json') -> Any:
    return json.loads(metadata.openstack_tree(md)[f'openstack/{version}/{name}'])


EVERY = {'uuid', 'name', 'hostname', 'launch_index', 'availability_zone', 'meta', 'files',
         'public_keys', 'keys'}


@pytest.mark.parametrize(('version', 'added', 'files'), [
    ('2012-08-10', set(), set()),
    ('2013-04-04', {'random_seed'}, set()),
    ('2013-10-17', set(), {'vendor_data.json'}),
    ('2015-10-15', {'project_id'}, {'network_data.json'}),
    ('2016-06-30', {'devices'}, set()),
    ('2016-10-06', set(), {'vendor_data2.json'}),
    ('2017-02-22', set(), set()),
    ('2018-08-27', set(), set()),
    ('2020-10-14', {'dedicated_cpus'}, set()),
    ('2025-04-04', set(), set()),
    ('latest', set(), set()),
])
def test_each_version_adds(version: str, added: set[str], files: set[str], md: InstanceMetadata) -> None:
    versions = metadata.OPENSTACK_VERSIONS
    tree = metadata.openstack_tree(md)
    here = {p.split('/')[2] for p in tree if p.startswith(f'openstack/{version}/')}
    if version == versions[0]:
        assert load(md, version).keys() == EVERY
        assert here == {'meta_data.json', 'user_data'}
        return
    before = versions[versions.index(version) - 1]
    assert load(md, version).keys() - load(md, before).keys() == added
    assert here - {p.split('/')[2] for p in tree if p.startswith(f'openstack/{before}/')} == files


def test_meta_data(md: InstanceMetadata) -> None:
    body = load(md, 'latest')
    assert body['name'] == 'Ä server' and body['hostname'] == 'host.novalocal'
    assert body['public_keys'] == {'mine': 'ssh-rsa AAA', 'win': 'CERT'}
    assert body['keys'][1] == {'name': 'win', 'type': 'x509', 'data': 'CERT'}
    assert base64.b64decode(body['random_seed']) == b'seed'
    assert body['dedicated_cpus'] == [1, 3]
    assert 'admin_pass' not in body
    md.admin_pass = 'secret'
    assert load(md, '2012-08-10')['admin_pass'] == 'secret'


def test_devices_by_version(md: InstanceMetadata) -> None:
    assert 'vlan' not in load(md, '2016-06-30')['devices'][0]
    assert load(md, '2017-02-22')['devices'][0]['vlan'] == 7
    assert 'vf_trusted' not in load(md, '2017-02-22')['devices'][0]
    nic, disk = load(md, '2018-08-27')['devices']
    assert nic['vf_trusted'] is False and nic['tags'] == ['web']
    assert disk == {'type': 'disk', 'bus': 'scsi', 'address': '1:0:2:0', 'serial': 's', 'path': '/dev/sda',
                    'tags': ['db']}


def test_files_and_vendor_data(md: InstanceMetadata) -> None:
    tree = metadata.openstack_tree(md)
    for entry in load(md, 'latest')['files']:
        assert tree['openstack' + entry['content_path']] == md.files[entry['path']]
    assert tree['openstack/latest/user_data'] == b'\x00#cloud-config'
    assert load(md, 'latest', 'vendor_data.json') == {'a': 1}
    assert load(md, 'latest', 'vendor_data2.json') == {'static': {'a': 1}, 'dyn': {'b': 2}}


def test_network_data(md: InstanceMetadata) -> None:
    body = load(md, 'latest', 'network_data.json')
    assert body['links'][0] == {'id': 'tap11111111-aa', 'vif_id': '11111111-aaaa', 'type': 'bridge',
                                'mtu': 1400, 'ethernet_mac_address': '52:54:00:00:00:01'}
    assert body['links'][1]['type'] == 'phy'
    v4, v6, dhcp = body['networks']
    assert v4 == {
        'id': 'network0', 'link': 'tap11111111-aa', 'network_id': 'net-1', 'type': 'ipv4',
        'ip_address': '10.0.0.5',
        'netmask': '255.255.255.0',
        'routes': [{'network': '0.0.0.0', 'netmask': '0.0.0.0', 'gateway': '10.0.0.1'}],
        'services': [{'type': 'dns', 'address': '8.8.8.8'}, {'type': 'dns', 'address': '8.8.4.4'}]}
    assert (v6['type'], v6['netmask']) == ('ipv6', 'ffff:ffff:ffff:ffff::')
    assert v6['routes'] == [{'network': '::', 'netmask': '::', 'gateway': 'fd00::1'}]
    assert dhcp == {'id': 'network2', 'link': 'tap22222222-bb', 'network_id': 'net-2', 'type': 'ipv4_dhcp'}
    assert body['services'] == [{'type': 'dns', 'address': '8.8.8.8'}, {'type': 'dns', 'address': '8.8.4.4'}]


def test_little_is_enough() -> None:
    bare = InstanceMetadata('u', 'n', 'h', 'p')
    tree = metadata.config_drive_tree(bare)
    assert not any(path.endswith(('user_data', 'user-data')) for path in tree)
    assert load(bare, 'latest', 'network_data.json') == {'links': [], 'networks': [], 'services': []}
    assert 'keys' not in load(bare, 'latest') and 'meta' not in load(bare, 'latest')
    assert len(base64.b64decode(load(bare, 'latest')['random_seed'])) == metadata.SEED_SIZE


def test_ec2(md: InstanceMetadata) -> None:
    tree = metadata.ec2_tree(md)
    assert set(tree) == {'ec2/2009-04-04/meta-data.json', 'ec2/2009-04-04/user-data',
                         'ec2/latest/meta-data.json', 'ec2/latest/user-data'}
    body = json.loads(tree['ec2/latest/meta-data.json'])
    assert body['instance-id'] == 'i-00000001'
    assert (body['local-ipv4'], body['public-ipv4']) == ('10.0.0.5', '1.2.3.4')
    assert body['public-keys'] == {'0': {'openssh-key': 'ssh-rsa AAA'}}


def test_ec2_paths(md: InstanceMetadata) -> None:
    paths = metadata.ec2_paths(md)
    assert 'placement/' in paths[''].split('\n') and 'hostname' in paths[''].split('\n')
    assert paths['placement/'] == 'availability-zone'
    assert paths['placement/availability-zone'] == 'nova'
    assert paths['public-keys/'] == '0=mine'
    assert paths['public-keys/0/'] == 'openssh-key'
    assert paths['public-keys/0/openssh-key'] == 'ssh-rsa AAA'
    assert paths['security-groups'] == 'default\nweb'
    assert paths['ami-launch-index'] == '3'


def test_ec2_knew_less_before(md: InstanceMetadata) -> None:
    first = metadata.ec2_paths(md, '1.0')
    assert 'placement/' not in first and 'public-ipv4' not in first and first['ami-id'] == 'ami-1'
    assert 'placement/' in metadata.ec2_paths(md, '2008-02-01')
    assert 'instance-action' not in metadata.ec2_paths(md, '2008-02-01')


def test_from_instance() -> None:
    instance = Instance('the-uuid', 'p', 'u', id=10, display_name='Web 1', hostname='web-1', key_name='k',
                        key_data='ssh-rsa X', user_data=base64.b64encode(b'#!/bin/sh').decode(),
                        metadata={'a': 'b'}, root_device_name='/dev/sda', image_ref='img',
                        flavor=Flavor(flavorid='1', name='tiny', memory_mb=1, vcpus=1, root_gb=1))
    md = metadata.from_instance(instance, dhcp_domain='novalocal', admin_pass='x', files={'/a': b'b'})
    assert (md.hostname, md.name, md.user_data) == ('web-1.novalocal', 'Web 1', b'#!/bin/sh')
    assert (md.keys, md.ec2_id, md.instance_type) == ([Key('k', 'ssh-rsa X')], 'i-0000000a', 'tiny')
    assert (md.meta, md.files, md.admin_pass) == ({'a': 'b'}, {'/a': b'b'}, 'x')
    assert md.block_device_mapping == {'ami': 'sda', 'root': '/dev/sda'}


def test_further_disks_have_ec2s_names() -> None:
    blank = {'source_type': 'blank', 'destination_type': 'local'}
    disks = [BlockDevice(device_name='/dev/vdd', guest_format='swap', **blank),
             BlockDevice(device_name='/dev/vdc', **blank), BlockDevice(device_name='/dev/vdb', **blank),
             BlockDevice(device_name='/dev/vde', volume_id='v', source_type='volume', destination_type='volume'),
             BlockDevice(device_name=None, **blank)]
    md = metadata.from_instance(Instance('the-uuid', 'p', 'u', block_devices=disks))
    assert md.block_device_mapping == {'ami': 'vda', 'root': '/dev/vda', 'ebs0': '/dev/vde', 'ephemeral0': '/dev/vdb',
                                       'ephemeral1': '/dev/vdc', 'swap': '/dev/vdd'}


@pytest.mark.parametrize(('name', 'domain', 'full'), [
    ('a', '', 'a'), ('a', 'novalocal', 'a.novalocal'), ('a.example.org', 'novalocal', 'a.example.org')])
def test_fqdn(name: str, domain: str, full: str) -> None:
    assert metadata.fqdn(name, domain) == full
