"""list, show, update, rename."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from minicompute.cli import base, errors, lookup
from minicompute.cli.format import Addresses, Flavor, Plain, Status, cell, power_state

STS = 'OS-EXT-STS:'

# (option, query key, minor version it needs, help)
TEXT_FILTERS: list[tuple[str, str, int, str]] = [
    ('--reservation-id', 'reservation_id', 1, 'Servers of one multiple-create request.'),
    ('--ip', 'ip', 1, 'Regular expression for the IPv4 address.'),
    ('--ip6', 'ip6', 1, 'Regular expression for the IPv6 address.'),
    ('--name', 'name', 1, 'Regular expression for the name.'),
    ('--status', 'status', 1, 'Status, such as ACTIVE.'),
    ('--host', 'host', 1, 'Host (admin).'),
    ('--availability-zone', 'availability_zone', 1, 'Availability zone.'),
    ('--key-name', 'key_name', 1, 'Name of the key pair.'),
    ('--progress', 'progress', 1, 'Progress value.'),
    ('--vm-state', 'vm_state', 1, 'vm_state value.'),
    ('--task-state', 'task_state', 1, 'task_state value.'),
    ('--power-state', 'power_state', 1, 'power_state value.'),
    ('--changes-since', 'changes-since', 1,
     'Changed at or after this ISO 8601 time; includes deleted servers.'),
    ('--changes-before', 'changes-before', 66, 'Changed at or before this ISO 8601 time.'),
    ('--tags', 'tags', 26, 'Has all of these comma-separated tags.'),
    ('--tags-any', 'tags-any', 26, 'Has one of these tags.'),
    ('--not-tags', 'not-tags', 26, 'Has not all of these tags.'),
    ('--not-tags-any', 'not-tags-any', 26, 'Has none of these tags.'),
    ('--locked', 'locked', 73, 'true or false.'),
]


class List(base.Lister):
    """List servers."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        for option, key, _minor, text in TEXT_FILTERS:
            parser.add_argument(option, dest=key, metavar='<value>', help=text)
        parser.add_argument('--flavor', metavar='<flavor>', help='Name or ID of a flavor.')
        parser.add_argument('--image', metavar='<image>', help='Name or ID of an image.')
        parser.add_argument('--all-tenants', nargs='?', type=base.boolean, const=True, default=False,
                            metavar='0|1', help='Servers of all projects (admin).')
        parser.add_argument('--tenant', metavar='<project>', help='Servers of one project (admin).')
        parser.add_argument('--user', metavar='<user>', help='Servers of one user.')
        parser.add_argument('--deleted', action='store_true', help='Only deleted servers (admin).')
        drive = parser.add_mutually_exclusive_group()
        drive.add_argument('--config-drive', action='store_true', default=None, help='Has a config drive.')
        drive.add_argument('--no-config-drive', action='store_false', dest='config_drive', help='Has none.')
        parser.add_argument('--fields', metavar='<fields>',
                            help='Comma-separated fields to show besides the ID.')
        parser.add_argument('--minimal', action='store_true', help='Only ID and name.')
        parser.add_argument('--sort', metavar='<key[:dir],...>',
                            help='Sort keys, each with :asc or :desc (default).')
        parser.add_argument('--marker', metavar='<server>', help='Last server of the page before.')
        parser.add_argument('--limit', type=int, metavar='<n>', help='At most so many; -1 or nothing: all.')

    def take_action(self, args: argparse.Namespace) -> Any:
        if args.minimal and args.fields:
            raise errors.UsageError('--minimal and --fields exclude each other')
        path = '/servers' if args.minimal else '/servers/detail'
        servers = list(self.client.pages(path, 'servers', self._query(args), args.limit))
        if args.minimal:
            return ['ID', 'Name'], [[s['id'], s['name']] for s in servers]
        if args.fields:
            return _fields(servers, args.fields)
        columns = [c for c in DEFAULT_COLUMNS if c[0] != 'Tenant ID' or args.all_tenants or args.tenant]
        return [title for title, _get in columns], [[get(s) for _title, get in columns] for s in servers]

    def _query(self, args: argparse.Namespace) -> dict[str, Any]:
        query: dict[str, Any] = {}
        for option, key, minor, _text in TEXT_FILTERS:
            value = getattr(args, key)
            if value is not None:
                self.client.require(minor, option)
                query[key] = value
        if args.flavor:
            query['flavor'] = lookup.flavor(self.client, args.flavor)['id']
        if args.image:
            query['image'] = lookup.image_id(self.client, args.image)
        if args.all_tenants or args.tenant or args.deleted and not args.user:
            query['all_tenants'] = '1'
        for key, value in (('tenant_id', args.tenant), ('user_id', args.user), ('marker', args.marker),
                           ('deleted', args.deleted or None), ('config_drive', args.config_drive)):
            if value is not None:
                query[key] = value
        if args.sort:
            query.update(_sort(args.sort))
        return query


