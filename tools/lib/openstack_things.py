"""What a first server needs, made by openstacksdk as the administrator; what is there already is left.

    OS_CLIENT_CONFIG_FILE=.../clouds.yaml openstack_things.py IMAGE PUBLIC_KEY CIDR [PUBLIC_PREFIX [TYPE...]]

IMAGE: the guest's qcow2 file; CIDR: of the network `demo`; PUBLIC_PREFIX: like 198.51.100, of the external network;
TYPE: volume types, each of the backend of its name. Beside it stands the `openstack` command, which takes two or three
seconds for each of the twenty requests that this is.
"""
from __future__ import annotations

import pathlib
import sys
from typing import Any

import openstack

#: name, id, MiB of memory, GiB of disk, cores
FLAVORS = (('m1.nano', '42', 128, 1, 1), ('m1.tiny', '1', 512, 1, 1), ('m1.small', '2', 2048, 20, 1),
           ('m1.medium', '3', 4096, 40, 2), ('m1.large', '4', 8192, 80, 4), ('m1.xlarge', '5', 16384, 160, 8))
GUEST = 'minicompute-guest'


def main(image: str, key: str, cidr: str, public: str = '', *kinds: str) -> None:
    cloud = openstack.connect(cloud='admin')
    flavors_and_key(cloud, pathlib.Path(key).read_text())
    if not any(one.status == 'active' for one in cloud.image.images(name=GUEST)):
        cloud.image.create_image(name=GUEST, filename=image, disk_format='qcow2', container_format='bare',
                                 visibility='public', validate_checksum=False)
    networks(cloud, cidr, public)
    have = {one.name for one in cloud.block_storage.types()} if kinds else set()
    for kind in kinds:
        if kind not in have:
            cloud.block_storage.create_type(name=kind, is_public=True, extra_specs={'volume_backend_name': kind})


def flavors_and_key(cloud: Any, key: str) -> None:
    have = {one.name for one in cloud.compute.flavors()}
    for name, number, ram, disk, vcpus in FLAVORS:
        if name not in have:
            cloud.compute.create_flavor(name=name, id=number, ram=ram, disk=disk, vcpus=vcpus)
    if cloud.compute.find_keypair('demo') is None:
        cloud.compute.create_keypair(name='demo', public_key=key)


def networks(cloud: Any, cidr: str, prefix: str) -> None:
    """`demo` for all projects; with a prefix behind a router to `public`, whose addresses this host reaches."""
    demo = cloud.network.find_network('demo') or cloud.network.create_network(name='demo', is_shared=True)
    inner = cloud.network.find_subnet('demo') or cloud.network.create_subnet(
        name='demo', network_id=demo.id, ip_version=4, cidr=cidr)
    if not prefix:
        return
    public = cloud.network.find_network('public') or cloud.network.create_network(
        name='public', is_router_external=True, provider_network_type='flat', provider_physical_network='physnet1')
    if not cloud.network.find_subnet('public'):
        cloud.network.create_subnet(
            name='public', network_id=public.id, ip_version=4, cidr=f'{prefix}.0/24', gateway_ip=f'{prefix}.1',
            is_dhcp_enabled=False, allocation_pools=[{'start': f'{prefix}.100', 'end': f'{prefix}.200'}])
    router = cloud.network.find_router('demo') or cloud.network.create_router(
        name='demo', external_gateway_info={'network_id': public.id})
    if not list(cloud.network.ports(device_id=router.id, network_id=demo.id)):
        cloud.network.add_interface_to_router(router, subnet_id=inner.id)


if __name__ == '__main__':
    main(*sys.argv[1:])
