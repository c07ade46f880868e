"""From what transactions changed to what is sent.

    prepare     in the transaction, at its end: reads what the facts do not carry, all servers in one query
    committed   after it: into the sender's queue; a payload is made when it is sent
"""
from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_log import log as logging

from minicompute.conf import CONF
from minicompute.db import watch
from minicompute.db.api import aggregates, events, flavors, instance_groups, instances, services
from minicompute.notifications import payloads
from minicompute.notifications.payloads import Asker, Payload
from minicompute.notifications.stories import (
    AT_DEST,
    AT_SOURCE,
    BY_API,
    BY_CONDUCTOR,
    PAYLOADS,
    RECORDED,
    STORIES,
    Story,
)
from minicompute.objects import Action, ActionState, Instance, KeyPair, RequestSpec, from_primitive
from minicompute.utils import audit_period, utcnow

LOG = logging.getLogger(__name__)

ERROR = 'error'
API, CONDUCTOR, COMPUTE = 'nova-api', 'nova-conductor', 'nova-compute'
NOBODY = Asker()
#: servers of a series that are read at once
TOGETHER = 200


@dataclasses.dataclass(slots=True, frozen=True)
class Message:
    """`build` makes the payload when it is sent, of what was read when it was committed."""

    event_type: str
    publisher: str
    asker: Asker
    build: Callable[[], Payload]
    failed: bool = False


@dataclasses.dataclass(slots=True, frozen=True)
class Series:
    """Messages too many to wait in a queue: they are read from the records when their turn comes. `what` they are."""

    what: str
    messages: Callable[[], Iterator[Message]]


class Listener:
    """`send` takes the messages of one transaction, and never blocks."""

    def __init__(self, send: Callable[[Sequence[Message | Series]], None]) -> None:
        self._send = send
        self.alterations = CONF.notifications.notify_on_state_change is not None

    def prepare(self, conn: sa.Connection, facts: Sequence[Any]) -> list[Message | Series]:
        """No error of ours may cost a transaction, and none of the database's may be hidden from it."""
        try:
            unknown = _unknown(facts)
            servers = instances.get_many(conn, unknown, deleted=True) if unknown else {}
            return [message for fact in facts for message in self._tell(conn, fact, facts, servers)]
        except (db_exc.DBError, sa.exc.SQLAlchemyError):
            raise
        except Exception:
            LOG.exception('What was changed just now cannot be told')
            return []

    def committed(self, ready: list[Message | Series]) -> None:
        if ready:
            self._send(ready)

    def _tell(self, conn: sa.Connection, fact: Any, facts: Sequence[Any],
              servers: dict[str, Instance]) -> Iterator[Message | Series]:
        if isinstance(fact, watch.Begun) and fact.action.instance_uuid in servers:
            yield from _begun(fact, servers[fact.action.instance_uuid])
        elif isinstance(fact, watch.Stepped):
            yield from _stepped(fact, servers)
        elif isinstance(fact, watch.Followed):
            leader = next((one.action for one in facts if isinstance(one, watch.Stepped)
                           and one.action.id == fact.leader), None)
            specs = instances.specs(conn, fact.uuids) if fact.fault is not None else {}
            for uuid in fact.uuids:
                yield _followed(fact, servers[uuid], leader, specs.get(uuid))
        elif isinstance(fact, watch.Altered):
            yield from _altered(fact, servers, _askers(facts))
        elif isinstance(fact, watch.Changed):
            yield from _changed(conn, fact)
        elif isinstance(fact, watch.Audited):
            yield Series(f'instance.exists of {", ".join(fact.hosts)}', lambda: _exists(fact))


def _unknown(facts: Sequence[Any]) -> set[str]:
    """The servers that are to be read."""
    found: set[str] = set()
    for fact in facts:
        if isinstance(fact, watch.Begun) and _beginning(fact):
            found.add(fact.action.instance_uuid)
        elif isinstance(fact, watch.Followed):
            found.update(fact.uuids)
        elif isinstance(fact, watch.Altered):
            found.update(fact.before)
        elif isinstance(fact, watch.Stepped) and (fact.server is None or _gone(fact.action)):
            found.add(fact.action.instance_uuid)
    return found


# -- actions ---------------------------------------------------------------------

def _beginning(fact: watch.Begun) -> tuple[str, ...]:
    if fact.recorded:
        return RECORDED.get(fact.action.action, ())
    return STORIES.get(fact.action.flow, Story()).begin


def _begun(fact: watch.Begun, one: Instance) -> Iterator[Message]:
    for event in _beginning(fact):
        yield _of_server(event, one, fact.action)