# What a list shows under one name and sorts by under another.
SORT_KEYS = {'id': 'uuid', 'name': 'display_name', 'created': 'created_at', 'updated': 'updated_at',
             'tenant_id': 'project_id'}


def _sort(text: str) -> dict[str, list[str]]:
    """`key[:dir],...`; in the query string both keys are repeated, in step."""
    keys, directions = [], []
    for word in text.split(','):
        key, _colon, direction = word.partition(':')
        if direction not in ('', 'asc', 'desc'):
            raise errors.UsageError(f"--sort takes key[:asc|:desc], not '{word}'")
        keys.append(SORT_KEYS.get(key, key))
        directions.append(direction or 'desc')
    return {'sort_key': keys, 'sort_dir': directions}


DEFAULT_COLUMNS: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ('ID', lambda s: s['id']),
    ('Name', lambda s: s.get('name')),
    ('Tenant ID', lambda s: s.get('tenant_id')),
    ('Status', lambda s: Status(s.get('status'))),
    ('Task State', lambda s: Plain(s.get(STS + 'task_state'))),
    ('Power State', lambda s: Plain(power_state(s.get(STS + 'power_state')))),
    ('Networks', lambda s: Addresses(s.get('addresses'))),
]


def _plain(name: str) -> str:
    return name.rpartition(':')[2].lower().replace('-', '_').replace(' ', '_').strip()


def _fields(servers: list[dict[str, Any]], text: str) -> tuple[list[str], list[list[Any]]]:
    """ID and the fields asked for, by their API name, or by the part of it behind the last colon."""
    wanted = [w.strip() for w in text.split(',') if w.strip() and _plain(w) != 'id']
    known = {key for s in servers for key in s}
    names = {}
    for word in wanted:
        names[word] = word if word in known else next((k for k in sorted(known) if _plain(k) == _plain(word)),
                                                      None)
        if word == 'networks':
            names[word] = 'addresses'
    missing = [word for word, key in names.items() if key is None]
    if missing and servers:
        raise errors.UsageError(f"Non-existent fields are specified: {', '.join(missing)};"
                                f" there are: {', '.join(sorted(known))}")
    titles = ['ID', *(w.rpartition(':')[2].replace('_', ' ').title() for w in wanted)]
    return titles, [[s['id'], *(_field(names[w] or w, s) for w in wanted)] for s in servers]


def _field(key: str, server: dict[str, Any]) -> Any:
    value = server.get(key)
    if key == 'addresses':
        return Addresses(value)
    if key == 'status':
        return Status(value)
    if key == 'flavor' and isinstance(value, dict):
        return Flavor(value)
    return cell(power_state(value) if key == STS + 'power_state' else value)


