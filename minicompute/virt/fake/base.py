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
from collections.abc import Callable
from typing import Any, ClassVar

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Instance, VMState
from minicompute.virt.request import DomainInfo, PowerListener


def domain_name(instance: Instance, rescued: bool | None = None) -> str:
    """What the domain is called; `rescued` None: as the record says."""
    if rescued is None:
        rescued = instance.vm_state == VMState.RESCUED
    return f'{instance.name}.rescue' if rescued else instance.name


class FakeBase:
    """The links, and the faults of tests."""

    faults: ClassVar[dict[str, Callable[[Any, str], Any]]] = {}

    def __init__(self, host: str | None = None) -> None:
        self.host = host or CONF.host
        self._dir = os.path.join(CONF.fake.state_dir, self.host)
        self._listener: PowerListener | None = None
        #: for tests: what the cards of the servers here may be sent and may send
        self.firewalls: dict[str, dict[str, Any]] = {}

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

    def _names(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._dir) if not name.startswith('.')]
        except FileNotFoundError:
            return []