def _stepped(fact: watch.Stepped, servers: dict[str, Instance]) -> Iterator[Message]:
    """`fact.server` is the record that the engine goes on with: what is told is what it is now."""
    action, story = fact.action, STORIES.get(fact.action.flow)
    known = fact.server if fact.server is not None else servers.get(action.instance_uuid)
    if story is None or known is None:
        return
    one = copy.copy(known)
    if _gone(action) and action.instance_uuid in servers:
        # The end of the delete has only just set its last columns; its volumes and tags are those of before.
        one = servers[action.instance_uuid]
        one.block_devices, one.tags = known.block_devices, known.tags
    for event in _heard(action, story, fact.log):
        yield (_task_failed(event, one, action, fact.spec) if event.startswith('compute_task.')
               else _of_server(event, one, action))


def _gone(action: Action) -> bool:
    return action.flow == 'delete' and action.state == ActionState.DONE


def _heard(action: Action, story: Story, log: Sequence[tuple[str, str]]) -> Iterator[str]:
    error = action.data.get('error') or {}
    for event, result in log:
        if result == 'Success':
            yield from story.steps.get(event, ())
        elif action.state == ActionState.UNWINDING or action.state == ActionState.FAILED:
            yield from story.trouble if not _first(action, str(error.get('step'))) else ()
    if action.state == ActionState.DONE:
        yield from story.done
    elif action.state == ActionState.FAILED and not (error.get('cancelled') and story.homeless is not None):
        homeless = story.homeless is not None and _first(action, str(error.get('step')))
        yield from story.homeless if homeless and story.homeless else story.failed


def _first(action: Action, step: str) -> bool:
    return step in ('schedule', 'claim_destination')


def _of_server(event: str, one: Instance, action: Action) -> Message:
    name, _, phase = event.partition('.')
    kind, data, asker = PAYLOADS.get(name, 'InstanceActionPayload'), dict(action.data), _asker(action)
    more = _more(kind, one, data)
    error = data.get('error') or {'message': action.message}

    def build() -> Payload:
        trouble = payloads.fault(error, action.flow) if phase == ERROR else None
        return payloads.server(kind, one, asker, fault=trouble, **more)
    return Message(f'instance.{event}', _publisher(name, one, data), asker, build, failed=phase == ERROR)


def _more(kind: str, one: Instance, data: dict[str, Any]) -> dict[str, Any]:
    """What this payload has beside the server and the fault."""
    if kind == 'InstanceCreatePayload':
        return {'keypairs': [payloads.keypair(KeyPair(one.key_name, one.user_id, one.key_data or '', ''))]
                if one.key_name else [], 'tags': list(one.tags), 'trusted_image_certificates': one.trusted_certs,
                'instance_name': one.name}
    if kind == 'InstanceActionVolumePayload':
        return {'volume_id': _volume(one, data, 'bdm', 'volume_id')}
    if kind == 'InstanceActionVolumeSwapPayload':
        return {'old_volume_id': _volume(one, data, 'bdm', 'volume_id'),
                'new_volume_id': _volume(one, data, 'new', 'new_volume_id')}
    if kind == 'InstanceActionSnapshotPayload':
        return {'snapshot_image_id': data.get('image_id')}
    if kind == 'InstanceActionRebuildPayload':
        return {'trusted_image_certificates': one.trusted_certs}
    if kind == 'InstanceActionRescuePayload':
        return {'rescue_image_ref': one.system_metadata.get('rescue_image_ref')}
    if kind == 'InstanceActionResizePrepPayload':
        return {'new_flavor': payloads.flavor(from_primitive(data['flavor'])) if data.get('flavor') else None}
    return {}


def _volume(one: Instance, data: dict[str, Any], mapping: str, key: str) -> str | None:
    """What the API wrote down, or the volume of the mapping while it is there."""
    return data.get(key) or next((str(device.volume_id) for device in one.block_devices
                                  if device.uuid == data.get(mapping)), None)


def _publisher(name: str, one: Instance, data: dict[str, Any]) -> str:
    """binary:host, as the consumers of Nova's know it."""
    if name in BY_API:
        return f'{API}:{CONF.host}'
    if name in BY_CONDUCTOR:
        return f'{CONDUCTOR}:{CONF.host}'
    end = 'dest' if name in AT_DEST else 'source' if name in AT_SOURCE else None
    place = data.get(end) if end else None
    host = (place.get('host') if isinstance(place, dict) else None) or one.host
    return f'{COMPUTE}:{host}' if host else f'{API}:{CONF.host}'


def _task_failed(event: str, one: Instance, action: Action, spec: RequestSpec | None) -> Message:
    flow, error = action.flow, dict(action.data.get('error') or {})
    return Message(event, f'{CONDUCTOR}:{CONF.host}', _asker(action),
                   lambda: payloads.task(one, spec, error, flow), failed=True)


