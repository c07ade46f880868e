"""A hypervisor of names: what functional tests, load tests and demonstrations run on.

A domain is one symbolic link, `[fake] state_dir`/<host>/<uuid>, whose text is its power state and name: made
and read in one system call, never half written.  The driver keeps nothing in memory: as with a real
hypervisor the domains outlive the daemon, a second daemon of the same host sees the same truth, and a verb
costs the same with ten domains or ten thousand.

Tests put callables into `FakeDriver.faults`, by verb: it is called with (driver, uuid) before the verb
does anything, or after all is done for the key '<verb>.after'; it may raise, or block.
"""
from __future__ import annotations

import os
import shutil
import threading
import time
import uuid as uuidlib
from collections.abc import Callable, Container
from typing import Any, ClassVar

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import ComputeNode, Instance, PowerState
from minicompute.virt import hardware
from minicompute.virt.driver import (
    ComputeDriver,
    DomainInfo,
    PowerListener,
    Progress,
    SpawnRequest,
    no_progress,
)

#: node uuids are made of host names under this, so that a node has the same uuid for ever
NODES = uuidlib.UUID('6f0cf5a6-7a6c-4f2e-9d0b-0a3f6b1e5c11')
TRAITS = ['COMPUTE_NODE', 'COMPUTE_IMAGE_TYPE_QCOW2', 'COMPUTE_IMAGE_TYPE_RAW', 'HW_ARCH_X86_64']


class FakeDriver(ComputeDriver):
    """Does what it is told, remembers it, and runs nothing."""

    faults: ClassVar[dict[str, Callable[[FakeDriver, str], Any]]] = {}

    def __init__(self, host: str | None = None) -> None:
        self.host = host or CONF.host
        self._dir = os.path.join(CONF.fake.state_dir, self.host)
        self._listener: PowerListener | None = None

    # -- for tests ---------------------------------------------------------

    @classmethod
    def reset(cls) -> None:
        """No faults, and no domains on any fake host below this state path."""
        cls.faults.clear()
        shutil.rmtree(CONF.fake.state_dir, ignore_errors=True)

    def change_by_itself(self, uuid: str, power_state: int) -> None:
        """The guest shuts down, crashes or starts, and nobody asked for it."""
        self._change(uuid, power_state)
        if self._listener:
            self._listener(uuid, power_state)

    def _fault(self, verb: str, uuid: str) -> None:
        if fault := self.faults.get(verb):
            fault(self, uuid)

    # -- the links ---------------------------------------------------------

    def _path(self, uuid: str) -> str:
        return os.path.join(self._dir, uuid)

    def _read(self, uuid: str) -> DomainInfo:
        try:
            state, _, name = os.readlink(self._path(uuid)).partition(':')
        except FileNotFoundError:
            raise exception.DomainNotFound(instance_id=uuid) from None
        return DomainInfo(uuid=uuid, name=name, power_state=int(state))

    def _write(self, uuid: str, name: str, power_state: int) -> None:
        text, path = f'{power_state}:{name}', self._path(uuid)
        try:
            os.symlink(text, path)
        except FileExistsError:
            # The name keeps two threads, and two daemons that share the directory, out of each other's way.
            temp = f'{self._path("." + uuid)}.{os.getpid()}.{threading.get_ident()}'
            os.symlink(text, temp)
            os.replace(temp, path)
        except FileNotFoundError:   # the first domain of this host: ten thousand idle hosts leave no trace on the disk
            os.makedirs(self._dir, exist_ok=True)
            self._write(uuid, name, power_state)

    def _change(self, uuid: str, power_state: int) -> None:
        self._write(uuid, self._read(uuid).name, power_state)

    def _remove(self, uuid: str) -> bool:
        try:
            os.unlink(self._path(uuid))
        except FileNotFoundError:
            return False
        return True

    # -- the driver --------------------------------------------------------

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

    def _names(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._dir) if not name.startswith('.')]
        except FileNotFoundError:
            return []

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
        self._write(instance.uuid, instance.name, PowerState.RUNNING)
        self._fault('spawn.after', instance.uuid)

    def destroy(self, instance: Instance, *, destroy_disks: bool = True) -> None:
        self._fault('destroy', instance.uuid)
        self._remove(instance.uuid)
        self._fault('destroy.after', instance.uuid)

    def power_on(self, instance: Instance) -> None:
        self._fault('power_on', instance.uuid)
        self._write(instance.uuid, instance.name, PowerState.RUNNING)
        self._fault('power_on.after', instance.uuid)

    def power_off(self, instance: Instance, timeout: int = 0) -> None:
        self._fault('power_off', instance.uuid)
        self._change(instance.uuid, PowerState.SHUTDOWN)
        self._fault('power_off.after', instance.uuid)

    def reboot(self, instance: Instance, *, hard: bool) -> None:
        self._fault('reboot', instance.uuid)
        name = instance.name if hard else self._read(instance.uuid).name
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

    def diagnostics(self, instance: Instance) -> dict[str, Any]:
        self._fault('diagnostics', instance.uuid)
        return {'state': PowerState.NAMES[self._read(instance.uuid).power_state], 'driver': 'fake'}

    def uptime(self) -> str:
        return hardware.uptime()

    def disk_usage(self) -> dict[str, int]:
        return {'total_gb': CONF.fake.local_gb, 'free_gb': CONF.fake.local_gb}

    def sweep(self, known: Container[str], minimum_age: int) -> list[str]:
        self._fault('sweep', '')
        return [f'domain {uuid}' for uuid in self._names() if uuid not in known and self._remove(uuid)]
