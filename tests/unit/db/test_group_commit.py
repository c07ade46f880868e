from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from oslo_db import exception as db_exc

from minicompute.db.group_commit import MOST, BrokenOff, GroupCommit, _Entry


class Slow:
    """A writer whose first group waits until `others` more are in line."""

    def __init__(self, others):
        self.groups, self.go, self.others = [], threading.Event(), others
        self.commits = GroupCommit(self.write)

    def write(self, items):
        self.groups.append(list(items))
        if len(self.groups) == 1:
            self.go.wait(60)
        return [KeyError(item) if item == 'bad' else item * 2 for item in items]

    def waiting(self, key):
        return len(self.commits._queues.get(key, ()))


def put_behind(slow, first, others):
    """`first` is being written while `others` come. -> futures"""
    pool = ThreadPoolExecutor(len(others) + 1)
    futures = [pool.submit(slow.commits.put, 'p', first)]
    while not slow.groups:
        pass
    futures += [pool.submit(slow.commits.put, 'p', item) for item in others]
    while slow.waiting('p') < len(others):
        pass
    slow.go.set()
    return futures


def test_what_comes_meanwhile_shares_the_next_group():
    slow = Slow(5)
    futures = put_behind(slow, 1, [2, 3, 4, 5, 6])
    assert [future.result(10) for future in futures] == [2, 4, 6, 8, 10, 12]
    assert slow.groups[0] == [1] and sorted(slow.groups[1]) == [2, 3, 4, 5, 6] and len(slow.groups) == 2
    assert not slow.commits._queues


def test_a_group_has_a_bound():
    slow = Slow(MOST + 3)
    futures = put_behind(slow, 0, list(range(MOST + 3)))
    assert sorted(future.result(10) for future in futures[1:]) == [n * 2 for n in range(MOST + 3)]
    assert [len(group) for group in slow.groups] == [1, MOST, 3]


def test_each_gets_its_own_answer():
    slow = Slow(2)
    good, bad, other = put_behind(slow, 'a', ['bad', 'b'])
    assert good.result(10) == 'aa' and other.result(10) == 'bb'
    with pytest.raises(KeyError, match='bad'):
        bad.result(10)


def test_a_broken_writer_breaks_nobody_after_it():
    def write(items):
        if items == [0]:
            raise ValueError('no')
        return items
    commits = GroupCommit(write)
    with pytest.raises(ValueError, match='no'):
        commits.put('p', 0)
    assert commits.put('p', 1) == 1


def test_other_keys_do_not_wait():
    slow = Slow(0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(slow.commits.put, 'p', 1)
        while not slow.groups:
            pass
        assert slow.commits.put('q', 2) == 4
        slow.go.set()
        assert first.result(10) == 2


def test_a_group_that_fails_is_written_one_by_one():
    seen = []

    def write(items):
        seen.append(list(items))
        if len(items) > 1 or items == [3]:
            raise ValueError(items)
        return items
    slow = Slow(3)
    slow.write, first = write, slow.write
    slow.commits._write = lambda items: first(items) if not slow.groups else write(items)
    zero, *others = put_behind(slow, 0, [1, 2, 3])
    assert zero.result(10) == 0
    assert sorted(future.exception(10) is None for future in others) == [False, True, True]
    assert len(seen[0]) == 3 and sorted(map(len, seen[1:])) == [1, 1, 1]


def test_a_database_that_is_away_is_not_asked_for_each():
    asked = []

    def write(items):
        asked.append(items)
        raise db_exc.DBConnectionError('away')
    slow = Slow(3)
    first = slow.write
    slow.commits._write = lambda items: first(items) if not slow.groups else write(items)
    _, *others = put_behind(slow, 0, [1, 2, 3])
    assert all(isinstance(future.exception(10), db_exc.DBConnectionError) for future in others)
    assert len(asked) == 1


def test_who_stops_waiting_holds_up_nobody():
    slow = Slow(0)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(slow.commits.put, 'p', 1)
        while not slow.groups:
            pass
        gone = _Entry(9)
        gone.woken.wait = interrupted
        slow.commits._queues['p'].append(gone)
        with pytest.raises(KeyboardInterrupt):
            try:
                gone.woken.wait()
            except BaseException:
                slow.commits._leave('p', gone)
                raise
        second = pool.submit(slow.commits.put, 'p', 2)
        while not slow.waiting('p'):
            pass
        slow.go.set()
        assert (first.result(10), second.result(10)) == (2, 4)


def interrupted():
    raise KeyboardInterrupt


def test_a_writer_that_is_stopped_says_so():
    slow = Slow(1)
    first = slow.write

    def write(items):
        if not slow.groups:
            return first(items)
        raise SystemExit
    slow.commits._write = write
    pool = ThreadPoolExecutor(3)
    futures = [pool.submit(slow.commits.put, 'p', 0)]
    while not slow.groups:
        pass
    for item in (1, 2):
        futures.append(pool.submit(slow.commits.put, 'p', item))
        while slow.waiting('p') < item:
            pass
    slow.go.set()
    assert {type(future.exception(10)) for future in futures[1:]} == {SystemExit, BrokenOff}
    assert not slow.commits._queues
