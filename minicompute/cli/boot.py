"""boot: from options to the body of POST /servers."""

from __future__ import annotations

import argparse
import base64
import os
from typing import Any

from minicompute.cli import base, boot_devices, boot_nics, errors, lookup, poll
from minicompute.cli.format import Items
from minicompute.cli.servers import server_record

# (option, key in the body, minor version it needs, help)
TEXT_OPTIONS: list[tuple[str, str, int, str]] = [
    ('--key-name', 'key_name', 1, 'Name of a key pair, see keypair-add.'),
    ('--availability-zone', 'availability_zone', 1, 'Zone; zone:host:node for admins.'),
    ('--admin-pass', 'adminPass', 1, 'Password of the administrator in the guest.'),
    ('--access-ip-v4', 'accessIPv4', 1, 'Alternative IPv4 address.'),
    ('--access-ip-v6', 'accessIPv6', 1, 'Alternative IPv6 address.'),
    ('--description', 'description', 19, 'Description.'),
    ('--host', 'host', 74, 'Host to build on (admin).'),
    ('--hypervisor-hostname', 'hypervisor_hostname', 74, 'Hypervisor to build on (admin).'),
    ('--hostname', 'hostname', 90, 'Hostname in the metadata service.'),
]


class Boot(base.ShowOne):
    """Boot a new server, or several."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('name', metavar='<name>',
                            help='Name of the new server; with several, -1, -2, ... is appended.')
        parser.add_argument('--flavor', required=True, metavar='<flavor>', help='Name or ID.')
        self.options(parser)
        parser.add_argument('--poll', action='store_true', help='Wait until the server is built, and say how it goes.')
        parser.add_argument('--idempotency-key', metavar='<key>',
                            help='The same command again with this key, best a random UUID, finds the same server '
                                 'instead of making another one, for 24 hours.')

    @staticmethod
    def options(parser: argparse.ArgumentParser) -> None:
        """What a server may be made of besides its flavor."""
        add = parser.add_argument
        add('--image', metavar='<image>', help='Name or ID.')
        add('--image-with', action='append', default=[], metavar='<key=value>',
            help='An image with this property.')
        add('--boot-volume', metavar='<volume-id>', help='Boot from this volume.')
        add('--snapshot', metavar='<snapshot-id>', help='Boot from a new volume of this snapshot.')
        add('--min-count', type=int, metavar='<n>', help='At least so many servers.')
        add('--max-count', type=int, metavar='<n>', help='Up to so many servers.')
        add('--meta', action='append', default=[], metavar='<key=value>', help='Metadata; may be repeated.')
        add('--user-data', metavar='<file>', help='File to give to the guest; - is standard input.')
        add('--security-groups', metavar='<names>', help='Comma-separated names.')
        add('--block-device-mapping', action='append', default=[], metavar='<dev=id:type:size:delete>',
            help='A volume in the old notation; may be repeated.')
        add('--block-device', action='append', default=[], metavar='<key=value,...>',
            help='A disk, with the keys ' + ', '.join(boot_devices.KEYS) + '; may be repeated.')
        add('--swap', metavar='<MiB>', type=int, help='A swap disk.')
        add('--ephemeral', action='append', default=[], metavar='size=<GiB>[,format=<fs>]',
            help='An empty disk.')
        add('--hint', action='append', default=[], metavar='<key=value>',
            help='For the scheduler; may be repeated.')
        add('--nic', action='append', default=[], metavar='auto|none|<key=value,...>',
            help='A NIC, with net-id, net-name or port-id, and v4-fixed-ip, v6-fixed-ip, tag; repeatable.')
        add('--config-drive', metavar='<bool>', type=base.boolean, help='Whether to attach a config drive.')
        add('--tags', metavar='<tags>', help='Comma-separated (2.52).')
        add('--return-reservation-id', action='store_true', help='Answer with the reservation id.')
        add('--trusted-image-certificate-id', action='append', metavar='<id>',
            help='May be repeated (2.63). Env: OS_TRUSTED_IMAGE_CERTIFICATE_IDS.')
        for option, key, minor, text in TEXT_OPTIONS:
            add(option, dest=key, metavar='<value>', help=text + (f' (2.{minor})' if minor > 1 else ''))

    def take_action(self, args: argparse.Namespace) -> Any:
        client = self.client
        body = request_body(client, args)
        several = max(args.min_count or 1, args.max_count or 1) > 1
        if several:
            body['server']['return_reservation_id'] = True
        key = args.idempotency_key
        answer = client.post('/servers', body, {'Idempotency-Key': key} if key else None)
        if 'reservation_id' in answer:
            return self._several(answer['reservation_id'], args)
        created = answer['server']
        server = client.get(f"/servers/{created['id']}")['server']
        if args.poll:
            server = poll.wait(client, [server], ('ACTIVE',), quiet=self.app.options.verbose_level == 0)[0]
        return server_record(client, {**server, 'adminPass': created.get('adminPass')})

    def _several(self, reservation: str, args: argparse.Namespace) -> Any:
        servers = list(self.client.pages('/servers/detail', 'servers', {'reservation_id': reservation}))
        if args.poll:
            servers = poll.wait(self.client, servers, ('ACTIVE',), quiet=self.app.options.verbose_level == 0)
        brief = [{key: s.get(key) for key in ('id', 'name', 'status')} for s in servers]
        return ['reservation_id', 'servers'], [reservation, Items(brief)]


def request_body(client: Any, args: argparse.Namespace) -> dict[str, Any]:
    """The body of POST /servers. Raises UsageError for what the options or the microversion do not allow."""
    _check(args)
    image = _image(client, args)
    server: dict[str, Any] = {
        'name': args.name, 'flavorRef': lookup.flavor(client, args.flavor)['id'], 'imageRef': image or ''}
    for option, key, minor, _text in TEXT_OPTIONS:
        value = getattr(args, key)
        if value is not None:
            client.require(minor, option)
            server[key] = value
    server['min_count'] = args.min_count or 1
    server['max_count'] = args.max_count or args.min_count or 1
    if args.meta:
        server['metadata'] = base.pairs(args.meta)
    if args.user_data:
        server['user_data'] = base64.b64encode(base.read_file(args.user_data, 'user data file')).decode()
    if args.security_groups:
        server['security_groups'] = [{'name': n.strip()} for n in args.security_groups.split(',')
                                     if n.strip()]
    if args.config_drive is not None:
        server['config_drive'] = args.config_drive
    if args.return_reservation_id:
        server['return_reservation_id'] = True
    if args.tags:
        client.require(52, '--tags')
        server['tags'] = [t.strip() for t in args.tags.split(',') if t.strip()]
    if certificates := _certificates(client, args):
        server['trusted_image_certificates'] = certificates
    if devices := boot_devices.build(client, args, image):
        server['block_device_mapping_v2'] = devices
    networks = boot_nics.build(client, args.nic)
    if networks is not None:
        server['networks'] = networks
    body: dict[str, Any] = {'server': server}
    if args.hint:
        body['os:scheduler_hints'] = _hints(args.hint)
    return body


def _check(args: argparse.Namespace) -> None:
    low, high = args.min_count, args.max_count
    if any(count is not None and count < 1 for count in (low, high)):
        raise errors.UsageError('--min-count and --max-count start at 1')
    if low and high and high < low:
        raise errors.UsageError('--min-count must not be above --max-count')
    devices = args.boot_volume or args.snapshot or args.block_device or args.block_device_mapping
    if not (args.image or args.image_with or devices):
        raise errors.UsageError('name an --image, --boot-volume, --snapshot or --block-device to boot from')
    if args.boot_volume and args.snapshot:
        raise errors.UsageError('--boot-volume and --snapshot exclude each other')


def _image(client: Any, args: argparse.Namespace) -> str | None:
    if args.image:
        return lookup.image_id(client, args.image)
    if not args.image_with:
        return None
    wanted = base.pairs(args.image_with, '--image-with')
    for image in lookup.images(client):
        facts = {**image, **(image.get('properties') or {}), **(image.get('metadata') or {})}
        if all(str(facts.get(key)) == value for key, value in wanted.items()):
            return image['id']
    raise errors.CliError(f"No image has {', '.join(args.image_with)}.")


def _certificates(client: Any, args: argparse.Namespace) -> list[str]:
    given = args.trusted_image_certificate_id
    if given:
        client.require(63, '--trusted-image-certificate-id')
        return given
    from_env = os.environ.get('OS_TRUSTED_IMAGE_CERTIFICATE_IDS')
    return from_env.split(',') if from_env and client.at_least(63) else []


def _hints(words: list[str]) -> dict[str, Any]:
    """A key that comes twice is a list."""
    hints: dict[str, Any] = {}
    for word in words:
        for key, value in base.pairs([word], '--hint').items():
            if key not in hints:
                hints[key] = value
            elif isinstance(hints[key], list):
                hints[key].append(value)
            else:
                hints[key] = [hints[key], value]
    return hints
