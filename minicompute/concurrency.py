"""The first import of every entry point, and the only file that names eventlet.

`MINICOMPUTE_CONCURRENCY`, or else `[DEFAULT] concurrency_backend` in the
configuration files, picks native threads (the default) or eventlet.
Everything else asks this module and does not care.
"""
from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar('T')

THREADING = 'threading'
EVENTLET = 'eventlet'

_backend: str | None = None


def setup(backend: str | None = None) -> str:
    """Choose once per process, and patch when eventlet is chosen. -> the backend."""
    global _backend
    if _backend is not None:
        return _backend
    chosen = backend or os.environ.get('MINICOMPUTE_CONCURRENCY') or _configured(sys.argv) or THREADING
    if chosen not in (THREADING, EVENTLET):
        raise SystemExit(f'concurrency_backend: {chosen!r} is not one of threading, eventlet')
    if chosen == EVENTLET:
        # Name look-ups through the system's resolver, as under threads: /etc/hosts counts.
        os.environ.setdefault('EVENTLET_NO_GREENDNS', 'yes')
        import eventlet
        eventlet.monkey_patch()
    else:
        # Libraries take an installed eventlet into their memory just to ask whether it has patched anything: a
        # fifth of a daemon. None is the import system's word for a module that is not there.
        sys.modules.setdefault('eventlet', None)   # type: ignore[arg-type]
        # oslo.messaging imports oslo.service, whose own default is eventlet.
        from oslo_service import backend as oslo_backend
        oslo_backend.init_backend(oslo_backend.BackendType.THREADING)
    os.environ['MINICOMPUTE_CONCURRENCY'] = _backend = chosen
    return chosen


def _configured(argv: list[str]) -> str | None:
    """`concurrency_backend` of the configuration files: oslo.config cannot be asked, as importing it is too late
    to patch. The last file that says it wins, as there."""
    named = [argv[n + 1] for n, word in enumerate(argv[:-1]) if word == '--config-file']
    named += [word.partition('=')[2] for word in argv if word.startswith('--config-file=')]
    files = named or [os.environ.get('MINICOMPUTE_CONFIG') or '/etc/minicompute/minicompute.conf']
    found = None
    for path in files:
        try:
            with open(path, encoding='utf-8', errors='replace') as file:
                said = re.findall(r'^\s*concurrency_backend\s*[=:]\s*(\w+)', file.read(), re.MULTILINE)
        except OSError:
            continue   # who reads the configuration says so, and better
        found = said[-1] if said else found
    return found


def backend() -> str:
    return _backend or setup()


def after_fork() -> None:
    """In a child: a hub of its own, or all children would wait on one epoll and take each other's events."""
    if backend() == EVENTLET:
        from eventlet import hubs
        hubs.use_hub()


def rpc_executor() -> str:
    """What oslo.messaging's servers run handlers in."""
    return backend()


def native_call(func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run a call that blocks in C (libvirt, flock) without stopping other greenlets."""
    if backend() == EVENTLET:
        from eventlet import tpool
        return tpool.execute(func, *args, **kwargs)
    return func(*args, **kwargs)


def native_thread(target: Callable[..., Any], name: str) -> Any:
    """A real thread in both modes: libvirt's event loop must not be a greenlet."""
    if backend() == EVENTLET:
        from eventlet import patcher
        threading = patcher.original('threading')
    else:
        import threading
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def native_queue() -> Any:
    """A queue that real threads fill and anyone may poll with get_nowait()."""
    if backend() == EVENTLET:
        from eventlet import patcher
        return patcher.original('queue').Queue()
    import queue
    return queue.Queue()
