"""What is done to servers that exist, and the record of it."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base, errors, lookup, poll
from minicompute.cli.format import Plain, cell, table


class _Many(base.Command):
    """A verb for several servers; each failure is one line, the exit code is the worst one."""

    body: tuple[str, Any] = ('', None)
    wanted: tuple[str, ...] = ()
    done = 'Request to {verb} server {name} has been accepted.'

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', nargs='+', metavar='<server>', help='Name or ID; several are fine.')
        parser.add_argument('--all-tenants', action='store_true',
                            help='Look names up in all projects (admin).')
        parser.add_argument('--poll', action='store_true', help='Wait until it is done, and say how it goes.')

    def take_action(self, args: argparse.Namespace) -> None:
        watched: list[dict[str, Any]] = []

        def one(name: str) -> None:
            server = self.find(name, args)
            self.act(server, args)
            watched.append(server)
            if not args.poll:
                self.say(self.done.format(verb=self.cmd_name, name=name))
        try:
            self.each(args.server, one)
        finally:
            if args.poll and watched:
                poll.wait(self.client, watched, self.wanted, quiet=self.app.options.verbose_level == 0)

    def find(self, name: str, args: argparse.Namespace) -> dict[str, Any]:
        return lookup.server(self.client, name, args.all_tenants)

    def act(self, server: dict[str, Any], args: argparse.Namespace) -> None:
        self.client.action(server['id'], *self.body)


class Delete(_Many):
    """Shut servers down and delete them."""

    wanted = ('DELETED', 'SOFT_DELETED')

    def act(self, server: dict[str, Any], args: argparse.Namespace) -> None:
        self.client.delete(f"/servers/{server['id']}")


class ForceDelete(_Many):
    """Delete servers at once, also where deletion is deferred."""

    body = ('forceDelete', None)
    wanted = ('DELETED',)

    def find(self, name: str, args: argparse.Namespace) -> dict[str, Any]:
        try:
            return super().find(name, args)
        except errors.CliError:
            try:    # lists do not show one whose delete may still be taken back
                return lookup.soft_deleted_server(self.client, name)
            except errors.CliError:
                pass
            raise


class Start(_Many):
    """Start servers."""

    body = ('os-start', None)
    wanted = ('ACTIVE',)


class Stop(_Many):
    """Stop servers."""

    body = ('os-stop', None)
    wanted = ('SHUTOFF',)


class Reboot(_Many):
    """Reboot servers."""

    wanted = ('ACTIVE',)

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument('--hard', action='store_true', help='Power cycle, without asking the guest.')

    def act(self, server: dict[str, Any], args: argparse.Namespace) -> None:
        self.client.action(server['id'], 'reboot', {'type': 'HARD' if args.hard else 'SOFT'})


class ActionList(base.Lister):
    """List what was done to a server, the newest first."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID; a deleted server by ID only.')
        parser.add_argument('--marker', metavar='<request-id>', help='Last action of the page before (2.58).')
        parser.add_argument('--limit', type=int, metavar='<n>', help='At most so many (2.58).')
        parser.add_argument('--changes-since', metavar='<time>', help='Changed at or after (2.58).')
        parser.add_argument('--changes-before', metavar='<time>', help='Changed at or before (2.66).')

    def take_action(self, args: argparse.Namespace) -> Any:
        params: dict[str, Any] = {}
        for key, minor in (('marker', 58), ('changes-since', 58), ('changes-before', 66)):
            value = getattr(args, key.replace('-', '_'))
            if value is not None:
                self.client.require(minor, f'--{key}')
                params[key] = value
        if args.limit is not None:
            self.client.require(58, '--limit')
        server = lookup.server_id(self.client, args.server)
        path = f'/servers/{server}/os-instance-actions'
        records = list(self.client.pages(path, 'instanceActions', params, args.limit, mark='request_id'))
        columns = [('Action', 'action'), ('Request_ID', 'request_id'), ('Message', 'message'),
                   ('Start_Time', 'start_time')]
        if self.client.at_least(58):
            columns.append(('Updated_At', 'updated_at'))
        return table(records, columns)


class ActionShow(base.ShowOne):
    """Show one action of a server with its events."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID; a deleted server by ID only.')
        parser.add_argument('request_id', metavar='<request-id>', help='As instance-action-list shows it.')

    def take_action(self, args: argparse.Namespace) -> Any:
        server = lookup.server_id(self.client, args.server)
        path = f'/servers/{server}/os-instance-actions/{lookup.segment(args.request_id)}'
        action = self.client.get(path)['instanceAction']
        names = sorted(action)
        return names, [Events(action[n]) if n == 'events' else cell(action[n]) for n in names]


class Events(Plain):
    """A line an event: what, how it ended, from when to when."""

    def human_readable(self) -> str:
        lines = []
        for event in self._value or ():
            times = f"{event.get('start_time') or '?'} .. {event.get('finish_time') or '?'}"
            words = [event.get('event'), event.get('result') or 'running', times, event.get('host'),
                     event.get('details')]
            lines.append('  '.join(str(w) for w in words if w))
        return '\n'.join(lines) or '-'
