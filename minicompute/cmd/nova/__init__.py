"""minicompute-manage import nova: what a Nova has, taken over into our records.

    source.py    what is read there        convert.py   its documents in our words
    plan.py      what would be written     catalog.py, servers.py   how it comes about

Nothing is ever written to Nova's databases. All of a plan is written in one transaction, or nothing of it; what is here
already is left, so that a second run writes nothing.
"""
from __future__ import annotations

import argparse
from typing import Any

import sqlalchemy as sa

from minicompute.cmd.nova import catalog, servers
from minicompute.cmd.nova.plan import KINDS, Plan
from minicompute.cmd.nova.source import Source
from minicompute.db import session

#: exit status when something cannot be taken over
LEFT = 3


def run(args: argparse.Namespace) -> tuple[list[list[Any]], Plan]:
    """-> (a row for each kind: kind, new, there, cannot), the plan."""
    source = Source(args.nova_database, args.nova_api_database)
    hosts = set(args.hosts) if args.hosts else None
    try:
        with session.read() as conn:
            plan = make(conn, source, hosts, force=args.force)
        if args.apply:      # anew, of what was read: while Nova is asked nothing of ours is locked
            plan = session.write(_apply, source, hosts, args.force)
    finally:
        source.close()
    new = plan.new()
    refused = {kind: sum(1 for one in plan.refusals if one.kind == kind) for kind in KINDS}
    return [[kind, new[kind], plan.there[kind], refused[kind]] for kind in KINDS
            if new[kind] or plan.there[kind] or refused[kind]], plan


def _apply(conn: sa.Connection, source: Source, hosts: set[str] | None, force: bool) -> Plan:
    plan = make(conn, source, hosts, force=force)
    plan.write(conn)
    return plan


def make(conn: sa.Connection, source: Source, hosts: set[str] | None, *, force: bool = False) -> Plan:
    """`hosts` None: of all. `force`: also servers of a host whose nova-compute reports."""
    plan = Plan()
    catalog.take_all(conn, source, plan, hosts)
    servers.take_all(conn, source, plan, hosts, force=force)
    return plan