def _followed(fact: watch.Followed, one: Instance, leader: Action | None, spec: RequestSpec | None) -> Message:
    """As its leader: placed, or not."""
    action = leader or Action(action='create', flow='build', instance_uuid=one.uuid, request_id='')
    if fact.fault is None:
        return _of_server('create.start', one, action)
    error = dict(fact.fault)
    return Message('compute_task.build_instances.error', f'{CONDUCTOR}:{CONF.host}', _asker(action),
                   lambda: payloads.task(one, spec, error, action.flow), failed=True)


def _asker(action: Action) -> Asker:
    known = action.user_id and action.project_id
    return Asker(action.user_id, action.project_id, action.request_id if known else None)


# -- instance.update, instance.exists --------------------------------------------------

def _askers(facts: Sequence[Any]) -> dict[str, Asker]:
    """Whose action it is by which a server changes."""
    return {fact.action.instance_uuid: _asker(fact.action) for fact in facts
            if isinstance(fact, (watch.Begun, watch.Stepped))}


def _altered(fact: watch.Altered, servers: dict[str, Instance], askers: dict[str, Asker]) -> Iterator[Message]:
    both = CONF.notifications.notify_on_state_change == 'vm_and_task_state'
    seen = fact.columns & events.SHOWN - {'vm_state', 'task_state', 'power_state'}
    for uuid, before in fact.before.items():
        one = servers.get(uuid)
        if one is None:
            continue
        new_state = one.vm_state != before[0] or (both and one.task_state != before[1])
        if not new_state and not seen:
            continue
        yield _updated(one, before, askers.get(uuid) or _of_context(fact.context))


def _updated(one: Instance, before: Sequence[str | None], asker: Asker) -> Message:
    renamed = before[2] if before[0] is not None and before[2] != one.display_name else None

    def build() -> Payload:
        now = one.updated_at or utcnow()
        return payloads.server(
            'InstanceUpdatePayload', one, asker, state_update=payloads.states(before, one),
            audit_period=payloads.period(audit_period(CONF.instance_usage_audit_period, now)[1], now),
            old_display_name=renamed, tags=list(one.tags))
    return Message('instance.update', _publisher('update', one, {}), asker, build)


def _exists(fact: watch.Audited) -> Iterator[Message]:
    """Read once the audit is committed, some at a time: neither their number nor an error costs the audit."""
    from minicompute.db import session  # once a period
    from minicompute.db.api import usage_audits

    told = payloads.period(*fact.period)
    with session.read() as conn:
        uuids = usage_audits.uuids_of(conn, fact.hosts, fact.period)
    for start in range(0, len(uuids), TOGETHER):
        with session.read() as conn:
            found = instances.get_many(conn, uuids[start:start + TOGETHER], deleted=True)
        for one in found.values():
            yield Message('instance.exists', f'{COMPUTE}:{one.host}', NOBODY, functools.partial(
                payloads.server, 'InstanceExistsPayload', one, NOBODY, audit_period=told))


# -- nouns -------------------------------------------------------------------------

def _changed(conn: sa.Connection, fact: watch.Changed) -> Iterator[Message]:
    noun, verb, what = fact.noun, fact.verb, fact.what
    asker, publisher = _of_context(fact.context), f'{API}:{CONF.host}'
    payload: Payload
    if noun == 'flavor':
        one = what if verb == 'delete' else flavors.get(conn, what)
        payload = payloads.flavor(one, None if verb == 'delete' else flavors.projects(conn, one))
    elif noun == 'aggregate':
        payload = payloads.aggregate(what if verb == 'delete' else aggregates.get(conn, what))
    elif noun == 'keypair':
        payload = payloads.keypair(what)
    elif noun == 'server_group':
        payload = payloads.group(instance_groups.by_id(conn, what) if verb == 'add_member' else what)
    else:
        one = _service(conn, what) if verb != 'delete' else what
        payload, publisher = payloads.service(one, aggregates.zones(conn).get(one.host)), f'{one.binary}:{one.host}'
    phases = ('.start', '.end') if noun in ('aggregate', 'keypair') else ('',)
    for phase in phases:
        yield Message(f'{noun}.{verb}{phase}', publisher, asker, lambda: payload)


def _service(conn: sa.Connection, what: Any) -> Any:
    return services.find(conn, *what) if isinstance(what, tuple) else services.get(conn, id=what)


def _of_context(context: Any) -> Asker:
    if context is None or not context.user_id:
        return NOBODY
    return Asker(context.user_id, context.project_id, context.request_id)
