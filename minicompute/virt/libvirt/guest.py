"""One domain of libvirt, by the uuid of its server.  Each verb makes it so, whatever was before."""
from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection
from typing import Any, TypeVar
from xml.etree import ElementTree

import libvirt
from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import PowerState
from minicompute.virt.driver import DomainInfo
from minicompute.virt.interface.moves import Stop, never
from minicompute.virt.libvirt.config import metadata
from minicompute.virt.libvirt.config.base import Element, element, parse
from minicompute.virt.libvirt.host import Host, call, code_of

LOG = logging.getLogger(__name__)
T = TypeVar('T')

STATES = {
    libvirt.VIR_DOMAIN_NOSTATE: PowerState.NOSTATE,
    libvirt.VIR_DOMAIN_RUNNING: PowerState.RUNNING,
    # "blocked" is a guest that waits for its devices: it runs
    libvirt.VIR_DOMAIN_BLOCKED: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
    # a guest that shuts down runs until it has
    libvirt.VIR_DOMAIN_SHUTDOWN: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_SHUTOFF: PowerState.SHUTDOWN,
    libvirt.VIR_DOMAIN_CRASHED: PowerState.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: PowerState.SUSPENDED,
}
ENDED = (PowerState.SHUTDOWN, PowerState.CRASHED, PowerState.NOSTATE)
UNDEFINE = (libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)

#: the power button is pressed again after so many seconds: a guest that boots does not feel the first press
PRESS_AGAIN = 10.0
POLL = 0.3
#: libvirt waits 30 s for a domain that is being saved, and then gives up; so long we ask again
SAVE_PATIENCE = 900.0