def server_record(client: Any, server: dict[str, Any], minimal: bool = False) -> tuple[list[str], list[Any]]:
    """One server as novaclient lays it out: a row a network, the flavor's facts each in a row."""
    record = {k: v for k, v in server.items()
              if k not in ('links', 'addresses', 'flavor', 'image', 'adminPass')}
    for net, ips in (server.get('addresses') or {}).items():
        record[f'{net} network'] = ', '.join(a['addr'] for a in ips)
    flavor = server.get('flavor') or {}
    if 'original_name' in flavor:
        record.update({f'flavor:{key}': value for key, value in flavor.items()})
    elif flavor:
        record['flavor'] = flavor['id'] if minimal else _with_name(flavor['id'],
                                                                   _flavor_name(client, flavor['id']))
    image = server.get('image')
    if image:
        record['image'] = image['id'] if minimal else _with_name(image['id'],
                                                                 _image_name(client, image['id']))
        if image.get('properties'):
            record['image:properties'] = image['properties']
    elif 'image' in server:
        record['image'] = 'Attempt to boot from volume - no image supplied'
    fault = record.get('fault')
    if isinstance(fault, dict):
        record['fault'] = {k: v for k, v in fault.items() if k != 'details'}
    if server.get('adminPass'):
        record['adminPass'] = server['adminPass']
    names = sorted(record)
    return names, [_field(name, record) for name in names]


def _with_name(record_id: str, name: str | None) -> str:
    return f'{name} ({record_id})' if name else record_id


def _flavor_name(client: Any, flavor_id: str) -> str:
    from keystoneauth1 import exceptions as ks
    try:
        return lookup.flavor(client, flavor_id)['name']
    except (ks.HttpError, errors.CliError):
        return 'deleted'


def _image_name(client: Any, image_id: str) -> str | None:
    """Nice to have: a server is shown also when the image service is down or has forgotten its image."""
    if not client.has('image'):
        return None
    try:
        return lookup.image(client, image_id)['name']
    except errors.CliError:
        return 'deleted'
    except Exception:  # noqa: BLE001 - whatever an image service may raise
        return None


class Show(base.ShowOne):
    """Show details about a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--minimal', action='store_true',
                            help='Do not look up names of flavor and image.')
        parser.add_argument('--wrap', type=int, metavar='<n>',
                            help='Width of the table; 0: as wide as it needs.')
        parser.add_argument('server', metavar='<server>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> Any:
        if args.wrap is not None:
            args.max_width = args.wrap
        return server_record(self.client, lookup.server(self.client, args.server), args.minimal)


class Update(base.Command):
    """Update name, description, hostname or pinned availability zone of a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('--name', metavar='<name>', help='New name.')
        parser.add_argument('--description', metavar='<text>', help='New description; empty: none (2.19).')
        parser.add_argument('--hostname', metavar='<hostname>',
                            help='New hostname in the metadata service (2.90).')
        parser.add_argument('--pinned-availability-zone', metavar='<zone>', help="'' unpins (2.104).")

    def take_action(self, args: argparse.Namespace) -> None:
        body: dict[str, Any] = {}
        if args.name:
            body['name'] = args.name
        if args.description is not None:
            self.client.require(19, '--description')
            body['description'] = args.description or None
        if args.hostname is not None:
            self.client.require(90, '--hostname')
            body['hostname'] = args.hostname
        if args.pinned_availability_zone is not None:
            self.client.require(104, '--pinned-availability-zone')
            body['pinned_availability_zone'] = args.pinned_availability_zone or None
        if not body:
            raise errors.UsageError('nothing to update')
        server = lookup.server(self.client, args.server)
        self.client.put(f"/servers/{server['id']}", {'server': body})


class Rename(base.Command):
    """Give a server another name."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('name', metavar='<name>', help='New name.')

    def take_action(self, args: argparse.Namespace) -> None:
        server = lookup.server(self.client, args.server)
        self.client.put(f"/servers/{server['id']}", {'server': {'name': args.name}})
