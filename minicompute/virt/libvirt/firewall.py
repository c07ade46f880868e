"""Security groups on a host: one filter of libvirt's for each set of groups that a card here is in.

A card that may do everything has `[libvirt] port_filter` alone, which costs nothing here. A filter that is defined anew
holds at once for all cards that have it; one that nobody uses is forgotten at the next look.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt
from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.virt.libvirt import guest
from minicompute.virt.libvirt.config.base import Element, element, render
from minicompute.virt.libvirt.config.nwfilter import NetworkFilter
from minicompute.virt.libvirt.guest import Guest
from minicompute.virt.libvirt.host import Host, call

LOG = logging.getLogger(__name__)

OURS = 'minicompute-sg-'
BRIDGED = Path('/proc/sys/net/bridge/bridge-nf-call-iptables')
#: seconds after which a card that was plugged has a domain, or the build is dead
DOMAIN_FOLLOWS = 600.0


def filter_of(wall: dict[str, Any] | None) -> str | None:
    """The name of what filters a card."""
    name: str | None = CONF.libvirt.port_filter or None
    return str(wall['name']) if wall else name


class Firewalls:
    """One at a time defines filters."""

    def __init__(self, host: Host) -> None:
        self._host, self._lock = host, threading.Lock()
        #: when a card that comes asked for a filter: its domain follows soon
        self._wanted: dict[str, float] = {}
        #: what cards of this host had at the last look
        self._kept: set[str] = set()
        #: whether the firewall saw what passes between guests of a bridge at the last look
        self._bridged = True

    def define(self, walls: Iterable[dict[str, Any]]) -> None:
        """Before a card refers to them. One that `keep` has seen to is newer than a server's record and stays as it is;
        of another nobody knows for whom, and when, it was made. Raises InternalError."""
        wanted = {str(wall['name']): wall['rules'] for wall in walls}
        if not wanted:
            return
        with self._lock:
            self._wanted |= dict.fromkeys(wanted, time.monotonic())
            present = {call(one.name) for one in call(self._host.connection().listAllNWFilters, 0)}
            for name in wanted.keys() - (present & self._kept):
                try:
                    self._define(name, wanted[name])
                except libvirt.libvirtError as error:
                    raise exception.InternalError(reason=f'The rules of the security groups cannot be kept on this '
                                                         f'host: {error.get_error_message()}') from error

    def _define(self, name: str, rules: list[list[Any]]) -> None:
        described = NetworkFilter(name, CONF.libvirt.port_filter or None, rules)
        call(self._host.connection().nwfilterDefineXML, render(described))

    def keep(self, cards: dict[str, dict[str, Any]]) -> bool:
        """See `ComputeDriver.keep_firewalls`."""
        walls = {str(wall['name']): wall['rules'] for some in cards.values() for wall in some.values() if wall}
        refused = []
        for name, rules in walls.items():
            try:
                with self._lock:
                    self._define(name, rules)
            except libvirt.libvirtError as error:    # one tenant's rules must not keep the others' from holding
                refused.append(name)
                LOG.error('Filter %s keeps the rules that it had: libvirt refuses the new ones: %s', name,
                          error.get_error_message())
        with self._lock:
            self._kept = set(walls)
        for uuid, wanted in cards.items():
            try:
                self._keep(guest.find(self._host, uuid), wanted)
            except exception.DomainNotFound:
                continue
        self._forget(set(walls))
        if walls:
            self._check_bridges()
        if refused:
            raise exception.InternalError(reason=f'Filters that libvirt refuses: {", ".join(sorted(refused))}')
        return bool(walls)

    def _check_bridges(self) -> None:
        """libvirt's filters for protocols are rules of iptables, which frames within a bridge pass by unless the kernel
        is told otherwise; libvirt does not tell it."""
        try:
            kept = BRIDGED.read_text().strip() == '1'
        except OSError:
            kept = False
        if not kept and self._bridged:
            LOG.error('Security groups do not hold between guests of one bridge on this host: %s is not 1. Load the '
                      'module br_netfilter and set net.bridge.bridge-nf-call-iptables=1.', BRIDGED)
        self._bridged = kept

    def _keep(self, domain: Guest, wanted: dict[str, Any]) -> None:
        trees = [(libvirt.VIR_DOMAIN_AFFECT_CONFIG, domain.tree(inactive=True))]
        if domain.running():
            trees.append((libvirt.VIR_DOMAIN_AFFECT_LIVE, domain.tree()))
        for flag, tree in trees:
            for card in tree.findall('devices/interface'):
                mac = card.find('mac')
                address = mac.get('address', '').lower() if mac is not None else ''
                if address in wanted and _set_filter(card, filter_of(wanted[address])):
                    try:
                        domain.change(ElementTree.tostring(card, encoding='unicode'), flag)
                    except libvirt.libvirtError as error:
                        LOG.error('Card %s of instance %s does not get the rules of its security groups: %s', address,
                                  domain.uuid, error.get_error_message())

    def _forget(self, used: set[str]) -> None:
        with self._lock:
            young = time.monotonic() - DOMAIN_FOLLOWS
            self._wanted = {name: when for name, when in self._wanted.items() if when > young}
            for one in call(self._host.connection().listAllNWFilters, 0):
                name = call(one.name)
                if name.startswith(OURS) and name not in used and name not in self._wanted:
                    try:
                        call(one.undefine)
                    except libvirt.libvirtError as error:   # a card that comes or goes has it
                        LOG.debug('Filter %s stays: %s', name, error.get_error_message())


def _set_filter(card: Element, name: str | None) -> bool:
    """-> whether it was another. The addresses that the card may send from stay."""
    found = card.find('filterref')
    if (found.get('filter') if found is not None else None) == name:
        return False
    if found is not None and name is None:
        card.remove(found)
    elif found is not None:
        found.set('filter', str(name))
    else:
        card.append(element('filterref', filter=name))
    return True