class Guest:
    """A domain that was there when it was looked up; what has gone meanwhile raises DomainNotFound."""

    def __init__(self, host: Host, domain: libvirt.virDomain, uuid: str) -> None:
        self._host = host
        self._domain = domain
        self.uuid = uuid

    def power_state(self) -> int:
        return STATES.get(self._call(self._domain.state)[0], PowerState.NOSTATE)

    def running(self) -> bool:
        return self.power_state() not in ENDED

    def metadata(self) -> metadata.Metadata | None:
        return metadata.read(self._call(self._domain.XMLDesc, libvirt.VIR_DOMAIN_XML_INACTIVE))

    def say(self, xml: str) -> None:
        """Let the domain say this of itself, now and after its next start; what else it says stays."""
        live = libvirt.VIR_DOMAIN_AFFECT_LIVE if self.running() else 0
        self._call(self._domain.setMetadata, libvirt.VIR_DOMAIN_METADATA_ELEMENT, xml, 'mc', metadata.NAMESPACE,
                   libvirt.VIR_DOMAIN_AFFECT_CONFIG | live)

    def tree(self, inactive: bool = False) -> Element:
        """The XML of the domain as it runs, or as the next start by libvirt would make it."""
        return parse(self._call(self._domain.XMLDesc, libvirt.VIR_DOMAIN_XML_INACTIVE if inactive else 0))

    def attach(self, xml: str, flags: int) -> None:
        """A device. Raises libvirtError."""
        self._call(self._domain.attachDeviceFlags, xml, flags)

    def detach(self, xml: str, flags: int) -> None:
        """Ask for a device back; from a running guest it comes later. Raises libvirtError."""
        self._call(self._domain.detachDeviceFlags, xml, flags)

    def change(self, xml: str, flags: int) -> None:
        """Raises libvirtError."""
        self._call(self._domain.updateDeviceFlags, xml, flags)

    def copy_disk(self, target: str, xml: str) -> None:
        """Begin to copy a disk, and to write to both, until `end_copy`. Raises libvirtError."""
        flags = libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
        self._call(self._domain.blockCopy, target, xml, {}, flags)

    def end_copy(self, target: str, pivot: bool) -> None:
        """The guest goes on with the copy, or with what it had. Raises libvirtError."""
        self._call(self._domain.blockJobAbort, target, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT if pivot else 0)

    def copied(self, target: str) -> int | None:
        """How much of a disk's copy is there, in per cent. Raises libvirtError."""
        said: dict[str, Any] = self._call(self._domain.blockJobInfo, target, 0)
        return 100 * int(said['cur']) // int(said['end']) if said.get('end') else None

    def grow_disk(self, path: str, size: int) -> None:
        """The disk that lies in this file has `size` bytes, for the guest as well; it never shrinks.
        Raises libvirtError."""
        if int(self._call(self._domain.blockInfo, path)[0]) < size:
            self._call(self._domain.blockResize, path, size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

    def branch(self, target: str, path: str) -> None:
        """The disk goes on in this file, which lies over the one that it has. Raises libvirtError."""
        names = [found.get('dev', '') for found in self.tree().findall('devices/disk/target')]
        plan = element('domainsnapshot', element('disks', *(
            element('disk', element('source', file=path), name=name, snapshot='external', type_='file')
            if name == target else element('disk', name=name, snapshot='no') for name in names)))
        self._call(self._domain.snapshotCreateXML, ElementTree.tostring(plan, encoding='unicode'),
                   libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
                   | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA)

    def merge(self, target: str, top: str | None, base: str | None, stop: Stop) -> None:
        """`top` into `base`, or what is above `top` into the disk itself; joins what goes on already. Raises
        libvirtError, DeviceNotAttached once `stop()` says True and when the job has ended before its time."""
        if not self._call(self._domain.blockJobInfo, target, 0):
            if base is None:
                self._call(self._domain.blockRebase, target, top, 0, 0)
            else:
                self._call(self._domain.blockCommit, target, base, top, 0, 0)
        while self._call(self._domain.blockJobInfo, target, 0):
            if stop():
                self._call(self._domain.blockJobAbort, target, 0)
                raise exception.DeviceNotAttached(device=target, reason='the merge was stopped')
            time.sleep(POLL)
        # A job that fails just goes away, and who keeps the files would remove one that the guest reads.
        chain = self._chain(target)
        if top in chain if base is not None else chain[1:2] != ([top] if top else []):
            raise exception.DeviceNotAttached(device=target, reason='the merge has ended before its time')

    def _chain(self, target: str) -> list[str]:
        """The files of a disk, its own first, and then each below the one before."""
        for disk in self.tree().findall('devices/disk'):
            found = disk.find('target')
            if found is not None and found.get('dev') == target:
                places = [one.find('source') for one in (disk, *disk.iter('backingStore'))]
                return [place.get('file', '') for place in places if place is not None]
        raise exception.DeviceNotAttached(device=target, reason='the domain does not have it')

    def cards(self) -> set[str]:
        """Its MAC addresses."""
        return {mac.get('address', '') for mac in self.tree().findall('devices/interface/mac')}

    def start(self, paused: bool = False) -> None:
        """Raises InternalError with QEMU's own words when it does not start."""
        try:
            self._call(self._domain.createWithFlags, libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)
        except libvirt.libvirtError as error:
            if not self.running():
                raise exception.InternalError(
                    reason=f'The domain does not start: {error.get_error_message()}'
                ) from error

    def shutdown(self, timeout: float, hurry: Stop = never) -> bool:
        """Press the power button, now and then again, for `timeout` seconds or until `hurry()`; -> has it ended?"""
        deadline = time.monotonic() + timeout
        press = 0.0
        while self.running():
            now = time.monotonic()
            if now >= deadline or hurry():
                return False
            if now >= press:
                self._press()
                press = now + PRESS_AGAIN
            time.sleep(min(POLL, max(0.0, deadline - now)))
        return True

    def _press(self) -> None:
        try:
            self._call(self._domain.shutdown)
        except libvirt.libvirtError as error:
            LOG.debug('Power button of %s: %s', self.uuid, error.get_error_message())

    def pause(self) -> None:
        self._must_run()
        if self.power_state() != PowerState.PAUSED:
            self._do('paused', self._domain.suspend)

    def unpause(self) -> None:
        self._must_run()
        if self.power_state() == PowerState.PAUSED:
            self._do('unpaused', self._domain.resume)

    def _must_run(self) -> None:
        if not self.running():
            raise exception.InstanceNotRunning(instance_id=self.uuid)

    def _do(self, what: str, func: Callable[..., Any], *args: Any) -> None:
        try:
            self._call(func, *args)
        except libvirt.libvirtError as error:
            if code_of(error) == libvirt.VIR_ERR_OPERATION_INVALID and not self.running():
                raise exception.InstanceNotRunning(instance_id=self.uuid) from None
            raise exception.InternalError(
                reason=f'The domain cannot be {what}: {error.get_error_message()}') from error

    def saved(self) -> bool:
        """Whether libvirt keeps its memory for the next start."""
        return bool(self._call(self._domain.hasManagedSaveImage, 0))

    def save(self) -> None:
        """Its memory goes to the disk, and it ends. A save goes on in libvirtd when the daemon that asked for it
        died: whoever asks again waits for it."""
        deadline = time.monotonic() + SAVE_PATIENCE
        while True:
            if not self.running():
                if self.saved():
                    return
                raise exception.InstanceNotRunning(instance_id=self.uuid)
            try:
                self._call(self._domain.managedSave, 0)
            except libvirt.libvirtError as error:
                busy = code_of(error) == libvirt.VIR_ERR_OPERATION_TIMEOUT and time.monotonic() < deadline
                if self.running() and not busy:
                    raise exception.InternalError(
                        reason=f'The memory of the domain cannot be saved: {error.get_error_message()}') from error

    def forget_saved(self) -> None:
        """The next start is a boot."""
        if self.saved():
            self._do('made to forget its saved memory', self._domain.managedSaveRemove, 0)

    def interrupt(self) -> None:
        """Raises NotImplementedHere where the processor has no NMI."""
        self._must_run()
        try:
            self._call(self._domain.injectNMI, 0)
        except libvirt.libvirtError as error:
            if code_of(error) == libvirt.VIR_ERR_NO_SUPPORT:
                raise exception.NotImplementedHere('Triggering crash dump is not supported') from None
            raise exception.InternalError(
                reason=f'The domain cannot be interrupted: {error.get_error_message()}') from error

    def set_password(self, user: str, password: str) -> None:
        """What libvirt says to it stays in the log of this host: nobody knows what an agent puts into its errors."""
        try:
            self._call(self._domain.setUserPassword, user, password, 0)
        except libvirt.libvirtError as error:
            code = code_of(error)
            LOG.warning('The password of instance %s is not set: error %s', self.uuid, code)
            if code == libvirt.VIR_ERR_AGENT_UNRESPONSIVE:
                raise exception.NotImplementedHere('The agent in the guest does not answer.') from None
            if code == libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED:
                raise exception.InstanceAgentNotEnabled from None
            raise exception.InstancePasswordSetFailed(
                instance=self.uuid, reason='error setting admin password') from None

    def set_clock(self) -> None:
        """Tell a guest that stood still what time it is, if it has an agent that listens."""
        try:
            self._call(self._domain.setTime, {'seconds': int(time.time()), 'nseconds': 0})
        except libvirt.libvirtError as error:
            LOG.debug('The clock of instance %s: %s', self.uuid, error.get_error_message())

    # -- its one job: a backup -----------------------------------------------------

    def begin_backup(self, xml: str) -> None:
        self._call(self._domain.backupBegin, xml, None, 0)

    def job(self) -> dict[str, Any] | None:
        """libvirt's names and numbers of what is under way, None when nothing is."""
        try:
            said: dict[str, Any] = self._call(self._domain.jobStats, 0)
        except libvirt.libvirtError:
            if not self.running():      # nothing is under way in a domain that is off
                return None
            raise
        return None if said.get('type') == libvirt.VIR_DOMAIN_JOB_NONE else said

    def ended_job(self) -> dict[str, Any]:
        """The same of what ended last; {} when libvirt does not know, such as after its restart."""
        try:
            return dict(self._call(self._domain.jobStats, libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED))
        except libvirt.libvirtError as error:
            LOG.debug('What became of the job of %s: %s', self.uuid, error.get_error_message())
            return {}

    def abort_job(self) -> None:
        try:
            self._call(self._domain.abortJob)
        except libvirt.libvirtError as error:
            LOG.debug('The job of %s: %s', self.uuid, error.get_error_message())

    def freeze(self) -> None:
        self._call(self._domain.fsFreeze, None, 0)

    def thaw(self) -> None:
        self._call(self._domain.fsThaw, None, 0)

    def cut_off(self) -> None:
        """Kill it. A QEMU that the kernel does not let go of in time gets a second and a third chance."""
        for chance in (1, 2, 3):
            try:
                self._call(self._domain.destroy)
            except libvirt.libvirtError as error:
                if not self.running():
                    return
                if chance == 3:
                    raise exception.InternalError(
                        reason=f'The domain cannot be stopped: {error.get_error_message()}') from error
                LOG.warning('Domain of %s still runs: %s', self.uuid, error.get_error_message())
            else:
                return

    def undefine(self) -> None:
        """Forget it, with its saved memory, snapshots and firmware variables."""
        try:
            self._call(self._domain.undefineFlags, UNDEFINE)
        except libvirt.libvirtError as error:
            raise exception.InternalError(
                reason=f'The domain cannot be removed: {error.get_error_message()}'
            ) from error

    def statistics(self) -> dict[str, Any]:
        """libvirt's own names and numbers, such as cpu.time (ns) and block.0.rd.bytes."""
        kinds = (
            libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
            | libvirt.VIR_DOMAIN_STATS_VCPU
            | libvirt.VIR_DOMAIN_STATS_BALLOON
            | libvirt.VIR_DOMAIN_STATS_INTERFACE
            | libvirt.VIR_DOMAIN_STATS_BLOCK
        )
        connection = self._host.connection()
        return self._call(connection.domainListGetStats, [self._domain], kinds, 0)[0][1]

    def _call(self, func: Callable[..., T], *args: Any) -> T:
        try:
            return call(func, *args)
        except libvirt.libvirtError as error:
            if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
                raise exception.DomainNotFound(instance_id=self.uuid) from None
            raise


def find(host: Host, uuid: str) -> Guest:
    """Raises DomainNotFound."""
    try:
        return Guest(host, call(host.connection().lookupByUUIDString, uuid), uuid)
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
            raise exception.DomainNotFound(instance_id=uuid) from None
        raise


def define(host: Host, uuid: str, xml: str) -> Guest:
    """Make the domain known to libvirt, or change it. Raises InternalError when libvirt does not take it."""
    try:
        return Guest(
            host, call(host.connection().defineXMLFlags, xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE), uuid
        )
    except libvirt.libvirtError as error:
        raise exception.InternalError(
            reason=f'libvirt refuses the domain: {error.get_error_message()}'
        ) from error


def remove(host: Host, uuid: str) -> bool:
    """No domain of this uuid is left; -> was there one?"""
    try:
        guest = find(host, uuid)
        if guest.running():
            guest.cut_off()
        guest.undefine()
    except exception.DomainNotFound:
        return False
    return True


def cards(host: Host) -> set[str]:
    """MAC addresses of all domains, running or not."""
    found: set[str] = set()
    for domain in call(host.connection().listAllDomains, 0):
        with contextlib.suppress(exception.DomainNotFound):
            found |= Guest(host, domain, call(domain.UUIDString)).cards()
    return found


def without_disks(host: Host, uuids: Collection[str]) -> set[str]:
    """Those of these servers whose domain names a disk that is not there."""
    found = set()
    for uuid in uuids:
        try:
            tree = find(host, uuid).tree(inactive=True)
        except exception.DomainNotFound:
            continue
        files = [source.get('file') for source in tree.iterfind('./devices/disk/source')]
        if not all(os.path.lexists(file) for file in files if file):
            found.add(uuid)
    return found


def everyone(host: Host) -> list[tuple[DomainInfo, metadata.Metadata | None]]:
    """All domains of this libvirtd with what they say of themselves, without those that vanish meanwhile. Ours are
    those of this host: another daemon of ours, with another name, may have its own beside them."""
    found = []
    for domain in call(host.connection().listAllDomains, 0):
        try:
            guest = Guest(host, domain, call(domain.UUIDString))
            said = guest.metadata()
            found.append((DomainInfo(uuid=guest.uuid, name=call(domain.name), power_state=guest.power_state(),
                                     ours=said is not None and said.host == CONF.host), said))
        except exception.DomainNotFound:
            continue
    return found
