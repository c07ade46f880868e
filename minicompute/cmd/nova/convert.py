"""Nova's documents of a server in our words."""
from __future__ import annotations

from typing import Any

from oslo_utils import strutils

from minicompute import exception
from minicompute.cmd.nova.source import document, plain
from minicompute.objects import VIF, FixedIP, Flavor, InstanceGroup, RequestSpec, Subnet
from minicompute.virt import hardware

#: of `system_metadata`: what a server keeps of its image, and what of it says nothing of the guest
IMAGE = 'image_'
#: names of ours for what Nova keeps in `system_metadata`
KEPT = ('shelved_at', 'shelved_image_id', 'shelved_host', 'old_vm_state')
_FROM_DETAILS = ('ovs_hybrid_plug', 'port_filter', 'datapath_type', 'connectivity', 'vhostuser_socket',
                 'vhostuser_mode', 'vlan', 'physical_network')


def flavor(said: dict[str, Any] | None) -> Flavor | None:
    if not said:
        return None
    return Flavor(id=said.get('id'), flavorid=str(said['flavorid']), name=said['name'], memory_mb=said['memory_mb'],
                  vcpus=said['vcpus'], root_gb=said['root_gb'], ephemeral_gb=said.get('ephemeral_gb') or 0,
                  swap=said.get('swap') or 0, rxtx_factor=said.get('rxtx_factor') or 1.0,
                  is_public=bool(said.get('is_public', True)), disabled=bool(said.get('disabled', False)),
                  description=said.get('description'),
                  extra_specs={key: str(value) for key, value in (said.get('extra_specs') or {}).items()})


def flavors(text: str | None) -> tuple[Flavor | None, Flavor | None]:
    """`instance_extra.flavor` -> (the server's, the one that it goes back to)."""
    said = plain(document(text) or {})
    return flavor(said.get('cur')), flavor(said.get('old'))


def image_properties(system_metadata: dict[str, str]) -> dict[str, Any]:
    return {name.removeprefix(IMAGE): value for name, value in system_metadata.items() if name.startswith(IMAGE)}


def cards(text: str | None) -> list[VIF]:
    """The info cache. What it does not know, as tags and security groups, the network service says at its next word."""
    return [_card(one) for one in document(text) or []]


def _card(one: dict[str, Any]) -> VIF:
    network, details = one.get('network') or {}, one.get('details') or {}
    meta = network.get('meta') or {}
    card = VIF(id=one['id'], network_id=network.get('id') or '', network_name=network.get('label') or '',
               mac_address=one['address'], kind=str(one.get('type') or 'unbound'), mtu=meta.get('mtu'),
               active=bool(one.get('active')), preserve_on_delete=bool(one.get('preserve_on_delete')))
    card.details = {name: details[name] for name in _FROM_DETAILS if name in details}
    card.details.update(port_filter=bool(details.get('port_filter')), vnic_type=one.get('vnic_type') or 'normal',
                        profile=one.get('profile') or {})
    if card.kind in ('ovs', 'bridge'):
        card.details['bridge'] = network.get('bridge') or details.get('bridge_name')
    for subnet in network.get('subnets') or []:
        _addresses(card, subnet)
    return card


def _addresses(card: VIF, subnet: dict[str, Any]) -> None:
    """The info cache has no id of a subnet: its CIDR tells it from the others."""
    cidr, version = str(subnet.get('cidr') or ''), int(subnet.get('version') or 4)
    gateway = (subnet.get('gateway') or {}).get('address')
    card.subnets.append(Subnet(
        id=cidr, cidr=cidr, version=version, gateway=gateway,
        dns=[dns['address'] for dns in subnet.get('dns') or []],
        dhcp=bool((subnet.get('meta') or {}).get('dhcp_server'))))
    for ip in subnet.get('ips') or []:
        if ip.get('type', 'fixed') == 'fixed':
            card.fixed_ips.append(FixedIP(
                address=ip['address'], subnet_id=cidr, version=int(ip.get('version') or version),
                floating_ips=[floating['address'] for floating in ip.get('floating_ips') or []]))


def request_spec(text: str | None, one: Any, its_flavor: Flavor, properties: dict[str, Any]) -> RequestSpec:
    """`one` is the server's row: what its request spec does not say is taken from it."""
    said = plain(document(text) or {})
    image = said.get('image') or {}
    hints = {name: value for name, value in (said.get('scheduler_hints') or {}).items()
             if not str(name).startswith('_nova_')}
    group = said.get('instance_group')
    return RequestSpec(
        project_id=one.project_id, user_id=one.user_id, flavor=its_flavor, num_instances=1,
        image_id=image.get('id') or one.image_ref or None,
        image_properties={**properties, **{name: value for name, value in (image.get('properties') or {}).items()
                                           if value is not None}},
        image_min_ram=image.get('min_ram') or 0, image_min_disk=image.get('min_disk') or 0,
        availability_zone=said.get('availability_zone'),
        scheduler_hints=hints, is_volume_backed=bool(said.get('is_bfv')),
        group=InstanceGroup(uuid=group['uuid'], name=group.get('name') or '', project_id=one.project_id,
                            user_id=one.user_id, policy=group.get('policy') or 'anti-affinity',
                            rules=group.get('rules') or {}) if group and group.get('uuid') else None)


def connection(text: str | None) -> dict[str, Any]:
    """A volume's `connection_info`: what its host needs, as Cinder's attachments say it, where Nova puts all but the
    type into `data`. The key of a whole Ceph is kept by libvirt, and not in records."""
    said = document(text) or {}
    info = {name: value for name, value in (said.get('data') or {}).items() if name != 'keyring'}
    if said.get('driver_volume_type'):
        info['driver_volume_type'] = said['driver_volume_type']
    return {'connection': info, **({'multiattach': True} if said.get('multiattach') else {})}


def trusted_certs(text: str | None) -> list[str] | None:
    said = plain(document(text) or {})
    return said.get('ids') if isinstance(said, dict) else None


def needs_devices(numa: str | None, pci: str | None, resources: str | None) -> str | None:
    """What of a server no host of ours gives, in one word."""
    topology = plain(document(numa) or {})
    for cell in topology.get('cells', ()) if isinstance(topology, dict) else ():
        if cell.get('cpu_policy') == 'dedicated' or cell.get('pcpuset'):
            return 'CPUs of its own'
    if topology:
        return 'a NUMA topology'
    asked = plain(document(pci) or [])
    if (asked.get('requests') if isinstance(asked, dict) else asked):
        return 'PCI devices'
    return 'persistent memory' if document(resources) else None


def cannot_start(its_flavor: Flavor, properties: dict[str, Any]) -> str | None:
    """Why the guest that runs there could not be started here, whatever the host."""
    if properties.get('hw_tpm_version'):
        return 'its image asks for a TPM (hw_tpm_version)'
    if strutils.bool_from_string(properties.get('hw_mem_encryption')):
        return 'its image asks for encrypted memory (hw_mem_encryption)'
    try:
        hardware.guest(its_flavor, properties)
    except exception.ComputeException as error:
        return str(error)
    return None
