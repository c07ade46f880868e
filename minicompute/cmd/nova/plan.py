"""What an import would do: rows to write, what is there already, and what cannot be taken over."""
from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import sqlalchemy as sa

#: the order in which kinds are read, told and written
KINDS = ('flavor', 'flavor access', 'keypair', 'quota', 'aggregate', 'aggregate host', 'server group', 'service',
         'compute node', 'server', 'block device', 'tag', 'group member', 'allocation',
         'migration', 'action', 'action event')


@dataclasses.dataclass(slots=True, frozen=True)
class Refusal:
    kind: str
    name: str
    reason: str


@dataclasses.dataclass(slots=True)
class Plan:
    rows: list[tuple[str, sa.Table, dict[str, Any]]] = dataclasses.field(default_factory=list)
    there: Counter[str] = dataclasses.field(default_factory=Counter)
    refusals: list[Refusal] = dataclasses.field(default_factory=list)
    #: what makes room for rows
    first: list[sa.Delete] = dataclasses.field(default_factory=list)

    def add(self, kind: str, table: sa.Table, **values: Any) -> None:
        self.rows.append((kind, table, values))

    def refuse(self, kind: str, name: Any, reason: str) -> None:
        self.refusals.append(Refusal(kind, str(name), reason))

    def new(self) -> Counter[str]:
        return Counter(kind for kind, _, _ in self.rows)

    def write(self, conn: sa.Connection) -> None:
        """One kind after the other, each in one statement."""
        for statement in self.first:
            conn.execute(statement)
        batches: dict[str, tuple[sa.Table, list[dict[str, Any]]]] = {}
        for kind, table, values in self.rows:
            batches.setdefault(kind, (table, []))[1].append(values)
        for kind in KINDS:
            if kind in batches:
                conn.execute(batches[kind][0].insert(), batches[kind][1])
        if conn.dialect.name == 'postgresql':
            self._move_sequences(conn)

    def _move_sequences(self, conn: sa.Connection) -> None:
        """PostgreSQL gives ids from a counter, which does not see those that are written."""
        for table in {table.name: table for _, table, _ in self.rows if 'id' in table.c}.values():
            conn.execute(sa.select(sa.func.setval(
                sa.func.pg_get_serial_sequence(table.name, 'id'),
                sa.select(sa.func.max(table.c.id)).scalar_subquery())))
