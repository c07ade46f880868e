"""See `virt/interface/live.py`.

A copy is a link as well, `.live.<uuid>` in the directory of the source: where to, when it began (wall clock) and how
long it takes.  Whoever looks after that time moves the domain's link, in one system call: so a copy goes on when
its daemon dies, and there is never a moment with two domains or with none.  What the destination has prepared is
`.room.<uuid>` in its directory.  Links whose names begin with a dot are no domains.

All fake hosts share one root of directories, as if they were on shared storage; a domain's disks are thought to lie
where its link is.
"""
from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from typing import Any

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Instance, PowerState
from minicompute.virt.fake.base import FakeBase
from minicompute.virt.interface import live
from minicompute.virt.interface.live import LiveVerbs, Watcher
from minicompute.virt.request import SpawnRequest

POLL = 0.02
_MIB = 1 << 20


@dataclasses.dataclass(slots=True)
class _Copy:
    dest: str
    began: float
    seconds: float
    size: int

    def over(self) -> bool:
        return time.time() >= self.began + self.seconds

    def numbers(self) -> dict[str, int]:
        share = min(1.0, (time.time() - self.began) / self.seconds) if self.seconds > 0 else 1.0
        done = int(self.size * share)
        return {'memory_total': self.size, 'memory_processed': done, 'memory_remaining': self.size - done,
                'disk_total': 0, 'disk_processed': 0, 'disk_remaining': 0}


