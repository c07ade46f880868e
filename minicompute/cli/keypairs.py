"""Key pairs."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base, errors, lookup
from minicompute.cli.format import show, table


def _user(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--user', metavar='<user-id>', help="Another user's (admin, 2.10).")


def _params(client: Any, args: argparse.Namespace) -> dict[str, str]:
    if not args.user:
        return {}
    client.require(10, '--user')
    return {'user_id': args.user}


class List(base.Lister):
    """List key pairs."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        _user(parser)
        parser.add_argument('--marker', metavar='<name>', help='Last key pair of the page before (2.35).')
        parser.add_argument('--limit', type=int, metavar='<n>', help='At most so many (2.35).')

    def take_action(self, args: argparse.Namespace) -> Any:
        params: dict[str, Any] = _params(self.client, args)
        if args.marker or args.limit is not None:
            self.client.require(35, '--marker and --limit')
        if args.marker:
            params['marker'] = args.marker
        found = self.client.pages('/os-keypairs', 'keypairs', params, args.limit, mark='keypair.name')
        columns = [('Name', 'name'), ('Type', 'type'), ('Fingerprint', 'fingerprint')]
        return table([k['keypair'] for k in found], columns if self.client.at_least(2) else columns[::2])


class Show(base.ShowOne):
    """Show a key pair."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('keypair', metavar='<keypair>', help='Name.')
        _user(parser)

    def take_action(self, args: argparse.Namespace) -> Any:
        path = f'/os-keypairs/{lookup.segment(args.keypair)}'
        return show(self.client.get(path, _params(self.client, args))['keypair'])


class Add(base.Command):
    """Import a public key; before 2.92 and without --pub-key: make a pair and print the private key."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('name', metavar='<name>')
        parser.add_argument('--pub-key', metavar='<file>', help='The public key; - is standard input.')
        parser.add_argument('--key-type', metavar='ssh|x509', choices=('ssh', 'x509'), help='From 2.2 on.')
        _user(parser)

    def take_action(self, args: argparse.Namespace) -> None:
        body: dict[str, Any] = {'name': args.name, **_params(self.client, args)}
        if args.key_type:
            self.client.require(2, '--key-type')
            body['type'] = args.key_type
        if args.pub_key:
            body['public_key'] = base.read_file(args.pub_key, 'public key').decode(errors='replace').strip()
        elif self.client.at_least(92):
            raise errors.UsageError('from microversion 2.92 on --pub-key is needed:'
                                    ' make a pair with ssh-keygen, or use --microversion 2.91')
        answer = self.client.post('/os-keypairs', {'keypair': body})['keypair']
        if answer.get('private_key'):
            self.app.stdout.write(answer['private_key'])


class Delete(base.Command):
    """Delete key pairs."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('name', nargs='+', metavar='<name>')
        _user(parser)

    def take_action(self, args: argparse.Namespace) -> None:
        params = _params(self.client, args)
        self.each(args.name, lambda name: self.client.delete(f'/os-keypairs/{lookup.segment(name)}', params))
