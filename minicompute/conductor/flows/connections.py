"""What a volume service has to do with a server: its volumes are reserved, connected to a host, given back.

    await_volumes (ordered.py) --> ask_connector --> connect_volumes --> (the host plugs them) --> complete_volumes
                                                           |
                                                   disconnect_volumes

    a move:   ask_connector_there --> connect_there --> (switch: `take_over`) --> give_back_rest

These are steps of other flows, and passed over where volumes are local: then all is in transactions. Each may run
twice: what a server has at the service is asked before anything is added. A service that stays silent is owed what is
left (`debts`), which means one thing: make it what our records say (`settle_volume`).
"""
from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from oslo_log import log as logging

from minicompute import exception
from minicompute.conductor.flow import Debt, Outcome, Retry, Step, StepFailed, Task
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import actions, block_devices, instances, undecided
from minicompute.db.api import owed as debts
from minicompute.objects import ActionState, BlockDevice
from minicompute.volume import remote
from minicompute.volume.remote import Attachment, RemoteVolumes

LOG = logging.getLogger(__name__)

#: of a block device's `connection_info`: which host has its connection, and the id that the volume had when it was
#: connected there, if it has another one since
AT, NAMED = 'at', 'named'
#: of an action's data: {'host', 'of': {block device: {'id', 'connection'}}} at the host that a server goes to
THERE = actions.ATTACHMENTS

#: what a volume is for a while, and cannot be deleted
PASSING = ('creating', 'downloading', 'uploading', 'detaching', 'extending', 'retyping', 'backing-up',
           'restoring-backup')


def devices(task: Task) -> list[BlockDevice]:
    """The volumes of the server that a volume service has, or only the one that the action is about."""
    if remote.load() is None or task.instance is None:
        return []
    only = task.data.get('bdm')
    return [one for one in task.instance.block_devices if one.destination_type == 'volume'
            and one.connection_info.get('state') != block_devices.SWAPPING and only in (None, one.uuid)]


def concerned(task: Task) -> bool:
    """For `when=`."""
    return bool(devices(task))


def placed(task: Task) -> bool:
    return concerned(task) and task.instance is not None and bool(task.instance.host)


def _backend() -> RemoteVolumes:
    found = remote.load()
    assert found is not None
    return found


# -- a host gets them ----------------------------------------------------------------

def ask_connector(task: Task) -> Outcome:
    """What the volume service has to know of the host."""
    return task.ask('volume_connector') if placed(task) else {}


def told(task: Task) -> dict[str, Any]:
    assert task.report is not None
    return {'connector': task.report.result['connector']}


def connect_volumes(task: Task) -> Outcome:
    """A server without a host only keeps others from them."""
    for one, found, info in _connected(task, devices(task), ()):
        keep(task, one, found, info, _connector_of(task))
    return {}


def _connector_of(task: Task) -> str | None:
    """The host that volumes are connected to."""
    return (task.data.get('connector') or {}).get('host')


def _connected(task: Task, wanted: Collection[BlockDevice], besides: Collection[str | None]
               ) -> list[tuple[BlockDevice, str, dict[str, Any]]]:
    """Reserve and connect them. `besides`: attachments that another host has."""
    if not wanted:
        return []
    backend, made = _backend(), []
    has = backend.attachments(task.uuid)
    for one in wanted:
        of_it = [found for found in has if found.volume_id == one.volume_id]
        others = [found for found in of_it if found.id in besides]
        strays = [found for found in of_it if found.id not in besides]
        first = strays.pop(0) if strays and not others else None
        for found in strays:    # of an answer that was lost: which host they are for nobody knows
            backend.give_back(found.id)
        for found in others:    # only beside what is complete Cinder takes another one
            backend.complete(found.id)
        if first is not None and first.connected and not _is_here(task, one, first):
            first = _anew(backend, first)
        known, info = _one(backend, task, one, first)
        if info.get('encrypted'):
            raise StepFailed(f'volume {one.volume_id} is encrypted, and no host here can decrypt it', code=400)
        made.append((one, known, info))
    return made


def _is_here(task: Task, one: BlockDevice, found: Attachment) -> bool:
    """Whether it connects the host that is to be connected, as far as the record knows."""
    here = _connector_of(task)
    return here is not None and found.id == one.attachment_id and one.connection_info.get(AT) == here


def _anew(backend: RemoteVolumes, found: Attachment) -> Attachment:
    """What another host has, or nobody knows who, is not given to this one: that host's part of it would never end."""
    try:
        backend.complete(found.id)      # only what is complete may have another one beside it
    except exception.AttachmentNotFound as error:
        raise Retry(str(error)) from None
    made, _ = backend.reserve_one(found.volume_id, found.instance_uuid)
    backend.give_back(found.id)
    return Attachment(made, found.volume_id, found.instance_uuid)


