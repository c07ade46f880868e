"""How the workers behind one socket share its connections."""
from __future__ import annotations

import contextlib
import logging
import socket
import types

import pytest
from gunicorn.config import Config

from minicompute.wsgi.server import FairWorker, _seat, _unseat


class Worker(FairWorker):
    """Takes connections, and keeps them."""

    def enqueue_req(self, conn):
        self.kept.append(conn)

    kept: list


@pytest.fixture
def listener():
    with socket.create_server(('127.0.0.1', 0)) as made:
        made.setblocking(False)
        yield made


@pytest.fixture
def connect(listener):
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(socket.create_connection(listener.getsockname()))


@pytest.fixture
def arbiter(monkeypatch):
    return types.SimpleNamespace(WORKERS={})


@pytest.fixture
def join(arbiter, listener):
    """A new worker, as gunicorn's master makes one."""
    made = []

    def make():
        worker = Worker(len(made), 0, [listener], None, 30, Config(), logging.getLogger())
        worker.kept = []
        _seat(arbiter, worker)
        arbiter.WORKERS[len(made)] = worker
        made.append(worker)
        return worker
    yield make
    for worker in made:
        worker.tmp.close()
        for conn in worker.kept:
            conn.sock.close()


def test_the_one_with_more_leaves_it_to_the_other(join, connect, listener):
    one, two = join(), join()
    for _ in range(6):
        connect()
        one.accept(listener)        # awake first, each time
        two.accept(listener)
    assert (len(one.kept), len(two.kept)) == (3, 3) == (one.nr_conns, two.nr_conns)


def test_a_connection_waits_for_nobody_for_long(join, connect, listener):
    one, two = join(), join()
    connect()
    one.accept(listener)
    connect()
    for _ in range(one.PATIENCE):
        one.accept(listener)
        assert len(one.kept) == 1
    one.accept(listener)            # the other does not come
    assert len(one.kept) == 2 and not two.kept


def test_the_dead_are_not_waited_for(join, connect, listener, arbiter):
    one, two = join(), join()
    _unseat(arbiter, arbiter.WORKERS.pop(1))
    for _ in range(3):
        connect()
        one.accept(listener)
    assert len(one.kept) == 3
    three = join()
    assert three.place == two.place
    connect()
    one.accept(listener)
    three.accept(listener)
    assert len(one.kept) == 3 and len(three.kept) == 1


def test_one_worker_takes_all(join, connect, listener):
    only = join()
    for count in range(1, 4):
        connect()
        only.accept(listener)
        assert only.nr_conns == count
