from __future__ import annotations

import uuid

import pytest

from minicompute.conf import CONF
from minicompute.objects import VIF, FixedIP, Flavor, Instance, Subnet
from minicompute.virt.libvirt.capabilities import Capabilities

#: libvirt's own names; a test changes what it is about
NAT = {'libvirt_network': 'minicompute-n1', 'bridge': 'mcbr1', 'gateway': '10.9.0.1', 'prefix': 24}


@pytest.fixture(autouse=True)
def state(tmp_path):
    CONF.set_override('state_path', str(tmp_path))
    CONF.set_override('host', 'h1')
    (tmp_path / 'instances').mkdir()
    yield tmp_path
    CONF.clear_override('state_path')
    CONF.clear_override('host')


@pytest.fixture
def option():
    """option('libvirt', name=value): set until the test ends."""
    done = []

    def set_options(group: str, **values):
        for name, value in values.items():
            CONF.set_override(name, value, group=None if group == 'DEFAULT' else group)
            done.append((group, name))
    yield set_options
    for group, name in done:
        CONF.clear_override(name, group=None if group == 'DEFAULT' else group)


def make_caps(**changes) -> Capabilities:
    facts = {'virt_type': 'qemu', 'arch': 'x86_64', 'cpu_info': {}, 'machines': {'pc', 'q35'}, 'uefi': True,
             'supported_instances': [['x86_64', 'qemu', 'hvm']], 'secure_boot': True,
             'models': ['Nehalem', 'Haswell'], **changes}
    return Capabilities(**facts)


def make_vif(number: int = 1, **changes) -> VIF:
    facts = {'id': f'0000000{number}-1111-2222-3333-444455556666', 'network_id': 'n1', 'network_name': 'net',
             'mac_address': f'fa:16:3e:00:00:0{number}', 'kind': 'network', 'mtu': 1450, 'details': dict(NAT),
             'subnets': [Subnet('s1', '10.9.0.0/24')], 'fixed_ips': [FixedIP(f'10.9.0.{number + 4}', 's1')]}
    return VIF(**{**facts, **changes})


def make_instance(flavor: dict | None = None, **changes) -> Instance:
    size = Flavor(
        **{'flavorid': '1', 'name': 'm1', 'memory_mb': 256, 'vcpus': 1, 'root_gb': 1, **(flavor or {})}
    )
    facts = {'uuid': str(uuid.uuid4()), 'project_id': 'p1', 'user_id': 'u1', 'id': 5, 'image_ref': 'img',
             'flavor': size, 'hostname': 'vm'}
    return Instance(**{**facts, **changes})
