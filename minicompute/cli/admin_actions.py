"""What owners and operators do to servers besides running them: locks, resets, restores, diagnostics."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base, lookup, poll
from minicompute.cli.format import show, table
from minicompute.cli.server_actions import _Many


class Lock(base.Command):
    """Lock a server: nobody but an administrator changes it."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('--reason', metavar='<reason>', help='Why, for others to read (2.73).')

    def take_action(self, args: argparse.Namespace) -> None:
        argument = None
        if args.reason is not None:
            self.client.require(73, '--reason')
            argument = {'locked_reason': args.reason}
        self.client.action(lookup.server(self.client, args.server)['id'], 'lock', argument)


class Unlock(base.Command):
    """Unlock a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.client.action(lookup.server(self.client, args.server)['id'], 'unlock')


class ResetState(_Many):
    """Set the state of servers by hand (admin): to error, unless --active. What runs is cancelled first."""

    done = 'Reset state for server {name} was accepted; new state is {state}.'

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument('--active', action='store_true', help='To active.')

    def take_action(self, args: argparse.Namespace) -> None:
        self._state = 'active' if args.active else 'error'
        self.done = self.done.replace('{state}', self._state)
        self.wanted = (self._state.upper(),)
        super().take_action(args)

    def act(self, server: dict[str, Any], args: argparse.Namespace) -> None:
        self.client.action(server['id'], 'os-resetState', {'state': self._state})


class Restore(base.Command):
    """Take back the delete of a server, while the service keeps it."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('--poll', action='store_true', help='Wait until it is done, and say how it goes.')

    def take_action(self, args: argparse.Namespace) -> None:
        server = lookup.soft_deleted_server(self.client, args.server)
        self.client.action(server['id'], 'restore')
        if args.poll:
            poll.wait(self.client, [server], ('ACTIVE',), quiet=self.app.options.verbose_level == 0)


class InjectNetworkInfo(base.Command):
    """Let the host of a server bring the server's networks up again as the records have them (admin)."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.client.action(lookup.server(self.client, args.server)['id'], 'injectNetworkInfo')


class Diagnostics(base.ShowOne):
    """Show what a running server uses, as its host sees it (admin)."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> Any:
        server = lookup.server(self.client, args.server)
        found = self.client.get(f"/servers/{server['id']}/diagnostics")
        return show(found)


class Topology(base.ShowOne):
    """Show the NUMA topology of a server (2.78)."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> Any:
        self.client.require(78, 'server-topology')
        server = lookup.server(self.client, args.server)
        found = self.client.get(f"/servers/{server['id']}/topology")
        return show(found)


class GroupList(base.Lister):
    """List the security groups of a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> Any:
        server = lookup.server(self.client, args.server)
        found = self.client.get(f"/servers/{server['id']}/os-security-groups")['security_groups']
        return table(found, [('Id', 'id'), ('Name', 'name'), ('Description', 'description')])


class _Group(base.Command):
    action = ''

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('secgroup', metavar='<secgroup>', help='Name or ID of a security group.')

    def take_action(self, args: argparse.Namespace) -> None:
        server = lookup.server(self.client, args.server)
        self.client.action(server['id'], self.action, {'name': args.secgroup})


class GroupAdd(_Group):
    """Put a server into a security group."""

    action = 'addSecurityGroup'


class GroupRemove(_Group):
    """Take a server out of a security group."""

    action = 'removeSecurityGroup'
