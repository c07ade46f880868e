"""explain: would it fit, where, and if not, what would have to change."""

from __future__ import annotations

import argparse
import json
from typing import Any

from minicompute.cli import base, errors, lookup
from minicompute.cli.boot import Boot, request_body


class Explain(base.Command):
    """Say whether a new server would fit, or how one that is there was placed; nothing is created."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', nargs='?', metavar='<server>',
                            help='Name or ID of a server that is there. Without one the options say what to boot.')
        parser.add_argument('--flavor', metavar='<flavor>', help='Name or ID, of a server to be.')
        Boot.options(parser)

    def take_action(self, args: argparse.Namespace) -> None:
        if bool(args.server) == bool(args.flavor):
            raise errors.UsageError('name a server that is there, or a --flavor and what else boot takes')
        client = self.client
        if args.flavor:
            args.name = 'explained'
            found = client.post(client.beyond('/placement'), request_body(client, args))['placement']
            lines = lines_of(found)
        else:
            server = lookup.server_id(client, args.server)
            found = client.get(client.beyond(f'/servers/{server}/placement'))['placement']
            lines = list(_of_server(found, args.server))
        if self.app.options.json:
            print(json.dumps(found, indent=2), file=self.app.stdout)
            return
        for line in lines:
            print(line, file=self.app.stdout)


def lines_of(found: dict[str, Any]) -> list[str]:
    """The explanation of a request, as a person reads it."""
    count, fit = found['servers'], found['servers_that_fit']
    head = 'It fits.' if found['fits'] else 'It does not fit.'
    if count > 1:
        head = f'{fit} of {count} servers fit.'
    lines = [head, found['text']]
    if found.get('hosts'):
        lines.append(f"Hosts: {', '.join(found['hosts'])}")
    if found['funnel'] and not found['fits']:
        lines += funnel(found['funnel'])
    for change in found['changes']:
        host = f" ({change['host']})" if change.get('host') else ''
        lines.append(f"  would help: {change['text']}{host}")
    return lines


def funnel(found: dict[str, Any]) -> list[str]:
    """How the hosts became fewer, a stage a line."""
    width = max([5, *(len(stage['name']) for stage in found['stages'])])
    lines = [f"  {'hosts':<{width}}  {found['total']:>6}"]
    return lines + [f"  {stage['name']:<{width}}  {stage['left']:>6}" for stage in found['stages']]


def _of_server(found: dict[str, Any], name: str) -> list[str]:
    where = f" on {found['host']}" if found.get('host') else ''
    lines = [f'{name} is placed{where}.' if found['placed'] else f'{name} has no place.']
    for attempt in found['attempts']:
        lines.append(f"{attempt['time']} {attempt['action']} ({attempt['request_id']})")
        lines += funnel(attempt['funnel'])
    if found['now']:
        lines += ['Another like it, now:', *(f'  {line}' for line in lines_of(found['now']))]
    return lines
