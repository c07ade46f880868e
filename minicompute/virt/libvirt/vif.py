"""Plugs the network cards of a server: bridges of the host, Open vSwitch, and NAT networks of libvirt's own.

Cards of Neutron's are plugged by os-vif (osvif.py). Into a bridge of Open vSwitch libvirt puts the tap, with the port's
id, when the domain starts.

A VIF of kind 'network' describes its network in `details`, and this host makes the network when the first of
its ports comes and removes it after the last:

    libvirt_network   its name here; only names that begin with 'minicompute-' are ever made or removed
    bridge, gateway, prefix, dns (list), mtu of the VIF, forward ('nat', 'route', 'none')

Each port is one static DHCP entry, put in and taken out while the network runs: a guest gets the address that
the network backend gave it, and nobody else gets one.
"""
from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import libvirt
from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import VIF, Instance
from minicompute.virt import link_local
from minicompute.virt.hardware import GuestHardware
from minicompute.virt.libvirt import osvif, routes
from minicompute.virt.libvirt.config.base import Element, parse, render
from minicompute.virt.libvirt.config.interface import Interface
from minicompute.virt.libvirt.config.network import DhcpHost, NatNetwork
from minicompute.virt.libvirt.firewall import DOMAIN_FOLLOWS, Firewalls, filter_of
from minicompute.virt.libvirt.host import Host, call, code_of

LOG = logging.getLogger(__name__)

OURS = 'minicompute-'
_HOSTNAME = re.compile(r'^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$')
#: beyond this a guest's driver gains nothing
MOST_QUEUES = 16


