"""Serves a WSGI application: gunicorn's processes and threads behind one socket.

The application is loaded before the fork (memory is shared, a broken configuration is one line and not
one a worker); connections to the database and the broker are made after it.  A worker whose parent was
killed leaves by itself.
"""
from __future__ import annotations

import gc
import logging as std_logging
import mmap
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from minicompute import concurrency
from minicompute.conf import CONF

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

# A page of 1,000 servers makes 10,000 objects, none of them garbage before it is sent: at Python's 700 a tenth
# of the time goes into looking for some.
COLLECT = (20_000, 10, 20)
KEEPALIVE = 75          # seconds that an idle connection is kept; longer than usual balancers keep theirs


class OsloLogger(Logger):
    """gunicorn's messages in our log, and no access log: ours has the request id."""

    def setup(self, cfg: Any) -> None:
        self.error_log = std_logging.getLogger('gunicorn.error')
        self.access_log = std_logging.getLogger('gunicorn.access')
        self.error_log.propagate = True

    def access(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def reopen_files(self) -> None:
        pass

    def close_on_exec(self) -> None:
        pass


class Load:
    """How many connections each worker has: one number each, in memory that the forks share."""

    NOBODY = -1
    MOST = 256      # workers; those above share no number and wait for nobody

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, self.MOST * 4)).cast('i')
        for place in range(self.MOST):
            self.leave(place)

    def enter(self) -> int | None:
        """-> the place of a new worker (in the master, which alone gives places)"""
        for place, count in enumerate(self._counts):
            if count == self.NOBODY:
                self._counts[place] = 0
                return place
        return None

    def leave(self, place: int) -> None:
        self._counts[place] = self.NOBODY

    def set(self, place: int, count: int) -> None:
        self._counts[place] = count

    def least(self) -> int:
        return min((count for count in self._counts if count != self.NOBODY), default=0)


class FairWorker(ThreadWorker):
    """A worker that leaves a new connection to one with fewer.

    Clients keep their connections: without this the worker that happened to be awake first takes most of
    them and answers on one core while the others sleep.
    """

    load_of_all: Load | None = None
    place: int | None = None
    PATIENCE = 8        # times that a connection is left to others,
    PAUSE = 0.0005      # seconds for each

    _left = 0
    _count = 0

    @property
    def nr_conns(self) -> int:
        return self._count

    @nr_conns.setter
    def nr_conns(self, count: int) -> None:
        self._count = count
        if self.load_of_all is not None and self.place is not None:
            self.load_of_all.set(self.place, count)

    def accept(self, listener: Any) -> None:
        if self.load_of_all is not None and self.place is not None and self._left < self.PATIENCE and (
                self._count > self.load_of_all.least()):
            self._left += 1
            time.sleep(self.PAUSE)      # the poller calls again if nobody took it
            return
        self._left = 0
        super().accept(listener)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """A connection that the application has taken (api/beyond/stream.py) is not ours to shut down."""
        if conn.sock.fileno() < 0:
            self.nr_conns -= 1
            return
        super().finish_request(conn, fs)


class GreenWorker(FairWorker):
    """The same under eventlet, where a signal arrives in the hub, which may not touch a queue."""

    def handle_exit(self, _sig: int, _frame: Any) -> None:
        self.alive = False      # the loop looks each second


class Server(BaseApplication):
    """`load` makes the application, once, before the fork; `after_fork` and `before_exit` run in each worker. `also`:
    further addresses on which the same workers listen."""

    def __init__(self, name: str, host: str, port: int, load: Callable[[], WSGIApplication],
                 after_fork: Callable[[], None], before_exit: Callable[[], None],
                 also: Sequence[tuple[str, int]] = (), workers: int | None = None) -> None:
        self._name, self._workers = name, workers or CONF.osapi_compute_workers
        self._bind = [f'[{one}]:{number}' if ':' in one else f'{one}:{number}' for one, number in [(host, port), *also]]
        self._load = load
        self._after_fork, self._before_exit = after_fork, before_exit
        super().__init__()

    def load_config(self) -> None:
        settings: dict[str, Any] = {
            'bind': self._bind,
            'workers': self._workers,
            'threads': CONF.osapi_compute_threads,
            'worker_class': GreenWorker if concurrency.backend() == concurrency.EVENTLET else FairWorker,
            'worker_connections': 4096,
            'preload_app': True,
            'timeout': 60,
            'graceful_timeout': max(1, CONF.graceful_shutdown_timeout - 1),
            'keepalive': KEEPALIVE,
            'proc_name': self._name,
            'logger_class': OsloLogger,
            'control_socket_disable': True,
            'pre_fork': _seat,
            'child_exit': _unseat,
            'post_fork': lambda _arbiter, _worker: self._after_fork(),
            'worker_exit': self._leave,
        }
        for name, value in settings.items():
            if name in self.cfg.settings:       # an older gunicorn has fewer
                self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        application = self._load()
        gc.freeze()     # what is there now stays: no collection need look at it, and forks share it
        gc.set_threshold(*COLLECT)
        return application

    def _leave(self, _arbiter: Any, worker: Any) -> None:
        """Everything is answered and what waits to be sent is sent: tearing the interpreter down would only take
        CPU from those who take over."""
        if worker.pid != os.getpid() or not worker.booted:
            return      # the arbiter, which found a worker gone; or one that did not start, whose status says so
        self._before_exit()
        std_logging.shutdown()
        os._exit(0)


def _seat(arbiter: Any, worker: FairWorker) -> None:
    load = next((other.load_of_all for other in arbiter.WORKERS.values()), None)
    worker.load_of_all = load or Load()
    worker.place = worker.load_of_all.enter()


def _unseat(_arbiter: Any, worker: FairWorker) -> None:
    if worker.load_of_all is not None and worker.place is not None:
        worker.load_of_all.leave(worker.place)