def _one(backend: RemoteVolumes, task: Task, one: BlockDevice, found: Attachment | None, *,
         again: int = 3) -> tuple[str, dict[str, Any]]:
    """`found`: what the server has of it already, which is not another host's."""
    connector = task.data.get('connector')
    told = {**connector, 'mountpoint': one.device_name or ''} if connector else None
    try:
        if found is None:
            return backend.reserve_one(str(one.volume_id), task.uuid, told)
        return found.id, backend.connect(found.id, told) if told else {}
    except exception.AttachmentNotFound as error:     # somebody took it away between the two
        raise Retry(str(error)) from None
    except exception.InvalidVolume as error:
        now = backend.show(admin_context(), str(one.volume_id))
        if now.multiattach and now.status in ('reserved', 'attaching', 'detaching'):
            raise Retry(str(error)) from None   # another server is getting it, or giving it back, at this moment
        if not (again and now.multiattach and now.status in ('available', 'in-use')):
            raise
    # Another server was, when it was refused, and is ready by now.
    return _one(backend, task, one, found, again=again - 1)


def keep(task: Task, one: BlockDevice, attachment_id: str | None, info: dict[str, Any] | None,
         host: str | None = None) -> None:
    """With the step's commit, and in the record at once."""
    one.attachment_id = attachment_id
    one.connection_info = {**one.connection_info, block_devices.CONNECTION: info or {}, AT: host}
    task.on_commit(functools.partial(block_devices.update, uuid=str(one.uuid), attachment_id=attachment_id,
                                     connection_info=one.connection_info))


def in_doubt(task: Task) -> bool:
    """Whether a host that nobody could ask may have them in use. Then the server keeps its hold on them: nobody else
    may get what a guest still writes to. What ends the server, or its owner, gives them back."""
    unreached, where = task.data.get('unreached') or [], _connector_of(task)
    return where in unreached or None in unreached if where else bool(unreached)


def disconnect_volumes(task: Task) -> Outcome:
    if in_doubt(task):
        return {}
    mine = devices(task)
    _give_back(task, {str(one.volume_id) for one in mine})
    for one in mine:
        keep(task, one, None, None)
    return {}


def complete_volumes(task: Task) -> Outcome:
    for one in devices(task):
        if one.attachment_id:
            _backend().complete(one.attachment_id)
    return {}


def _give_back(task: Task, volume_ids: Collection[str], besides: Collection[str | None] = ()) -> None:
    """All that the server has of these volumes, also what a lost answer made."""
    if not volume_ids or remote.load() is None:
        return
    backend = _backend()
    _give_all_back(backend, [found for found in backend.attachments(task.uuid)
                             if found.volume_id in volume_ids and found.id not in besides])


def _give_all_back(backend: RemoteVolumes, some: Iterable[Attachment]) -> None:
    """One that is refused keeps no other from it."""
    refused: exception.ComputeException | None = None
    for found in some:
        try:
            backend.give_back(found.id)
        except exception.NeighbourUnavailable:
            raise
        except exception.ComputeException as error:
            refused = error
    if refused is not None:
        raise refused


def give_back_volumes(task: Task) -> Outcome:
    """The host has let them go."""
    _give_back(task, {str(one.volume_id) for one in devices(task) if one.volume_id})
    return {}


def reserve_again(task: Task) -> Outcome:
    """The server leaves its host and keeps its volumes: they are reserved anew before the host's hold on them goes,
    so that nobody else gets them in between."""
    if in_doubt(task):
        return {}
    reserve_beside(task)
    return give_back_rest(task)


def reserve_beside(task: Task) -> None:
    """A hold on the volumes without a host, which the record names from here on, beside what there is."""
    mine = devices(task)
    if not mine:
        return
    backend = _backend()
    has = backend.attachments(task.uuid)
    for one in mine:
        of_it = [found for found in has if found.volume_id == one.volume_id]
        free = next((found.id for found in of_it if not found.connected), None)
        if free is None:
            for found in of_it:     # only what is complete may have another one beside it
                backend.complete(found.id)
            free, _ = backend.reserve_one(str(one.volume_id), task.uuid)
        keep(task, one, free, None)


# -- the server is deleted -----------------------------------------------------------

