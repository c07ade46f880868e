"""What a guest is told about itself: the files of a config drive, and of the metadata service.

`openstack_tree` and `ec2_tree` give {path: content}; both ways of serving
take them from here, so that they cannot say different things.  A version
directory has exactly the fields that its version knows, `latest` has all.
"""
from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import os
from dataclasses import dataclass, field
from typing import Any

from minicompute.objects import VIF, BlockDevice, Instance, Subnet

FOLSOM, GRIZZLY, HAVANA, LIBERTY = '2012-08-10', '2013-04-04', '2013-10-17', '2015-10-15'
NEWTON_ONE, NEWTON_TWO, OCATA = '2016-06-30', '2016-10-06', '2017-02-22'
ROCKY, VICTORIA, EPOXY, LATEST = '2018-08-27', '2020-10-14', '2025-04-04', 'latest'
# 'latest' sorts behind every date, so versions compare as text.
OPENSTACK_VERSIONS = (FOLSOM, GRIZZLY, HAVANA, LIBERTY, NEWTON_ONE, NEWTON_TWO, OCATA, ROCKY, VICTORIA,
                      EPOXY, LATEST)
EC2_VERSIONS = ('1.0', '2007-01-19', '2007-03-01', '2007-08-29', '2007-10-10', '2007-12-15', '2008-02-01',
                '2008-09-01', '2009-04-04', LATEST)
#: what a config drive has of them
EC2_ON_DRIVES = ('2009-04-04', LATEST)

SEED_SIZE = 512
# Link types that guests know; a card plugged in any other way looks physical to them.
_LINK_TYPES = ('bridge', 'ovs', 'tap', 'vif', 'vhostuser')


@dataclass(frozen=True)
class Key:
    """A public key; `type` is `ssh` or `x509`."""

    name: str
    data: str
    type: str = 'ssh'


@dataclass(frozen=True)
class Device:
    """A tagged device as the guest finds it; `type` is `nic` or `disk`.

    `bus` is pci, usb, scsi, virtio, ide or xen, `address` is its place there.
    """

    type: str
    tags: list[str]
    bus: str = 'none'
    address: str = 'none'
    mac: str | None = None
    vlan: int | None = None
    vf_trusted: bool | None = None
    serial: str | None = None
    path: str | None = None


@dataclass
class InstanceMetadata:
    """All that the trees are made from. `hostname` is complete, with its domain.

    `admin_pass` belongs to a config drive and never to the metadata service.
    `files` are {path in the guest: content}; `vendor_data2` is {provider: answer}
    beside the static one.
    """

    uuid: str
    name: str
    hostname: str
    project_id: str
    launch_index: int = 0
    availability_zone: str | None = None
    meta: dict[str, str] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)
    user_data: bytes | None = None
    admin_pass: str | None = None
    random_seed: bytes = field(default_factory=lambda: os.urandom(SEED_SIZE))
    devices: list[Device] = field(default_factory=list)
    dedicated_cpus: list[int] = field(default_factory=list)
    network_info: list[VIF] = field(default_factory=list)
    vendor_data: dict[str, Any] = field(default_factory=dict)
    vendor_data2: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    # What only EC2's tree tells.
    ec2_id: str = ''
    ec2_image_id: str = ''
    ec2_kernel_id: str = ''
    ec2_ramdisk_id: str = ''
    instance_type: str = ''
    reservation_id: str = ''
    security_groups: list[str] = field(default_factory=list)
    block_device_mapping: dict[str, str] = field(default_factory=dict)


def from_instance(instance: Instance, *, dhcp_domain: str = '', keys: list[Key] | None = None,
                  admin_pass: str | None = None, **more: Any) -> InstanceMetadata:
    """The record of a server; `more` are further fields of InstanceMetadata.

    Without `keys` the server's own key is taken, as `ssh`.
    """
    if keys is None:
        keys = [Key(instance.key_name, instance.key_data)] if instance.key_name and instance.key_data else []
    root = instance.root_device_name or '/dev/vda'
    fields: dict[str, Any] = {
        'launch_index': instance.launch_index, 'availability_zone': instance.availability_zone,
        'meta': dict(instance.metadata), 'keys': keys, 'user_data': _decode(instance.user_data),
        'admin_pass': admin_pass, 'network_info': instance.network_info,
        'ec2_id': 'i-%08x' % (instance.id or 0), 'ec2_image_id': instance.image_ref,
        'ec2_kernel_id': instance.kernel_id, 'ec2_ramdisk_id': instance.ramdisk_id,
        'instance_type': instance.flavor.name if instance.flavor else '',
        'reservation_id': instance.reservation_id or '', 'security_groups': _groups(instance.network_info),
        'block_device_mapping': _mapping(root, instance.block_devices),
    }
    name = instance.display_name or instance.uuid
    return InstanceMetadata(instance.uuid, name, fqdn(instance.hostname or instance.uuid, dhcp_domain),
                            instance.project_id, **(fields | more))


