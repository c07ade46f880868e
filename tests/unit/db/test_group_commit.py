from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from minicompute.db.group_commit import MOST, GroupCommit


class Slow:
    """A writer whose first group waits until `others` more are in line."""

    def __init__(self, others):
        self.groups, self.go, self.others = [], threading.Event(), others
        self.commits = GroupCommit(self.write)

    def write(self, items):
        self.groups.append(list(items))
        if len(self.groups) == 1:
            self.go.wait(10)
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