def release_volumes(task: Task) -> Outcome:
    """Nothing is left of the server at the service, and volumes that go with it are deleted. One that is needed
    elsewhere (it has snapshots) stays, and the action log says so."""
    mine = devices(task)
    if not mine:
        return {}
    backend, kept = _backend(), []
    _give_all_back(backend, backend.attachments(task.uuid))
    for one in mine:
        volume_id = one.volume_id or _ordered(backend, task, one)
        if volume_id and one.delete_on_termination:
            try:
                kept += _remove(backend, volume_id, task.uuid)
            except NotYet as error:
                owe(task, [Debt('cinder', 'volume', volume_id, {'instance': task.uuid, 'delete': True})], str(error))
    if kept:
        task.notes = '; '.join(kept)[:4000]
    return {}


def _remove(backend: RemoteVolumes, volume_id: str, instance_uuid: str) -> list[str]:
    """-> why it stays, if it does. Raises NotYet while the service is at work with it, and will delete it later."""
    found = backend.show_many(admin_context(), [volume_id]).get(volume_id)
    if found is not None and found.status in PASSING:
        raise NotYet(f'Volume {volume_id} is {found.status}.')
    try:
        backend.remove(volume_id)
    except (exception.InvalidVolume, exception.Forbidden) as error:
        LOG.warning('Volume %s was to go with instance %s and stays: %s', volume_id, instance_uuid, error)
        return [f'volume {volume_id} stays: {error}']
    return []


def _ordered(backend: RemoteVolumes, task: Task, one: BlockDevice) -> str | None:
    """A volume whose making nobody has told us of."""
    assert task.instance is not None
    if one.source_type == 'volume':
        return None
    found = backend.find_ordered(one, task.instance.project_id)
    return found.id if found is not None else None


# -- the server moves ----------------------------------------------------------------

def goes_elsewhere(task: Task) -> bool:
    data = task.data
    return concerned(task) and data['source']['host'] != (data.get('dest') or {}).get('host')


def ask_connector_there(task: Task) -> Outcome:
    return task.ask('volume_connector', host=str(task.data['dest']['host'])) if goes_elsewhere(task) else {}


def ask_connector_home(task: Task) -> Outcome:
    return task.ask('volume_connector', host=str(task.data['source']['host'])) if goes_elsewhere(task) else {}


def connect_there(task: Task) -> Outcome:
    return _connect_at(task, 'dest')


def connect_home(task: Task) -> Outcome:
    return _connect_at(task, 'source')


def _connect_at(task: Task, end: str) -> Outcome:
    """Beside what the other host has of them, which the record names until the switch."""
    if not goes_elsewhere(task):
        return {}
    mine = devices(task)
    found = _connected(task, mine, {one.attachment_id for one in mine})
    return {THERE: {'host': task.data[end]['host'],
                    'of': {str(one.uuid): {'id': known, block_devices.CONNECTION: info} for one, known, info in found}}}


def disconnect_there(task: Task) -> Outcome:
    return give_back_rest(task)


def give_back_rest(task: Task) -> Outcome:
    """What the record does not name (any more)."""
    mine = devices(task)
    _give_back(task, {str(one.volume_id) for one in mine}, {one.attachment_id for one in mine})
    task.data.pop(THERE, None)
    return {}


def at(task: Task, host: str) -> dict[str, Any]:
    """The argument `connections` for a verb at `host`, where the server is not yet: {} when it needs none."""
    there = task.data.get(THERE)
    if not there or there['host'] != host:
        return {}
    return {'connections': {uuid: found[block_devices.CONNECTION] for uuid, found in there['of'].items()}}


def take_over(task: Task) -> None:
    """With the switch: the attachments of the host where the server lives now are those of the record."""
    there = task.data.get(THERE) or {'of': {}}
    for one in devices(task):
        if found := there['of'].get(str(one.uuid)):
            keep(task, one, found['id'], found[block_devices.CONNECTION], there['host'])


# -- what is owed --------------------------------------------------------------------

def left(task: Task) -> list[Debt]:
    """All that the action is about is to be looked at when the service answers again."""
    return owed(task.uuid, devices(task))


def left_of_deleted(task: Task) -> list[Debt]:
    project = task.instance.project_id if task.instance else None
    return [Debt('cinder', 'volume' if one.volume_id else 'device', str(one.volume_id or one.uuid),
                 {'instance': task.uuid, 'delete': one.delete_on_termination, 'project': project})
            for one in devices(task)]


def owed(instance_uuid: str, some: Iterable[BlockDevice]) -> list[Debt]:
    return [Debt('cinder', 'volume', str(one.volume_id), {'instance': instance_uuid})
            for one in some if one.volume_id]


