"""What other services tell of a server, and that takes its host: a volume has grown, a port is gone.

    note_size --> grow_volume          the record comes first: a file that is larger than it says is not started
    take_card --> pull_card            the port is the network service's, and gone there: only the card is left

Nothing of this goes back: a volume does not shrink, and what was reported stays true.
"""
from __future__ import annotations

import dataclasses
import functools
from typing import Any

import sqlalchemy as sa

from minicompute.conductor.flow import Flow, Outcome, Step, StepFailed, Task
from minicompute.conductor.flows import ports
from minicompute.context import admin_context
from minicompute.db.api import block_devices
from minicompute.network import base as network
from minicompute.objects import VIF, BlockDevice, from_primitive, to_primitive
from minicompute.volume import base as volume


def _placed(task: Task) -> bool:
    return task.instance is not None and bool(task.instance.host)


def _ended(task: Task, error: dict[str, Any]) -> None:
    """The server is what it was; what its host could not do stands in the action log, and is done when it starts."""


# -- a volume has grown ------------------------------------------------------------

def _device(task: Task) -> BlockDevice:
    for device in task.instance.block_devices if task.instance else ():
        if device.volume_id == task.data['volume_id']:
            return device
    raise StepFailed('the volume is not attached to the server any more', code=404)


def note_size(task: Task) -> dict[str, Any]:
    """The volume service knows how large it is; the event says only that it has grown."""
    device = _device(task)
    size = volume.load().show(admin_context(), task.data['volume_id']).size
    task.on_commit(functools.partial(_set_size, uuid=str(device.uuid), size=size))
    return {'size': size}


def _set_size(conn: sa.Connection, uuid: str, size: int) -> None:
    block_devices.update(conn, uuid, volume_size=size)


def grow_volume(task: Task) -> Outcome:
    if not _placed(task):
        return {}
    return task.ask('extend_volume', device=dataclasses.replace(_device(task), volume_size=task.data['size']))


# -- a port is gone ----------------------------------------------------------------

def take_card(task: Task) -> dict[str, Any]:
    for card in task.instance.network_info if task.instance else ():
        if card.id == task.data['port']:
            return {'vif': to_primitive(card)}
    raise StepFailed(f"port {task.data['port']} is not the server's", code=404)


def pull_card(task: Task) -> Outcome:
    card: VIF = from_primitive(task.data['vif'])
    return task.ask('detach_interface', vif=card) if _placed(task) else {}


def card_gone(task: Task) -> None:
    if task.instance is not None:       # its server may have gone meanwhile: that is often why the port is
        ports.take_away(task, task.data['port'])
    task.on_commit(functools.partial(_release, port=task.data['port'], uuid=task.uuid))


def card_stays(task: Task, error: dict[str, Any]) -> None:
    """In the guest, until it starts: in the records a port that is gone is not the server's any more."""
    if not error.get('cancelled'):
        card_gone(task)


def _release(conn: sa.Connection, port: str, uuid: str) -> None:
    """Usually it is gone already; the server must not hold what it has not. Another service's is gone, or it would not
    have said so."""
    if network.load().transactional:
        network.load().release_port(conn, port, uuid)


EXTEND_VOLUME = Flow('extend_volume', Step(note_size), Step(grow_volume), failed=_ended)
PORT_DELETED = Flow('port_deleted', Step(take_card), Step(pull_card), finished=card_gone, failed=card_stays)
