"""What is done to a guest where it stands: pause, suspend, rescue, crash dump, passwords."""

from __future__ import annotations

import argparse
import base64
import binascii
from typing import Any

from minicompute.cli import base, errors, lookup, poll
from minicompute.cli.server_actions import _Many


class Pause(_Many):
    """Stop the processors of servers; their memory stays on the host."""

    body = ('pause', None)
    wanted = ('PAUSED',)


class Unpause(_Many):
    """Let paused servers run on."""

    body = ('unpause', None)
    wanted = ('ACTIVE',)


class Suspend(_Many):
    """Save the memory of servers to the disk of their host and end them."""

    body = ('suspend', None)
    wanted = ('SUSPENDED',)


class Resume(_Many):
    """Let suspended servers run on with their memory."""

    body = ('resume', None)
    wanted = ('ACTIVE',)


class Unrescue(_Many):
    """Start rescued servers from their own disks again."""

    body = ('unrescue', None)
    wanted = ('ACTIVE',)


class Rescue(base.ShowOne):
    """Start a server from its image, or another one, with its own root disk as the second disk."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('--password', metavar='<password>',
                            help="The administrator's password in the rescue environment.")
        parser.add_argument('--image', metavar='<image>', help='The image to rescue with, by name or ID.')
        parser.add_argument('--poll', action='store_true', help='Wait until it is done, and say how it goes.')

    def take_action(self, args: argparse.Namespace) -> Any:
        argument: dict[str, Any] = {}
        if args.image:
            argument['rescue_image_ref'] = lookup.image_id(self.client, args.image)
        if args.password:
            argument['adminPass'] = args.password
        server = lookup.server(self.client, args.server)
        answer = self.client.action(server['id'], 'rescue', argument or None) or {}
        if args.poll:
            poll.wait(self.client, [server], ('RESCUE',), quiet=self.app.options.verbose_level == 0)
        return list(answer), list(answer.values())


class TriggerCrashDump(base.Command):
    """Give a server a non-maskable interrupt, so that its kernel writes a crash dump (2.17)."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.client.require(17, 'trigger-crash-dump')
        self.client.action(lookup.server(self.client, args.server)['id'], 'trigger_crash_dump')


class SetPassword(base.Command):
    """Change the administrator's password of a server; it is asked for."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> None:
        import getpass

        server = lookup.server(self.client, args.server)
        new = getpass.getpass('New password: ')
        if getpass.getpass('Again: ') != new:
            raise errors.CliError('Passwords do not match.')
        self.client.action(server['id'], 'changePassword', {'adminPass': new})


class GetPassword(base.Command):
    """Print the administrator's password of a server, as it was sealed to the server's key."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('private_key', metavar='<private-key>', nargs='?',
                            help='File of the private key that opens it; it does not leave this machine.')

    def take_action(self, args: argparse.Namespace) -> None:
        server = lookup.server_id(self.client, args.server)
        sealed = self.client.get(f'/servers/{server}/os-server-password')['password']
        if args.private_key and sealed:
            sealed = _open(sealed, args.private_key)
        print(sealed, file=self.app.stdout)


def _open(sealed: str, path: str) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    pem = base.read_file(path, 'the private key')
    load = serialization.load_ssh_private_key if b'OPENSSH' in pem else serialization.load_pem_private_key
    try:
        key = load(pem, password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise errors.CliError(f'{path} is not an RSA key')
        return key.decrypt(base64.b64decode(sealed), padding.PKCS1v15()).decode('utf-8', 'replace')
    except (TypeError, ValueError, binascii.Error, UnsupportedAlgorithm) as error:
        raise errors.CliError(f'{path} does not open the password: {error}') from None


class ClearPassword(base.Command):
    """Forget the sealed password of a server; the one in the guest stays."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.client.delete(f'/servers/{lookup.server_id(self.client, args.server)}/os-server-password')
