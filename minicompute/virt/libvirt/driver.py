"""The libvirt driver: what each verb consists of. The work is in the modules beside this one."""
from __future__ import annotations

import os
from collections.abc import Container

import libvirt
from oslo_log import log as logging

from minicompute import concurrency, exception
from minicompute.conf import CONF
from minicompute.objects import ComputeNode, Instance
from minicompute.virt import hardware
from minicompute.virt.driver import (
    ComputeDriver,
    DomainInfo,
    Holdings,
    PowerListener,
    Progress,
    SpawnRequest,
    no_progress,
)
from minicompute.virt.interface.moves import Stop, never
from minicompute.virt.libvirt import (
    adoption,
    brick,
    capabilities,
    console,
    guest,
    identity,
    layout,
    sharers,
    space,
    volumes,
)
from minicompute.virt.libvirt.base import stop
from minicompute.virt.libvirt.disks import complete
from minicompute.virt.libvirt.events import Events
from minicompute.virt.libvirt.host import call
from minicompute.virt.libvirt.verbs.admin import LibvirtAdmin
from minicompute.virt.libvirt.verbs.consoles import LibvirtConsoles
from minicompute.virt.libvirt.verbs.devices import LibvirtDevices
from minicompute.virt.libvirt.verbs.guest import LibvirtGuest
from minicompute.virt.libvirt.verbs.live import LibvirtLive
from minicompute.virt.libvirt.verbs.metadata import LibvirtMetadata
from minicompute.virt.libvirt.verbs.moves import LibvirtMoves
from minicompute.virt.libvirt.verbs.snapshots import LibvirtSnapshots
from minicompute.virt.libvirt.verbs.volume_files import LibvirtVolumeFiles

LOG = logging.getLogger(__name__)


