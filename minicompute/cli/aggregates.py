"""Aggregates of hosts."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from minicompute.cli import base, errors, lookup
from minicompute.cli.format import cell


def find(client: Any, wanted: str) -> dict[str, Any]:
    """By id or by name."""
    records = client.get('/os-aggregates')['aggregates']
    by_id = [one for one in records if str(one['id']) == wanted]
    return by_id[0] if by_id else lookup.only('aggregate', wanted, (one for one in records if one['name'] == wanted))


def shown(client: Any, records: Iterable[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    columns = [('Id', 'id'), ('Name', 'name'), ('Availability Zone', 'availability_zone'), ('Hosts', 'hosts'),
               ('Metadata', 'metadata')]
    if client.at_least(41):
        columns.append(('UUID', 'uuid'))
    return [title for title, _ in columns], [[cell(one.get(key)) for _, key in columns] for one in records]


class List(base.Lister):
    """List aggregates."""

    def take_action(self, args: argparse.Namespace) -> Any:
        return shown(self.client, self.client.get('/os-aggregates')['aggregates'])


class _One(base.Lister):
    """A verb of one aggregate, which is shown then."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('aggregate', metavar='<aggregate>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> Any:
        return shown(self.client, [self.act(find(self.client, args.aggregate), args)])

    def act(self, aggregate: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/os-aggregates/{aggregate['id']}")['aggregate']
        return found

    def post(self, aggregate: dict[str, Any], action: str, argument: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.client.post(f"/os-aggregates/{aggregate['id']}/action",
                                                 {action: argument})['aggregate']
        return found


class Show(_One):
    """Show an aggregate."""


class Create(base.Lister):
    """Make an aggregate, and with it, if one is named, an availability zone."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('name', metavar='<name>')
        parser.add_argument('availability_zone', metavar='<availability-zone>', nargs='?')

    def take_action(self, args: argparse.Namespace) -> Any:
        body = {'name': args.name, 'availability_zone': args.availability_zone}
        made = self.client.post('/os-aggregates', {'aggregate': body})['aggregate']
        return shown(self.client, [self.client.get(f"/os-aggregates/{made['id']}")['aggregate']])


class Update(_One):
    """Change the name or the availability zone of an aggregate."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument('--name', metavar='<name>')
        parser.add_argument('--availability-zone', metavar='<availability-zone>')

    def act(self, aggregate: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
        changes = {key: value for key, value in (('name', args.name), ('availability_zone', args.availability_zone))
                   if value is not None}
        if not changes:
            raise errors.UsageError('aggregate-update takes --name, --availability-zone or both')
        answer = self.client.put(f"/os-aggregates/{aggregate['id']}", {'aggregate': changes})
        return dict(answer['aggregate'])


class Delete(base.Command):
    """Delete aggregates that have no hosts."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('aggregate', nargs='+', metavar='<aggregate>', help='Name or ID; several are fine.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.each(args.aggregate, lambda name: self.client.delete(
            f"/os-aggregates/{find(self.client, name)['id']}"))


class SetMetadata(_One):
    """Set metadata of an aggregate; a key without a value is removed."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument('metadata', nargs='+', metavar='<key=value>', help='`key=value`, or `key` to remove it.')

    def act(self, aggregate: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
        metadata: dict[str, str | None] = {}
        for word in args.metadata:
            key, equals, value = word.partition('=')
            metadata[key] = value if equals else None
        return self.post(aggregate, 'set_metadata', {'metadata': metadata})


class AddHost(_One):
    """Add a host to an aggregate."""

    action = 'add_host'

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument('host', metavar='<host>')

    def act(self, aggregate: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
        return self.post(aggregate, self.action, {'host': args.host})


class RemoveHost(AddHost):
    """Remove a host from an aggregate."""

    action = 'remove_host'


class CacheImages(base.Command):
    """Ask the hosts of an aggregate to fetch images before a server needs them (2.81)."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('aggregate', metavar='<aggregate>', help='Name or ID.')
        parser.add_argument('images', nargs='+', metavar='<image>', help='Names or IDs.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.client.require(81, 'aggregate-cache-images')
        wanted = [{'id': lookup.image_id(self.client, image)} for image in args.images]
        self.client.post(f"/os-aggregates/{find(self.client, args.aggregate)['id']}/images", {'cache': wanted})
