"""Volumes, through the Block Storage API v3."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base, lookup
from minicompute.cli.format import show, table

_SHOWN = ('id', 'name', 'description', 'status', 'size', 'bootable', 'attachments', 'created_at', 'metadata')


def _tidy(volume: dict[str, Any]) -> dict[str, Any]:
    return {name: volume[name] for name in _SHOWN if name in volume}


class List(base.Lister):
    """List volumes."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--name', metavar='<name>')
        parser.add_argument('--status', metavar='<status>')
        parser.add_argument('--all-tenants', action='store_true', help='Volumes of all projects (admin).')

    def take_action(self, args: argparse.Namespace) -> Any:
        asked = {'name': args.name, 'status': args.status, 'all_tenants': '1' if args.all_tenants else None}
        volumes = lookup.volumes(self.client, **{name: value for name, value in asked.items() if value})
        for volume in volumes:
            volume['servers'] = ','.join(one['server_id'] for one in volume.get('attachments') or ())
        return table(volumes, [('ID', 'id'), ('Name', 'name'), ('Status', 'status'), ('Size', 'size'),
                               ('Bootable', 'bootable'), ('Attached to', 'servers')])


class Show(base.ShowOne):
    """Show a volume."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('volume', metavar='<volume>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> Any:
        return show(_tidy(lookup.volume(self.client, args.volume)))


class Create(base.ShowOne):
    """Create an empty volume."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('size', metavar='<GiB>', type=int)
        parser.add_argument('--name', metavar='<name>', default='')
        parser.add_argument('--description', metavar='<text>')

    def take_action(self, args: argparse.Namespace) -> Any:
        body = {'size': args.size, 'name': args.name, 'description': args.description}
        answer = self.client.volume.post('/volumes', json={'volume': body}).json()
        return show(_tidy(answer['volume']))


class Extend(base.Command):
    """Make a volume larger that no server has."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('volume', metavar='<volume>', help='Name or ID.')
        parser.add_argument('size', metavar='<GiB>', type=int, help='Its new size.')

    def take_action(self, args: argparse.Namespace) -> None:
        volume = lookup.volume_id(self.client, args.volume)
        self.client.volume.post(f'/volumes/{volume}/action', json={'os-extend': {'new_size': args.size}})


class Delete(base.Command):
    """Delete volumes."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('volume', nargs='+', metavar='<volume>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.each(args.volume, lambda name: self.client.volume.delete(
            f'/volumes/{lookup.volume_id(self.client, name)}'))
