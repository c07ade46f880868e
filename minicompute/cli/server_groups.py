"""Groups of servers, which a policy keeps together or apart."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base, errors, lookup
from minicompute.cli.format import cell

RULES = 64      # the microversion since which a group has one policy, and rules


def shown(client: Any, records: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    kind = [('Policy', 'policy'), ('Rules', 'rules')] if client.at_least(RULES) else [('Policies', 'policies')]
    owner = [('Project Id', 'project_id'), ('User Id', 'user_id')] if client.at_least(13) else []
    columns = [('Id', 'id'), ('Name', 'name'), *owner, *kind, ('Members', 'members')]
    return [title for title, _ in columns], [[cell(one.get(key)) for _, key in columns] for one in records]


class List(base.Lister):
    """List server groups."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--limit', type=int, metavar='<limit>')
        parser.add_argument('--offset', type=int, metavar='<offset>')
        parser.add_argument('--all-projects', action='store_true', help='Those of all projects (admin).')

    def take_action(self, args: argparse.Namespace) -> Any:
        params = {name: getattr(args, name) for name in ('limit', 'offset') if getattr(args, name) is not None}
        if args.all_projects:
            params['all_projects'] = True
        return shown(self.client, self.client.get('/os-server-groups', params)['server_groups'])


class Get(base.Lister):
    """Show a server group."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('id', metavar='<id>')

    def take_action(self, args: argparse.Namespace) -> Any:
        found = self.client.get(f'/os-server-groups/{lookup.segment(args.id)}')['server_group']
        return shown(self.client, [found])


class Create(base.Lister):
    """Make a server group."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('name', metavar='<name>')
        parser.add_argument('policy', metavar='<policy>',
                            help='affinity, anti-affinity, and from 2.15 soft-affinity, soft-anti-affinity.')
        parser.add_argument('--rule', dest='rules', action='append', default=[], metavar='<key=value>',
                            help='max_server_per_host=<n> of anti-affinity (2.64).')

    def take_action(self, args: argparse.Namespace) -> Any:
        body: dict[str, Any] = {'name': args.name}
        if self.client.at_least(RULES):
            body['policy'] = args.policy
            if args.rules:
                body['rules'] = base.pairs(args.rules, '--rule')
        else:
            if args.rules:
                self.client.require(RULES, '--rule')
            body['policies'] = [args.policy]
        return shown(self.client, [self.client.post('/os-server-groups', {'server_group': body})['server_group']])


class Delete(base.Command):
    """Delete server groups."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('id', nargs='+', metavar='<id>')

    def take_action(self, args: argparse.Namespace) -> None:
        def delete(identity: str) -> None:
            self.client.delete(f'/os-server-groups/{lookup.segment(identity)}')
            self.say(f'Server group {identity} has been successfully deleted.')
        self.each(args.id, delete)


class HostMeta(base.Command):
    """Set or delete metadata of all servers of the hypervisors that a name matches."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('host', metavar='<host>', help='Hypervisor, or a part of its name.')
        parser.add_argument('action', choices=('set', 'delete'))
        parser.add_argument('metadata', nargs='+', metavar='<key=value>', help='To delete, the key is enough.')
        parser.add_argument('--strict', action='store_true', help='The whole name, not a part.')

    def take_action(self, args: argparse.Namespace) -> None:
        from minicompute.cli.live import servers_of
        changes = base.pairs(args.metadata, 'host-meta set') if args.action == 'set' else {}
        keys = [word.partition('=')[0] for word in args.metadata]

        def act(server: str) -> None:
            path = f'/servers/{server}/metadata'
            if changes:
                self.client.post(path, {'metadata': changes})
                return
            there = self.client.get(path)['metadata']
            for key in keys:
                if key in there:
                    self.client.delete(f'{path}/{lookup.segment(key)}')
        self.each([server['uuid'] for server in servers_of(self.client, args)], act)


class Ssh(base.Command):
    """Log in to a server by ssh."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add('server', metavar='<server>', help='Name or ID.')
        add('--port', type=int, default=22)
        add('--address-type', default=None, metavar='floating|fixed', choices=('floating', 'fixed'),
            help='By default the floating address, if there is one.')
        add('--network', metavar='<network>', help='The network whose address is meant.')
        add('--ipv6', action='store_true')
        add('--login', default='root', metavar='<login>')
        add('-i', '--identity', default='', metavar='<file>')
        add('--extra-opts', dest='extra', default='', metavar='<options>', help='For ssh, as on its command line.')

    def take_action(self, args: argparse.Namespace) -> None:
        import os
        import shlex
        server = lookup.server(self.client, args.server)
        words = ['ssh', *(['-6'] if args.ipv6 else []), '-p', str(args.port),
                 *(['-i', args.identity] if args.identity else []), *shlex.split(args.extra), '-l', args.login, '--',
                 address_of(server, args)]
        os.execvp(words[0], words)      # noqa: S606  no shell reads them


def address_of(server: dict[str, Any], args: argparse.Namespace) -> str:
    """Raises CliError."""
    addresses = server.get('addresses') or {}
    if args.network and args.network not in addresses:
        raise errors.CliError(f"Server '{args.server}' has no address in network '{args.network}'.")
    found = [one for name, many in sorted(addresses.items()) if args.network in (None, name) for one in many
             if one['version'] == (6 if args.ipv6 else 4)]
    for kind in (args.address_type,) if args.address_type else ('floating', 'fixed'):
        for one in found:
            if one.get('OS-EXT-IPS:type', 'fixed') == kind:
                return str(one['addr'])
    raise errors.CliError(f"Server '{args.server}' has no such address.")
