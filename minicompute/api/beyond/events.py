"""/events: what becomes of the project's servers, as it happens; /servers/{id}/wait: the same for who wants one thing.

    id: 4711
    event: server
    data: {"kind": "changed", "server": {"id": ..., "status": "ACTIVE", "task_state": null, ...}, "time": ...}

Server-sent events, as browsers read them by themselves: one that was cut off asks again with `Last-Event-ID` and is
told all that came after it, once.
"""
from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import orjson

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.beyond import schemas
from minicompute.api.beyond.hub import Follower, hub
from minicompute.api.beyond.stream import Stream
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import lookup
from minicompute.db import session
from minicompute.db.api import events as db
from minicompute.db.api.events import Event

RULE = 'minicompute:events:%s'
#: a stream ends after so many seconds and is asked for again: then the token is looked at again
LIFETIME = 3600.0
DEFAULT_WAIT = 60
TRUE = ('1', 'true', 'True')
_NUMBER = re.compile('[0-9]{1,18}')


class EventsController(wsgi.Controller):

    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(query=schemas.follow_query)
    def index(self, req: Request) -> Stream:
        context = req.context
        policy.authorize(context, RULE % 'follow')
        project: str | None = context.project_id or ''
        if common.last(req, 'all_projects') in TRUE:
            policy.authorize(context, RULE % 'follow:all_projects')
            project = None
        server = common.last(req, 'server_id')
        if server is not None:
            project = _own_server(req, server, 'follow').project_id
        _ready(context.project_id)
        last, complete = _start(_last_event_id(req))
        sees_hosts = policy.allowed(context, RULE % 'hosts')
        follower = Listener(last, time.monotonic() + LIFETIME, project_id=project, instance_uuid=server,
                            sees_hosts=sees_hosts, asker=context.project_id or '')
        return Stream(hub, follower, follower.backlog(complete=complete), 'text/event-stream')

    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(query=schemas.wait_query, answer=schemas.wait_answer)
    def wait(self, req: Request, id: str) -> Any:
        row = _own_server(req, id, 'wait')
        seconds = int(common.last(req, 'timeout') or DEFAULT_WAIT)
        if seconds > schemas.LONGEST_WAIT:
            raise exception.Invalid(f'timeout: {schemas.LONGEST_WAIT} seconds are the most that can be asked for')
        _ready(req.context.project_id)
        last, _ = _start(None)
        with session.read() as conn:
            row = db.state_of(conn, id)     # after `last`: what comes now is an event that we hear
        waiter = Waiter(last, time.monotonic() + seconds, wanted=str(common.last(req, 'status')).upper(), row=row,
                        asker=req.context.project_id or '')
        if waiter.answer is not None:
            return waiter.answer
        return Stream(hub, waiter, (), 'application/json')


ROUTES = (
    ('GET', '/events', EventsController, 'index'),
    ('GET', '/servers/{id}/wait', EventsController, 'wait'),
)


def _ready(asker: str | None) -> None:
    """Raises TooMany, Unavailable."""
    if not db.kept():
        raise exception.Unavailable('This service keeps no events: [events] keep_hours is 0.')
    hub.room(asker or '')       # before anything is read; who is let in is decided when the answer begins


def _own_server(req: Request, uuid: str, rule: str) -> Any:
    """A server of the caller's, also one that is gone. Raises InstanceNotFound, PolicyNotAuthorized."""
    with session.read() as conn:
        row = db.state_of(conn, uuid)
    if row is None or lookup.scope(req.context) not in (None, row.project_id):
        raise exception.InstanceNotFound(instance_id=uuid)
    policy.authorize(req.context, RULE % rule, {'project_id': row.project_id, 'user_id': row.user_id})
    return row


def _last_event_id(req: Request) -> int | None:
    """Of the header, as browsers send it, or of the query, as who cannot set one does. Raises Invalid."""
    text = req.headers.get('Last-Event-ID') or common.last(req, 'last_event_id')
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise exception.Invalid(f'Last-Event-ID: {text[:32]!r} is not the id of an event')
    return int(text)


