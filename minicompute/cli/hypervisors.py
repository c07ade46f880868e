"""Hypervisors."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base, errors, lookup
from minicompute.cli.format import show, table


class List(base.Lister):
    """List hypervisors."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--matching', metavar='<hostname>', help='Only host names that contain this.')
        parser.add_argument('--marker', metavar='<id>', help='Last hypervisor of the page before (2.33).')
        parser.add_argument('--limit', type=int, metavar='<n>', help='At most so many (2.33).')

    def take_action(self, args: argparse.Namespace) -> Any:
        columns = [('ID', 'id'), ('Hypervisor hostname', 'hypervisor_hostname'), ('State', 'state'),
                   ('Status', 'status')]
        if args.matching:
            found = lookup.hypervisors(self.client, args.matching)
            if not found:
                raise errors.CliError(f"No hypervisor matching '{args.matching}' exists.")
            return table(found, columns)
        if args.marker or args.limit is not None:
            self.client.require(33, '--marker and --limit')
        params = {'marker': args.marker} if args.marker else {}
        return table(list(self.client.pages('/os-hypervisors', 'hypervisors', params, args.limit)), columns)


def _flat(record: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Nested facts as novaclient names them: cpu_info_topology_cores."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f'{prefix}{key}_'))
        else:
            flat[prefix + key] = value
    return flat


class Show(base.ShowOne):
    """Show a hypervisor."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('hypervisor', metavar='<hypervisor>', help='Host name or ID.')
        parser.add_argument('--wrap', type=int, metavar='<n>',
                            help='Width of the table; 0: as wide as it needs.')

    def take_action(self, args: argparse.Namespace) -> Any:
        if args.wrap is not None:
            args.max_width = args.wrap
        found = lookup.hypervisor(self.client, args.hypervisor)
        return show(_flat(self.client.get(f"/os-hypervisors/{found['id']}")['hypervisor']))


class Servers(base.Lister):
    """List the servers of the hypervisors that match."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('hostname', metavar='<hostname>', help='Host name or a part of it.')

    def take_action(self, args: argparse.Namespace) -> Any:
        if self.client.at_least(53):
            found = lookup.hypervisors(self.client, args.hostname, with_servers='True')
        else:
            found = self.client.get(f'/os-hypervisors/{lookup.segment(args.hostname)}/servers')['hypervisors']
        if not found:
            raise errors.CliError(f"No hypervisor matching '{args.hostname}' exists.")
        servers = [{**server, 'hypervisor_id': h['id'], 'hostname': h['hypervisor_hostname']}
                   for h in found for server in h.get('servers') or ()]
        return table(servers, [('ID', 'uuid'), ('Name', 'name'), ('Hypervisor ID', 'hypervisor_id'),
                               ('Hypervisor Hostname', 'hostname')])


class Stats(base.ShowOne):
    """Show totals over all hypervisors (before 2.88)."""

    def take_action(self, args: argparse.Namespace) -> Any:
        # The route ended with 2.87: whoever asks for totals today means the last version that had them.
        version = '2.87' if self.client.at_least(88) else None
        return show(self.client.get('/os-hypervisors/statistics',
                                    microversion=version)['hypervisor_statistics'])


class Uptime(base.ShowOne):
    """Show how long a hypervisor's host is up."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('hypervisor', metavar='<hypervisor>', help='Host name or ID.')

    def take_action(self, args: argparse.Namespace) -> Any:
        found = lookup.hypervisor(self.client, args.hypervisor)
        path = f"/os-hypervisors/{found['id']}"
        if not self.client.at_least(88):
            path += '/uptime'
        answer = self.client.get(path)['hypervisor']
        keys = ('hypervisor_hostname', 'id', 'state', 'status', 'uptime')
        return show({key: answer.get(key) for key in keys})
