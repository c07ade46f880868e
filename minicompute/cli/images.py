"""Images, through openstacksdk's Image v2 proxy; and snapshots of servers."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minicompute.cli import base, errors, lookup, poll
from minicompute.cli.format import colours, show, table
from minicompute.cli.poll import TASK

COLUMNS = [('ID', 'id'), ('Name', 'name'), ('Status', 'status'), ('Size', 'size'), ('Format', 'disk_format'),
           ('Visibility', 'visibility')]

UNFINISHED = ('queued', 'saving', 'importing', 'uploading')
PATIENCE = 5        # looks at a snapshot whose server has no image_* task


class List(base.Lister):
    """List images."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('--name', metavar='<name>')
        parser.add_argument('--status', metavar='<status>')
        parser.add_argument('--limit', type=int, metavar='<n>', help='At most so many.')

    def take_action(self, args: argparse.Namespace) -> Any:
        filters = {key: value for key, value in (('name', args.name), ('status', args.status)) if value}
        found = lookup.images(self.client, **filters)
        return table(found[:args.limit] if args.limit and args.limit > 0 else found, COLUMNS)


def _raw(client: Any, image_id: str) -> dict[str, Any]:
    """The image as the service shows it: openstacksdk's resource has a field for everything it knows of."""
    response = client.image.get(f'/images/{image_id}')
    _check(response)
    return response.json()


def _check(response: Any) -> None:
    from openstack import exceptions
    exceptions.raise_from_response(response)


