"""Devices of a domain that runs: they come at once, and go when the guest lets them."""
from __future__ import annotations

import time
from collections.abc import Callable
from xml.etree import ElementTree

import libvirt
from oslo_log import log as logging

from minicompute import exception
from minicompute.virt.libvirt.config.base import Element
from minicompute.virt.libvirt.guest import Guest
from minicompute.virt.libvirt.sources import Source

LOG = logging.getLogger(__name__)

#: seconds that a guest has to let go of a device: its driver may not be loaded yet, and a loaded one may be slow
PATIENCE = 120.0
#: a guest that boots does not hear the first request
ASK_AGAIN = 10.0
POLL = 0.3

#: finds the device in a domain's XML
Finder = Callable[[Element], Element | None]


def source_of(where: str | Source) -> Source:
    return Source('file', where) if isinstance(where, str) else where


def disk_of(where: str | Source) -> Finder:
    """By its file, or where else it is: the serial is what the disk had when it came, also after another volume has
    taken its place."""
    source = source_of(where)

    def find(tree: Element) -> Element | None:
        return next((disk for disk in tree.findall('devices/disk') if source.is_in(disk)), None)
    return find


def card_of(mac: str) -> Finder:
    def find(tree: Element) -> Element | None:
        for card in tree.findall('devices/interface'):
            address = card.find('mac')
            if address is not None and address.get('address', '').lower() == mac.lower():
                return card
        return None
    return find


def plug(guest: Guest, find: Finder, xml: str, what: str) -> None:
    """Now, and in the definition that the domain has on the disk. Raises DeviceNotAttached."""
    for flag, tree in _both(guest):
        if find(tree) is None:
            try:
                guest.attach(xml, flag)
            except libvirt.libvirtError as error:
                raise exception.DeviceNotAttached(device=what, reason=error.get_error_message()) from error


def unplug(guest: Guest, find: Finder, what: str, patience: float = PATIENCE) -> None:
    """Ask the guest until the device is gone. Raises DeviceNotReleased."""
    deadline, ask = time.monotonic() + patience, 0.0
    while guest.running() and (device := find(guest.tree())) is not None:
        now = time.monotonic()
        if now >= deadline:
            raise exception.DeviceNotReleased(device=what)
        if now >= ask:
            _ask(guest, device, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            ask = now + ASK_AGAIN
        time.sleep(POLL)
    if (device := find(guest.tree(inactive=True))) is not None:
        _ask(guest, device, libvirt.VIR_DOMAIN_AFFECT_CONFIG)


def _ask(guest: Guest, device: Element, flag: int) -> None:
    try:
        guest.detach(ElementTree.tostring(device, encoding='unicode'), flag)
    except libvirt.libvirtError as error:
        # It is gone, or asked for already and still being waited for: the next look tells.
        LOG.debug('Unplugging from %s: %s', guest.uuid, error.get_error_message())


def _both(guest: Guest) -> list[tuple[int, Element]]:
    found = [(libvirt.VIR_DOMAIN_AFFECT_CONFIG, guest.tree(inactive=True))]
    if guest.running():
        found.insert(0, (libvirt.VIR_DOMAIN_AFFECT_LIVE, guest.tree()))
    return found
