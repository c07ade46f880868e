"""`host drain`: everything goes off a host, whatever it takes. Our own; novaclient has nothing like it.

All that it knows it reads from the service at each look, so that it can be broken off and begun again anywhere:
what has moved is no longer on the host, what moves is seen to move, what waits for its confirmation is confirmed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from minicompute.cli import base, errors, lookup
from minicompute.cli.client import Client
from minicompute.cli.format import colours, table
from minicompute.cli.live import evacuate_body, live_body

TASK = 'OS-EXT-STS:task_state'
REASON = 'host drain'
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 3.0
#: how often a server is tried
TRIES = 2
#: what takes a server off a host that is up, by its status
WAYS = {'ACTIVE': 'live-migration', 'PAUSED': 'live-migration', 'SHUTOFF': 'migrate', 'SHELVED': 'shelve-offload'}
#: what the action log calls a way, where that is another word
ACTIONS = {'shelve-offload': 'shelveOffload'}
#: what stays is not ours to decide: what whoever drains can do about it. After that a drain goes on with it.
ADVICE = {
    'SUSPENDED': '`resume` it',
    'RESCUE': '`unrescue` it',
    'VERIFY_RESIZE': '`resize-confirm` or `resize-revert` it, or drain with --confirm-resizes',
    'SOFT_DELETED': '`force-delete` or `restore` it, or wait until its time is up',
    'ERROR': '`reboot --hard` or `rebuild` it, or `reset-state --active` if its guest is well, or `delete` it'}
#: the same when the host is down
ADVICE_DOWN = {'VERIFY_RESIZE': ADVICE['VERIFY_RESIZE'], 'SOFT_DELETED': ADVICE['SOFT_DELETED'],
               'SHELVED': 'boot its image NAME-shelved, and `delete` it'}
OTHERWISE_DOWN = '`reset-state` makes it ERROR, which can be evacuated'
UNCONFIRMED = 'its resize from here waits for its owner: ' + ADVICE['VERIFY_RESIZE']
MOVED = 'moved'
EVACUABLE = ('ACTIVE', 'SHUTOFF', 'ERROR')


@dataclass
class Fate:
    """What was done with one server, and what became of it."""

    id: str
    name: str
    way: str = ''
    tries: int = 0
    confirmed: int = 0
    result: str = ''
    since: float = field(default_factory=time.monotonic)


class Drain(base.Lister):
    """Disable a host and move all its servers elsewhere: live, cold, or by evacuation when it is down."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument('host', metavar='<host>', help='Name of the compute host.')
        parser.add_argument('--wait', action='store_true', help='Until the host is empty, or what is left cannot move.')
        parser.add_argument('--parallel', type=int, default=4, metavar='<n>',
                            help='With --wait: so many servers at a time (default 4).')
        parser.add_argument('--confirm-resizes', action='store_true',
                            help='Confirm resizes to and from the host for their owners, who cannot go back then.')

    def take_action(self, args: argparse.Namespace) -> Any:
        if args.parallel < 1:
            raise errors.UsageError('--parallel takes a number from 1 up')
        work = _Drainage(self.client, args.host, args.parallel if args.wait else None, args.confirm_resizes)
        work.disable()
        if args.wait:
            with _bar(args.host, self.app.options.verbose_level == 0) as tell:
                work.until_done(tell)
        else:
            work.look()
        rows = [{'server': fate.id, 'name': fate.name, 'way': fate.way or '-', 'result': fate.result or 'begun'}
                for fate in work.fates.values()]
        left = [fate for fate in work.fates.values() if fate.result not in ('', MOVED)]
        self.code = errors.FAILED if left else errors.OK
        return table(rows, [('Server', 'server'), ('Name', 'name'), ('By', 'way'), ('Result', 'result')])

    def run(self, parsed_args: argparse.Namespace) -> int:
        return super().run(parsed_args) or self.code


