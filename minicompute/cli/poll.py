"""Watching servers until they are where they were sent: `--poll`.

Progress goes to stderr, so that stdout stays what the formatter made of it: a live line a server on a
terminal, else
one plain line a change.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from minicompute.cli import errors
from minicompute.cli.client import Client
from minicompute.cli.format import colours, style_of

TASK = 'OS-EXT-STS:task_state'
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 2.0
GRACE = 10.0    # seconds a server that was in ERROR already may stay there before we call that the outcome


@dataclass
class State:
    """What a poll saw of one server."""

    status: str
    task: str | None
    progress: int | None = None

    def __str__(self) -> str:
        text = f'{self.status} ({self.task})' if self.task else self.status
        return f'{text} {self.progress}%' if self.progress and self.progress < 100 else text


Show = Callable[[str, State], None]


def wait(client: Client, servers: list[dict[str, Any]], wanted: Collection[str],
         quiet: bool = False) -> list[dict[str, Any]]:
    """Poll until each server has no task and a wanted status; `wanted` with DELETED also takes 404.

    Returns the servers as last seen. Raises ServerWentError, after all have come to an end, if one is in ERROR, or
    what was asked for failed and left it as it was.
    """
    labels = {s['id']: s.get('name') or s['id'] for s in servers}
    was_error = {s['id'] for s in servers if s.get('status') == 'ERROR'}
    last: dict[str, dict[str, Any]] = {}
    failed: list[str] = []
    waiting = list(labels)
    pause, started = FIRST_PAUSE, time.monotonic()
    with progress(labels, quiet) as show:
        while True:
            for server_id in list(waiting):
                server = _look(client, server_id)
                state = State(server['status'], server.get(TASK), server.get('progress'))
                show(server_id, state)
                last[server_id] = server
                if state.status in wanted and (not state.task or state.status == 'DELETED'):
                    waiting.remove(server_id)
                elif state.status == 'ERROR' and not state.task and not (
                        server_id in was_error and time.monotonic() - started < GRACE):
                    failed.append(_obituary(server))
                    waiting.remove(server_id)
                elif not state.task and (why := _failure(client, server_id)):
                    failed.append(f'{labels[server_id]} ({server_id}) is {state.status} as before: {why}')
                    waiting.remove(server_id)
            if not waiting:
                break
            time.sleep(pause)
            pause = min(pause * 1.3, LONGEST_PAUSE)
    if failed:
        raise errors.ServerWentError('; '.join(failed))
    return [last[server_id] for server_id in labels]


def _look(client: Client, server_id: str) -> dict[str, Any]:
    from keystoneauth1 import exceptions as ks

    try:
        return client.get(f'/servers/{server_id}')['server']
    except ks.NotFound:
        return {'id': server_id, 'status': 'DELETED'}


def _failure(client: Client, server_id: str) -> str | None:
    """Why the newest action on a server that does nothing failed; None if it did not, or nobody says."""
    from keystoneauth1 import exceptions as ks

    try:
        actions = client.get(f'/servers/{server_id}/os-instance-actions')['instanceActions']
    except (ks.NotFound, ks.Forbidden):
        return None
    message: str | None = actions[0].get('message') if actions else None
    return message


def _obituary(server: dict[str, Any]) -> str:
    message = (server.get('fault') or {}).get('message') or 'the service gives no reason'
    return f"{server.get('name') or 'server'} ({server['id']}) is in ERROR: {message}"


@contextmanager
def progress(labels: dict[str, str], quiet: bool = False) -> Iterator[Show]:
    """Gives `show(id, state)`."""
    if quiet:
        yield lambda _server_id, _state: None
    elif colours(sys.stderr):
        with _live(labels) as show:
            yield show
    else:
        yield _lines(labels)


def _lines(labels: dict[str, str]) -> Show:
    seen: dict[str, str] = {}

    def show(server_id: str, state: State) -> None:
        text = str(state)
        if seen.get(server_id) != text:
            seen[server_id] = text
            print(f'{labels[server_id]}: {text}', file=sys.stderr, flush=True)
    return show


@contextmanager
def _live(labels: dict[str, str]) -> Iterator[Show]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(SpinnerColumn(), TextColumn('{task.description}'), BarColumn(20),
                  TextColumn('{task.fields[state]}'), TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        tasks = {i: bar.add_task(escape(name), total=100, state='') for i, name in labels.items()}

        def show(server_id: str, state: State) -> None:
            style = style_of(state.status)
            text = escape(str(state))
            bar.update(tasks[server_id], state=f'[{style}]{text}[/]' if style else text,
                       completed=completed(state))
        yield show


def completed(state: State) -> int:
    """Per cent, for the bar."""
    going = state.task or style_of(state.status) == 'yellow'
    return min(99, state.progress or 0) if going else 100
