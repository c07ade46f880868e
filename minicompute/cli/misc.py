"""Zones, limits, versions."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base
from minicompute.cli.client import root
from minicompute.cli.format import Plain, Status, table


class ZoneList(base.Lister):
    """List availability zones; for an admin with their hosts and services."""

    def take_action(self, args: argparse.Namespace) -> Any:
        from keystoneauth1 import exceptions as ks
        try:
            zones = self.client.get('/os-availability-zone/detail')['availabilityZoneInfo']
        except ks.Forbidden:
            zones = self.client.get('/os-availability-zone')['availabilityZoneInfo']
        return ['Name', 'Status'], [row for zone in zones for row in _zone_rows(zone)]


def _zone_rows(zone: dict[str, Any]) -> list[list[Any]]:
    rows: list[list[Any]] = [[zone['zoneName'], _state(zone['zoneState']['available'])]]
    for host, services in sorted((zone.get('hosts') or {}).items()):
        rows.append([f'|- {host}', ''])
        for binary, facts in sorted(services.items()):
            words = ('enabled' if facts['active'] else 'disabled', ':-)' if facts['available'] else 'XXX',
                     facts.get('updated_at') or '')
            rows.append([f'| |- {binary}', ' '.join(words)])
    return rows


def _state(available: bool) -> Status:
    return Status('available' if available else 'not available')


class Limits(base.Lister):
    """Show what the project may use, and uses."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--tenant', metavar='<project>', help='Another project (admin).')
        parser.add_argument('--reserved', action='store_true', help='Include reservations.')

    def take_action(self, args: argparse.Namespace) -> Any:
        params: dict[str, Any] = {'tenant_id': args.tenant} if args.tenant else {}
        if args.reserved and not self.client.at_least(75):     # which refuses it: there are no reservations
            params['reserved'] = 1
        absolute = self.client.get('/limits', params)['limits']['absolute']
        return ['Name', 'Used', 'Max'], limit_rows(absolute)


def limit_rows(absolute: dict[str, int]) -> list[list[Any]]:
    """`maxTotalCores` and `totalCoresUsed` are two views of Cores."""
    rows: dict[str, list[Any]] = {}
    for name, value in absolute.items():
        used = name.endswith('Used')
        plain = name.removeprefix('max').removesuffix('Used')
        plain = plain.removeprefix('total').removeprefix('Total').replace('RAMSize', 'RAM')
        row = rows.setdefault(plain, [None, None])
        row[0 if used else 1] = value
    return [[name, Plain(row[0]), Plain(row[1])] for name, row in sorted(rows.items())]


class VersionList(base.Lister):
    """List the API versions that the service has."""

    def take_action(self, args: argparse.Namespace) -> Any:
        # The root is public and knows no microversions; keystoneauth finds it above whatever endpoint we
        # have.
        found = self.client.compute.get_endpoint_data()
        url = root(found.url if found else self.client.compute.get_endpoint())
        response = self.client.target.session.get(url, authenticated=False)
        columns = [('Id', 'id'), ('Status', 'status'), ('Updated', 'updated'), ('Min Version', 'min_version'),
                   ('Version', 'version')]
        return table(response.json()['versions'], columns)
