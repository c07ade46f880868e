"""The fake driver: what every driver does."""
from __future__ import annotations

import time
import uuid as uuidlib
from collections.abc import Container

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import ComputeNode, Instance, PowerState
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
from minicompute.virt.fake.admin import FakeAdmin
from minicompute.virt.fake.base import DISKLESS, UNDEFINED, domain_name
from minicompute.virt.fake.consoles import FakeConsoles
from minicompute.virt.fake.devices import FakeDevices
from minicompute.virt.fake.guest import FakeGuest
from minicompute.virt.fake.live import FakeLive
from minicompute.virt.fake.moves import FakeMoves
from minicompute.virt.fake.snapshots import FakeSnapshots
from minicompute.virt.fake.volume_files import FakeVolumeFiles
from minicompute.virt.interface.moves import Stop, never

#: node uuids are made of host names under this, so that a node has the same uuid for ever
NODES = uuidlib.UUID('6f0cf5a6-7a6c-4f2e-9d0b-0a3f6b1e5c11')
TRAITS = ['COMPUTE_NODE', 'COMPUTE_RESCUE_BFV', 'COMPUTE_IMAGE_TYPE_QCOW2', 'COMPUTE_IMAGE_TYPE_RAW', 'HW_ARCH_X86_64']


class FakeDriver(FakeVolumeFiles, FakeAdmin, FakeGuest, FakeSnapshots, FakeMoves, FakeLive, FakeDevices, FakeConsoles,
                 ComputeDriver):
    """Does what it is told, remembers it, and runs nothing."""

    def start(self, listener: PowerListener) -> None:
        self._listener = listener

    def stop(self) -> None:
        self._listener = None

    def inventory(self) -> ComputeNode:
        cpu_info = {'arch': 'x86_64', 'vendor': 'fake', 'model': 'fake', 'features': [],
                    'topology': {'sockets': 1, 'cores': CONF.fake.vcpus, 'threads': 1}}
        return hardware.offer(ComputeNode(
            host=self.host, hypervisor_hostname=self.host, uuid=str(uuidlib.uuid5(NODES, self.host)),
            hypervisor_type='fake', hypervisor_version=1000, host_ip=CONF.my_ip, vcpus=CONF.fake.vcpus,
            memory_mb=CONF.fake.memory_mb, local_gb=CONF.fake.local_gb,
            free_disk_least_gb=CONF.fake.local_gb, cpu_info=cpu_info,
            supported_instances=[['x86_64', 'fake', 'hvm']], traits=list(TRAITS)))

    def domains(self) -> list[DomainInfo]:
        found = []
        for name in self._names():
            try:
                found.append(self._read(name))
            except exception.DomainNotFound:
                continue
        return found

    def holdings(self) -> Holdings:
        texts = {uuid: text for uuid in self._names() if (text := self._text(uuid)) is not None}
        undefined, diskless = ({uuid for uuid, text in texts.items() if text.startswith(mark)}
                               for mark in (UNDEFINED, DISKLESS))
        return Holdings(set(texts), undefined, diskless)

    def power_state(self, uuid: str) -> int:
        self._fault('power_state', uuid)
        return self._read(uuid).power_state

    def spawn(self, request: SpawnRequest, progress: Progress = no_progress) -> None:
        instance = request.instance
        self._fault('spawn', instance.uuid)
        if CONF.fake.spawn_seconds:
            # A daemon that dies in here leaves a half-made domain, as a real one does.
            self._write(instance.uuid, instance.name, PowerState.NOSTATE)
            progress('domain', None)
            time.sleep(CONF.fake.spawn_seconds)
        self._write(instance.uuid, instance.name, PowerState.PAUSED if request.paused else PowerState.RUNNING)
        self._fault('spawn.after', instance.uuid)

    def destroy(self, instance: Instance, *, destroy_disks: bool = True) -> None:
        self._fault('destroy', instance.uuid)
        self._remove(instance.uuid)
        self._fault('destroy.after', instance.uuid)

    def power_on(self, instance: Instance) -> None:
        self._fault('power_on', instance.uuid)
        self._need_disks(instance.uuid)
        self._write(instance.uuid, domain_name(instance), PowerState.RUNNING)
        self._fault('power_on.after', instance.uuid)

    def power_off(self, instance: Instance, timeout: int = 0, hurry: Stop = never) -> None:
        self._fault('power_off', instance.uuid)
        self._change(instance.uuid, PowerState.SHUTDOWN)
        self._fault('power_off.after', instance.uuid)

    def reboot(self, instance: Instance, *, hard: bool, hurry: Stop = never) -> None:
        self._fault('reboot', instance.uuid)
        self._need_disks(instance.uuid)
        name = domain_name(instance) if hard else self._read(instance.uuid).name
        self._write(instance.uuid, name, PowerState.RUNNING)
        self._fault('reboot.after', instance.uuid)

    def console_output(self, instance: Instance, length: int | None) -> str:
        self._fault('console_output', instance.uuid)
        domain = self._read(instance.uuid)
        state = PowerState.NAMES[domain.power_state]
        lines = [f'fake console of {domain.name} ({domain.uuid}) on {self.host}', f'the domain is {state}']
        if length is not None and length >= 0:
            lines = lines[len(lines) - min(length, len(lines)):]
        return '\n'.join(lines)

    def uptime(self) -> str:
        return hardware.uptime()

    def disk_usage(self) -> dict[str, int]:
        return {'total_gb': CONF.fake.local_gb, 'free_gb': CONF.fake.local_gb}

    def sweep(self, known: Container[str], minimum_age: int, gone: Container[str] = ()) -> list[str]:
        self._fault('sweep', '')
        return [f'domain {uuid}' for uuid in self._names() if uuid not in known and self._remove(uuid)]
