"""top: how many servers there are, of what kind, live."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from minicompute.cli import base, errors
from minicompute.cli.format import colours, style_of

GROUPS = ('status', 'task_state', 'host', 'flavor', 'project')
#: rows of a group that are shown; the rest is a line
MOST = 12


class Top(base.Command):
    """Count servers by status, task, host, flavor and project, again and again until interrupted."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--all-tenants', action='store_true', help='Of all projects (admin).')
        parser.add_argument('--once', action='store_true', help='Once, as it is also done where nobody watches.')
        parser.add_argument('--interval', type=float, default=2.0, metavar='<seconds>', help='Between two looks.')

    def take_action(self, args: argparse.Namespace) -> None:
        if not args.interval >= 0.2:
            raise errors.UsageError('--interval is 0.2 seconds at least')
        url = self.client.beyond('/summary')
        params = {'all_projects': 'true'} if args.all_tenants else {}

        def look() -> dict[str, Any]:
            found: dict[str, Any] = self.client.get(url, params)['summary']
            return found
        if self.app.options.json:
            print(json.dumps(look(), indent=2), file=self.app.stdout)
        elif args.once or not colours(self.app.stdout):
            for line in lines_of(look()):
                print(line, file=self.app.stdout)
        else:
            _watch(look, args.interval)


def _watch(look: Any, interval: float) -> None:
    from rich.live import Live

    with Live(picture(look()), auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(interval)
            live.update(picture(look()), refresh=True)


def rows_of(group: dict[str, dict[str, int]]) -> list[tuple[str, int, int, int]]:
    """(name, servers, vcpus, memory_mb), the largest first; what is too much is added up."""
    rows = sorted(((name, one['servers'], one['vcpus'], one['memory_mb']) for name, one in group.items()),
                  key=lambda row: (-row[1], row[0]))
    rest = rows[MOST:]
    if rest:
        rows[MOST:] = [(f'{len(rest)} others', sum(row[1] for row in rest), sum(row[2] for row in rest),
                        sum(row[3] for row in rest))]
    return rows


def lines_of(summary: dict[str, Any]) -> list[str]:
    lines = [_line('servers', summary['total'])]
    for name in GROUPS:
        if name in summary:
            lines.append(f'{name}:')
            lines += [f'  {row[0]:<38} {row[1]:>7} {row[2]:>8} {row[3]:>12}' for row in rows_of(summary[name])]
    return lines


def _line(name: str, one: dict[str, int]) -> str:
    return f"{one['servers']} {name}, {one['vcpus']} VCPUs, {one['memory_mb']} MiB"


def picture(summary: dict[str, Any]) -> Any:
    from rich.columns import Columns
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    tables = []
    for name in GROUPS:
        if name not in summary:
            continue
        made = Table(title=name.replace('_', ' '), title_justify='left', box=None)
        for title in (name.replace('_', ' '), 'servers', 'VCPUs', 'MiB'):
            made.add_column(title, justify='left' if title == name.replace('_', ' ') else 'right')
        for row in rows_of(summary[name]):
            style = style_of(row[0]) if name == 'status' else ''
            made.add_row(f'[{style}]{escape(row[0])}[/]' if style else escape(row[0]), *(str(n) for n in row[1:]))
        tables.append(made)
    head = f"minicompute top - {time.strftime('%H:%M:%S')} - {_line('servers', summary['total'])}"
    return Group(head, '', Columns(tables, padding=(0, 4)))