class _Drainage:
    """One host on its way to be empty. `parallel` None: everything is asked for at once."""

    def __init__(self, client: Client, host: str, parallel: int | None, confirm: bool) -> None:
        self.client, self.host, self.parallel, self.confirm = client, host, parallel, confirm
        self.fates: dict[str, Fate] = {}

    def _service(self) -> dict[str, Any]:
        found = self.client.get('/os-services', {'host': self.host, 'binary': 'nova-compute'})['services']
        return lookup.only('compute host', self.host, found)

    def disable(self) -> None:
        """First of all, so that nothing new comes. Whoever disabled it before keeps the reason."""
        service = self._service()
        if service['status'] == 'disabled':
            return
        if self.client.at_least(53):
            self.client.put(f"/os-services/{service['id']}", {'status': 'disabled', 'disabled_reason': REASON})
        else:
            self.client.put('/os-services/disable-log-reason', {
                'host': self.host, 'binary': 'nova-compute', 'disabled_reason': REASON})

    def until_done(self, tell: Callable[[int, int, str], None]) -> None:
        pause = FIRST_PAUSE
        while self.look():
            self._say(tell)
            time.sleep(pause)
            pause = min(pause * 1.3, LONGEST_PAUSE)
        self._say(tell)

    def _say(self, tell: Callable[[int, int, str], None]) -> None:
        ended = [fate for fate in self.fates.values() if fate.result]
        under_way = ', '.join(fate.name for fate in self.fates.values() if fate.tries and not fate.result)
        tell(len(ended), len(self.fates), under_way)

    def look(self) -> bool:
        """One look at everything, and what follows from it. -> whether something is still to come"""
        down = self._service()['state'] == 'down'
        there = {server['id']: server for server in self.client.pages(
            '/servers/detail', 'servers', {'host': self.host, 'all_tenants': '1', 'soft_deleted': '1'})}
        for server_id, server in there.items():
            self.fates.setdefault(server_id, Fate(server_id, server.get('name') or server_id))
        for server_id, kind in self._migrated().items():     # from an earlier run, or asked for by somebody else
            fate = self.fates.setdefault(server_id, Fate(server_id, server_id))
            fate.way = fate.way or kind
        busy = sum(1 for server in there.values() if server.get(TASK))
        for fate in self.fates.values():
            if fate.id not in there and not fate.result:
                busy += self._follow(fate)
        for server_id, server in there.items():
            fate = self.fates[server_id]
            if fate.result or server.get(TASK) or self.parallel is not None and busy >= self.parallel:
                continue
            busy += self._send_off(fate, server, down)
        return any(not fate.result for fate in self.fates.values())

    def _send_off(self, fate: Fate, server: dict[str, Any], down: bool) -> bool:
        """-> whether it is on its way"""
        status = server['status']
        way = ('evacuate' if status in EVACUABLE else '') if down else WAYS.get(status, '')
        if status == 'VERIFY_RESIZE' and self.confirm:      # then it moves like any other
            return self._confirm(fate)
        if not way:
            advice = (ADVICE_DOWN.get(status, OTHERWISE_DOWN) if down else ADVICE.get(status))
            fate.result = (f'cannot move while it is {status}' + (' and its host down' if down else '')
                           + (f': {advice}' if advice else ''))
            return False
        if fate.tries >= TRIES or (fate.tries and self.parallel is None):
            fate.result = self._why(fate)
            return False
        fate.way, fate.tries = way, fate.tries + 1
        try:
            self._ask(fate.id, way)
        except (KeyboardInterrupt, BrokenPipeError):
            raise
        except Exception as error:
            line = errors.classify(error)[1]
            if fate.tries >= TRIES or self.parallel is None:
                fate.result = line
            return False
        return True

    def _ask(self, server_id: str, way: str) -> None:
        if way == 'live-migration':
            self.client.action(server_id, 'os-migrateLive', live_body(self.client, None, False))
        elif way == 'migrate':
            self.client.action(server_id, 'migrate', None)
        elif way == 'shelve-offload':
            self.client.action(server_id, 'shelveOffload', None)
        else:
            self.client.action(server_id, 'evacuate', evacuate_body(self.client, None))

    def _why(self, fate: Fate) -> str:
        """It was asked to go, and stands still where it was."""
        done = self.client.get(f'/servers/{fate.id}/os-instance-actions')['instanceActions']
        said = next((one.get('message') for one in done if one['action'] == ACTIONS.get(fate.way, fate.way)),
                    None)
        return said or 'it did not move'

    def _follow(self, fate: Fate) -> bool:
        """A server that is no longer on the host: a cold migration waits for somebody to confirm it, and whoever
        drains a host wants its servers to stay where they went. -> whether it is still on its way"""
        from keystoneauth1 import exceptions as ks

        try:
            server = self.client.get(f'/servers/{fate.id}')['server']
        except ks.NotFound:
            fate.result = MOVED     # deleted: gone from the host as well
            return False
        fate.name = server.get('name') or fate.id
        if server.get(TASK):
            return True
        if server['status'] == 'VERIFY_RESIZE' and fate.way in ('migrate', 'resize'):
            if fate.way == 'migrate' or self.confirm:
                return self._confirm(fate)
            fate.result = UNCONFIRMED
            return False
        fate.result = MOVED
        return False

    def _confirm(self, fate: Fate) -> bool:
        """-> whether it is on its way. Others may confirm or revert it at this moment: the next look says."""
        fate.confirmed += 1
        try:
            self.client.action(fate.id, 'confirmResize')
        except (KeyboardInterrupt, BrokenPipeError):
            raise
        except Exception as error:
            if fate.confirmed > TRIES:
                fate.result = errors.classify(error)[1]
            return False
        if fate.confirmed > TRIES:
            fate.result = 'its resize could not be confirmed'
        return True

    def _migrated(self) -> dict[str, str]:
        """{server: 'migrate' or 'resize'} of those whose move from the host waits for its confirmation: they have disks
        here still. A resize is its owner's to judge; before 2.23 nothing tells the two apart."""
        if not self.client.at_least(23):
            return {}
        params = {'host': self.host, 'status': 'finished'}
        found = (self.client.pages('/os-migrations', 'migrations', params, mark='uuid') if self.client.at_least(59)
                 else self.client.get('/os-migrations', params)['migrations'])
        kinds = {'migration': 'migrate', 'resize': 'resize'}
        return {move['instance_uuid']: kinds[move['migration_type']] for move in found
                if move['source_compute'] == self.host and move['migration_type'] in kinds}


@contextmanager
def _bar(host: str, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Gives tell(ended, all, names of what moves)."""
    if quiet:
        yield lambda ended, total, names: None
    elif colours(sys.stderr):
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        with Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                      TextColumn('{task.fields[names]}'), console=Console(stderr=True)) as bar:
            task = bar.add_task(escape(host), total=None, names='')
            yield lambda ended, total, names: bar.update(task, completed=ended, total=total, names=escape(names[:60]))
    else:
        seen: list[tuple[int, int, str]] = []

        def tell(ended: int, total: int, names: str) -> None:
            if seen[-1:] != [(ended, total, names)]:
                seen.append((ended, total, names))
                print(f'{host}: {ended} of {total}{" moving " + names if names else ""}', file=sys.stderr, flush=True)
        yield tell