def owe(task: Task, some: Iterable[Debt], reason: str) -> None:
    """With the step's commit."""
    found = list(some)

    def write(conn: sa.Connection) -> None:
        for debt in found:
            debts.add_debt(conn, debt.service, task.uuid, f'{debt.kind} {debt.ref}', debt.data, reason)
    task.on_commit(write)


class Busy(exception.Conflict):
    """We ourselves are at work: nobody was asked."""

    msg_fmt = 'Something else is being done with instance %(instance_uuid)s.'


class NotYet(exception.Conflict):
    """The neighbour was asked, and says that it is at work with it."""


def must_be_idle(conn: sa.Connection, uuid: str) -> None:
    """Raises Busy, also while it is not known which of two hosts has the guest: either may need what it has."""
    if actions.any_running(conn, [uuid]) or undecided.waits(conn, uuid):
        raise Busy(instance_uuid=uuid)


def settle_volume(ref: str, data: dict[str, Any]) -> None:
    """Pay: what a server has of this volume at the service becomes what the record says. Raises Busy, NotYet."""
    backend, uuid = remote.load(), str(data['instance'])
    if backend is None:
        return
    with session.read() as conn:
        must_be_idle(conn, uuid)
    held = backend.attachments(uuid)    # first: what an action makes that begins behind the next look is its own
    with session.read() as conn:
        must_be_idle(conn, uuid)
        server = instances.get_many(conn, [uuid]).get(uuid)
    mine = [one for one in server.block_devices if one.volume_id == ref] if server is not None else []
    current = {one.attachment_id for one in server.block_devices} if server is not None else set()
    for found in held:
        if found.volume_id == ref and found.id not in current:
            backend.give_back(found.id)
    connected = {found.id for found in held if found.connected}    # the rest are held for no host
    if server is not None and server.host:
        for one in mine:
            if one.attachment_id in connected and one.connection_info.get('state') == block_devices.ATTACHED:
                backend.complete(one.attachment_id)
    if data.get('delete') and server is None:
        _remove(backend, ref, uuid)


def settle_device(ref: str, data: dict[str, Any]) -> None:
    """Pay: a volume that was ordered for a block device of a server which is gone."""
    backend = remote.load()
    if backend is None or not data.get('delete'):
        return
    device = BlockDevice(uuid=ref, source_type='blank', destination_type='volume', instance_uuid=data['instance'])
    found = backend.find_ordered(device, str(data.get('project')))
    if found is not None:
        settle_volume(found.id, data)


# -- one takes the place of another --------------------------------------------------

def new_device(task: Task) -> BlockDevice | None:
    if remote.load() is None or task.instance is None:
        return None
    return next((one for one in task.instance.block_devices if one.uuid == task.data.get('new')), None)


def swaps(task: Task) -> bool:
    return new_device(task) is not None


def connect_new(task: Task) -> Outcome:
    one = new_device(task)
    for device, found, info in _connected(task, [one] if one is not None else [], ()):
        keep(task, device, found, info, _connector_of(task))
    return {}


def disconnect_new(task: Task) -> Outcome:
    """Not once the guest uses it."""
    one = new_device(task)
    if one is not None and not task.data.get('too_late') and not in_doubt(task):
        _give_back(task, {str(one.volume_id)})
        keep(task, one, None, None)
    return {}


def say_not_swapped(task: Task) -> Outcome:
    """A service that moves the volume waits for our word, however early the swap came to its end."""
    if _failed_for_sure(task):
        _end_migration(task.data['volume_id'], task.data['new_volume_id'], error=True)
    return {}


def not_swapped(task: Task) -> list[Debt]:
    return [_word(task, error=True)] if _failed_for_sure(task) else []


def _failed_for_sure(task: Task) -> bool:
    return remote.load() is not None and not task.data.get('too_late') and not in_doubt(task)


def in_doubt_which(task: Task) -> list[Debt]:
    """The server keeps both volumes. The service hears what became of its move when one of them has gone."""
    return [*left_of_new(task), _word(task, error=True, doubt=True)] if remote.load() is not None else []


def _word(task: Task, **said: bool) -> Debt:
    return Debt('cinder', 'migration', task.data['volume_id'], {
        'instance': task.uuid, 'new': task.data['new_volume_id'], **said})


def left_of_new(task: Task) -> list[Debt]:
    one = new_device(task)
    if one is None:
        return owed(task.uuid, devices(task))
    failed = task.action.state == ActionState.UNWINDING and not task.data.get('too_late')
    moved = [] if failed else [_word(task, error=False)]
    return [*owed(task.uuid, [*devices(task), one]), *moved]


