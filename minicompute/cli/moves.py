"""Servers that change their size or their host while they are off, and the record of all moves."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base, errors, lookup, poll
from minicompute.cli.format import show, table
from minicompute.cli.server_actions import _Many


class _Move(base.Command):
    """With --poll: until the server waits for its confirmation, or is again what it was."""

    name = ''

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')

    def move(self, args: argparse.Namespace, argument: Any) -> None:
        server = lookup.server(self.client, args.server)
        self.client.action(server['id'], self.name, argument)
        if not args.poll:
            self.say(f'Request to {self.cmd_name} server {args.server} has been accepted.')
            return
        quiet = self.app.options.verbose_level == 0
        ended = poll.wait(self.client, [server], ('VERIFY_RESIZE', 'ACTIVE', 'SHUTOFF'), quiet=quiet)[0]
        if ended['status'] != 'VERIFY_RESIZE':
            self._explain(server)

    def _explain(self, server: dict[str, Any]) -> None:
        """It is where it was, or confirmed already: the log of its actions knows."""
        done = self.client.get(f"/servers/{server['id']}/os-instance-actions")['instanceActions']
        mine = next((action for action in done if action['action'] == self.name), None)
        if mine is not None and mine.get('message'):
            raise errors.ServerWentError(f"{server.get('name') or server['id']}: {mine['message']}")


class Resize(_Move):
    """Give a server another flavor; confirm or revert that when it is in VERIFY_RESIZE."""

    name = 'resize'

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument('flavor', metavar='<flavor>', help='Name or ID of the new flavor.')
        parser.add_argument('--poll', action='store_true', help='Wait until it is done, and say how it goes.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.move(args, {'flavorRef': lookup.flavor(self.client, args.flavor)['id']})


class Migrate(_Move):
    """Move a server to another host while it is off; confirm or revert that when it is in VERIFY_RESIZE."""

    name = 'migrate'

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument('--host', metavar='<host>', help='The host to go to (2.56).')
        parser.add_argument('--poll', action='store_true', help='Wait until it is done, and say how it goes.')

    def take_action(self, args: argparse.Namespace) -> None:
        if args.host:
            self.client.require(56, '--host')
        self.move(args, {'host': args.host} if args.host else None)


class Confirm(_Many):
    """Confirm resizes or migrations: the old disks are removed."""

    body = ('confirmResize', None)
    wanted = ('ACTIVE', 'SHUTOFF')


class Revert(_Many):
    """Revert resizes or migrations: the servers go back to what they were."""

    body = ('revertResize', None)
    wanted = ('ACTIVE', 'SHUTOFF')


_ENDS = [('Source Node', 'source_node'), ('Dest Node', 'dest_node'), ('Source Compute', 'source_compute'),
         ('Dest Compute', 'dest_compute'), ('Dest Host', 'dest_host'), ('Status', 'status')]
_TIMES = [('Created At', 'created_at'), ('Updated At', 'updated_at')]
_OWNER = [('Project ID', 'project_id'), ('User ID', 'user_id')]


class List(base.Lister):
    """List migrations, of all kinds."""

    #: option -> (query parameter, the minor version it needs)
    filters = {'instance_uuid': ('instance_uuid', 0), 'host': ('host', 0), 'status': ('status', 0),
               'migration_type': ('migration_type', 0), 'source_compute': ('source_compute', 0),
               'marker': ('marker', 59), 'changes_since': ('changes-since', 59),
               'changes_before': ('changes-before', 66), 'project_id': ('project_id', 80), 'user_id': ('user_id', 80)}

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--instance-uuid', metavar='<instance_uuid>', help='Of this server.')
        parser.add_argument('--host', metavar='<host>', help='From or to this host.')
        parser.add_argument('--status', metavar='<status>')
        parser.add_argument('--migration-type', metavar='<migration_type>',
                            choices=('evacuation', 'live-migration', 'migration', 'resize'),
                            help='evacuation, live-migration, migration (cold) or resize.')
        parser.add_argument('--source-compute', metavar='<source_compute>', help='From this host.')
        parser.add_argument('--marker', metavar='<marker>', help='Last migration of the page before: its UUID (2.59).')
        parser.add_argument('--limit', type=int, metavar='<limit>', help='At most so many (2.59).')
        parser.add_argument('--changes-since', metavar='<time>', help='Changed at or after (2.59).')
        parser.add_argument('--changes-before', metavar='<time>', help='Changed at or before (2.66).')
        parser.add_argument('--project-id', metavar='<project_id>', help='Asked for in this project (2.80).')
        parser.add_argument('--user-id', metavar='<user_id>', help='Asked for by this user (2.80).')

    def take_action(self, args: argparse.Namespace) -> Any:
        params: dict[str, Any] = {}
        for name, (key, minor) in self.filters.items():
            value = getattr(args, name)
            if value is not None:
                self._needs(minor, name)
                params[key] = value
        if args.limit is not None:
            self._needs(59, 'limit')
        records = list(self.client.pages('/os-migrations', 'migrations', params, args.limit, mark='uuid'))
        return table(records, self._columns())

    def _needs(self, minor: int, name: str) -> None:
        if minor:
            self.client.require(minor, '--' + name.replace('_', '-'))

    def _columns(self) -> list[tuple[str, str]]:
        columns = [*_ENDS, ('Instance UUID', 'instance_uuid'), ('Old Flavor', 'old_instance_type_id'),
                   ('New Flavor', 'new_instance_type_id'), *_TIMES]
        if self.client.at_least(59):
            columns.insert(0, ('UUID', 'uuid'))
        if self.client.at_least(23):
            columns = [('Id', 'id'), *columns, ('Type', 'migration_type')]
        return columns + _OWNER if self.client.at_least(80) else columns


class OfServer(base.Lister):
    """List the live migrations of a server that go on, with how far they are."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> Any:
        self.client.require(23, 'server-migration-list')
        server = lookup.server(self.client, args.server)
        numbers = [(f'{stage} {kind} Bytes'.title(), f'{kind}_{stage}_bytes')
                   for kind in ('memory', 'disk') for stage in ('total', 'processed', 'remaining')]
        columns = [('Id', 'id'), *_ENDS, ('Server UUID', 'server_uuid'), *_TIMES,
                   *(_OWNER if self.client.at_least(80) else []), *numbers]
        return table(self.client.get(f"/servers/{server['id']}/migrations")['migrations'], columns)


class Show(base.ShowOne):
    """Show a live migration of a server that goes on."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('migration', metavar='<migration>', help='ID, as server-migration-list shows it.')

    def take_action(self, args: argparse.Namespace) -> Any:
        self.client.require(23, 'server-migration-show')
        server = lookup.server(self.client, args.server)
        path = f"/servers/{server['id']}/migrations/{lookup.segment(args.migration)}"
        return show(self.client.get(path)['migration'])
