"""What transactions change, for a listener in this process that is told once they are committed.

    note(conn, Begun(action))      by the functions that write, in the transaction
    prepare(conn, facts)           the listener reads what it needs, at the transaction's end and still in it
    committed(ready)               the listener has what was committed, and nothing else

Nobody listens by default: then a note costs one comparison.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from oslo_context import context as oslo_context

from minicompute.db.models import instances
from minicompute.objects import Action

#: the option of a connection that holds the facts of its transaction
SHEET = 'minicompute_facts'


@dataclasses.dataclass(slots=True, frozen=True)
class Begun:
    """An action was accepted; `recorded`: and is over, the API did all of it."""

    action: Action
    recorded: bool = False


@dataclasses.dataclass(slots=True, frozen=True)
class Stepped:
    """A step of an action was written. `log` are (event, result) of the step log; `server` is as it is now."""

    action: Action
    server: Any
    spec: Any
    log: tuple[tuple[str, str], ...]


@dataclasses.dataclass(slots=True, frozen=True)
class Followed:
    """Servers of a multi-create got their hosts with the action `leader`, or (`fault`) none."""

    uuids: tuple[str, ...]
    leader: int | None
    fault: Mapping[str, Any] | None = None


@dataclasses.dataclass(slots=True, frozen=True)
class Changed:
    """`verb` was done to a `noun` (flavor, keypair, aggregate, server_group, service); `what` is its record, or the key
    under which it is read at the end."""

    noun: str
    verb: str
    what: Any
    context: Any


@dataclasses.dataclass(slots=True, frozen=True)
class Altered:
    """Columns of servers were changed; `before` are (vm_state, task_state, display_name) of each."""

    before: Mapping[str, Any]
    columns: frozenset[str]
    context: Any


@dataclasses.dataclass(slots=True, frozen=True)
class Audited:
    """The usage of these hosts in a period was written down."""

    hosts: tuple[str, ...]
    period: tuple[Any, Any]


class Listener(Protocol):
    #: whether it wants to know of each change of a server's columns, which costs a query before and one after
    alterations: bool

    def prepare(self, conn: sa.Connection, facts: Sequence[Any]) -> Any: ...

    def committed(self, ready: Any) -> None: ...


listener: Listener | None = None


def on() -> bool:
    return listener is not None


def note(conn: sa.Connection, fact: Any) -> None:
    sheet = conn.get_execution_options().get(SHEET)
    if sheet is not None:
        sheet.append(fact)


def changed(conn: sa.Connection, noun: str, verb: str, what: Any) -> None:
    """A noun of the API."""
    if listener is not None:
        note(conn, Changed(noun, verb, what, oslo_context.get_current()))


def before(conn: sa.Connection, uuids: Collection[str], columns: Collection[str]) -> Altered | None:
    """What these servers are before the change: to be handed to `after` behind it."""
    if listener is None or not listener.alterations or not uuids:
        return None
    c = instances.c
    rows = conn.execute(sa.select(c.uuid, c.vm_state, c.task_state, c.display_name).where(c.uuid.in_(list(uuids))))
    return Altered({row.uuid: row[1:] for row in rows}, frozenset(columns), oslo_context.get_current())


def after(conn: sa.Connection, altered: Altered | None) -> None:
    if altered is not None and altered.before:
        note(conn, altered)
