"""Metadata and tags of a server."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import base, errors, lookup


class Meta(base.Command):
    """Set or delete metadata of a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('action', choices=('set', 'delete'))
        parser.add_argument('metadata', nargs='+', metavar='<key=value>',
                            help='To delete, the key is enough.')

    def take_action(self, args: argparse.Namespace) -> None:
        changes = base.pairs(args.metadata, 'meta set') if args.action == 'set' else {}
        path = f"/servers/{lookup.server(self.client, args.server)['id']}/metadata"
        if changes:
            self.client.post(path, {'metadata': changes})
            return
        keys = [word.partition('=')[0] for word in args.metadata]
        self.each(keys, lambda key: self.client.delete(f'{path}/{lookup.segment(key)}'))


def _path(command: base.Base, name: str) -> str:
    command.client.require(26, 'server tags')
    return f"/servers/{lookup.server(command.client, name)['id']}/tags"


class TagList(base.Lister):
    """List the tags of a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> Any:
        tags = self.client.get(_path(self, args.server))['tags']
        return ['Tag'], [[tag] for tag in tags]


class _Tags(base.Command):
    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('tags', nargs='+', metavar='<tag>')

    def take_action(self, args: argparse.Namespace) -> None:
        if bad := [t for t in args.tags if '/' in t or ',' in t or not t]:
            raise errors.UsageError(f"a tag holds neither '/' nor ',': {bad[0]!r}")
        self.act(_path(self, args.server), args.tags)

    def act(self, path: str, tags: list[str]) -> None:
        raise NotImplementedError


class TagAdd(_Tags):
    """Add tags to a server."""

    def act(self, path: str, tags: list[str]) -> None:
        self.each(tags, lambda tag: self.client.put(f'{path}/{lookup.segment(tag)}'))


class TagSet(_Tags):
    """Replace the tags of a server."""

    def act(self, path: str, tags: list[str]) -> None:
        self.client.put(path, {'tags': tags})


class TagDelete(_Tags):
    """Delete tags of a server."""

    def act(self, path: str, tags: list[str]) -> None:
        self.each(tags, lambda tag: self.client.delete(f'{path}/{lookup.segment(tag)}'))


class TagDeleteAll(base.Command):
    """Delete all tags of a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> None:
        self.client.delete(_path(self, args.server))
