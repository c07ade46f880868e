"""Backups, rebuilds and the shelf: what becomes of the disks of a server. (Snapshots are image-create's.)"""

from __future__ import annotations

import argparse
import base64
import os
from typing import Any

from minicompute.cli import base, errors, lookup, poll
from minicompute.cli.server_actions import _Many
from minicompute.cli.servers import server_record


class Backup(base.Command):
    """Make an image of a server, and keep only the newest few of its type."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('name', metavar='<name>', help='Name of the image.')
        parser.add_argument('backup_type', metavar='<backup-type>', help="Such as 'daily' or 'weekly'.")
        parser.add_argument('rotation', metavar='<rotation>', type=int, help='How many of this type stay.')

    def take_action(self, args: argparse.Namespace) -> None:
        if args.rotation < 0:
            raise errors.UsageError('rotation is a number from 0 on')
        server = lookup.server(self.client, args.server)
        self.client.action(server['id'], 'createBackup', {
            'name': args.name, 'backup_type': args.backup_type, 'rotation': args.rotation})


def explain(client: Any, server: dict[str, Any], action: str) -> None:
    """A server that is what it was before may have said why in the log of its actions. Raises ServerWentError."""
    done = client.get(f"/servers/{server['id']}/os-instance-actions")['instanceActions']
    newest = next((one for one in done if one['action'] == action), None)
    if newest is not None and newest.get('message'):
        raise errors.ServerWentError(f"{server.get('name') or server['id']}: {newest['message']}")


class _Shelf(_Many):
    """With --poll: until a server is where it was sent, or again where it was, and why."""

    def take_action(self, args: argparse.Namespace) -> None:
        self._asked: list[dict[str, Any]] = []
        super().take_action(args)
        for server in self._asked if args.poll else ():
            explain(self.client, server, self.body[0])

    def act(self, server: dict[str, Any], args: argparse.Namespace) -> None:
        self.client.action(server['id'], self.body[0], self.argument(args))
        self._asked.append(server)

    def argument(self, args: argparse.Namespace) -> Any:
        return None


class Shelve(_Shelf):
    """Make an image of servers and take them off their hosts."""

    body = ('shelve', None)
    wanted = ('SHELVED', 'SHELVED_OFFLOADED', 'ACTIVE', 'SHUTOFF', 'PAUSED', 'SUSPENDED')


class ShelveOffload(_Shelf):
    """Take shelved servers off their hosts (admin)."""

    body = ('shelveOffload', None)
    wanted = ('SHELVED_OFFLOADED', 'SHELVED')


class Unshelve(_Shelf):
    """Bring shelved servers back."""

    body = ('unshelve', None)
    wanted = ('ACTIVE', 'SHELVED', 'SHELVED_OFFLOADED')

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument('--availability-zone', metavar='<zone>',
                            help="The zone to come back in (2.77); '' lets go of the one it is pinned to (2.91).")
        parser.add_argument('--host', metavar='<host>', help='The host to come back on (2.91, admin).')

    def argument(self, args: argparse.Namespace) -> Any:
        found: dict[str, Any] = {}
        if args.availability_zone is not None:
            self.client.require(77 if args.availability_zone else 91, '--availability-zone')
            found['availability_zone'] = args.availability_zone or None
        if args.host is not None:
            self.client.require(91, '--host')
            found['host'] = args.host
        return found or None


class Rebuild(base.ShowOne):
    """Give a server new disks, from its image or from another one."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add('server', metavar='<server>', help='Name or ID.')
        add('image', metavar='<image>', help='Name or ID.')
        add('--rebuild-password', metavar='<password>', help="The administrator's password; else one is made.")
        add('--poll', action='store_true', help='Wait until it is done, and say how it goes.')
        add('--minimal', action='store_true', help='Do not look up names of flavor and image.')
        add('--preserve-ephemeral', action='store_true', help='Keep the ephemeral disks.')
        add('--name', metavar='<name>', help='New name.')
        add('--description', metavar='<text>', help='New description; empty: none (2.19).')
        add('--meta', action='append', default=[], metavar='<key=value>', help='New metadata; may be repeated.')
        add('--file', action='append', default=[], metavar='<dst-path=src-path>',
            help='A file for the new disk (until 2.56); may be repeated.')
        add('--key-name', metavar='<name>', help='Key pair of the caller (2.54).')
        add('--key-unset', action='store_true', help='No key pair (2.54).')
        add('--user-data', metavar='<file>', help='New user data (2.57).')
        add('--user-data-unset', action='store_true', help='No user data (2.57).')
        add('--trusted-image-certificate-id', action='append', metavar='<id>', help='May be repeated (2.63).')
        add('--trusted-image-certificates-unset', action='store_true', help='No certificates (2.63).')
        add('--hostname', metavar='<hostname>', help='New hostname in the metadata service (2.90).')

    def take_action(self, args: argparse.Namespace) -> Any:
        body = self._body(args)
        server = lookup.server(self.client, args.server)
        body['imageRef'] = lookup.image_id(self.client, args.image)
        shown = self.client.action(server['id'], 'rebuild', body)['server']
        if args.poll:
            wanted = ('SHUTOFF',) if server.get('status') == 'SHUTOFF' else ('ACTIVE',)
            password = shown.get('adminPass')
            shown = poll.wait(self.client, [shown], wanted, quiet=self.app.options.verbose_level == 0)[0]
            explain(self.client, shown, 'rebuild')
            if password:
                shown['adminPass'] = password
        return server_record(self.client, shown, args.minimal)

    def _body(self, args: argparse.Namespace) -> dict[str, Any]:
        body: dict[str, Any] = {}
        if args.rebuild_password:
            body['adminPass'] = args.rebuild_password
        if args.preserve_ephemeral:
            body['preserve_ephemeral'] = True
        if args.name:
            body['name'] = args.name
        if args.meta:
            body['metadata'] = base.pairs(args.meta, '--meta')
        if args.description is not None:
            self.client.require(19, '--description')
            body['description'] = args.description or None
        if args.hostname is not None:
            self.client.require(90, '--hostname')
            body['hostname'] = args.hostname
        if args.file:
            body['personality'] = self._files(args.file)
        return {**body, **self._settable(args)}

    def _files(self, words: list[str]) -> list[dict[str, str]]:
        if self.client.at_least(57):
            raise errors.UsageError(f'--file ends with microversion 2.56; {self.client.microversion} is in use')
        return [{'path': path, 'contents': base64.b64encode(base.read_file(source, 'file')).decode()}
                for path, source in base.pairs(words, '--file').items()]

    def _settable(self, args: argparse.Namespace) -> dict[str, Any]:
        """What is set, unset, or left alone."""
        found: dict[str, Any] = {}
        certificates = args.trusted_image_certificate_id
        if not certificates and (said := os.environ.get('OS_TRUSTED_IMAGE_CERTIFICATE_IDS')) and \
                self.client.at_least(63):
            certificates = said.split(',')
        for key, value, unset, minor, option in (
                ('key_name', args.key_name, args.key_unset, 54, 'key-name'),
                ('user_data', args.user_data, args.user_data_unset, 57, 'user-data'),
                ('trusted_image_certificates', certificates, args.trusted_image_certificates_unset, 63,
                 'trusted-image-certificate-id')):
            if not value and not unset:
                continue
            self.client.require(minor, f'--{option}')
            if value and unset:
                raise errors.UsageError(f'--{option} and its --...-unset exclude each other')
            found[key] = value or None
        if found.get('user_data'):
            found['user_data'] = base64.b64encode(base.read_file(args.user_data, 'user data file')).decode()
        return found