def _end_migration(old: str, new: str, *, error: bool) -> str | None:
    """A service that moves a volume waits for our word. -> the old one's id, if it stays that of the volume: also when
    an earlier word was heard, whose answer was lost"""
    backend = _backend()
    found = backend.show_many(admin_context(), [old, new])
    if old in found and found[old].migrating:
        try:
            return backend.end_migration(old, new, error=error)
        except (exception.InvalidVolume, exception.NotFound) as refused:
            if not error:
                raise
            LOG.warning('The migration of volume %s to %s has failed, of which its service would not hear: %s', old,
                        new, refused)
    gone = new not in found or found[new].status in ('deleting', 'error_deleting')
    return old if old in found and gone else None


def settle_migration(ref: str, data: dict[str, Any]) -> None:
    """Pay: the service hears what came of the move of volume `ref`. Raises Busy."""
    uuid, new = str(data['instance']), str(data['new'])
    if remote.load() is None:
        return
    with session.read() as conn:
        must_be_idle(conn, uuid)
        error = bool(data['error']) and not (data.get('doubt') and _has_only(conn, uuid, new, ref))
    saved = _end_migration(ref, new, error=error)
    if saved and not error:
        session.write(_rename, uuid, new, saved)


def _has_only(conn: sa.Connection, uuid: str, one: str, other: str) -> bool:
    """Whether the server has the first of the two volumes and not the second. Raises Busy while it has both: nobody
    but their owner knows which one to keep."""
    has = [each for each in (one, other)
           if any(device.instance_uuid == uuid for device in block_devices.all_of_volume(conn, each))]
    if len(has) == 2:
        raise Busy(f'Instance {uuid} has both volumes, {one} and {other}, until one is detached.')
    return has == [one]


def _rename(conn: sa.Connection, uuid: str, was: str, saved: str) -> None:
    """The server's volume has its old id again. Raises Busy: what has begun since may swap it for another."""
    must_be_idle(conn, uuid)
    for one in block_devices.all_of_volume(conn, was):
        if one.instance_uuid == uuid:
            block_devices.update(conn, str(one.uuid), was=was, **_with_id(one, saved))


def _with_id(one: BlockDevice, saved: str | None) -> dict[str, Any]:
    """Columns. What its host has connected keeps its names there."""
    if saved in (None, one.volume_id):
        return {'volume_id': one.volume_id, 'connection_info': one.connection_info}
    return {'volume_id': saved, 'connection_info': {NAMED: one.volume_id, **one.connection_info}}


def complete_new(task: Task) -> Outcome:
    one = new_device(task)
    if one is not None and one.attachment_id:
        _backend().complete(one.attachment_id)
    return {}


def give_back_old(task: Task) -> Outcome:
    """A volume that the service moves keeps its id: the record stays with that."""
    one = new_device(task)
    if one is None:
        return {}
    old, new = task.data['volume_id'], task.data['new_volume_id']
    _give_back(task, {old}, {one.attachment_id})    # which is one of the old id, once the service has moved it
    saved = _end_migration(old, new, error=False)
    return {'saved_volume': saved} if saved else {}


def swapped(conn: sa.Connection, old: str, other: BlockDevice, saved: str | None) -> None:
    """The mapping `old` has what `other` had at the service."""
    facts = _with_id(other, saved)
    facts['connection_info'] = {**facts['connection_info'], 'state': block_devices.ATTACHED}
    block_devices.update(conn, old, attachment_id=other.attachment_id, volume_size=other.volume_size, **facts)


#: what flows share that give a server's volumes to its host, or to the one that it goes to
TO_CONNECT = (Step(ask_connector, done=told, when=placed),
              Step(connect_volumes, undo=disconnect_volumes, debts=left, when=concerned))
TO_COMPLETE = (Step(complete_volumes, debts=left, owed_when_down=True, when=placed),)
TO_CONNECT_THERE = (Step(ask_connector_there, done=told, when=goes_elsewhere),
                    Step(connect_there, undo=disconnect_there, debts=left, when=goes_elsewhere))
TO_CONNECT_HOME = (Step(ask_connector_home, done=told, when=goes_elsewhere),
                   Step(connect_home, undo=disconnect_there, debts=left, when=goes_elsewhere))
#: after the switch
TO_LEAVE = (*TO_COMPLETE, Step(give_back_rest, debts=left, owed_when_down=True, when=concerned))
TO_SWAP = (Step(ask_connector, done=told, when=swaps),
           Step(connect_new, undo=disconnect_new, debts=left_of_new, when=swaps))
SWAPPED = (Step(complete_new, debts=left_of_new, owed_when_down=True, when=swaps),
           Step(give_back_old, debts=left_of_new, owed_when_down=True, when=swaps))