class FakeLive(FakeBase, LiveVerbs):

    # -- before ------------------------------------------------------------

    def live_offer(self, instance: Instance) -> dict[str, Any]:
        self._fault('live_offer', instance.uuid)
        state = self._read(instance.uuid).power_state
        if state not in (PowerState.RUNNING, PowerState.PAUSED):
            raise exception.MigrationPreCheckError(reason=f'the domain is {PowerState.NAMES[state]}')
        return {'host': self.host}

    def live_accept(self, instance: Instance, offer: dict[str, Any], block: bool | None,
                    over_commit: bool | None) -> dict[str, Any]:
        self._fault('live_accept', instance.uuid)
        return {'shared': not block}

    def live_prepare(self, request: SpawnRequest, offer: dict[str, Any], shared: bool) -> dict[str, Any]:
        uuid = request.instance.uuid
        self._fault('live_prepare', uuid)
        os.makedirs(self._dir, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(offer['host'], self._room(uuid))
        self._fault('live_prepare.after', uuid)
        return {'host': self.host}

    def live_rollback(self, instance: Instance, *, shared: bool, force: bool, stale: bool = False) -> None:
        self._fault('live_rollback', instance.uuid)
        where = self._find(instance.uuid)
        if not force and (where in (live.RUNNING, live.PAUSED) or (where == live.STOPPED and not stale)):
            raise exception.Conflict(f'Instance {instance.uuid} is on {self.host}: {where}.')
        self._remove(instance.uuid)
        _unlink(self._room(instance.uuid))
        self._fault('live_rollback.after', instance.uuid)

    # -- the copy ----------------------------------------------------------

    def live_migrate(self, instance: Instance, there: dict[str, Any], watch: Watcher) -> tuple[str, str]:
        uuid = instance.uuid
        self._fault('live_migrate', uuid)
        if self._copy_of(uuid) is None:
            if (where := self._find(uuid)) in (live.ABSENT, live.STOPPED):
                return live.UNKNOWN, f'the domain is {where} here'
            memory = instance.flavor.memory_mb if instance.flavor else 0
            self._begin(uuid, _Copy(there['host'], time.time(), CONF.fake.live_migration_seconds, memory * _MIB))
        while (copy := self._copy_of(uuid)) is not None:
            watch(copy.numbers())
            if not self._settle(uuid, copy):
                self._fault('live_migrate.copying', uuid)
                time.sleep(min(POLL, copy.seconds or POLL))
        self._fault('live_migrate.after', uuid)
        if self._find(uuid) in (live.RUNNING, live.PAUSED):
            return live.FAILED, 'the copy was aborted'
        if os.path.lexists(self._path(uuid)):
            return live.UNKNOWN, 'the domain is off here'
        return live.COMPLETED, ''

    def live_order(self, uuid: str, order: str) -> None:
        copy = self._copy_of(uuid)
        if copy is None or self._settle(uuid, copy):
            return
        if order == live.ABORT:
            _unlink(self._job(uuid))
        elif order == live.FORCE_COMPLETE:
            self._begin(uuid, dataclasses.replace(copy, began=0.0, seconds=0.0))

    def live_find(self, uuid: str) -> str:
        self._fault('live_find', uuid)
        copy = self._copy_of(uuid)
        if copy is not None and not self._settle(uuid, copy):
            return live.OUTGOING
        if self._comes_in(uuid):
            return live.INCOMING
        return self._find(uuid)

    def _find(self, uuid: str) -> str:
        try:
            state = self._read(uuid).power_state
        except exception.DomainNotFound:
            return live.ABSENT
        return {PowerState.RUNNING: live.RUNNING, PowerState.PAUSED: live.PAUSED}.get(state, live.STOPPED)

    # -- after -------------------------------------------------------------

    def live_keep(self, instance: Instance) -> str:
        self.live_order(instance.uuid, live.ABORT)
        return self.live_find(instance.uuid)

    def live_finish(self, instance: Instance) -> dict[str, Any]:
        self._fault('live_finish', instance.uuid)
        self._read(instance.uuid)
        _unlink(self._room(instance.uuid))
        self._fault('live_finish.after', instance.uuid)
        return {'deviations': []}

    def live_leave(self, instance: Instance, *, shared: bool) -> None:
        self._fault('live_leave', instance.uuid)
        _unlink(self._job(instance.uuid))
        self._remove(instance.uuid)
        self._fault('live_leave.after', instance.uuid)

    # -- a lost host -------------------------------------------------------

    def sees_disks_of(self, instance: Instance, host: str, *, said: bool = False) -> bool:
        return False

    def adopt(self, instance: Instance, host: str, *, start: bool) -> None:
        self._fault('adopt', instance.uuid)
        self._write(instance.uuid, instance.name, PowerState.RUNNING if start else PowerState.SHUTDOWN)

    def give_back(self, instance: Instance, host: str) -> None:
        self._fault('give_back', instance.uuid)
        self._remove(instance.uuid)

    def take_over(self, instance: Instance) -> None:
        self._fault('take_over', instance.uuid)

    # -- the links ---------------------------------------------------------

    def _job(self, uuid: str) -> str:
        return self._path(f'.live.{uuid}')

    def _room(self, uuid: str) -> str:
        return self._path(f'.room.{uuid}')

    def _begin(self, uuid: str, copy: _Copy) -> None:
        temp = f'{self._job(uuid)}.{os.getpid()}.{threading.get_ident()}'
        os.symlink(f'{copy.dest}:{copy.began}:{copy.seconds}:{copy.size}', temp)
        os.replace(temp, self._job(uuid))

    def _copy_of(self, uuid: str) -> _Copy | None:
        return _read_copy(self._job(uuid))

    def _settle(self, uuid: str, copy: _Copy) -> bool:
        """Whether the copy has ended."""
        return _settle(self.host, uuid, copy)

    def _comes_in(self, uuid: str) -> bool:
        """Whether the host that we made room for still copies. It need not be up to have ended."""
        try:
            source = os.readlink(self._room(uuid))
        except FileNotFoundError:
            return False
        copy = _read_copy(os.path.join(CONF.fake.state_dir, source, f'.live.{uuid}'))
        return copy is not None and not _settle(source, uuid, copy)


def _settle(source: str, uuid: str, copy: _Copy) -> bool:
    """When its time is over, the domain is at the destination from now on; where nobody made room for it, it stays."""
    if not copy.over():
        return False
    here, there = (os.path.join(CONF.fake.state_dir, host) for host in (source, copy.dest))
    if os.path.lexists(os.path.join(there, f'.room.{uuid}')):
        os.makedirs(os.path.join(there, '.devices'), exist_ok=True)
        for name in (os.path.join('.devices', uuid), uuid):     # what was plugged in goes before its domain
            with contextlib.suppress(FileNotFoundError):        # moved already, by whoever looked first
                os.rename(os.path.join(here, name), os.path.join(there, name))
    _unlink(os.path.join(here, f'.live.{uuid}'))
    return True


def _read_copy(path: str) -> _Copy | None:
    try:
        dest, began, seconds, size = os.readlink(path).rsplit(':', 3)
    except FileNotFoundError:
        return None
    return _Copy(dest, float(began), float(seconds), int(size))


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