def _mapping(root: str, devices: list[BlockDevice]) -> dict[str, str]:
    """{'ami', 'root', 'ebs0', 'ephemeral0', 'swap', ...: device name}, as EC2 calls them."""
    found = {'ami': root.removeprefix('/dev/'), 'root': root}
    named = [(str(one.device_name), one) for one in sorted(devices, key=lambda one: one.device_name or '')
             if one.device_name]
    for number, name in enumerate(name for name, device in named if device.volume_id):
        found[f'ebs{number}'] = name
    local = [(name, device.guest_format == 'swap') for name, device in named
             if device.source_type == 'blank' and device.destination_type == 'local']
    for number, name in enumerate(name for name, swap in local if not swap):
        found[f'ephemeral{number}'] = name
    for name in (name for name, swap in local if swap):
        found['swap'] = name
    return found


def _groups(network_info: list[VIF]) -> list[str]:
    """A card whose record names no groups is in its project's `default`."""
    names = [name for vif in network_info for name in vif.details.get('security_groups', ['default'])]
    return list(dict.fromkeys(names))


def fqdn(hostname: str, domain: str) -> str:
    """A name that has a domain already keeps it."""
    return hostname if not domain or '.' in hostname else f'{hostname}.{domain}'


def config_drive_tree(md: InstanceMetadata) -> dict[str, bytes]:
    """All files of a config drive."""
    return openstack_tree(md) | ec2_tree(md)


# -- OpenStack ---------------------------------------------------------------

def openstack_tree(md: InstanceMetadata) -> dict[str, bytes]:
    """{'openstack/<version>/meta_data.json': ..., ..., 'openstack/content/0000': ...}"""
    tree = {}
    for version in OPENSTACK_VERSIONS:
        for name, content in version_files(md, version).items():
            tree[f'openstack/{version}/{name}'] = content
    for number, content in enumerate(md.files.values()):
        tree[f'openstack/content/{number:04}'] = content
    return tree


def version_files(md: InstanceMetadata, version: str) -> dict[str, bytes]:
    """{'meta_data.json': ..., ...}: what one version has."""
    files = {'meta_data.json': _json(meta_data(md, version))}
    if md.user_data is not None:
        files['user_data'] = md.user_data
    if version >= HAVANA:
        files['vendor_data.json'] = _json(md.vendor_data)
    if version >= LIBERTY:
        files['network_data.json'] = _json(network_data(md.network_info))
    if version >= NEWTON_TWO:
        files['vendor_data2.json'] = _json({'static': md.vendor_data} | md.vendor_data2)
    return files


def meta_data(md: InstanceMetadata, version: str = LATEST) -> dict[str, Any]:
    """The body of meta_data.json."""
    body: dict[str, Any] = {
        'uuid': md.uuid, 'name': md.name, 'hostname': md.hostname,
        'launch_index': md.launch_index, 'availability_zone': md.availability_zone,
    }
    if md.meta:
        body['meta'] = md.meta
    if md.files:
        body['files'] = [{'path': path, 'content_path': f'/content/{number:04}'}
                         for number, path in enumerate(md.files)]
    if md.keys:
        body['public_keys'] = {key.name: key.data for key in md.keys}
        body['keys'] = [{'name': key.name, 'type': key.type, 'data': key.data} for key in md.keys]
    if md.admin_pass is not None:
        body['admin_pass'] = md.admin_pass
    if version >= GRIZZLY:
        body['random_seed'] = base64.b64encode(md.random_seed).decode('ascii')
    if version >= LIBERTY:
        body['project_id'] = md.project_id
    if version >= NEWTON_ONE:
        body['devices'] = [_device(device, version) for device in md.devices]
    if version >= VICTORIA:
        body['dedicated_cpus'] = sorted(md.dedicated_cpus)
    return body


def _device(device: Device, version: str) -> dict[str, Any]:
    body: dict[str, Any] = {'type': device.type, 'bus': device.bus, 'address': device.address,
                            'tags': device.tags}
    details: dict[str, Any] = {'mac': device.mac, 'serial': device.serial, 'path': device.path}
    if version >= OCATA:
        details['vlan'] = device.vlan
    if version >= ROCKY and device.type == 'nic':
        details['vf_trusted'] = bool(device.vf_trusted)
    return body | {key: value for key, value in details.items() if value is not None}


def network_data(network_info: list[VIF]) -> dict[str, list[dict[str, Any]]]:
    """The body of network_data.json: links, networks on them, and name servers."""
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: list[dict[str, Any]] = []
    for vif in network_info:
        links.append({'id': vif.devname, 'vif_id': vif.id, 'mtu': vif.mtu,
                      'type': vif.kind if vif.kind in _LINK_TYPES else 'phy',
                      'ethernet_mac_address': vif.mac_address})
        for subnet in vif.subnets:
            for address in [ip.address for ip in vif.fixed_ips if ip.subnet_id == subnet.id]:
                network = _network(subnet, address)
                networks.append({'id': f'network{len(networks)}', 'link': vif.devname,
                                 'network_id': vif.network_id} | network)
                if subnet.dhcp:
                    break       # one lease gives all addresses
            services += [{'type': 'dns', 'address': server} for server in subnet.dns]
    unique = list({service['address']: service for service in services}.values())
    return {'links': links, 'networks': networks, 'services': unique}