class Show(base.ShowOne):
    """Show an image."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('image', metavar='<image>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> Any:
        found = lookup.image(self.client, args.image)
        record = _raw(self.client, found['id']) if self.client.has('image') else found
        return show(record, drop=('links', 'file', 'schema', 'self'))


class Create(base.ShowOne):
    """Upload an image (image-create <name> --file ...); snapshot a server (image-create <server> <name>)."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add('words', nargs='+', metavar='[<server>] <name>',
            help='Name of the image; before it, what to snapshot.')
        add('--file', metavar='<file>', help='The data to upload.')
        add('--disk-format', metavar='<format>', default='qcow2', help='qcow2 (default), raw, vmdk, ...')
        add('--container-format', metavar='<format>', default='bare',
            help='bare (default), ovf, ami, aki, ari, ...')
        add('--property', action='append', default=[], metavar='<key=value>', help='May be repeated.')
        add('--kernel', metavar='<image>',
            help='Kernel image of a machine that boots from outside (kernel_id).')
        add('--ramdisk', metavar='<image>', help='Its initial ramdisk (ramdisk_id).')
        add('--min-disk', type=int, metavar='<GiB>')
        add('--min-ram', type=int, metavar='<MiB>')
        add('--visibility', choices=('public', 'private', 'shared', 'community'))
        add('--protected', action='store_true', default=None)
        add('--id', metavar='<uuid>', help='Id of the new image.')
        add('--metadata', action='append', default=[], metavar='<key=value>',
            help="For a snapshot's properties.")
        add('--show', action='store_true', help='Accepted for compatibility; the image is always shown.')
        add('--poll', action='store_true', help='Wait until the snapshot is done.')

    def take_action(self, args: argparse.Namespace) -> Any:
        if len(args.words) > 2:
            raise errors.UsageError('image-create takes a server and a name, or a name')
        if len(args.words) == 2:
            if args.file:
                raise errors.UsageError('--file and a server to snapshot exclude each other')
            return self._snapshot(args.words[0], args.words[1], args)
        return self._upload(args.words[0], args)

    def _snapshot(self, server_name: str, name: str, args: argparse.Namespace) -> Any:
        server = lookup.server(self.client, server_name)
        argument: dict[str, Any] = {'name': name}
        if metadata := base.pairs([*args.metadata, *args.property], '--metadata'):
            argument['metadata'] = metadata
        response = self.client.compute.post(f"/servers/{server['id']}/action", json={'createImage': argument},
                                            microversion=self.client.microversion)
        location = response.headers.get('Location', '').rpartition('/')[2]      # until 2.44
        image_id = response.json()['image_id'] if response.content else location
        if args.poll:
            self._wait(server['id'], image_id, name)
        if self.client.has('image'):
            return show(_raw(self.client, image_id), drop=('links', 'file', 'schema', 'self'))
        return show({'id': image_id, 'name': name})

    def _wait(self, server_id: str, image_id: str, name: str) -> None:
        """Until the image is active. One that is not, after the server's task is over, will never be."""
        said, idle = '', 0
        while True:
            server = self.client.get(f'/servers/{server_id}')['server']
            try:
                status = lookup.image(self.client, image_id)['status'].lower()
            except errors.CliError:
                status = 'gone'     # what was broken off leaves no image
            if status != said and self.app.options.verbose_level:
                print(f'{name}: {status}', file=sys.stderr)
            said = status
            if status == 'active':
                return
            idle = 0 if (server.get(TASK) or '').startswith('image_') else idle + 1
            if status not in UNFINISHED or idle > PATIENCE:
                raise errors.ServerWentError(f'Image {name} ({image_id}) is {status}: the snapshot failed.')
            time.sleep(poll.FIRST_PAUSE * 4)

    def _upload(self, name: str, args: argparse.Namespace) -> Any:
        if args.file and not os.path.isfile(args.file):
            raise errors.UsageError(f"There is no file '{args.file}'")
        body: dict[str, Any] = {'name': name, 'disk_format': args.disk_format,
                                'container_format': args.container_format,
                                **base.pairs(args.property, '--property')}
        for key in ('min_disk', 'min_ram', 'visibility', 'protected', 'id'):
            if getattr(args, key) is not None:
                body[key] = getattr(args, key)
        for key in ('kernel', 'ramdisk'):
            if wanted := getattr(args, key):
                body[f'{key}_id'] = lookup.image(self.client, wanted)['id']
        response = self.client.image.post('/images', json=body)
        _check(response)
        image = response.json()
        if args.file:
            self._send(image['id'], args.file)
        return show(_raw(self.client, image['id']), drop=('links', 'file', 'schema', 'self'))

    def _send(self, image_id: str, path: str) -> None:
        """The data; an image whose data did not arrive is taken back."""
        try:
            with opened(path, quiet=not self.app.options.verbose_level) as stream:
                _check(self.client.image.put(f'/images/{image_id}/file', data=stream,
                                             headers={'Content-Type': 'application/octet-stream'}))
        except BaseException:
            self.client.image.delete(f'/images/{image_id}')
            raise


class _Counted:
    """A file that reports how far it was read. Its length gives the request a Content-Length."""

    def __init__(self, stream: Any, size: int, advance: Any) -> None:
        self._stream, self._size, self._advance = stream, size, advance

    def __len__(self) -> int:
        return self._size

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(1 << 20):
            yield chunk

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        self._advance(len(chunk))
        return chunk


@contextmanager
def opened(path: str, quiet: bool) -> Iterator[Any]:
    """The file to send, with a bar on a terminal."""
    size = os.path.getsize(path)
    with open(path, 'rb') as stream:
        if quiet or not size or not colours(sys.stderr):
            yield stream
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn
        with Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(),
                      console=Console(stderr=True)) as bar:
            task = bar.add_task('', total=size)
            yield _Counted(stream, size, lambda n: bar.update(task, advance=n))


class Delete(base.Command):
    """Delete images."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('image', nargs='+', metavar='<image>', help='Name or ID.')

    def take_action(self, args: argparse.Namespace) -> None:
        def one(name: str) -> None:
            image = lookup.image(self.client, name)
            if self.client.has('image'):
                self.client.image.delete_image(image['id'], ignore_missing=False)
            else:
                self.client.call('DELETE', f"/images/{image['id']}", microversion='2.35')
        self.each(args.image, one)
