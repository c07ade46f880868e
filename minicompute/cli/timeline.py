"""`timeline`: the steps of an action, over all daemons that worked on it, drawn against the clock.

    stop of web (req-6a...)  2026-11-23 02:40:11  1.84 s  done
    step        host        seconds
    power_off   compute1      1.80   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import sys
from dataclasses import asdict, dataclass
from typing import Any

from minicompute.cli import base, errors, lookup
from minicompute.cli.format import colours

#: characters that the drawing has at least
NARROW = 20
STYLES = {'Success': 'green', 'Error': 'red', 'running': 'yellow'}


@dataclass
class Bar:
    """One step: seconds from the start of the action to its own start, and how long it took (so far)."""

    step: str
    host: str
    result: str
    after: float
    seconds: float
    details: str


class Timeline(base.Command):
    """Draw the steps of an action of a server, with the hosts that did them and how long each took."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID; a deleted server by ID only.')
        parser.add_argument('request_id', nargs='?', metavar='<request-id>',
                            help='As instance-action-list shows it; the newest action by default.')

    def take_action(self, args: argparse.Namespace) -> None:
        server = lookup.server_id(self.client, args.server)
        path = f'/servers/{server}/os-instance-actions'
        request = args.request_id or self._newest(path, args.server)
        action = self.client.get(f'{path}/{lookup.segment(request)}')['instanceAction']
        bars = bars_of(action)
        if self.app.options.json:
            print(json.dumps({'action': action['action'], 'request_id': action['request_id'],
                              'start_time': action['start_time'], 'steps': [asdict(bar) for bar in bars]}, indent=2),
                  file=self.app.stdout)
            return
        width = shutil.get_terminal_size((100, 24)).columns
        for text, style in drawing(action, bars, args.server, width):
            print(_coloured(text, style), file=self.app.stdout)

    def _newest(self, path: str, name: str) -> str:
        found = self.client.get(path)['instanceActions']
        if not found:
            raise errors.CliError(f"Nothing was done to server '{name}' yet.")
        return str(found[0]['request_id'])


def bars_of(action: dict[str, Any]) -> list[Bar]:
    """In the order in which they began."""
    events = [event for event in action.get('events') or () if event.get('start_time')]
    began = min([_time(action['start_time']), *(_time(event['start_time']) for event in events)])
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    bars = []
    for event in sorted(events, key=lambda event: (event['start_time'], event.get('finish_time') or '9')):
        start = _time(event['start_time'])
        end = _time(event['finish_time']) if event.get('finish_time') else max(now, start)
        bars.append(Bar(
            step=str(event['event']), host=str(event.get('host') or event.get('hostId', '')[:12] or '-'),
            result=str(event.get('result') or 'running'), after=round((start - began).total_seconds(), 3),
            seconds=round(max(0.0, (end - start).total_seconds()), 3), details=str(event.get('details') or '')))
    return bars


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.rstrip('Z')).replace(tzinfo=None)


def drawing(action: dict[str, Any], bars: list[Bar], name: str, width: int) -> list[tuple[str, str]]:
    """Lines with their styles, at most `width` characters wide."""
    total = max((bar.after + bar.seconds for bar in bars), default=0.0)
    state = 'failed' if action.get('message') else ('running' if any(
        bar.result == 'running' for bar in bars) else 'done')
    lines = [(f"{action['action']} of {name} ({action['request_id']})  "
              f"{_time(action['start_time']).isoformat(sep=' ', timespec='seconds')}  {total:.2f} s  {state}", 'bold')]
    if action.get('message'):
        lines.append((str(action['message']), 'red'))
    steps = max([4, *(len(bar.step) for bar in bars)])
    hosts = min(24, max([4, *(len(bar.host) for bar in bars)]))
    room = max(NARROW, width - steps - hosts - 14)
    lines.append((f"{'step':<{steps}}  {'host':<{hosts}}  {'seconds':>8}", 'bright_black'))
    for bar in bars:
        text = f'{bar.step:<{steps}}  {bar.host[:hosts]:<{hosts}}  {bar.seconds:8.2f}  {_line(bar, total, room)}'
        lines.append((text.rstrip(), STYLES.get(bar.result, '')))
        if bar.details and bar.result != 'Success':
            lines.append((f"{'':<{steps}}  {' '.join(bar.details.split())}"[:width], STYLES.get(bar.result, '')))
    return lines


def _line(bar: Bar, total: float, room: int) -> str:
    """Where in the action the step was, one character at least."""
    scale = room / total if total else 0.0
    start = min(room - 1, int(bar.after * scale))
    length = max(1, min(room - start, round(bar.seconds * scale)))
    mark = {'Error': '╳', 'running': '╌'}.get(bar.result, '━')
    return ' ' * start + mark * length


def _coloured(text: str, name: str) -> str:
    if not name or not colours(sys.stdout):
        return text
    from rich.color import ColorSystem
    from rich.style import Style
    return Style.parse(name).render(text, color_system=ColorSystem.STANDARD)