class Networks:
    """One at a time changes libvirt's networks: making, filling and removing must not overlap."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self.firewalls = Firewalls(host)
        #: when a card was plugged: its domain follows soon
        self._plugged: dict[str, float] = {}

    def check(self) -> None:
        """Raises ConfigurationError when the filter that keeps guests from lying is not there."""
        wanted = CONF.libvirt.port_filter
        if not wanted:
            return
        try:
            call(self._host.connection().nwfilterLookupByName, wanted)
        except libvirt.libvirtError:
            raise exception.ConfigurationError(
                reason=f'libvirt has no network filter {wanted}: install libvirt-daemon-config-nwfilter, '
                'or set [libvirt] port_filter to nothing and let guests send from any address'
            ) from None

    def plug(self, instance: Instance) -> None:
        """Make sure that all networks of the server run here and know its ports."""
        self.firewalls.define(vif.details['firewall'] for vif in instance.network_info if 'firewall' in vif.details)
        for vif in instance.network_info:
            if osvif.wanted(vif):
                with self._lock:
                    osvif.plug(vif, instance.uuid)
            if vif.kind == 'network':
                with self._lock:
                    self._plugged[vif.mac_address] = time.monotonic()
                    self._add_port(vif, instance.hostname)

    def unplug(self, instance: Instance) -> None:
        """Forget its ports, and networks of ours that are left without any."""
        for vif in instance.network_info:
            if osvif.wanted(vif):
                with self._lock:
                    osvif.unplug(vif, instance.uuid)
            if vif.kind == 'network':
                with self._lock:
                    self._remove_port(vif)

    def sweep(self, cards: set[str], gone: set[str]) -> list[str]:
        """In networks of ours forget ports of cards (MAC addresses) that no domain has, and remove those that
        are left without ports; -> the names of these. `gone` are the cards of domains just removed."""
        removed = []
        with self._lock:
            young = time.monotonic() - DOMAIN_FOLLOWS
            self._plugged = {mac: when for mac, when in self._plugged.items()
                             if when > young and mac not in gone}
            for network in call(self._host.connection().listAllNetworks, 0):
                name = call(network.name)
                if not name.startswith(OURS):
                    continue
                used = cards | self._plugged.keys()
                try:
                    if self._forget(network, [e for e in _dhcp_entries(network) if e.get('mac') not in used]):
                        removed.append(name)
                except libvirt.libvirtError as error:
                    if code_of(error) != libvirt.VIR_ERR_NO_NETWORK:    # else another daemon was faster
                        raise
        return removed

    # -- under the lock --------------------------------------------------------

    def _find(self, name: str) -> libvirt.virNetwork | None:
        try:
            return call(self._host.connection().networkLookupByName, name)
        except libvirt.libvirtError as error:
            if code_of(error) == libvirt.VIR_ERR_NO_NETWORK:
                return None
            raise

    def _add_port(self, vif: VIF, hostname: str | None) -> None:
        hosts = dhcp_hosts(vif, hostname)
        network = self._find(vif.details['libvirt_network'])
        if network is None or not call(network.isActive):
            self._create(network, vif, hosts)
            return
        present = {(h.get('mac'), h.get('ip')) for h in _dhcp_entries(network)}
        for host in hosts:
            if (host.mac, host.address) not in present:
                self._replace_entry(network, host)

    def _create(self, network: libvirt.virNetwork | None, vif: VIF, hosts: list[DhcpHost]) -> None:
        name = vif.details['libvirt_network']
        try:
            if network is not None:
                call(network.create)   # somebody else's, or one that an operator stopped
                return
            if not name.startswith(OURS):
                raise exception.NetworkNotFound(network_id=name)
            described = nat_network(vif, hosts)
            taken = routes.collision(described.gateway, described.prefix, described.bridge)
            if taken is not None:
                raise exception.InternalError(
                    reason=f'Network {name} overlaps one that this host is connected to by {taken}')
            # Transient: after a reboot of the host nothing stale comes up, a power-on brings what it needs.
            call(self._host.connection().networkCreateXML, render(described))
        except libvirt.libvirtError as error:
            raise exception.InternalError(
                reason=f'Network {name} does not start on this host: {error.get_error_message()}') from error
        LOG.info('Network %s runs on %s', name, vif.details.get('bridge'))
        _keep_metadata_here(vif.details['bridge'])

    def _replace_entry(self, network: libvirt.virNetwork, host: DhcpHost) -> None:
        """An entry that has the same card or address is a stale one."""
        for entry in _dhcp_entries(network):
            if host.mac == entry.get('mac') or host.address == entry.get('ip'):
                _change(network, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, _host_of(entry))
            elif host.name == entry.get('name'):
                host.name = None   # two servers may have one name, but DNS wants them apart
        try:
            _change(network, libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, host)
        except libvirt.libvirtError as error:
            raise exception.InternalError(
                reason=f'Address {host.address} cannot be given: {error.get_error_message()}') from error

    def _remove_port(self, vif: VIF) -> None:
        network = self._find(vif.details['libvirt_network'])
        if network is None:
            return
        self._plugged.pop(vif.mac_address, None)
        self._forget(network, [e for e in _dhcp_entries(network) if e.get('mac') == vif.mac_address])

    def _forget(self, network: libvirt.virNetwork, leaving: list[Element]) -> bool:
        """-> did the network go too? The last entry goes with it: taking it out alone would restart dnsmasq
        for nobody."""
        if self._remove_if_unused(network, leaving=len(leaving)):
            return True
        for entry in leaving:
            _change(network, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, _host_of(entry))
        return False

    def _remove_if_unused(self, network: libvirt.virNetwork, leaving: int = 0) -> bool:
        """Only a network of ours, without domains, and with no more DHCP entries than are `leaving`."""
        active, persistent = call(network.isActive), call(network.isPersistent)
        if not call(network.name).startswith(OURS):
            return False
        if active and (len(_dhcp_entries(network)) > leaving or call(network.listAllPorts, 0)):
            return False
        bridge = parse(call(network.XMLDesc, 0)).find('bridge')
        if active:
            _make_gone(network.destroy)
        if persistent:
            _make_gone(network.undefine)
        if bridge is not None and not link_local.exists(bridge.get('name', '')):
            with contextlib.suppress(exception.InternalError):
                link_local.forget(bridge.get('name', ''))
        return True


def _keep_metadata_here(bridge: str) -> None:
    """Before there is a guest on it. Without the right to do so guests run all the same."""
    try:
        if link_local.exists(bridge):
            link_local.capture(bridge)
    except exception.InternalError as error:
        LOG.warning('Guests on %s can reach what this host reaches at %s: %s', bridge, link_local.ADDRESS, error)


def _make_gone(verb: Callable[[], Any]) -> None:
    """Another daemon, or another verb of ours, may be doing the same."""
    try:
        call(verb)
    except libvirt.libvirtError as error:
        if code_of(error) not in (libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID):
            raise


def _dhcp_entries(network: libvirt.virNetwork) -> list[Element]:
    return parse(call(network.XMLDesc, 0)).findall('ip/dhcp/host')


def _host_of(entry: Element) -> DhcpHost:
    return DhcpHost(entry.get('mac', ''), entry.get('ip', ''), entry.get('name'))


def _change(network: libvirt.virNetwork, command: int, host: DhcpHost) -> None:
    call(network.update, command, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, render(host),
         libvirt.VIR_NETWORK_UPDATE_AFFECT_CURRENT)


# -- records to records ----------------------------------------------------------

def dhcp_hosts(vif: VIF, hostname: str | None) -> list[DhcpHost]:
    """IPv4 only: libvirt knows a guest of DHCPv6 by an identifier that we cannot foresee."""
    name = hostname if hostname and _HOSTNAME.match(hostname) else None
    return [DhcpHost(vif.mac_address, ip.address, name) for ip in vif.fixed_ips if ip.version == 4][:1]


def nat_network(vif: VIF, hosts: list[DhcpHost]) -> NatNetwork:
    details = vif.details
    missing = [key for key in ('bridge', 'gateway', 'prefix') if not details.get(key)]
    if missing:
        raise exception.InternalError(
            reason=f'Port {vif.id} does not say the {", ".join(missing)} of its network'
        )
    # The gateway is dnsmasq itself: as its own forwarder it would ask itself for ever.
    dns = [address for address in details.get('dns') or () if address != details['gateway']]
    return NatNetwork(name=details['libvirt_network'], bridge=details['bridge'], gateway=details['gateway'],
                      prefix=int(details['prefix']), forward=details.get('forward', 'nat'), mtu=vif.mtu,
                      dns=dns, hosts=hosts)


def interfaces(instance: Instance, hardware: GuestHardware, vcpus: int) -> list[Interface]:
    """Raises NotImplementedHere for a kind of VIF that this driver cannot plug."""
    return [_interface(vif, hardware, vcpus) for vif in instance.network_info]


def _interface(vif: VIF, hardware: GuestHardware, vcpus: int) -> Interface:
    sources = {'bridge': 'bridge', 'network': 'libvirt_network', 'ovs': 'bridge'}
    source = vif.details.get(sources.get(vif.kind, ''))
    if not source:
        raise exception.NotImplementedHere(f'Port {vif.id} is of kind {vif.kind!r}, which cannot be plugged on this '
                                           'host: it can plug ovs and bridge.')
    hybrid = osvif.hybrid(vif)
    addresses = [ip.address for ip in vif.fixed_ips if ip.version == 4]
    queues = None
    if hardware.vif_multiqueue and hardware.vif_model == 'virtio' and vcpus > 1:
        queues = min(vcpus, CONF.libvirt.max_queues or MOST_QUEUES)
    # Neutron's agent filters by itself, or its user has said that nobody shall.
    secured = 'port_filter' not in vif.details and vif.details.get('port_security', True) and bool(addresses)
    return Interface(
        kind='bridge' if vif.kind == 'ovs' else vif.kind,
        source=osvif.bridge(vif) if hybrid else source,
        port=vif.id if vif.kind == 'ovs' and not hybrid else None,
        mac=vif.mac_address,
        device=vif.devname,
        model=hardware.vif_model,
        mtu=vif.mtu,
        queues=queues,
        filter=filter_of(vif.details.get('firewall')) if secured else None,
        addresses=addresses,
        bandwidth=_bandwidth(hardware.tuning),
    )


def _bandwidth(tuning: dict[str, int]) -> dict[str, dict[str, int]]:
    """From vif_inbound_average, vif_outbound_peak, ... (KiB/s, KiB), as libvirt counts them."""
    found: dict[str, dict[str, int]] = {}
    for way in ('inbound', 'outbound'):
        for part in ('average', 'peak', 'burst'):
            if value := tuning.get(f'vif_{way}_{part}'):
                found.setdefault(way, {})[part] = value
    return {way: values for way, values in found.items() if 'average' in values}
