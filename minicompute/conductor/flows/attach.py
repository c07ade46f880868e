"""Volumes and network cards come to a server and go.

    check_volume --> make_volume* --> plug_volume        what the API reserved becomes a device of the domain
                          |                |
                     unplug_again     unplug_again       (undo; then the reservation goes, with the end of the action)

With `*` only where a volume begins as the copy of a snapshot, which may take long.

The API has written what is asked for (a block device in state `attaching` or `detaching`, a port) in the transaction
that accepted the request. The end of the action, whichever it is, settles it in its own transaction. A server without
a host, or whose domain does not run, has its devices from the record when it starts.
"""
from __future__ import annotations

import functools
from typing import Any

import sqlalchemy as sa

from minicompute.conductor.flow import Debt, Flow, Outcome, Step, StepFailed, Task
from minicompute.conductor.flows import connections, ports, snapshot
from minicompute.conductor.flows.shared import cancelled, deleted, given_up, silent
from minicompute.conf import CONF
from minicompute.db.api import actions, block_devices
from minicompute.network import base as network
from minicompute.objects import VIF, BlockDevice, Instance, from_primitive, to_primitive
from minicompute.volume import base as volume


def _find(task: Task, key: str = 'bdm') -> BlockDevice | None:
    devices = task.instance.block_devices if task.instance else ()
    return next((device for device in devices if device.uuid == task.data[key]), None)


def _device(task: Task, key: str = 'bdm') -> BlockDevice:
    found = _find(task, key)
    if found is None:
        raise StepFailed('the volume is not attached to the server any more', code=404)
    return found


def has_volume(instance: Instance, data: dict[str, Any]) -> bool:
    return any(device.uuid == data.get('bdm') and device.connection_info.get('state') == block_devices.ATTACHED
               for device in instance.block_devices)


def has_card(instance: Instance, data: dict[str, Any]) -> bool:
    return any(card.id == data.get('port') for card in instance.network_info)


def _placed(task: Task) -> bool:
    return task.instance is not None and bool(task.instance.host)


def _going(task: Task) -> bool:
    """Whether there is a domain to put back in order: not when a delete has cut this action short."""
    return _placed(task) and not deleted(task)


def _put_back(task: Task, verb: str) -> Outcome:
    device = _find(task)
    return task.ask(verb, device=device) if device is not None and _going(task) else {}


def _ended(task: Task, error: dict[str, Any] | None = None) -> None:
    """The server is what it was; why it has not what was asked for stands in the action log."""


# -- a volume comes --------------------------------------------------------------

def check_volume(task: Task) -> Outcome:
    """What waited in the queue may have lost its server's block device, or its server."""
    _device(task)
    return {}


def begins_as_copy(task: Task) -> bool:
    device = _find(task)
    return (CONF.volume_backend == 'local' and _placed(task) and device is not None and bool(device.snapshot_id)
            and not device.connection_info.get('made'))


def make_volume(task: Task) -> Outcome:
    return task.ask('make_volume', device=_device(task))


def plug_volume(task: Task) -> Outcome:
    return task.ask('attach_volume', device=_device(task)) if _placed(task) else {}


def unplug_again(task: Task) -> Outcome:
    return _put_back(task, 'detach_volume')


def volume_attached(task: Task) -> None:
    task.on_commit(functools.partial(_settle_attached, uuids=[task.data['bdm']], made=_placed(task)))


def _settle_attached(conn: sa.Connection, uuids: list[str], made: bool) -> None:
    devices = [device for device in (block_devices.get(conn, uuid) for uuid in uuids) if device is not None]
    backend = volume.load()
    backend.attached(conn, devices, made=made)
    for device in devices if backend.remote else ():
        block_devices.set_state(conn, device, block_devices.ATTACHED)


def volumes_came_with_it(task: Task) -> None:
    """For the end of flows that make a domain: its volumes are attached, and their files are made."""
    devices = task.instance.block_devices if task.instance else ()
    uuids = [str(device.uuid) for device in devices if device.volume_id]
    if uuids:
        task.on_commit(functools.partial(_settle_attached, uuids=uuids, made=True))


def volume_not_attached(task: Task, error: dict[str, Any]) -> None:
    """A guest that nobody could ask may have it: it has it by the record, too, until its owner takes it away."""
    settle = _settle_still_there if task.data.get('unreached') else _forget
    if task.data.get('unreached'):
        connections.owe(task, connections.left(task), 'its host did not say whether it has the volume')
    task.on_commit(functools.partial(settle, uuid=task.data['bdm']))


def _forget(conn: sa.Connection, uuid: str) -> None:
    block_devices.delete(conn, uuid)


# -- a volume goes ---------------------------------------------------------------

