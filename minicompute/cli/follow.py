"""events: what becomes of servers, as it happens."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

from minicompute.cli import base, errors, lookup
from minicompute.cli.format import Status

#: seconds between two attempts to connect again, and how many fail in a row before we say so
PAUSE = 1.0
PATIENCE = 30


class Events(base.Command):
    """Show the events of the project's servers: those that are kept, or with --follow what happens from now on."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add('--follow', action='store_true', help='Go on, until interrupted; a lost connection is made again.')
        add('--server', metavar='<server>', help='Of this server alone: name or ID.')
        add('--since', type=int, metavar='<id>', help='What came after this event.')
        add('--all-tenants', action='store_true', help='Of all projects (admin).')

    def take_action(self, args: argparse.Namespace) -> None:
        params = {}
        if args.server:
            params['server_id'] = lookup.server_id(self.client, args.server)
        if args.all_tenants:
            params['all_projects'] = 'true'
        last = args.since if args.since is not None or args.follow else 0
        for kind, seq, data in self._messages(params, last, follow=args.follow):
            if kind == 'lost':
                self.say(data['text'])
            elif self.app.options.json:
                print(json.dumps({'id': seq, **data}), file=self.app.stdout, flush=True)
            else:
                print(line_of(seq, data), file=self.app.stdout, flush=True)

    def _messages(self, params: dict[str, str], last: int | None, *, follow: bool) -> Iterator[tuple[str, int, Any]]:
        from requests import exceptions as broken

        url, failures = self.client.beyond('/events'), 0
        while True:
            headers = {'Accept': 'text/event-stream'} | ({} if last is None else {'Last-Event-ID': str(last)})
            try:
                answer = self.client.stream(url, params, headers)
                for kind, seq, data in messages(answer.iter_lines()):
                    failures, last = 0, last if seq is None else seq
                    if kind is not None and seq is not None:
                        yield kind, seq, data
                    elif kind is None and not follow:
                        return      # all that is kept
            except broken.RequestException as error:
                if not follow:
                    raise errors.EndpointError(f'the connection broke off: {error}') from None
            except Exception as error:
                if not _may_pass(error) or not follow:
                    raise
            failures += 1
            if failures > PATIENCE:
                raise errors.EndpointError('the service does not come back')
            time.sleep(PAUSE)


def _may_pass(error: Exception) -> bool:
    """A daemon that restarts is away for a moment."""
    return errors.classify(error)[0] == errors.UNREACHABLE or getattr(error, 'http_status', 0) in (502, 503)


def messages(lines: Iterable[bytes]) -> Iterator[tuple[str | None, int | None, Any]]:
    """Server-sent events -> (kind, id, data); a comment is (None, its id, None)."""
    kind, seq, data = 'message', None, []
    for line in lines:
        field, _colon, value = line.decode().partition(':')
        value = value.removeprefix(' ')
        if field == 'event':
            kind = value
        elif field == 'id' and value.isdecimal():
            seq = int(value)
        elif field == 'data':
            data.append(value)
        elif not line:
            if data:
                yield kind, seq, json.loads('\n'.join(data))
            elif seq is not None:
                yield None, seq, None
            kind, seq, data = 'message', None, []


def line_of(seq: int, data: dict[str, Any]) -> str:
    server = data['server']
    task = f" ({server['task_state']})" if server.get('task_state') else ''
    host = f" on {server['host']}" if server.get('host') else ''
    return (f"{data['time'][:19].replace('T', ' ')}  {seq:>8}  {data['kind']:<8} {server['id']}  "
            f"{server['name'] or '-'}: {Status(server['status']).human_readable()}{task}{host}")
