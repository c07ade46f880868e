"""A live migration by libvirt itself, from peer to peer: what is asked for, and how it goes on.

The libvirtd of the source speaks to that of the destination, with certificates on both sides; QEMU sends memory and
disks to QEMU over TLS of its own (or through the tunnel of the libvirtds).  So a copy does not depend on this daemon:
one that comes back finds the job by asking the domain.
"""
from __future__ import annotations

import contextlib
import time
from typing import Any
from xml.etree import ElementTree

import libvirt
from oslo_log import log as logging

from minicompute import concurrency, exception
from minicompute.conf import CONF
from minicompute.virt.interface import live
from minicompute.virt.interface.live import Watcher
from minicompute.virt.libvirt import guest, remote
from minicompute.virt.libvirt.config.base import Element, parse
from minicompute.virt.libvirt.config.metadata import NAMESPACE
from minicompute.virt.libvirt.host import Host, call, code_of
from minicompute.virt.libvirt.space import GIB

LOG = logging.getLogger(__name__)

#: seconds between two looks at a job
POLL = 0.5
#: seconds that an aborted job has to end
ABORTS = 120.0
#: of a network card, what the guest sees and what belongs to its device
SEEN = frozenset(('mac', 'model', 'driver', 'mtu', 'rom', 'boot', 'acpi', 'alias', 'address'))
#: of a copy's size, the least that a timeout is counted for
LEAST = 2
_NUMBERS = ('memory_total', 'memory_processed', 'memory_remaining', 'disk_total', 'disk_processed', 'disk_remaining')
_OUT, _IN = libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT, libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN


# -- where a domain is -----------------------------------------------------------

def find(host: Host, uuid: str) -> str:
    """As `LiveVerbs.live_find`."""
    try:
        domain = call(host.connection().lookupByUUIDString, uuid)
        state, reason = call(domain.state)[:2]
        operation = _operation(domain)
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
            return live.ABSENT
        raise
    if operation in (_OUT, _IN):
        return live.OUTGOING if operation == _OUT else live.INCOMING
    if state == libvirt.VIR_DOMAIN_PAUSED:
        return live.HELD if reason == libvirt.VIR_DOMAIN_PAUSED_MIGRATION else live.PAUSED
    runs = state in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED, libvirt.VIR_DOMAIN_PMSUSPENDED)
    return live.RUNNING if runs else live.STOPPED


def _operation(domain: libvirt.virDomain) -> int | None:
    """What job goes on, None for none. libvirt tells nothing of a copy where it comes in, but that it does."""
    try:
        said = call(domain.jobStats, 0)
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return _IN if code_of(error) == libvirt.VIR_ERR_OPERATION_UNSUPPORTED else None
    if said.get('type', libvirt.VIR_DOMAIN_JOB_NONE) == libvirt.VIR_DOMAIN_JOB_NONE:
        return None
    return int(said.get('operation', libvirt.VIR_DOMAIN_JOB_OPERATION_UNKNOWN))


def job(domain: libvirt.virDomain) -> dict[str, Any]:
    """libvirt's names and numbers; {} for a domain that is off."""
    try:
        return dict(call(domain.jobStats, 0))
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return {}


def resume(host: Host, uuid: str) -> None:
    try:
        call(call(host.connection().lookupByUUIDString, uuid).resume)
    except libvirt.libvirtError as error:
        raise exception.InternalError(
            reason=f'The guest does not go on: {error.get_error_message()}') from error


def order(host: Host, uuid: str, what: str) -> None:
    """To a job that goes on; a word that comes too late is no error."""
    if find(host, uuid) != live.OUTGOING:
        return
    with contextlib.suppress(libvirt.libvirtError):
        domain = call(host.connection().lookupByUUIDString, uuid)
        if what == live.ABORT:
            call(domain.abortJob)
        elif what == live.FORCE_COMPLETE:
            call(domain.suspend)    # what does not run changes no memory; libvirt resumes it over there


def end(host: Host, uuid: str) -> str:
    """No copy goes on. -> where the domain is"""
    until = time.monotonic() + ABORTS
    while (where := find(host, uuid)) == live.OUTGOING and time.monotonic() < until:
        order(host, uuid, live.ABORT)
        time.sleep(POLL)
    if where == live.OUTGOING:
        raise exception.InternalError(reason=f'The copy of instance {uuid} does not end.')
    return where


# -- the copy --------------------------------------------------------------------

