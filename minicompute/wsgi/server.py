"""Serves a WSGI application: gunicorn's processes and threads behind one socket.

The application is loaded before the fork (memory is shared, a broken configuration is one line and not
one a worker); connections to the database and the broker are made after it.  A worker whose parent was
killed leaves by itself.
"""
from __future__ import annotations

import gc
import logging as std_logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from minicompute import concurrency
from minicompute.conf import CONF

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

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


class GreenWorker(ThreadWorker):
    """The same under eventlet, where a signal arrives in the hub, which may not touch a queue."""

    def handle_exit(self, _sig: int, _frame: Any) -> None:
        self.alive = False      # the loop looks each second


class Server(BaseApplication):
    """`load` makes the application, once, before the fork; `after_fork` runs in each worker."""

    def __init__(self, name: str, host: str, port: int, load: Callable[[], WSGIApplication],
                 after_fork: Callable[[], None]) -> None:
        self._name = name
        self._bind = f'[{host}]:{port}' if ':' in host else f'{host}:{port}'
        self._load = load
        self._after_fork = after_fork
        super().__init__()

    def load_config(self) -> None:
        settings: dict[str, Any] = {
            'bind': [self._bind],
            'workers': CONF.osapi_compute_workers,
            'threads': CONF.osapi_compute_threads,
            'worker_class': GreenWorker if concurrency.backend() == concurrency.EVENTLET else ThreadWorker,
            'worker_connections': 4096,
            'preload_app': True,
            'timeout': 60,
            'graceful_timeout': max(1, CONF.graceful_shutdown_timeout - 1),
            'keepalive': KEEPALIVE,
            'proc_name': self._name,
            'logger_class': OsloLogger,
            'control_socket_disable': True,
            'post_fork': lambda _arbiter, _worker: self._after_fork(),
            'worker_exit': _leave,
        }
        for name, value in settings.items():
            if name in self.cfg.settings:       # an older gunicorn has fewer
                self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        application = self._load()
        gc.collect()
        gc.freeze()     # what is there now stays: no collection need look at it, and forks share it
        return application


def _leave(_arbiter: Any, _worker: Any) -> None:
    """Everything is answered and nothing is buffered but the log: tearing the interpreter down would only
    take CPU from those who take over."""
    std_logging.shutdown()
    os._exit(0)
