"""Servers that move while they run, or because their host is lost; one by one, and host by host."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from minicompute.cli import base, errors, lookup, poll
from minicompute.cli.client import Client
from minicompute.cli.format import show, table


def live_body(client: Client, host: str | None, block: bool, over_commit: bool = False,
              force: bool = False) -> dict[str, Any]:
    """The body of os-migrateLive at the version in use. Raises UsageError for what that does not have."""
    body: dict[str, Any] = {'host': host, 'block_migration': block}
    if client.at_least(25):
        body['block_migration'] = True if block else 'auto'
        if over_commit:
            raise errors.UsageError('--disk-over-commit ended with microversion 2.24')
    else:
        body['disk_over_commit'] = over_commit
    if force:
        _check_force(client, 30)
        body['force'] = True
    return body


def evacuate_body(client: Client, host: str | None, password: str | None = None, shared: bool = False,
                  force: bool = False) -> dict[str, Any]:
    body: dict[str, Any] = {'host': host} if host else {}
    if password:
        body['adminPass'] = password
    if not client.at_least(14):
        body['onSharedStorage'] = shared
    elif shared:
        raise errors.UsageError('--on-shared-storage ended with microversion 2.13: it is found out')
    if force:
        _check_force(client, 29)
        body['force'] = True
    return body


def _check_force(client: Client, first: int) -> None:
    if not client.at_least(first) or client.at_least(68):
        raise errors.UsageError(f'--force is known from microversion 2.{first} to 2.67 only')


def explain(client: Client, server: dict[str, Any], action: str) -> None:
    """Raises ServerWentError with what the newest `action` says of its failure."""
    done = client.get(f"/servers/{server['id']}/os-instance-actions")['instanceActions']
    mine = next((one for one in done if one['action'] == action), None)
    if mine is not None and mine.get('message'):
        raise errors.ServerWentError(f"{server.get('name') or server['id']}: {mine['message']}")


class LiveMigration(base.Command):
    """Move a server to another host while it runs."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('host', metavar='<host>', nargs='?', help='Where to; default: where there is room.')
        _live_options(parser)
        parser.add_argument('--poll', action='store_true', help='Wait until it is there, and say how it goes.')

    def take_action(self, args: argparse.Namespace) -> None:
        server = lookup.server(self.client, args.server)
        self.client.action(server['id'], 'os-migrateLive', live_body(
            self.client, args.host, args.block_migrate, args.disk_over_commit, args.force))
        if not args.poll:
            self.say(f'Request to {self.cmd_name} server {args.server} has been accepted.')
            return
        poll.wait(self.client, [server], ('ACTIVE', 'PAUSED'), quiet=self.app.options.verbose_level == 0)
        explain(self.client, server, 'live-migration')


def _live_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--block-migrate', action='store_true',
                        help='Copy the disks, too; from 2.25 on they are copied where need be.')
    parser.add_argument('--disk-over-commit', action='store_true',
                        help='There need be room only for what the disks hold now (up to 2.24).')
    parser.add_argument('--force', action='store_true', help='Do not ask the scheduler about the host (2.30 to 2.67).')


class Abort(base.Command):
    """Abort a live migration."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('migration', metavar='<migration>', help='ID, as server-migration-list shows it.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.client.require(24, 'live-migration-abort')
        server = lookup.server_id(self.client, args.server)
        self.client.delete(f'/servers/{server}/migrations/{lookup.segment(args.migration)}')


class ForceComplete(base.Command):
    """Let a live migration end now: the guest is paused until the rest is copied."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('migration', metavar='<migration>', help='ID, as server-migration-list shows it.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.client.require(22, 'live-migration-force-complete')
        server = lookup.server_id(self.client, args.server)
        self.client.post(f'/servers/{server}/migrations/{lookup.segment(args.migration)}/action',
                         {'force_complete': None})


