"""Many rows of one table in one UPDATE: what is the same for all is set once, the rest by a CASE over the key."""
from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

#: rows of one statement at most; a CASE is walked through for each row
MOST = 64


def update(conn: sa.Connection, key: sa.Column[Any], rows: Mapping[Any, Mapping[str, Any]],
           where: sa.ColumnElement[bool] | None = None) -> int:
    """`rows`: {value of `key`: {column: value}}. Rows that are not there, or not of `where` (a constant of the
    caller's module), stay as they are. -> how many were there."""
    met = 0
    by_columns: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for identity, values in rows.items():
        by_columns[tuple(sorted(values))].append(identity)
    for names, identities in by_columns.items():
        for start in range(0, len(identities), MOST):
            some = sorted(identities[start:start + MOST])
            met += _update(conn, key, names, some, [rows[identity] for identity in some], where)
    return met


def _update(conn: sa.Connection, key: sa.Column[Any], names: tuple[str, ...], identities: Sequence[Any],
            values: Sequence[Mapping[str, Any]], where: sa.ColumnElement[bool] | None) -> int:
    same = tuple(name for name in names if _same([row[name] for row in values]))
    other = tuple(name for name in names if name not in same)
    size = 1 << (len(identities) - 1).bit_length()
    params = {f's_{name}': values[0][name] for name in same}
    for place in range(size):     # the last one fills the places up to the statement's size
        row = min(place, len(identities) - 1)
        params[f'k_{place}'] = identities[row]
        for name in other:
            params[f'v_{name}_{place}'] = values[row][name]
    return conn.execute(_statement(key, same, other, size, where), params).rowcount


def _same(values: Sequence[Any]) -> bool:
    """Equal is not enough: True is 1, also inside a document."""
    first = values[0]
    if isinstance(first, (dict, list)):
        return len(values) == 1
    return all(type(value) is type(first) and value == first for value in values)


@functools.lru_cache(maxsize=512)
def _statement(key: sa.Column[Any], same: tuple[str, ...], other: tuple[str, ...], size: int,
               where: sa.ColumnElement[bool] | None) -> sa.Update:
    """Sizes are powers of two, so that few statements are ever built and compiled."""
    columns = key.table.c
    keys = [sa.bindparam(f'k_{place}', type_=key.type) for place in range(size)]
    values: dict[str, Any] = {name: sa.bindparam(f's_{name}', type_=columns[name].type) for name in same}
    for name in other:
        values[name] = sa.case(*(
            (key == keys[place], sa.bindparam(f'v_{name}_{place}', type_=columns[name].type)) for place in range(size)))
    assert isinstance(key.table, sa.Table)
    statement = key.table.update().where(key.in_(keys)).values(values)
    return statement if where is None else statement.where(where)
