from __future__ import annotations

import datetime

import pytest
import sqlalchemy as sa

from minicompute.db import bulk, session
from minicompute.db.models import instance_actions as actions
from minicompute.objects import Action

AT = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)


def fill(number):
    from minicompute.db.api import actions as journal
    return session.write(journal.begin, [Action(
        action='a', flow='f', step='s', instance_uuid=f'u{n}', busy=f'u{n}', request_id='r') for n in range(number)])


def rows(*columns):
    with session.read() as conn:
        return [tuple(row) for row in conn.execute(sa.select(*columns).order_by(actions.c.id))]


@pytest.mark.parametrize('number', [1, 2, 3, 5, 64, 65, 130])
def test_each_row_gets_its_own(database, number):
    ids = fill(number)
    changes = {action_id: {'data': {'n': place}, 'attempts': place, 'message': f'm{place}' if place % 2 else None,
                           'cancel': place % 3 == 0, 'lease_until': AT + datetime.timedelta(seconds=place),
                           'state': 'done'} for place, action_id in enumerate(ids)}
    assert session.write(bulk.update, actions.c.id, changes) == number
    found = rows(actions.c.data, actions.c.attempts, actions.c.message, actions.c.cancel, actions.c.lease_until,
                 actions.c.state)
    assert found == [({'n': place}, place, f'm{place}' if place % 2 else None, place % 3 == 0,
                      AT + datetime.timedelta(seconds=place), 'done') for place in range(number)]


def test_rows_of_unlike_columns(database):
    first, second, third = fill(3)
    session.write(bulk.update, actions.c.id, {
        first: {'message': 'x'}, second: {'attempts': 4}, third: {'message': 'y'}})
    assert rows(actions.c.message, actions.c.attempts) == [('x', 0), (None, 4), ('y', 0)]


def test_what_is_not_there_stays_away(database):
    first, second = fill(2)
    held = actions.c.state == 'running'
    assert session.write(bulk.update, actions.c.id, {first: {'message': 'x'}, second + 9: {'message': 'y'}}, held) == 1
    session.write(bulk.update, actions.c.id, {first: {'state': 'done'}}, held)
    assert session.write(bulk.update, actions.c.id, {first: {'message': 'z'}, second: {'message': 'z'}}, held) == 1
    assert rows(actions.c.message) == [('x',), ('z',)]


def test_equal_is_not_the_same(database):
    """True == 1 == 1.0, and so are the documents that hold them."""
    ids = fill(3)
    session.write(bulk.update, actions.c.id, {
        action_id: {'data': {'v': value}} for action_id, value in zip(ids, (True, 1, 1.0), strict=True)})
    assert [type(data['v']) for data, in rows(actions.c.data)] == [bool, int, float]


def test_few_statements(database):
    """Sizes are powers of two: what is built and compiled is bounded."""
    ids = fill(64)
    bulk._statement.cache_clear()
    for number in range(1, 65):
        session.write(bulk.update, actions.c.id, {action_id: {'attempts': action_id} for action_id in ids[:number]})
    assert bulk._statement.cache_info().currsize == 7
