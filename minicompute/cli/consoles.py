"""What a server's consoles say, and the URLs at which they can be typed into."""

from __future__ import annotations

import argparse
import time
from typing import Any

from minicompute.cli import base, lookup

#: seconds between two looks
PAUSE = 1.0
#: what was shown is found again in a longer text by so many of its last characters
OVERLAP = 2000


class ConsoleLog(base.Command):
    """Print the console output of a server."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        parser.add_argument('--length', type=int, metavar='<lines>', help='Only so many last lines.')
        parser.add_argument('--follow', action='store_true',
                            help='Go on with what it says from now on, until the server is deleted.')

    def take_action(self, args: argparse.Namespace) -> None:
        server = lookup.server(self.client, args.server)
        output = self._output(server['id'], args.length)
        if not args.follow:
            self.app.stdout.write(output if output.endswith('\n') or not output else output + '\n')
            return
        self._write(output)
        shown = output if args.length is None else self._output(server['id'], None)
        self._follow(server['id'], shown)

    def _output(self, server_id: str, length: int | None) -> str:
        argument = {} if length is None else {'length': length}
        return str(self.client.action(server_id, 'os-getConsoleOutput', argument)['output'])

    def _write(self, text: str) -> None:
        self.app.stdout.write(text)
        self.app.stdout.flush()

    def _follow(self, server_id: str, shown: str) -> None:
        from keystoneauth1 import exceptions as ks

        while True:
            time.sleep(PAUSE)
            try:
                output = self._output(server_id, None)
            except ks.NotFound:
                return
            except (ks.Conflict, ks.ServiceUnavailable, ks.ConnectFailure):
                continue    # it moves, or somebody restarts a daemon: its console will be back
            self._write(news(shown, output))
            shown = output or shown


def news(shown: str, output: str) -> str:
    """What `output` says beyond `shown`: its beginning may have been forgotten meanwhile, and it is another guest's
    after a reboot."""
    if output.startswith(shown):
        return output[len(shown):]
    known = shown[-OVERLAP:]
    place = output.rfind(known) if len(known) == OVERLAP else -1
    return output[place + len(known):] if place >= 0 else output


class _Url(base.Lister):
    """`protocol` of remote-consoles, and the action that there was before 2.6."""

    protocol = ''
    action: str | None = None
    types: tuple[str, ...] = ()

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('server', metavar='<server>', help='Name or ID.')
        if len(self.types) > 1 or self.protocol == 'vnc':
            parser.add_argument('console_type', metavar='<console-type>', nargs='?', default=self.types[0],
                                help=f'{", ".join(self.types)}; {self.types[0]} if not said.')

    def take_action(self, args: argparse.Namespace) -> Any:
        server = lookup.server(self.client, args.server)
        kind = getattr(args, 'console_type', self.types[0])
        if self.action and not self.client.at_least(6):
            found = self.client.action(server['id'], self.action, {'type': kind})['console']
        else:
            self.client.require(8 if self.protocol == 'mks' else 6, f'a {self.protocol} console')
            body = {'remote_console': {'protocol': self.protocol, 'type': kind}}
            found = self.client.post(f'/servers/{server["id"]}/remote-consoles', body)['remote_console']
        return ('Type', 'Url'), [(found['type'], found['url'])]


class Vnc(_Url):
    """Get the URL of a server's VNC console. It is good once, and for a few minutes."""

    protocol, action, types = 'vnc', 'os-getVNCConsole', ('novnc', 'xvpvnc')


class Spice(_Url):
    """Get the URL of a server's SPICE console. It is good once, and for a few minutes."""

    protocol, action, types = 'spice', 'os-getSPICEConsole', ('spice-html5', 'spice-direct')


class Serial(_Url):
    """Get the URL of a server's serial console. It is good once, and for a few minutes."""

    protocol, action, types = 'serial', 'os-getSerialConsole', ('serial',)


class Mks(_Url):
    """Get the URL of a server's MKS console (2.8)."""

    protocol, types = 'mks', ('webmks',)
