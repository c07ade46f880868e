"""The journal on each database: claims, leases, locks."""
from __future__ import annotations

import threading
import uuid as uuidlib
from typing import Any

import pytest

from minicompute import exception
from minicompute.db import session
from minicompute.db.api import actions
from minicompute.db.models import instance_actions
from minicompute.objects import Action, ActionState
from tests.functional.counting import told

#: flow -> its steps
FLOWS = {'build': ['schedule'], 'delete': ['destroy']}


def new(uuid: str | None = None, **changes: Any) -> Action:
    uuid = uuid or str(uuidlib.uuid4())
    return Action(**{'action': 'create', 'flow': 'build', 'step': 'schedule', 'instance_uuid': uuid,
                     'request_id': 'req', 'busy': uuid, **changes})


def begin(*many: Action) -> list[int]:
    return session.write(actions.begin, list(many))


def claim(ids: list[int], owner: str, lease: float = 10) -> list[Action]:
    return session.write(actions.claim, ids, owner, lease, FLOWS)


def expire(action_id: int) -> None:
    session.write(lambda conn: conn.execute(instance_actions.update().where(
        instance_actions.c.id == action_id).values(lease_until=None)).rowcount)


def test_many_rows_get_ids_in_their_order(database: str) -> None:
    many = [new() for _ in range(5)]
    ids = begin(*many)
    assert ids == sorted(ids)
    with session.read() as conn:
        assert [a.instance_uuid for a in actions.load(conn, ids)] == [a.instance_uuid for a in many]


def test_a_second_operation_is_refused(database: str) -> None:
    first = new()
    begin(first)
    with pytest.raises(exception.ActionInProgress):
        begin(new(first.instance_uuid))


def test_only_one_claims(database: str) -> None:
    (action_id,) = begin(new())
    (mine,) = claim([action_id], 'a')
    assert mine.generation == 1
    assert claim([action_id], 'b') == []


def test_a_lease_that_ran_out_is_taken_over_with_a_higher_fence(database: str) -> None:
    (action_id,) = begin(new())
    (old,) = claim([action_id], 'a', lease=0)
    expired = claim([action_id], 'b')
    assert [a.fence for a in expired] > [old.fence]


def test_ones_own_is_taken_back_at_once(database: str) -> None:
    (action_id,) = begin(new())
    claim([action_id], 'a')
    assert claim([action_id], 'a')[0].generation == 2


def test_renewal_keeps_others_away(database: str) -> None:
    (action_id,) = begin(new())
    claim([action_id], 'a', lease=0)
    session.write(actions.renew, 'a', 10)
    assert claim([action_id], 'b') == []


def test_the_sweep_finds_what_nobody_holds(database: str) -> None:
    fresh, unknown = begin(new(), new(flow='from-the-future'))
    with session.read() as conn:
        assert actions.unclaimed(conn, 'a', FLOWS) == []   # its caller still has its grace
    expire(fresh)
    expire(unknown)
    with session.read() as conn:
        assert actions.unclaimed(conn, 'a', FLOWS) == [fresh]
    assert claim([unknown], 'a') == []


def test_a_waiting_delete_is_let_go(database: str) -> None:
    first = new()
    (leader,) = begin(first)
    uuid = first.instance_uuid
    (second,) = begin(new(uuid, flow='delete', state=ActionState.QUEUED, after=leader, busy=actions.queued_key(uuid)))
    (mine,) = claim([leader], 'a')
    mine.state = ActionState.DONE

    def end(conn: Any) -> list[int]:
        actions.save_many(conn, [mine], session.now(conn), 10)
        return actions.release_waiting(conn, [mine])
    assert session.write(end) == [second]
    with session.read() as conn:
        held = actions.running(conn, uuid)
    assert held is not None and held.id == second and held.state == ActionState.RUNNING


def queue(uuid: str, **changes: Any) -> Action:
    action = new(uuid, **changes)
    session.write(actions.begin_queued, action)
    return action


