"""See `virt/interface/metadata.py`."""
from __future__ import annotations

import contextlib

import libvirt

from minicompute import exception
from minicompute.virt.interface.metadata import Asker, MetadataVerbs
from minicompute.virt.libvirt import guest
from minicompute.virt.libvirt.base import LibvirtBase
from minicompute.virt.libvirt.config.base import parse
from minicompute.virt.libvirt.host import call
from minicompute.virt.libvirt.vif import OURS


class LibvirtMetadata(LibvirtBase, MetadataVerbs):

    def metadata_bridges(self) -> list[str]:
        return sorted(self._bridges())

    def who_asks(self, bridge: str, address: str) -> Asker | None:
        """By libvirt's own records: its DHCP server gave the address to a card, and a domain has that card."""
        network = self._bridges().get(bridge)
        if network is None:
            return None
        try:
            entries = parse(call(network.XMLDesc, 0)).findall('ip/dhcp/host')
        except libvirt.libvirtError:
            return None     # it goes just now
        mac = next((entry.get('mac', '').lower() for entry in entries if entry.get('ip') == address), None)
        return self._owner(mac) if mac else None

    def _bridges(self) -> dict[str, libvirt.virNetwork]:
        found = {}
        active = libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE
        for network in call(self._host.connection().listAllNetworks, active):
            with contextlib.suppress(libvirt.libvirtError):
                if call(network.name).startswith(OURS):
                    found[call(network.bridgeName)] = network
        return found

    def _owner(self, mac: str) -> Asker | None:
        """Where it was seen last, and else all domains are looked at."""
        known = self._seen_with.get(mac)
        found = self._with_card(known, mac) if known else None
        if found is not None:
            return found
        self._seen_with.pop(mac, None)
        for domain in call(self._host.connection().listAllDomains, libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            with contextlib.suppress(libvirt.libvirtError):
                if found := self._with_card(call(domain.UUIDString), mac):
                    self._seen_with[mac] = found.instance_uuid
                    return found
        return None

    def _with_card(self, uuid: str, mac: str) -> Asker | None:
        try:
            one = guest.find(self._host, uuid)
            cards = {card.get('address', '').lower() for card in one.tree().findall('devices/interface/mac')}
            said = one.metadata() if mac in cards and one.running() else None
        except exception.DomainNotFound:
            return None
        return Asker(uuid, said.project, mac) if said is not None else None
