"""Answers that go on for long without a thread of the server.

A thread of the HTTP server starts the answer: status, headers and what there is to say at once.  Then the connection
is taken out of the server's hands (`Taken`) and given to the one thread that writes to all followers (`hub.py`).  A
server that is not ours, or a test, lets its own thread wait instead.
"""
from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from minicompute import exception
from minicompute.api.openstack import faults
from minicompute.api.openstack.answer import Answer

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from minicompute.api.beyond.hub import Follower, Hub

ENV_SOCKET = 'gunicorn.socket'
#: bytes that wait for a follower that does not read; who is further behind is cut off, and may come back
MOST_WAITING = 1 << 17
#: seconds that a part of what there is to say at once may take: the server's own thread waits for it
PATIENCE = 30.0


class TooMany(exception.Unavailable):
    msg_fmt = ('This API process has as many followers as [events] followers allows, in all or of one project. Please '
               'try again, or ask another one.')


class HandedOver(OSError):
    """The server's thread is done with the connection, which is not its own any more. (An EPIPE, which servers take
    for a client that went away.)"""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, 'handed over')


class Stream(Answer):
    """`first`: what is to be said at once; then the follower is told what comes."""

    streamed = True

    def __init__(self, hub: Hub, follower: Follower, first: Iterable[bytes], content_type: str) -> None:
        super().__init__(None, 200, [('Content-Type', content_type), ('Cache-Control', 'no-store'),
                                     ('X-Accel-Buffering', 'no')])
        self._hub, self._follower, self._first = hub, follower, first

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        said = self._said(environ)
        try:
            next(said)      # is let in, while no headers are out; from here on its end lets another one in
        except TooMany as error:
            return faults.from_exception(error)(environ, start_response)
        start_response('200 OK', list(self.headers))
        return said

    def _said(self, environ: WSGIEnvironment) -> Iterator[bytes]:
        self._hub.admit(self._follower)
        kept = False
        try:
            yield b''       # for `__call__`
            connection = environ.get(ENV_SOCKET)
            if connection is not None:
                connection.settimeout(PATIENCE)     # who does not read must not hold the thread
            yield b''       # the headers go out
            yield from self._first
            if connection is None:
                yield from self._hub.alone(self._follower)
                return
            taken = Taken(connection, chunked=environ.get('SERVER_PROTOCOL') == 'HTTP/1.1')
            try:
                self._hub.keep(self._follower, taken)
            except BaseException:
                taken.close()       # nobody else has it any more
                raise
            kept = True
        finally:
            if not kept:
                self._hub.dismiss(self._follower)
        raise HandedOver


class Taken:
    """A connection that was a server's. Nothing here waits: what the client does not take yet is kept for it."""

    def __init__(self, connection: Any, *, chunked: bool) -> None:
        # Detached: the server would shut down the connection, of which a copy of ours would be no more than that.
        raw = getattr(connection, 'fd', connection)     # eventlet's sockets have the real one inside
        self._socket = socket.socket(fileno=raw.detach())
        self._socket.setblocking(False)
        self._chunked = chunked
        self._waiting = bytearray()

    def send(self, data: bytes) -> bool:
        """-> False: the client is gone, or too far behind."""
        if data:
            self._waiting += b'%x\r\n%b\r\n' % (len(data), data) if self._chunked else data
        return self.flush()

    def flush(self) -> bool:
        try:
            while self._waiting:
                del self._waiting[:self._socket.send(self._waiting)]
        except (BlockingIOError, InterruptedError):
            return len(self._waiting) < MOST_WAITING
        except OSError:
            return False
        return True

    @property
    def idle(self) -> bool:
        return not self._waiting

    def there(self) -> bool:
        """Whether the client has not hung up."""
        try:
            return self._socket.recv(1, socket.MSG_PEEK) != b''
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False

    def end(self) -> bool:
        """The last word. -> whether it is out"""
        if self._chunked:
            self._waiting += b'0\r\n\r\n'
            self._chunked = False
        return not self.flush() or self.idle

    def close(self) -> None:
        try:
            self._socket.close()
        except OSError:
            pass


class Pause:
    """A sleep that can be cut short."""

    def __init__(self) -> None:
        self._woken = threading.Event()

    def wake(self) -> None:
        self._woken.set()

    def take(self, seconds: float) -> float:
        """-> when it ended, of the steady clock"""
        self._woken.wait(seconds)
        self._woken.clear()
        return time.monotonic()
