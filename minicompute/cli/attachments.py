"""Volumes and network cards of servers."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base, errors, lookup
from minicompute.cli.format import show, table


def _server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('server', metavar='<server>', help='Name or ID.')


class _OfServer:
    """Paths below one server."""

    client: Any

    def path(self, args: argparse.Namespace, collection: str, one: str | None = None) -> str:
        server = lookup.server(self.client, args.server)['id']
        return f'/servers/{server}/{collection}' + (f'/{lookup.segment(one)}' if one else '')


class VolumeAttach(_OfServer, base.ShowOne):
    """Attach a volume to a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        _server(parser)
        parser.add_argument('volume', metavar='<volume>', help='ID, or name where there is a volume service.')
        parser.add_argument('device', metavar='<device>', nargs='?', help='Such as /dev/vdb; auto or nothing: any.')
        parser.add_argument('--tag', metavar='<tag>', help='Tag of the device (2.49).')
        parser.add_argument('--delete-on-termination', action='store_true', help='It goes with the server (2.79).')

    def take_action(self, args: argparse.Namespace) -> Any:
        volume = lookup.volume_id(self.client, args.volume)
        body: dict[str, Any] = {'volumeId': volume}
        if args.device and args.device != 'auto':
            body['device'] = args.device
        if args.tag:
            self.client.require(49, '--tag')
            body['tag'] = args.tag
        if args.delete_on_termination:
            self.client.require(79, '--delete-on-termination')
            body['delete_on_termination'] = True
        path = self.path(args, 'os-volume_attachments')
        answer = self.client.post(path, {'volumeAttachment': body})
        if answer is None:      # from 2.101 on
            answer = self.client.get(f'{path}/{volume}')
        return show(answer['volumeAttachment'])


class VolumeDetach(_OfServer, base.Command):
    """Detach a volume from a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        _server(parser)
        parser.add_argument('volume', metavar='<volume>', help='ID, or name where there is a volume service.')

    def take_action(self, args: argparse.Namespace) -> None:
        volume = lookup.volume_id(self.client, args.volume)
        self.client.delete(self.path(args, 'os-volume_attachments', volume))


class VolumeAttachments(_OfServer, base.Lister):
    """List the volumes of a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        _server(parser)

    def take_action(self, args: argparse.Namespace) -> Any:
        found = self.client.get(self.path(args, 'os-volume_attachments'))['volumeAttachments']
        columns = [('DEVICE', 'device'), ('SERVER ID', 'serverId'), ('VOLUME ID', 'volumeId')]
        if self.client.at_least(89):
            columns += [('ATTACHMENT ID', 'attachment_id'), ('BDM UUID', 'bdm_uuid')]
        else:
            columns.insert(0, ('ID', 'id'))
        if self.client.at_least(70):
            columns.append(('TAG', 'tag'))
        if self.client.at_least(79):
            columns.append(('DELETE ON TERMINATION', 'delete_on_termination'))
        return table(found, columns)


class VolumeUpdate(_OfServer, base.Command):
    """Change whether a volume goes with its server, or put another volume in its place."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        _server(parser)
        parser.add_argument('src_volume', metavar='<src_volume>', help='ID of the volume that the server has.')
        parser.add_argument('dest_volume', metavar='<dest_volume>',
                            help='The same ID, or that of the volume that takes its place (admin).')
        dies = parser.add_mutually_exclusive_group()
        dies.add_argument('--delete-on-termination', action='store_true', default=None, help='From 2.85 on.')
        dies.add_argument('--no-delete-on-termination', action='store_false', dest='delete_on_termination',
                          help='From 2.85 on.')

    def take_action(self, args: argparse.Namespace) -> None:
        body: dict[str, Any] = {'volumeId': args.dest_volume}
        if args.delete_on_termination is not None:
            self.client.require(85, '--delete-on-termination')
            body['delete_on_termination'] = args.delete_on_termination
        path = self.path(args, 'os-volume_attachments', args.src_volume)
        self.client.put(path, {'volumeAttachment': body})


def _flat(card: dict[str, Any]) -> dict[str, Any]:
    return {**card, 'fixed_ips': ','.join(ip['ip_address'] for ip in card.get('fixed_ips') or ())}


class InterfaceAttach(_OfServer, base.ShowOne):
    """Attach a network card to a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        _server(parser)
        parser.add_argument('--port-id', metavar='<port_id>', help='A port made before.')
        parser.add_argument('--net-id', metavar='<net_id>', help='A port is made on this network.')
        parser.add_argument('--fixed-ip', metavar='<fixed_ip>', help='With --net-id: its address.')
        parser.add_argument('--tag', metavar='<tag>', help='Tag of the device (2.49).')

    def take_action(self, args: argparse.Namespace) -> Any:
        body: dict[str, Any] = {name: value for name, value in (
            ('port_id', args.port_id), ('net_id', args.net_id)) if value}
        if args.fixed_ip:
            body['fixed_ips'] = [{'ip_address': args.fixed_ip}]
        if args.tag:
            self.client.require(49, '--tag')
            body['tag'] = args.tag
        answer = self.client.post(self.path(args, 'os-interface'), {'interfaceAttachment': body})
        return show(_flat(answer['interfaceAttachment']))


class InterfaceDetach(_OfServer, base.Command):
    """Detach a network card from a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        _server(parser)
        parser.add_argument('port_id', metavar='<port_id>')

    def take_action(self, args: argparse.Namespace) -> None:
        self.client.delete(self.path(args, 'os-interface', args.port_id))


class RefreshNetwork(base.Command):
    """Read the network cards of a server anew (for services and administrators)."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        _server(parser)

    def take_action(self, args: argparse.Namespace) -> None:
        server = lookup.server(self.client, args.server)['id']
        answer = self.client.post('/os-server-external-events', {'events': [
            {'name': 'network-changed', 'server_uuid': server}]})
        if answer['events'][0]['code'] != 200:
            raise errors.CliError(f'Server {args.server} is on no host: nobody has cards of it.')


class InterfaceList(_OfServer, base.Lister):
    """List the network cards of a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        _server(parser)

    def take_action(self, args: argparse.Namespace) -> Any:
        found = self.client.get(self.path(args, 'os-interface'))['interfaceAttachments']
        columns = [('Port State', 'port_state'), ('Port ID', 'port_id'), ('Net ID', 'net_id'),
                   ('IP addresses', 'fixed_ips'), ('MAC Addr', 'mac_addr')]
        if self.client.at_least(70):
            columns.append(('Tag', 'tag'))
        return table([_flat(card) for card in found], columns)
