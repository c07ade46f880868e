"""See `virt/interface/moves.py`.

The place for disks that come, and the disks that have come, are a link of their server in the state NOSTATE.
"""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Flavor, ImageMeta, Instance, PowerState
from minicompute.virt.fake.base import FakeBase
from minicompute.virt.interface.moves import MoveVerbs, Stop, never
from minicompute.virt.request import Progress, no_progress


class FakeMoves(FakeBase, MoveVerbs):

    def prepare_move(self, instance: Instance, source: str, image: ImageMeta | None,
                     progress: Progress = no_progress, stop: Stop = never) -> dict[str, Any]:
        self._fault('prepare_move', instance.uuid)
        if source != self.host and self._state(instance.uuid) == PowerState.RUNNING:
            raise exception.Conflict(f'A domain of instance {instance.uuid} runs on {self.host} already.')
        self._fault('prepare_move.after', instance.uuid)
        return {'host': self.host, 'ip': CONF.my_ip, 'address': self.host, 'marker': ''}

    def open_move(self, instance: Instance) -> dict[str, Any]:
        self._fault('open_move', instance.uuid)
        self._remove(instance.uuid)
        self._write(instance.uuid, instance.name, PowerState.NOSTATE)
        self._fault('open_move.after', instance.uuid)
        return {}

    def leave(self, instance: Instance, flavor: Flavor, dest: dict[str, Any], timeout: int) -> dict[str, Any]:
        self._fault('leave', instance.uuid)
        self._change(instance.uuid, PowerState.SHUTDOWN)
        self._fault('leave.after', instance.uuid)
        return {'shared': dest['host'] == self.host, 'power_state': PowerState.SHUTDOWN}

    def send_disks(self, instance: Instance, dest: dict[str, Any], progress: Progress = no_progress,
                   stop: Stop = never) -> dict[str, int]:
        self._fault('send_disks', instance.uuid)
        name = self._read(instance.uuid).name
        if dest['host'] != self.host:
            FakeBase(dest['host'])._write(instance.uuid, name, PowerState.NOSTATE)
        progress('disks', 100)
        self._fault('send_disks.after', instance.uuid)
        return {'bytes': 0}

    def arrive(self, instance: Instance, *, start: bool) -> None:
        self._fault('arrive', instance.uuid)
        self._read(instance.uuid)     # without its disks no domain can be made
        self._write(instance.uuid, instance.name, PowerState.RUNNING if start else PowerState.SHUTDOWN)
        self._fault('arrive.after', instance.uuid)

    def check_move(self, instance: Instance, *, running: bool) -> dict[str, Any]:
        self._fault('check_move', instance.uuid)
        domain = self._read(instance.uuid)
        if (domain.power_state == PowerState.RUNNING) != running or domain.name != instance.name:
            raise exception.Conflict(f'The domain of instance {instance.uuid} is '
                                     f'{PowerState.NAMES[domain.power_state]} on {self.host} after its move.')
        self._fault('check_move.after', instance.uuid)
        return {'power_state': domain.power_state}

    def depart(self, instance: Instance, owner: str | None) -> None:
        self._fault('depart', instance.uuid)
        if self._state(instance.uuid) is not None:
            self._change(instance.uuid, PowerState.SHUTDOWN)
        self._fault('depart.after', instance.uuid)

    def drop_move(self, instance: Instance, source: str, *, disks: bool) -> None:
        self._fault('drop_move', instance.uuid)
        if disks and source != self.host:
            self._remove(instance.uuid)
        self._fault('drop_move.after', instance.uuid)

    def _state(self, uuid: str) -> int | None:
        try:
            return self._read(uuid).power_state
        except exception.DomainNotFound:
            return None
