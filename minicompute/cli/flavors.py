"""Flavors: sizes of servers."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base, lookup
from minicompute.cli.format import show, table

COLUMNS = [
    ('ID', 'id'), ('Name', 'name'), ('Memory_MiB', 'ram'), ('Disk', 'disk'),
    ('Ephemeral', 'OS-FLV-EXT-DATA:ephemeral'), ('Swap', 'swap'), ('VCPUs', 'vcpus'),
    ('RXTX_Factor', 'rxtx_factor'),
    ('Is_Public', 'os-flavor-access:is_public'),
]


def _extra_specs(client: Any, flavor: dict[str, Any]) -> dict[str, str]:
    if 'extra_specs' in flavor:
        return flavor['extra_specs']
    return client.get(f"/flavors/{lookup.segment(flavor['id'])}/os-extra_specs")['extra_specs']


def _columns(client: Any) -> list[tuple[str, str]]:
    columns = [c for c in COLUMNS if c[1] != 'rxtx_factor' or not client.at_least(102)]
    return [*columns, ('Description', 'description')] if client.at_least(55) else columns


class List(base.Lister):
    """List flavors."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--extra-specs', action='store_true', help='Show extra specs too.')
        parser.add_argument('--all', action='store_true', help='Also those that are not public (admin).')
        parser.add_argument('--marker', metavar='<id>', help='Last flavor of the page before.')
        parser.add_argument('--min-disk', type=int, metavar='<GiB>')
        parser.add_argument('--min-ram', type=int, metavar='<MiB>')
        parser.add_argument('--limit', type=int, metavar='<n>', help='At most so many.')
        parser.add_argument('--sort-key', metavar='<key>')
        parser.add_argument('--sort-dir', metavar='asc|desc', choices=('asc', 'desc'))

    def take_action(self, args: argparse.Namespace) -> Any:
        names = (('minDisk', args.min_disk), ('minRam', args.min_ram), ('sort_key', args.sort_key),
                 ('sort_dir', args.sort_dir), ('marker', args.marker),
                 ('is_public', 'None' if args.all else None))
        params = {key: value for key, value in names if value is not None}
        flavors = list(self.client.pages('/flavors/detail', 'flavors', params, args.limit))
        columns = _columns(self.client)
        if args.extra_specs:
            columns.append(('extra_specs', 'extra_specs'))
            for flavor in flavors:
                flavor['extra_specs'] = _extra_specs(self.client, flavor)
        return table(flavors, columns)


class Show(base.ShowOne):
    """Show a flavor."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('flavor', metavar='<flavor>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> Any:
        flavor = lookup.flavor(self.client, args.flavor)
        return show({**flavor, 'extra_specs': _extra_specs(self.client, flavor)})


class Create(base.ShowOne):
    """Create a flavor."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('name', metavar='<name>', help='Unique name.')
        parser.add_argument('id', metavar='<id>', help="Unique ID, or 'auto' for a new UUID.")
        parser.add_argument('ram', type=int, metavar='<ram>', help='MiB.')
        parser.add_argument('disk', type=int, metavar='<disk>', help='GiB.')
        parser.add_argument('vcpus', type=int, metavar='<vcpus>')
        parser.add_argument('--ephemeral', type=int, default=0, metavar='<GiB>')
        parser.add_argument('--swap', type=int, default=0, metavar='<MiB>')
        parser.add_argument('--rxtx-factor', type=float, metavar='<factor>', help='Until 2.101.')
        parser.add_argument('--is-public', type=base.boolean, default=True, metavar='<bool>')
        parser.add_argument('--description', metavar='<text>', help='From 2.55 on.')

    def take_action(self, args: argparse.Namespace) -> Any:
        flavor = {'name': args.name, 'id': None if args.id == 'auto' else args.id, 'ram': args.ram,
                  'disk': args.disk,
                  'vcpus': args.vcpus, 'swap': args.swap, 'OS-FLV-EXT-DATA:ephemeral': args.ephemeral,
                  'os-flavor-access:is_public': args.is_public}
        if args.rxtx_factor is not None:
            flavor['rxtx_factor'] = args.rxtx_factor
        if args.description is not None:
            self.client.require(55, '--description')
            flavor['description'] = args.description
        return show(self.client.post('/flavors', {'flavor': flavor})['flavor'])


class Delete(base.Command):
    """Delete flavors."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('flavor', nargs='+', metavar='<flavor>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.each(args.flavor, lambda name: self.client.delete(
            f"/flavors/{lookup.segment(lookup.flavor(self.client, name)['id'])}"))


class Update(base.ShowOne):
    """Change a flavor's description."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('flavor', metavar='<flavor>', help='Name or ID.')
        parser.add_argument('description', metavar='<description>', help='Empty: none.')

    def take_action(self, args: argparse.Namespace) -> Any:
        self.client.require(55, 'flavor-update')
        path = f"/flavors/{lookup.segment(lookup.flavor(self.client, args.flavor)['id'])}"
        return show(self.client.put(path, {'flavor': {'description': args.description or None}})['flavor'])


class Key(base.Command):
    """Set or unset extra specs of a flavor."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('flavor', metavar='<flavor>', help='Name or ID.')
        parser.add_argument('action', choices=('set', 'unset'))
        parser.add_argument('specs', nargs='+', metavar='<key=value>', help='To unset, the key is enough.')

    def take_action(self, args: argparse.Namespace) -> None:
        specs = base.pairs(args.specs, 'flavor-key set') if args.action == 'set' else {}
        path = f"/flavors/{lookup.segment(lookup.flavor(self.client, args.flavor)['id'])}/os-extra_specs"
        if specs:
            self.client.post(path, {'extra_specs': specs})
            return
        keys = [word.partition('=')[0] for word in args.specs]
        self.each(keys, lambda key: self.client.delete(f'{path}/{lookup.segment(key)}'))


class AccessList(base.Lister):
    """List the projects that may use a flavor that is not public."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--flavor', required=True, metavar='<flavor>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> Any:
        path = f"/flavors/{lookup.segment(lookup.flavor(self.client, args.flavor)['id'])}/os-flavor-access"
        return access(self.client.get(path))


def access(body: dict[str, Any]) -> Any:
    return table(body['flavor_access'], [('Flavor_ID', 'flavor_id'), ('Tenant_ID', 'tenant_id')])


class AccessAdd(base.Lister):
    """Let a project use a flavor that is not public."""

    verb = 'addTenantAccess'

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('flavor', metavar='<flavor>', help='Name or ID.')
        parser.add_argument('tenant', metavar='<project-id>')

    def take_action(self, args: argparse.Namespace) -> Any:
        path = f"/flavors/{lookup.segment(lookup.flavor(self.client, args.flavor)['id'])}/action"
        return access(self.client.post(path, {self.verb: {'tenant': args.tenant}}))


class AccessRemove(AccessAdd):
    """Take the use of a flavor from a project."""

    verb = 'removeTenantAccess'