def _start(after: int | None) -> tuple[int, bool]:
    """-> (the event to begin behind, whether all that came after `after` is there still)"""
    db.sequence()
    with session.read() as conn:
        head = db.head(conn)
        if after is None:
            return head, True
        if after > head:        # of other records than these
            return head, False
        return after, db.complete_since(conn, after)


class Listener(Follower):
    """Of /events."""

    def __init__(self, last: int, until: float, *, project_id: str | None, instance_uuid: str | None,
                 sees_hosts: bool, asker: str = '') -> None:
        super().__init__(last, until, project_id=project_id, instance_uuid=instance_uuid, asker=asker)
        self._sees_hosts = sees_hosts

    def backlog(self, *, complete: bool) -> Iterator[bytes]:
        """What has happened since, by the caller's own thread, so that nobody waits for who was away for long."""
        yield b'retry: 1000\n\n'
        if not complete:
            yield _message('lost', {'text': 'What came before is not kept any more: read the servers again.'},
                           self.last)
        while True:
            with session.read() as conn:
                head = db.head(conn)    # first: what is numbered meanwhile is read, or comes after it
                many = db.since(conn, self.last, project_id=self.project_id, instance_uuid=self.instance_uuid)
            if not many:
                # Nothing up to there concerns it. From where it was, the hub would read everybody's events again.
                self.last = max(self.last, head)
                yield self.beat()       # so far; what follows is news
                return
            yield b''.join(self.tell(event) for event in many)
            self.last = many[-1].seq

    def tell(self, event: Event) -> bytes:
        return _message('server', _shown(event, self._sees_hosts), event.seq)

    def beat(self) -> bytes:
        return b': \nid: %d\n\n' % self.last    # an id without data is remembered, and no event

    def farewell(self) -> bytes:
        return b''


def _message(kind: str, data: dict[str, Any], seq: int) -> bytes:
    """JSON has no line breaks outside of its strings, and none in them."""
    return b'id: %d\nevent: %b\ndata: %b\n\n' % (seq, kind.encode(), orjson.dumps(data))


def _shown(event: Event, hosts: bool) -> dict[str, Any]:
    server = {'id': event.instance_uuid, 'name': event.name, 'project_id': event.project_id,
              'status': common.status(event.vm_state, event.task_state), 'vm_state': event.vm_state,
              'task_state': event.task_state, 'power_state': event.power_state}
    if hosts:
        server['host'] = event.host
    return {'kind': event.kind, 'time': event.created_at.isoformat() + 'Z', 'server': server}


class Waiter(Follower):
    """Of /servers/{id}/wait. `answer` is set at once when there is nothing to wait for."""

    def __init__(self, last: int, until: float, *, wanted: str, row: Any, asker: str = '') -> None:
        super().__init__(last, until, project_id=None, instance_uuid=row.uuid, asker=asker)
        self._wanted = wanted
        self._server = _state(row.uuid, row.display_name, row)
        reason = self._reason(at_once=True)
        self.answer = None if reason is None else self._answer(reason)

    def _reason(self, *, at_once: bool = False) -> str | None:
        """Why the wait is over. (A server that is in ERROR already may be on its way out of it.)"""
        status, task = self._server['status'], self._server['task_state']
        if status == self._wanted and (task is None or status == 'DELETED'):
            return 'status'
        if status == 'DELETED':
            return 'deleted'
        return 'error' if status == 'ERROR' and task is None and not at_once else None

    def _answer(self, reason: str) -> dict[str, Any]:
        return {'server': self._server, 'reached': reason == 'status', 'reason': reason}

    def tell(self, event: Event) -> bytes:
        self._server = _state(event.instance_uuid, event.name, event)
        reason = self._reason()
        if reason is None:
            return b''
        self.over = True
        return orjson.dumps(self._answer(reason))

    def beat(self) -> bytes:
        return b' '     # no JSON begins to differ by it

    def farewell(self) -> bytes:
        return orjson.dumps(self._answer('timeout'))


def _state(uuid: str, name: str | None, row: Any) -> dict[str, Any]:
    return {'id': uuid, 'name': name, 'status': common.status(row.vm_state, row.task_state),
            'task_state': row.task_state, 'power_state': row.power_state}