class Copy:
    """One live migration, from the source's side."""

    def __init__(self, host: Host, uuid: str, there: dict[str, Any], watch: Watcher) -> None:
        self._host, self._uuid, self._there, self._watch = host, uuid, there, watch
        self._error: str | None = None
        self._ended = False
        self._late = False
        self._began = time.monotonic()

    def run(self, here: str) -> tuple[str, str]:
        """`here`: the directory of the server. -> as `LiveVerbs.live_migrate`"""
        domain = call(self._host.connection().lookupByUUIDString, self._uuid)
        arguments = (remote.uri(self._there['address']), self._parameters(domain, here), self._flags())
        with contextlib.suppress(libvirt.libvirtError):
            call(domain.migrateSetMaxDowntime, CONF.libvirt.live_migration_downtime, 0)

        def go() -> None:
            try:
                domain.migrateToURI3(*arguments)
            except libvirt.libvirtError as error:
                self._error = error.get_error_message()
            except Exception as error:      # or nobody would wait for the end
                self._error = f'{type(error).__name__}: {error}'
            self._ended = True
        concurrency.native_thread(go, f'live-{self._uuid[:8]}')
        while not self._ended:
            self._look()
        if self._error is None:
            return live.COMPLETED, ''
        LOG.warning('libvirt ended the live migration of instance %s: %s', self._uuid, self._error)
        return self.join(self._error)

    def join(self, why: str = '') -> tuple[str, str]:
        """Wait for a copy that somebody else began; what came of it only the place of the domain tells."""
        while (where := find(self._host, self._uuid)) == live.OUTGOING:
            self._look()
        if where in (live.RUNNING, live.PAUSED):
            return live.FAILED, why or 'the copy ended, and the guest is still here'
        return live.UNKNOWN, why or f'the copy ended, and the guest is {where} here'

    def _look(self) -> None:
        try:
            domain = call(self._host.connection().lookupByUUIDString, self._uuid)
            said = job(domain)
        except (libvirt.libvirtError, exception.Unavailable):
            time.sleep(POLL)
            return      # just gone, or libvirtd restarts
        numbers = {name: int(said[name]) for name in _NUMBERS if name in said}
        self._watch(numbers)
        self._hurry(numbers)
        time.sleep(POLL)

    def _hurry(self, numbers: dict[str, int]) -> None:
        """After its time is over, what the operator chose happens, once."""
        each = CONF.libvirt.live_migration_completion_timeout
        size = max(LEAST, -(-(numbers.get('memory_total', 0) + numbers.get('disk_total', 0)) // GIB))
        if not each or self._late or time.monotonic() - self._began <= each * size:
            return
        self._late = True
        what = CONF.libvirt.live_migration_timeout_action
        LOG.warning('The live migration of instance %s takes more than %d s: %s', self._uuid, each * size, what)
        order(self._host, self._uuid, what)

    def _flags(self) -> int:
        flags = (libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
                 | libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_ABORT_ON_ERROR)
        flags |= libvirt.VIR_MIGRATE_TLS if CONF.libvirt.live_migration_with_native_tls else (
            libvirt.VIR_MIGRATE_TUNNELLED)
        if CONF.libvirt.live_migration_permit_auto_converge:
            flags |= libvirt.VIR_MIGRATE_AUTO_CONVERGE
        if self._there['shared'] or self._there.get('seen'):
            # libvirt judges by the kind of file system whether both hosts see the disks; we have looked.
            flags |= libvirt.VIR_MIGRATE_UNSAFE
        if self._there['copy'] and not self._there['shared']:
            flags |= libvirt.VIR_MIGRATE_NON_SHARED_DISK if self._there['full'] else libvirt.VIR_MIGRATE_NON_SHARED_INC
        return flags

    def _parameters(self, domain: libvirt.virDomain, here: str) -> dict[str, Any]:
        running = call(domain.XMLDesc, libvirt.VIR_DOMAIN_XML_MIGRATABLE)
        kept = call(domain.XMLDesc, libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_INACTIVE)
        found: dict[str, Any] = {
            libvirt.VIR_MIGRATE_PARAM_DEST_XML: travelling(running, here, self._there),
            libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: travelling(kept, here, self._there)}
        if CONF.libvirt.live_migration_with_native_tls:     # a tunnel has no address of its own
            address = self._there['address']
            found[libvirt.VIR_MIGRATE_PARAM_URI] = f'tcp://[{address}]' if ':' in address else f'tcp://{address}'
        if CONF.libvirt.live_migration_bandwidth:
            found[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = CONF.libvirt.live_migration_bandwidth
        if self._there['copy'] and not self._there['shared']:
            found[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = list(self._there['copy'])
        return found


# -- the domain over there --------------------------------------------------------

def travelling(text: str, here: str, there: dict[str, Any]) -> str:
    """The XML of a domain as it will be at the destination: what belongs to a host is that host's, and the machine
    that the guest sees stays as it is."""
    tree = parse(text)
    _move_paths(tree, here, there['directory'])
    for disk in tree.findall('devices/disk'):
        for name in ('backingStore', 'mirror'):     # the destination looks for itself what its disks lie on
            for found in disk.findall(name):
                disk.remove(found)
    for said in tree.findall(f'metadata/{{{NAMESPACE}}}instance/{{{NAMESPACE}}}host'):
        said.text = there['host']
    for screen in tree.findall('devices/graphics'):
        _listen(screen, there.get(screen.get('type', ''), there['vnc']))
    if there.get('serial_port'):    # an older destination keeps the port, and refuses if it is taken
        for source in tree.findall("devices/*[@type='tcp']/source[@mode='bind']"):
            source.set('host', there['serial_address'])
            source.set('service', str(there['serial_port']))
    if there.get('shared'):     # the other host writes the same file: emptied, what the guest has said would be lost
        for log in tree.findall('devices/*/log'):
            log.set('append', 'on')
    for card in tree.findall('devices/interface'):
        mac = card.find('mac')
        fresh = there['cards'].get((mac.get('address') or '').lower()) if mac is not None else None
        if fresh is not None:
            _plug(card, parse(fresh))
    return ElementTree.tostring(tree, encoding='unicode')


def _move_paths(tree: Element, here: str, there: str) -> None:
    inside = here + '/'
    # Not in the metadata, where a user may have called a server like that.
    for one in (one for part in ('os', 'devices') for root in tree.findall(part) for one in root.iter()):
        for key, value in one.attrib.items():
            if value.startswith(inside):
                one.set(key, f'{there}/{value[len(inside):]}')
        if one.text and one.text.startswith(inside):
            one.text = f'{there}/{one.text[len(inside):]}'


def _listen(screen: Element, address: str) -> None:
    if screen.get('autoport') == 'yes':
        screen.set('port', '-1')
        screen.attrib.pop('tlsPort', None)
    screen.set('listen', address)
    for one in screen.findall("listen[@type='address']"):
        one.set('address', address)


def _plug(card: Element, fresh: Element) -> None:
    """The two hosts may plug in different ways: all that belongs to a host is the destination's. A change of what the
    guest sees libvirt would refuse, also of the MTU, which the network may have got since."""
    for old in [one for one in card if one.tag not in SEEN]:
        card.remove(old)
    card.extend([one for one in fresh if one.tag not in SEEN])
    card.set('type', fresh.get('type', card.get('type', '')))


def deviations(plan: Element, has: Element) -> list[str]:
    """What of a domain that came is not as its record says."""
    found = []
    for what, xpath, attribute in (('disks', 'devices/disk/source', 'file'),
                                   ('network cards', 'devices/interface/mac', 'address')):
        wanted, there = (sorted(one.get(attribute, '').lower() for one in tree.findall(xpath) if one.get(attribute))
                         for tree in (plan, has))
        if wanted != there:
            found.append(f'{what}: {", ".join(there) or "none"} instead of {", ".join(wanted) or "none"}')
    return found


def compare_cpu(host: Host, offer: dict[str, Any]) -> None:
    """Raises InvalidCPUInfo when this host cannot run what the guest has seen of its processor."""
    if not offer.get('cpu'):
        return
    try:
        verdict = call(host.connection().compareHypervisorCPU, None, offer['arch'], offer['machine'],
                       offer['virt_type'], offer['cpu'], 0)
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_CPU_INCOMPATIBLE:
            raise exception.InvalidCPUInfo(reason=error.get_error_message()) from None
        LOG.debug('libvirt compares no processors: %s', error.get_error_message())   # it will when the domain comes
        return
    if verdict < libvirt.VIR_CPU_COMPARE_IDENTICAL:
        raise exception.InvalidCPUInfo(reason='the processor of this host lacks features that the guest has seen')


def running(host: Host, uuid: str) -> guest.Guest:
    """Raises MigrationPreCheckError unless it runs or is paused here."""
    where = find(host, uuid)
    if where not in (live.RUNNING, live.PAUSED, live.OUTGOING):
        raise exception.MigrationPreCheckError(reason=f'the guest is {where} on {CONF.host}')
    return guest.find(host, uuid)
