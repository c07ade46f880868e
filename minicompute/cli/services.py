"""The daemons."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base, lookup
from minicompute.cli.format import table


class List(base.Lister):
    """List services."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--host', metavar='<host>')
        parser.add_argument('--binary', metavar='<binary>')

    def take_action(self, args: argparse.Namespace) -> Any:
        params = {key: value for key, value in (('host', args.host), ('binary', args.binary)) if value}
        columns = [('Id', 'id'), ('Binary', 'binary'), ('Host', 'host'), ('Zone', 'zone'),
                   ('Status', 'status'),
                   ('State', 'state'), ('Updated_at', 'updated_at'), ('Disabled Reason', 'disabled_reason')]
        if self.client.at_least(11):
            columns.append(('Forced down', 'forced_down'))
        return table(self.client.get('/os-services', params)['services'], columns)


class _Change(base.Lister):
    """A change of one service: by UUID from 2.53 on, by host and binary before."""

    legacy = ''

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('service', metavar='<id>', help='ID, or (our addition) host or host:binary.')

    def change(self, args: argparse.Namespace, new: dict[str, Any], old: dict[str, Any]) -> Any:
        service = lookup.service(self.client, args.service)
        if self.client.at_least(53):
            answer = self.client.put(f"/os-services/{service['id']}", new)['service']
        else:
            body = {'host': service['host'], 'binary': service['binary'], **old}
            answer = {**service, **self.client.put(f'/os-services/{self.legacy}', body)['service']}
        columns = [('ID', 'id'), ('Host', 'host'), ('Binary', 'binary'), ('Status', 'status')]
        if 'disabled_reason' in new:
            columns.append(('Disabled Reason', 'disabled_reason'))
        if 'forced_down' in new:
            columns.append(('Forced down', 'forced_down'))
        return table([answer], columns)


class Enable(_Change):
    """Enable a service."""

    legacy = 'enable'

    def take_action(self, args: argparse.Namespace) -> Any:
        return self.change(args, {'status': 'enabled'}, {})


class Disable(_Change):
    """Disable a service: nothing new is scheduled to its host."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument('--reason', metavar='<reason>')

    def take_action(self, args: argparse.Namespace) -> Any:
        reason = {'disabled_reason': args.reason} if args.reason else {}
        self.legacy = 'disable-log-reason' if reason else 'disable'
        return self.change(args, {'status': 'disabled', **reason}, reason)


class ForceDown(_Change):
    """Say that a service is down, whatever its heartbeat says; the fence before an evacuation."""

    legacy = 'force-down'

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument('--unset', action='store_true', help='Take it back.')

    def take_action(self, args: argparse.Namespace) -> Any:
        self.client.require(11, 'service-force-down')
        body = {'forced_down': not args.unset}
        return self.change(args, body, body)


class Delete(base.Command):
    """Delete services; stop their daemons first."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('service', nargs='+', metavar='<id>', help='ID, host or host:binary.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.each(args.service, lambda name: self.client.delete(
            f"/os-services/{lookup.service(self.client, name)['id']}"))
