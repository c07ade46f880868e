"""One thread a process tells all followers.

Each `PAUSE` it numbers new events (`db/api/events.py`), reads what comes after the one that the hindmost follower has
heard of, and hands each follower what concerns it.  Without followers there is no thread.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from oslo_log import log as logging

from minicompute.api.beyond.stream import Pause, Taken, TooMany
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import events as db
from minicompute.db.api.events import Event

LOG = logging.getLogger(__name__)

#: seconds between two looks
PAUSE = 0.25
#: seconds between two signs of life to a follower that hears nothing, and two looks whether it is there
BEAT = 15.0
THERE = 5.0
#: seconds in which the last words must be out
LINGER = 10.0
#: one of so many parts of [events] followers is what a project can have
SHARES = 4


class Follower:
    """Who is told of events after `last`, until `until` (of the steady clock). `asker`: the project that asked."""

    def __init__(self, last: int, until: float, *, project_id: str | None, instance_uuid: str | None,
                 asker: str = '') -> None:
        self.last, self.until, self.asker = last, until, asker
        self.project_id, self.instance_uuid = project_id, instance_uuid
        self.over = False
        now = time.monotonic()
        self.beat_at, self.look_at = now + BEAT, now + THERE

    def concerns(self, event: Event) -> bool:
        return (event.seq > self.last and self.project_id in (None, event.project_id)
                and self.instance_uuid in (None, event.instance_uuid))

    def hear(self, many: Sequence[Event], now: float) -> bytes:
        """What to send; sets `over` when that is all."""
        said = []
        for event in many:
            if self.concerns(event):
                if told := self.tell(event):    # nothing said is no sign of life
                    said.append(told)
                self.last = event.seq
                if self.over:
                    return b''.join(said)
        if many:
            self.last = max(self.last, many[-1].seq)
        if now >= self.until:
            self.over = True
            said.append(self.farewell())
        elif not said and now >= self.beat_at:
            said.append(self.beat())
        if said:
            self.beat_at = now + BEAT
        return b''.join(said)

    # -- what kinds of followers differ in -----------------------------------

    def tell(self, event: Event) -> bytes:
        raise NotImplementedError

    def beat(self) -> bytes:
        """Says nothing, and shows that somebody is there."""
        raise NotImplementedError

    def farewell(self) -> bytes:
        """The time is over."""
        raise NotImplementedError


class Hub:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pause = Pause()
        self._admitted: set[Follower] = set()
        self._kept: dict[Follower, Taken] = {}
        self._leaving: list[tuple[Taken, float]] = []
        self._thread: threading.Thread | None = None
        self._troubled = False

    # -- followers come and go -------------------------------------------------

    def room(self, asker: str) -> None:
        """Raises TooMany."""
        with self._lock:
            self._check(asker)

    def admit(self, follower: Follower) -> None:
        """Raises TooMany."""
        with self._lock:
            self._check(follower.asker)
            self._admitted.add(follower)

    def _check(self, asker: str) -> None:
        """So many of all, and of one project no more than leaves room for others. Raises TooMany."""
        most = CONF.events.followers
        if len(self._admitted) >= most or (
                sum(one.asker == asker for one in self._admitted) >= max(1, most // SHARES)):
            raise TooMany

    def dismiss(self, follower: Follower) -> None:
        with self._lock:
            self._admitted.discard(follower)
            self._kept.pop(follower, None)

    def keep(self, follower: Follower, taken: Taken) -> None:
        """From now on the thread looks after it."""
        with self._lock:
            self._kept[follower] = taken
            if self._thread is None:
                thread = threading.Thread(target=self._run, name='followers', daemon=True)
                thread.start()
                self._thread = thread   # not before: one that could not start would never be made again
        self._pause.wake()

    def count(self) -> int:
        return len(self._admitted)

    def alone(self, follower: Follower) -> Iterator[bytes]:
        """The same for one whose connection cannot be taken: the caller's thread waits."""
        while not follower.over:
            many = self._look(follower.last)
            said = follower.hear(many, time.monotonic())
            if said:
                yield said
            if not follower.over and len(many) < db.MOST:
                time.sleep(PAUSE)

    # -- the thread --------------------------------------------------------------

    def _run(self) -> None:
        more = False
        while True:
            now = self._pause.take(0 if more else PAUSE)
            more = False
            with self._lock:
                if not self._kept and not self._leaving:
                    self._thread = None
                    return
                followers = dict(self._kept)
            try:
                more = self._turn(followers, now)
            except Exception:
                LOG.exception('A look for events failed; the next one follows')

    def _turn(self, followers: dict[Follower, Taken], now: float) -> bool:
        """-> whether there is more to tell at once"""
        many = self._look(min((follower.last for follower in followers), default=0)) if followers else []
        for follower, taken in followers.items():
            if not taken.send(follower.hear(many, now)) or not self._there(follower, taken, now):
                self.dismiss(follower)
                taken.close()
            elif follower.over:
                self.dismiss(follower)
                self._leaving.append((taken, now + LINGER))
        self._leaving = [(taken, until) for taken, until in self._leaving if not self._gone(taken, until, now)]
        return len(many) >= db.MOST

    def _there(self, follower: Follower, taken: Taken, now: float) -> bool:
        if now < follower.look_at:
            return True
        follower.look_at = now + THERE
        return taken.there()

    def _gone(self, taken: Taken, until: float, now: float) -> bool:
        if taken.end() or now > until:
            taken.close()
            return True
        return False

    def _look(self, last: int) -> Sequence[Event]:
        """What comes after `last`; nothing while the database is away, which is not the followers' business."""
        try:
            db.sequence()
            with session.read() as conn:
                found = db.since(conn, last)
        except Exception as error:
            if not self._troubled:
                LOG.warning('Events cannot be read: %s', ' '.join(str(error).split())[:300])
            self._troubled = True
            return []
        self._troubled = False
        return found


#: of this process
hub = Hub()