class LibvirtDriver(LibvirtAdmin, LibvirtGuest, LibvirtSnapshots, LibvirtMoves, LibvirtLive, LibvirtDevices,
                    LibvirtVolumeFiles, LibvirtConsoles, LibvirtMetadata, ComputeDriver):
    """QEMU and KVM guests under the libvirtd of this host."""

    # -- the host ------------------------------------------------------------------

    def start(self, listener: PowerListener) -> None:
        os.makedirs(CONF.instances_path, mode=0o755, exist_ok=True)
        if closed := space.closed_directory(CONF.instances_path):
            # Perhaps QEMU runs as root here, so this is no error.
            LOG.warning('%s is closed to others: guests do not start unless QEMU may walk through it '
                        '(chmod o+x)', closed)
        sharers.register()
        self._host.start()
        self._capabilities = capabilities.read(self._host)
        self._networks.check()
        self._events = Events(self._host, listener)
        self._events.start()
        LOG.info('Guests run under %s', self._capabilities.virt_type)

    def stop(self) -> None:
        if self._events:
            self._events.stop()
        self._host.stop()

    def inventory(self) -> ComputeNode:
        caps, connection = self._caps, self._host.connection()
        usage = self.disk_usage()
        # Not getInfo's memory, which misses what was plugged into a running host.
        memory = call(connection.getMemoryStats, libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS, 0)['total'] // 1024
        return hardware.offer(
            ComputeNode(
                host=CONF.host,
                hypervisor_hostname=call(connection.getHostname),
                uuid=identity.node_uuid(),
                hypervisor_type=call(connection.getType),
                hypervisor_version=call(connection.getVersion),
                host_ip=CONF.my_ip,
                vcpus=call(connection.getInfo)[2],
                memory_mb=memory,
                local_gb=usage['total_gb'],
                free_disk_least_gb=usage['free_gb'],
                cpu_info=caps.cpu_info,
                supported_instances=caps.supported_instances,
                traits=caps.traits(),
                capabilities={
                    'virt_type': caps.virt_type,
                    'arch': caps.arch,
                    'libvirt_version': call(connection.getLibVersion),
                    'machine_types': sorted(caps.machines),
                },
                uptime=self.uptime(),
            )
        )

    def uptime(self) -> str:
        return hardware.uptime()

    def disk_usage(self) -> dict[str, int]:
        return space.usage(CONF.instances_path)

    def domains(self) -> list[DomainInfo]:
        return [domain for domain, _ in guest.everyone(self._host)]

    def power_state(self, uuid: str) -> int:
        return guest.find(self._host, uuid).power_state()

    # -- building and removing -----------------------------------------------------

    def spawn(self, request: SpawnRequest, progress: Progress = no_progress) -> None:
        instance = request.instance
        plan = self._builder.disks(instance)
        with self._watch.quiet(instance.uuid):
            if self._is_made(instance) and complete(plan):
                LOG.info('Instance %s runs already', instance.uuid)
                return
            guest.remove(self._host, instance.uuid)
            try:
                self._disks.make(request, plan, progress)
                volumes.make_all(instance, request.image, self._cache, progress, request.stop)
                progress('domain', None)
                self._define_and_start(instance, paused=request.paused)
            except Exception as error:
                LOG.warning('Instance %s could not be built: %s', instance.uuid, error)
                self._remove_half_made(instance)
                raise

    def destroy(self, instance: Instance, *, destroy_disks: bool = True) -> None:
        with self._watch.quiet(instance.uuid):
            self._remove(instance, destroy_disks=destroy_disks)

    def _remove_half_made(self, instance: Instance) -> None:
        """What stopped the build matters more than what stops its removal: the sweep comes again."""
        try:
            self._remove(instance)
        except (exception.ComputeException, libvirt.libvirtError, OSError):
            LOG.exception('Something of instance %s is left', instance.uuid)

    def adopt_foreign(self, instance: Instance) -> bool:
        try:
            return adoption.adopt(guest.find(self._host, instance.uuid), instance, self._builder.disks(instance))
        except (exception.ComputeException, libvirt.libvirtError, OSError) as error:
            LOG.error('Instance %s is not taken over from Nova: %s', instance.uuid, error)
            return False

    def holdings(self) -> Holdings:
        every = [domain for domain, _ in guest.everyone(self._host)]
        # Another daemon on the same libvirtd may have domains that we know nothing of.
        domains = {domain.uuid for domain in every if domain.ours}
        try:
            sharers.refresh()
        except OSError as error:   # a full disk: the sweep that makes room must not wait for it
            LOG.warning('The marker of this host in %s cannot be written: %s', CONF.instances_path, error)
        disks = self._disks.present()
        return Holdings(domains | disks, disks - {domain.uuid for domain in every},
                        guest.without_disks(self._host, domains))

    def abandoned(self) -> set[str]:
        return self._disks.abandoned()

    def connected(self) -> set[str]:
        return set(brick.connected())

    def disconnect(self, uuid: str) -> None:
        self._give_up(*brick.connected().get(uuid, ()))

    def sweep(self, known: Container[str], minimum_age: int, gone: Container[str] = ()) -> list[str]:
        removed, before = [], guest.cards(self._host)
        for domain, said in guest.everyone(self._host):
            # Another daemon on the same libvirtd may have domains that we know nothing of.
            if domain.uuid not in known and said is not None and said.host == CONF.host:
                guest.remove(self._host, domain.uuid)
                removed.append(f'domain {domain.name} ({domain.uuid})')
        removed += [f'directory {path}' for path in self._disks.sweep(known, gone)]
        removed += [f'file {path}' for path in volumes.sweep()]
        after = guest.cards(self._host)
        removed += [f'network {name}' for name in self._networks.sweep(after, before - after)]
        return removed + [f'image {path}' for path in self._cache.sweep(minimum_age)]

    # -- power -----------------------------------------------------------------------

    def power_on(self, instance: Instance) -> None:
        with self._watch.quiet(instance.uuid):
            if not self._is_running(instance.uuid):
                self._define_and_start(instance)

    def power_off(self, instance: Instance, timeout: int = 0, hurry: Stop = never) -> None:
        with self._watch.quiet(instance.uuid):
            self._must_be_ours(instance.uuid)
            stop(guest.find(self._host, instance.uuid), timeout, hurry)

    def reboot(self, instance: Instance, *, hard: bool, hurry: Stop = never) -> None:
        with self._watch.quiet(instance.uuid):
            self._must_be_ours(instance.uuid)
            try:
                stop(
                    guest.find(self._host, instance.uuid),
                    0 if hard else CONF.libvirt.wait_soft_reboot_seconds,
                    hurry,
                )
            except exception.DomainNotFound:
                if not hard:
                    raise
            self._define_and_start(instance)

    # -- looking in --------------------------------------------------------------------

    def console_output(self, instance: Instance, length: int | None) -> str:
        guest.find(self._host, instance.uuid)
        return concurrency.native_call(console.tail, layout.directory(instance.uuid), length)