def unplug_volume(task: Task) -> Outcome:
    return task.ask('detach_volume', device=_device(task)) if _placed(task) else {}


def plug_again(task: Task) -> Outcome:
    return _put_back(task, 'attach_volume')


def volume_detached(task: Task) -> None:
    task.on_commit(functools.partial(_forget, uuid=task.data['bdm']))


def volume_not_detached(task: Task, error: dict[str, Any]) -> None:
    task.on_commit(functools.partial(_settle_still_there, uuid=task.data['bdm']))


def _settle_still_there(conn: sa.Connection, uuid: str) -> None:
    device = block_devices.get(conn, uuid)
    if device is not None:
        block_devices.set_state(conn, device, block_devices.ATTACHED)


# -- a network card comes ----------------------------------------------------------

def make_port(task: Task) -> Outcome:
    """At another service. The local port was reserved when the request was accepted."""
    if 'card' not in task.data or task.instance is None:
        return {}
    vif = network.load().make_port(task.context, task.instance, task.data['card'])
    return {'port': vif.id, 'vif': to_primitive(vif)}


def drop_port(task: Task) -> Outcome:
    """One that nobody could ask about may be in use: then the server keeps it. What was refused in the queue has made
    none, and unwinds beside another action: the ports that the record does not know are that one's."""
    if 'card' not in task.data or task.data.get('unreached') or task.data.get(actions.REFUSED):
        return {}
    card = task.data['card']
    if 'port' in task.data:
        ports.drop(task, task.data['port'], _by_hand(task))
    elif task.instance is not None:
        for vif in ports.left_over(task.instance, card):    # made, and we died before it was written down
            ports.drop(task, vif.id, vif.id == card.get('port'))
    return {}


def undropped(task: Task) -> list[Debt]:
    port = task.data.get('port')
    if port and 'vif' in task.data:
        return ports.undropped(task, port, _by_hand(task))
    if 'card' in task.data and not task.data.get('unreached'):      # perhaps one was made whose id nobody has told us
        return ports.strays(task, task.data['card'])
    return []


def _by_hand(task: Task) -> bool:
    """Whether a user made the port."""
    return _vif(task).preserve_on_delete


def find_port(task: Task) -> Outcome:
    """What the host plugs, from the port that was reserved, or from the record."""
    if 'vif' in task.data:
        return {}
    backend = network.load()
    cards = backend.network_info(task.context, task.uuid) if backend.transactional else (
        task.instance.network_info if task.instance else ())
    for vif in cards:
        if vif.id == task.data['port']:
            return {'vif': to_primitive(vif)}
    raise StepFailed(f"port {task.data['port']} is not the server's any more", code=404)


def _vif(task: Task) -> VIF:
    vif: VIF = from_primitive(task.data['vif'])
    return vif


def plug_interface(task: Task) -> Outcome:
    return task.ask('attach_interface', vif=_vif(task)) if _placed(task) else {}


def unplug_interface_again(task: Task) -> Outcome:
    return task.ask('detach_interface', vif=_vif(task)) if _going(task) else {}


def interface_attached(task: Task) -> None:
    vif = _vif(task)
    ports.edit_cards(task, lambda cards: [*(card for card in cards if card.id != vif.id), vif])


def interface_not_attached(task: Task, error: dict[str, Any]) -> None:
    """As with a volume: what a guest may use nobody else gets."""
    if task.data.get('unreached'):
        interface_attached(task)
    elif 'port' in task.data:
        port_released(task, error)


def port_released(task: Task, error: dict[str, Any]) -> None:
    task.on_commit(functools.partial(_release_port, port=task.data['port'], uuid=task.uuid))


def _release_port(conn: sa.Connection, port: str, uuid: str) -> None:
    if network.load().transactional:    # else a step has done it
        network.load().release_port(conn, port, uuid)


# -- a network card goes -----------------------------------------------------------

def unplug_interface(task: Task) -> Outcome:
    return task.ask('detach_interface', vif=_vif(task)) if _placed(task) else {}


def give_port_back(task: Task) -> Outcome:
    """At another service; the local one goes with the end of the action."""
    ports.drop(task, task.data['port'], _by_hand(task))
    return {}


def is_remote(task: Task) -> bool:
    return ports.remote()


def plug_interface_again(task: Task) -> Outcome:
    return task.ask('attach_interface', vif=_vif(task)) if _going(task) else {}


def interface_detached(task: Task) -> None:
    ports.take_away(task, task.data['port'])
    port_released(task, {})


# -- a volume takes the place of another ---------------------------------------------

