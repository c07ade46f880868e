"""Networks, through openstacksdk's Network v2 proxy."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base, lookup
from minicompute.cli.format import show, table


def _tidy(record: dict[str, Any]) -> dict[str, Any]:
    """Without what openstacksdk has a field for and the service said nothing of."""
    return {key: value for key, value in record.items() if value is not None
            and key not in ('location', 'links')}


class List(base.Lister):
    """List networks."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--name', metavar='<name>')

    def take_action(self, args: argparse.Namespace) -> Any:
        filters = {'name': args.name} if args.name else {}
        networks = [n.to_dict() for n in self.client.network.networks(**filters)]
        return table(networks, [('ID', 'id'), ('Name', 'name'), ('Status', 'status'),
                                ('Subnets', 'subnet_ids')])


class Show(base.ShowOne):
    """Show a network."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('network', metavar='<network>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> Any:
        return show(_tidy(lookup.network(self.client, args.network)))


class Create(base.ShowOne):
    """Create a network, and with --cidr its subnet."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('name', metavar='<name>')
        parser.add_argument('--cidr', metavar='<cidr>', help='Also create a subnet with this range.')
        parser.add_argument('--gateway', metavar='<ip>', help="The subnet's gateway.")
        parser.add_argument('--no-dhcp', action='store_true', help='No DHCP in the subnet.')
        parser.add_argument('--dns', action='append', default=[], metavar='<ip>', help='May be repeated.')
        parser.add_argument('--shared', action='store_true', help='For all projects (admin).')

    def take_action(self, args: argparse.Namespace) -> Any:
        facts: dict[str, Any] = {'name': args.name}
        if args.shared:
            facts['shared'] = True
        network = self.client.network.create_network(**facts)
        if args.cidr:
            try:
                self._subnet(network.id, args)
            except BaseException:
                self.client.network.delete_network(network.id)
                raise
        return show(_tidy(self.client.network.get_network(network.id).to_dict()))

    def _subnet(self, network_id: str, args: argparse.Namespace) -> None:
        facts: dict[str, Any] = {'network_id': network_id, 'cidr': args.cidr,
                                 'ip_version': 6 if ':' in args.cidr else 4, 'enable_dhcp': not args.no_dhcp}
        if args.gateway:
            facts['gateway_ip'] = args.gateway
        if args.dns:
            facts['dns_nameservers'] = args.dns
        self.client.network.create_subnet(**facts)


class Delete(base.Command):
    """Delete networks."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('network', nargs='+', metavar='<network>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.each(args.network, lambda name: self.client.network.delete_network(
            lookup.network(self.client, name)['id'], ignore_missing=False))