def _network(subnet: Subnet, address: str) -> dict[str, Any]:
    if subnet.ipv6_address_mode:
        return {'type': f'ipv6_{subnet.ipv6_address_mode}'}
    if subnet.dhcp:
        return {'type': f'ipv{subnet.version}_dhcp'}
    everything = '0.0.0.0' if subnet.version == 4 else '::'
    routes = []
    if subnet.gateway:
        routes.append({'network': everything, 'netmask': everything, 'gateway': subnet.gateway})
    for route in subnet.routes:
        there = ipaddress.ip_network(route['destination'], strict=False)
        routes.append({'network': str(there.network_address), 'netmask': str(there.netmask),
                       'gateway': route['nexthop']})
    return {'type': f'ipv{subnet.version}', 'ip_address': address,
            'netmask': str(ipaddress.ip_network(subnet.cidr, strict=False).netmask), 'routes': routes,
            'services': [{'type': 'dns', 'address': server} for server in subnet.dns]}


# -- EC2 -----------------------------------------------------------------------

def ec2_tree(md: InstanceMetadata) -> dict[str, bytes]:
    """{'ec2/<version>/meta-data.json': ..., 'ec2/<version>/user-data': ...}"""
    tree = {}
    for version in EC2_ON_DRIVES:
        tree[f'ec2/{version}/meta-data.json'] = _json(ec2_meta_data(md, version))
        if md.user_data is not None:
            tree[f'ec2/{version}/user-data'] = md.user_data
    return tree


#: from which version on EC2 knows what; all else it has always known
_EC2_SINCE = {
    'local-hostname': '2007-01-19', 'public-hostname': '2007-01-19', 'public-ipv4': '2007-01-19',
    'instance-type': '2007-08-29', 'block-device-mapping': '2007-12-15', 'kernel-id': '2007-12-15',
    'ramdisk-id': '2007-12-15', 'placement': '2008-02-01', 'instance-action': '2008-09-01'}


def ec2_meta_data(md: InstanceMetadata, version: str = LATEST) -> dict[str, Any]:
    """EC2's nested facts; a dict is a directory, a list is one value a line."""
    return {name: value for name, value in _ec2_facts(md).items() if _EC2_SINCE.get(name, '') <= version}


def _ec2_facts(md: InstanceMetadata) -> dict[str, Any]:
    fixed = [ip for vif in md.network_info for ip in vif.fixed_ips if ip.version == 4]
    floating = [address for ip in fixed for address in ip.floating_ips]
    facts: dict[str, Any] = {
        'ami-id': md.ec2_image_id,
        'ami-launch-index': md.launch_index,
        'ami-manifest-path': 'FIXME',
        'block-device-mapping': md.block_device_mapping,
        'hostname': md.hostname,
        'instance-action': 'none',
        'instance-id': md.ec2_id,
        'instance-type': md.instance_type,
        'local-hostname': md.hostname,
        'local-ipv4': fixed[0].address if fixed else '',
        'placement': {'availability-zone': md.availability_zone},
        'public-hostname': md.hostname,
        'public-ipv4': floating[0] if floating else '',
        'reservation-id': md.reservation_id,
        'security-groups': md.security_groups,
    }
    if md.keys:
        facts['public-keys'] = {'0': {'openssh-key': md.keys[0].data}}
    if md.ec2_kernel_id:
        facts['kernel-id'] = md.ec2_kernel_id
    if md.ec2_ramdisk_id:
        facts['ramdisk-id'] = md.ec2_ramdisk_id
    return facts


def ec2_paths(md: InstanceMetadata, version: str = LATEST) -> dict[str, str]:
    """What the service answers below /<version>/meta-data/, by path: '' is the index,
    'placement/' a directory's, 'placement/availability-zone' a value."""
    answers: dict[str, str] = {}

    def add(prefix: str, facts: dict[str, Any]) -> None:
        names = []
        for name, value in sorted(facts.items()):
            names.append(f'{name}/' if isinstance(value, dict) else name)
            if isinstance(value, dict):
                add(f'{prefix}{name}/', value)
            else:
                answers[prefix + name] = '\n'.join(value) if isinstance(value, list) else _text(value)
        answers[prefix] = '\n'.join(names)

    add('', ec2_meta_data(md, version))
    if md.keys:
        answers['public-keys/'] = f'0={md.keys[0].name}'
    return answers


def _text(value: Any) -> str:
    return '' if value is None else str(value)


def _json(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True).encode('utf-8')


def _decode(user_data: str | None) -> bytes | None:
    """The API checks that it is base64; what is not all the same is taken as it is."""
    if not user_data:
        return None
    try:
        return base64.b64decode(user_data)
    except (binascii.Error, ValueError):
        return user_data.encode('utf-8')
