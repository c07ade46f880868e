"""Crash points: places where a daemon dies when a test says so, so that the promise "every accepted request ends"
can be tried at each of them and not only where a kill happens to fall.

    if crash.armed:
        crash.point('compute', 'build.spawn', 'before')

Nothing is armed unless the environment has `MINICOMPUTE_CRASH` when the process starts: words with commas between
them, or `@FILE`, a file of such words that may change while the daemon runs.  A word is

    ROLE:PLACE:WHEN[/SUBJECT][@N][!HOW]

such as conductor:resize.switch:before-commit or compute:build.spawn.undo:after@2!stop.  ROLE, PLACE and SUBJECT are
as the call says them, with `*` for anything; the N-th time that the point is passed (the first, unless told
otherwise) HOW happens, once for all daemons that share the file:

    kill    SIGKILL to this process                            (when nothing is said)
    stop    SIGSTOP
    fail    the point raises Planned
    hold    the thread waits until the word or the file of the hit is gone: a harness kills what it likes meanwhile

and `trace` as a word of its own writes each point that is passed.  With `@FILE`, hits and traces lie beside it:
FILE.hits/WORD, and FILE.trace with a line `ROLE PLACE WHEN SUBJECT` each.
"""
from __future__ import annotations

import dataclasses
import fnmatch
import os
import signal
import threading
import time
from collections.abc import Sequence

VARIABLE = 'MINICOMPUTE_CRASH'
#: seconds between two looks of a thread that is held
LOOK = 0.02


class Planned(Exception):
    """What a point with `!fail` raises."""


@dataclasses.dataclass(slots=True)
class _Word:
    text: str
    role: str
    place: str
    when: str
    subject: str
    number: int
    how: str
    passed: int = 0


class _Plan:
    """The words in force, read again when their file changes."""

    def __init__(self, said: str) -> None:
        self._file = said[1:] if said.startswith('@') else ''
        self._lock = threading.Lock()
        self._mark: tuple[int, int] | None = None
        self._words: dict[str, _Word] = {}
        self._tracing = False
        if not self._file:
            self._take(said)

    def _take(self, text: str) -> None:
        """A word that was there before keeps its count."""
        found = [word.strip() for line in text.splitlines() for word in line.split(',') if word.strip()]
        self._tracing = 'trace' in found and bool(self._file)
        self._words = {text: self._words.get(text) or _parse(text) for text in found if text != 'trace'}

    def _refresh(self) -> None:
        if not self._file:
            return
        try:
            state = os.stat(self._file)
            mark = (state.st_mtime_ns, state.st_ino)
            if mark == self._mark:
                return
            with open(self._file, encoding='utf-8') as file:
                self._take(file.read())
            self._mark = mark
        except FileNotFoundError:
            self._words, self._tracing, self._mark = {}, False, None

    def passing(self, role: str, place: str, when: str, subject: str) -> list[_Word]:
        """-> the words whose time has come, each for the first daemon that gets here."""
        with self._lock:
            self._refresh()
            if self._tracing:
                _append(self._file + '.trace', f'{role} {place} {when} {subject}\n')
            due = []
            for word in self._words.values():
                if word.when == when and fnmatch.fnmatchcase(role, word.role) and fnmatch.fnmatchcase(
                        place, word.place) and fnmatch.fnmatchcase(subject, word.subject):
                    word.passed += 1
                    if word.passed == word.number and self._claim(word, subject):
                        due.append(word)
            return due

    def _claim(self, word: _Word, subject: str) -> bool:
        """Whoever makes the file is the one that it happens to; a daemon that comes back finds it made."""
        if not self._file:
            return True
        path = self.hit(word)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'x', encoding='utf-8') as file:
                file.write(f'{os.getpid()} {subject}\n')
        except FileExistsError:
            return False
        return True

    def holds(self, word: _Word) -> bool:
        with self._lock:
            self._refresh()
            return word.text in self._words and os.path.exists(self.hit(word))

    def hit(self, word: _Word) -> str:
        return os.path.join(self._file + '.hits', word.text.replace('/', '_'))


def _parse(text: str) -> _Word:
    """Raises SystemExit for a word that means nothing: a test that kills nobody must not look like a success."""
    where, _, how = text.partition('!')
    where, _, number = where.partition('@')
    where, _, subject = where.partition('/')
    parts = where.split(':')
    if len(parts) != 3 or not all(parts) or how not in ('', 'kill', 'stop', 'fail', 'hold') or (
            number and not number.isdecimal()):
        raise SystemExit(f'{VARIABLE}: {text!r} is not ROLE:PLACE:WHEN[/SUBJECT][@N][!kill|stop|fail|hold]')
    return _Word(text, parts[0], parts[1], parts[2], subject or '*', int(number or 1), how or 'kill')


def _append(path: str, line: str) -> None:
    """One write, so that lines of several daemons do not mix."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


_plan = _Plan(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
#: what a call site asks before it calls: whether anything may happen in this process at all
armed = _plan is not None


def point(role: str, place: str, when: str, subject: str = '') -> None:
    """`place` names what is being done (FLOW.STEP, with `.undo` behind it when it is undone), `when` how far it is,
    `subject` whose it is (a server). Raises Planned when that is what was asked for."""
    points(role, [(place, subject)], when)


def points(role: str, places: Sequence[tuple[str, str]], when: str) -> None:
    """The same for what is done together: (place, subject) of each. All are passed before anything happens."""
    if _plan is None:
        return
    due = [word for place, subject in places for word in _plan.passing(role, place, when, subject)]
    for word in due:
        if word.how == 'kill':
            os.kill(os.getpid(), signal.SIGKILL)
        elif word.how == 'stop':
            os.kill(os.getpid(), signal.SIGSTOP)
    for word in due:
        while word.how == 'hold' and _plan.holds(word):
            time.sleep(LOOK)
    if any(word.how == 'fail' for word in due):
        raise Planned('planned')
