"""A hypervisor of names: what functional tests, load tests and demonstrations run on.

A domain and its disks are one symbolic link, `[fake] state_dir`/<host>/<uuid>, whose text is its power state and name:
made and read in one system call, never half written.  Where the domain is gone and the disks are not, or the other way
round, the text begins with `-` or `!`.  The driver keeps nothing in memory: as with a real
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
from minicompute.objects import Instance, PowerState, VMState
from minicompute.virt.request import DomainInfo, PowerListener

#: what a link's text begins with when it is not whole
UNDEFINED, DISKLESS = '-', '!'


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

    def undefine(self, uuid: str) -> None:
        """Somebody takes the domain away, and leaves the disks."""
        self._mark(uuid, UNDEFINED)
        if self._listener:
            self._listener(uuid, PowerState.SHUTDOWN)

    def lose_disks(self, uuid: str) -> None:
        """Somebody removes the files below the domain."""
        self._mark(uuid, DISKLESS)

    def _mark(self, uuid: str, mark: str) -> None:
        domain = self._read(uuid)
        self._put(uuid, f'{mark}{domain.power_state}:{domain.name}')

    def _fault(self, verb: str, uuid: str) -> None:
        if fault := self.faults.get(verb):
            fault(self, uuid)

    # -- the links ---------------------------------------------------------

    def _path(self, uuid: str) -> str:
        return os.path.join(self._dir, uuid)

    def _read(self, uuid: str) -> DomainInfo:
        text = self._text(uuid)
        if text is None or text.startswith(UNDEFINED):
            raise exception.DomainNotFound(instance_id=uuid)
        state, _, name = text.removeprefix(DISKLESS).partition(':')
        return DomainInfo(uuid=uuid, name=name, power_state=int(state))

    def _text(self, uuid: str) -> str | None:
        try:
            return os.readlink(self._path(uuid))
        except FileNotFoundError:
            return None

    def _write(self, uuid: str, name: str, power_state: int) -> None:
        self._put(uuid, f'{power_state}:{name}')

    def _put(self, uuid: str, text: str) -> None:
        path = self._path(uuid)
        try:
            os.symlink(text, path)
        except FileExistsError:
            # The name keeps two threads, and two daemons that share the directory, out of each other's way.
            temp = f'{self._path("." + uuid)}.{os.getpid()}.{threading.get_ident()}'
            os.symlink(text, temp)
            os.replace(temp, path)
        except FileNotFoundError:   # the first domain of this host: ten thousand idle hosts leave no trace on the disk
            os.makedirs(self._dir, exist_ok=True)
            self._put(uuid, text)

    def _change(self, uuid: str, power_state: int) -> None:
        mark = DISKLESS if (self._text(uuid) or '').startswith(DISKLESS) else ''
        self._put(uuid, f'{mark}{power_state}:{self._read(uuid).name}')

    def _need_disks(self, uuid: str) -> None:
        if (self._text(uuid) or '').startswith(DISKLESS):
            raise exception.Conflict(f'The disks of instance {uuid} are not there.')

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