@pytest.mark.parametrize('servers', [1, 9])
def test_what_is_refused_in_a_queue_costs_the_same_however_much_it_is(database: str, servers: int) -> None:
    """Of each line three, beside each other and not; who stands behind them stands behind who was before them."""
    lines = [[queue(uuid) for _ in range(7)] for uuid in (str(uuidlib.uuid4()) for _ in range(servers))]
    refused = [line[place].id or 0 for line in lines for place in (1, 3, 4)]
    seen: list[str] = []
    with told('before_cursor_execute', lambda conn, cursor, statement, *_: seen.append(statement)):
        rung = session.write(actions.refuse_queued, refused, {'message': 'silent', 'code': 409})
    assert sorted(rung) == sorted(refused)
    assert len([statement for statement in seen if statement.startswith('UPDATE')]) == 2, seen
    assert len([statement for statement in seen if statement.startswith('SELECT')]) <= 6, seen
    for line in lines:
        with session.read() as conn:
            first, _, second, _, _, third, last = now = actions.load(conn, [one.id or 0 for one in line])
        assert [one.state for one in now] == ['running', 'unwinding', 'queued', 'unwinding', 'unwinding', 'queued',
                                              'queued']
        assert [one.after for one in now] == [None, None, first.id, None, None, second.id, third.id]
        assert [one.data.get('error', {}).get('code') for one in now] == [None, 409, None, 409, 409, None, None]
        assert last.busy != third.busy
    assert session.write(actions.refuse_queued, refused, {'message': 'silent', 'code': 409}) == []


def end(*ended: Action) -> list[int]:
    def write(conn: Any) -> list[int]:
        for action in ended:
            action.state = ActionState.DONE
        actions.save_many(conn, ended, session.now(conn), 10)
        return actions.release_waiting(conn, ended)
    return session.write(write)


def test_those_in_a_queue_go_one_by_one(database: str) -> None:
    uuid = str(uuidlib.uuid4())
    line = [queue(uuid) for _ in range(4)]
    assert [action.state for action in line] == ['running', *['queued'] * 3]
    assert [action.after for action in line] == [None, *(action.id for action in line[:3])]
    for this, following in zip(line, [*line[1:], None], strict=True):
        (mine,) = claim([this.id or 0], 'a')
        assert mine.id == this.id, 'only the one at the front can be claimed'
        assert end(mine) == ([following.id] if following else [])
    with session.read() as conn:
        assert actions.running(conn, uuid) is None


def test_a_delete_goes_before_a_queue_and_ends_it(database: str) -> None:
    uuid = str(uuidlib.uuid4())
    first, second, third = (queue(uuid) for _ in range(3))
    (delete,) = begin(new(uuid, flow='delete', step='destroy', state=ActionState.QUEUED, after=first.id,
                          busy=actions.queued_key(uuid)))
    assert end(*claim([first.id or 0], 'a')) == [delete]
    with session.read() as conn:
        left = {action.id: action for action in actions.load(conn, [second.id or 0, third.id or 0])}
    assert left[second.id].after == delete and left[second.id].cancel
    assert end(*claim([delete], 'a')) == [second.id]
    assert end(*claim([second.id or 0], 'a')) == [third.id]


def test_a_queue_whose_head_died_goes_on(database: str) -> None:
    """Two that wait for one that has ended without letting them go: one of them goes."""
    first = new()
    (leader,) = begin(first)
    behind = [begin(new(first.instance_uuid, state=ActionState.QUEUED, after=leader, busy=f'{leader}/{n}'))[0]
              for n in range(2)]
    session.write(lambda conn: conn.execute(instance_actions.update().where(
        instance_actions.c.id == leader).values(state=ActionState.DONE, busy=None)).rowcount)
    assert session.write(actions.release_orphans) == behind[:1]
    assert session.write(actions.release_orphans) == []


def test_nothing_queues_behind_what_is_stuck(database: str) -> None:
    held = queue(str(uuidlib.uuid4()))
    session.write(lambda conn: conn.execute(instance_actions.update().where(
        instance_actions.c.id == held.id).values(state=ActionState.STUCK)).rowcount)
    with pytest.raises(exception.Conflict, match='stuck'):
        queue(held.instance_uuid)


def test_parallel_claims_share_nothing(database: str) -> None:
    ids = begin(*[new() for _ in range(20)])
    taken: list[int] = []
    start = threading.Barrier(4)

    def work(owner: str) -> None:
        start.wait()
        taken.extend(a.id or 0 for a in claim(ids, owner))
    threads = [threading.Thread(target=work, args=(f'c{n}',)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(ids)