def copy_volume(task: Task) -> Outcome:
    """The host copies while the guest writes, and the domain goes on with the new one."""
    return task.ask('swap_volume', device=_device(task), new=_device(task, 'new'))


def call_off(task: Task) -> Outcome:
    """However far the copy has come, also when the guest has switched itself off meanwhile. Which of the two the guest
    writes to only its host knows: while that is silent this waits for it, but not for longer than somebody wants."""
    old, new = _find(task), _find(task, 'new')
    if old is None or new is None or not _going(task):
        return {}
    assert task.instance is not None and task.instance.host
    if given_up(task) and silent(task, task.instance.host):
        task.notes = f'{task.instance.host} is silent: the server keeps both volumes'
        return {'unreached': [task.instance.host]}
    return task.ask('end_swap', device=old, new=new)


def called_off(task: Task) -> dict[str, Any]:
    """A guest that has gone over writes to the new one alone: then the way is forward, or, when somebody broke the
    action off, the records follow at once."""
    assert task.report is not None
    if not task.report.result['too_late']:
        return {}
    return {'too_late': True} if cancelled(task) or task.data.get('too_late') else {
        'too_late': True, 'reschedule': True}


def volume_swapped(task: Task) -> None:
    task.data.pop('error', None)
    task.on_commit(functools.partial(_settle_swap, old=task.data['bdm'], new=task.data['new'],
                                     saved=task.data.get('saved_volume')))


def _settle_swap(conn: sa.Connection, old: str, new: str, saved: str | None = None) -> None:
    """The mapping keeps its place in the server and gets the other volume."""
    device, other = block_devices.get(conn, old), block_devices.get(conn, new)
    if device is None or other is None:
        return
    block_devices.delete(conn, new)
    if volume.load().remote:
        connections.swapped(conn, old, other, saved)
        return
    block_devices.update(conn, old, volume_id=other.volume_id, volume_size=other.volume_size)
    device.volume_id = other.volume_id
    volume.load().attached(conn, [device], made=True)


def volume_not_swapped(task: Task, error: dict[str, Any]) -> None:
    """Which of the two a guest uses that nobody could ask, and for which nobody waits any more, is not known: the
    server keeps both."""
    if task.data.get('too_late'):
        connections.owe(task, connections.left_of_new(task), 'the swap was broken off when it was done')
        task.on_commit(functools.partial(_settle_swap, old=task.data['bdm'], new=task.data['new']))
        return
    settle = _settle_still_there if task.data.get('unreached') else _forget
    if task.data.get('unreached'):
        connections.owe(task, connections.in_doubt_which(task), 'its host did not say which of the volumes it has')
    task.on_commit(functools.partial(settle, uuid=task.data['new']))
    volume_not_detached(task, error)


ATTACH_VOLUME = Flow('attach_volume', Step(check_volume), *connections.TO_CONNECT,
                     Step(make_volume, undo=unplug_again, undo_owes=False, when=begins_as_copy, newer=True,
                          deadline=snapshot.copying),
                     Step(plug_volume, undo=unplug_again, undo_owes=False, late=has_volume), *connections.TO_COMPLETE,
                     finished=volume_attached, failed=volume_not_attached)
# What a volume service has got back nobody plugs in again: it may be another server's by then.
DETACH_VOLUME = Flow('detach_volume', Step(check_volume),
                     Step(unplug_volume, undo=plug_again, undo_owes=False, undo_late=has_volume, pivot=True),
                     Step(connections.give_back_volumes, when=connections.concerned, debts=connections.left,
                          owed_when_down=True, owed_when_refused=True),
                     finished=volume_detached, failed=volume_not_detached)
SWAP_VOLUME = Flow('swap_volume', Step(check_volume, undo=connections.say_not_swapped,
                                       debts=connections.not_swapped), *connections.TO_SWAP,
                   # The guest writes to the new one then: whatever the service says, there is no way back.
                   Step(copy_volume, undo=call_off, undone=called_off, retry=lambda: 0, undo_waits=True,
                        undo_owes=False, deadline=snapshot.copying, pivot=True),
                   *connections.SWAPPED,
                   finished=volume_swapped, failed=volume_not_swapped)
ATTACH_INTERFACE = Flow('attach_interface', Step(make_port, undo=drop_port, debts=undropped), Step(find_port),
                        Step(plug_interface, undo=unplug_interface_again, undo_owes=False, late=has_card),
                        finished=interface_attached, failed=interface_not_attached)
DETACH_INTERFACE = Flow('detach_interface', Step(find_port),
                        Step(unplug_interface, undo=plug_interface_again, undo_owes=False, undo_late=has_card),
                        Step(give_port_back, when=is_remote, debts=undropped, owed_when_down=True),
                        finished=interface_detached, failed=_ended)
