"""Servers that should be whole on their hosts, and are not, by what these told of what lies there."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from minicompute.db.api import undecided
from minicompute.db.api.audit import MOST, Finding, idle, live, old
from minicompute.db.models import instances
from minicompute.objects import VMState

#: those that have a domain and disks. (A domain that stopped servers do not have is made when they start.)
_WHOLE = (VMState.ACTIVE, VMState.PAUSED, VMState.SUSPENDED, VMState.STOPPED, VMState.RESCUED)
#: what is left to do for a server that has its disks and no domain, by its state; the others are off from now on
_WITHOUT_DOMAIN = {VMState.SUSPENDED: 'the memory that it went to sleep with is lost: reboot it hard',
                   VMState.RESCUED: 'unrescue it'}
RUNS = (VMState.ACTIVE, VMState.PAUSED)


@dataclasses.dataclass(slots=True, frozen=True)
class Told:
    """By one host: the servers of which it has something, those of them that have disks and no domain, and those whose
    domain lacks a disk."""

    uuids: Sequence[str]
    undefined: Sequence[str] = ()
    diskless: Sequence[str] = ()


def broken(conn: sa.Connection, told: Mapping[str, Told]) -> list[Finding]:
    """What lacks something, and nothing is under way for it. `safe`: the host is to look again, and to say that it is
    off."""
    found = [_missing(row) for row in _of(conn, told, _absent(conn, told), _WHOLE)]
    undefined = {uuid for one in told.values() for uuid in one.undefined}
    found += [_undefined(row) for row in _of(conn, told, undefined, (*RUNS, *_WITHOUT_DOMAIN))
              if row.uuid in told[row.host].undefined]
    diskless = {uuid for one in told.values() for uuid in one.diskless}
    found += [_diskless(row) for row in _of(conn, told, diskless, _WHOLE) if row.uuid in told[row.host].diskless]
    return found


def _absent(conn: sa.Connection, told: Mapping[str, Told]) -> list[str]:
    there = {host: set(one.uuids) for host, one in told.items()}
    recorded = conn.execute(sa.select(instances.c.uuid, instances.c.host).where(
        instances.c.host.in_(list(told)), live(), instances.c.vm_state.in_(_WHOLE)))
    return [row.uuid for row in recorded if row.uuid not in there[row.host]]


def _of(conn: sa.Connection, told: Mapping[str, Told], uuids: Iterable[str], states: Sequence[str]) -> Sequence[Any]:
    """Few are: only of these it is asked what they do."""
    wanted = sorted(uuids)[:MOST]
    return conn.execute(sa.select(instances.c.uuid, instances.c.host, instances.c.vm_state).where(
        instances.c.uuid.in_(wanted), instances.c.host.in_(list(told)), instances.c.vm_state.in_(states), live(),
        old(conn, instances.c.updated_at), idle(instances.c.uuid),
        ~undecided.is_noted())).all() if wanted else []


def _missing(row: Any) -> Finding:
    """Only its owner knows whether an empty guest is better than none."""
    return Finding('server without a domain', row.uuid, f'it should be on {row.host}, which has nothing of it; '
                   'reboot it hard, rebuild it or delete it', row.host, safe=False)


def _undefined(row: Any) -> Finding:
    what = _WITHOUT_DOMAIN.get(row.vm_state)
    return Finding('server without a domain', row.uuid, f'{row.host} has its disks, but no domain: '
                   + (what or 'it is off until it is started'), row.host, safe=what is None)


def _diskless(row: Any) -> Finding:
    """A guest that runs has its files open still: nobody here may stop it."""
    return Finding('server without its disks', row.uuid, f'{row.host} has its domain, but not all files of its disks: '
                   'what runs still has them open, and would not start again; save what is in it, then rebuild it or '
                   'delete it', row.host, safe=False)