class Evacuate(base.ShowOne):
    """Make a server anew on another host, because its own is lost."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('host', metavar='<host>', nargs='?', help='Where to; default: where there is room.')
        parser.add_argument('--password', metavar='<password>',
                            help='Password of the new disk; not for a disk that is kept.')
        _evacuate_options(parser)

    def take_action(self, args: argparse.Namespace) -> Any:
        server = lookup.server(self.client, args.server)
        answer = self.client.action(server['id'], 'evacuate', evacuate_body(
            self.client, args.host, args.password, args.on_shared_storage, args.force))
        self.say(f'Request to evacuate server {args.server} has been accepted.')
        return show(answer or {})


def _evacuate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--on-shared-storage', action='store_true',
                        help="Other hosts see the server's disks (up to 2.13; later that is found out).")
    parser.add_argument('--force', action='store_true', help='Do not ask the scheduler about the host (2.29 to 2.67).')


# -- all of a host ---------------------------------------------------------------

def servers_of(client: Client, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Servers of the hypervisors that `args.host` names, each {'uuid', 'name'}. Raises CliError for no hypervisor."""
    if client.at_least(53):
        found = lookup.hypervisors(client, args.host, with_servers='True')
    else:
        found = client.get(f'/os-hypervisors/{lookup.segment(args.host)}/servers')['hypervisors']
    if not found:
        raise errors.CliError(f"No hypervisor matching '{args.host}' exists.")
    for hypervisor in found:
        if not args.strict or hypervisor['hypervisor_hostname'] == args.host:
            yield from hypervisor.get('servers') or ()


class _All(base.Lister):
    """One request a server; what is refused is said in its row, and the exit code is 1."""

    accepted, refused = '', ''

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('host', metavar='<host>', help='Hypervisor host name, or (without --strict) a part of it.')
        parser.add_argument('--strict', action='store_true', help='The whole name, not a part of it.')

    def each_server(self, args: argparse.Namespace, act: Callable[[str], Any], most: int | None = None) -> Any:
        rows, failed = [], False
        for server in list(servers_of(self.client, args))[:most]:
            message = ''
            try:
                act(server['uuid'])
            except (KeyboardInterrupt, BrokenPipeError):
                raise
            except Exception as error:
                if self.app.options.debug:
                    raise
                message, failed = f'{self.refused}: {errors.classify(error)[1]}', True
            rows.append({'server': server['uuid'], 'accepted': not message, 'message': message})
        # cliff prints what is returned: so the exit code is set, not raised
        self.code = errors.FAILED if failed else errors.OK
        return table(rows, [('Server UUID', 'server'), (self.accepted, 'accepted'), ('Error Message', 'message')])

    def run(self, parsed_args: argparse.Namespace) -> int:
        return super().run(parsed_args) or self.code


class HostEvacuate(_All):
    """Evacuate all servers of a host that is lost."""

    accepted, refused = 'Evacuate Accepted', 'Error while evacuating instance'

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument('--target_host', '--target-host', metavar='<host>', help='Where to.')
        _evacuate_options(parser)

    def take_action(self, args: argparse.Namespace) -> Any:
        body = evacuate_body(self.client, args.target_host, None, args.on_shared_storage, args.force)
        return self.each_server(args, lambda uuid: self.client.action(uuid, 'evacuate', body))


class HostEvacuateLive(_All):
    """Live migrate all servers of a host."""

    accepted, refused = 'Live Migration Accepted', 'Error while live migrating instance'

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument('--target-host', '--target_host', metavar='<host>', help='Where to.')
        parser.add_argument('--max-servers', type=int, metavar='<n>', help='At most so many.')
        _live_options(parser)

    def take_action(self, args: argparse.Namespace) -> Any:
        body = live_body(self.client, args.target_host, args.block_migrate, args.disk_over_commit, args.force)
        return self.each_server(args, lambda uuid: self.client.action(uuid, 'os-migrateLive', body), args.max_servers)


class HostServersMigrate(_All):
    """Cold migrate all servers of a host."""

    accepted, refused = 'Migration Accepted', 'Error while migrating instance'

    def take_action(self, args: argparse.Namespace) -> Any:
        return self.each_server(args, lambda uuid: self.client.action(uuid, 'migrate', None))
