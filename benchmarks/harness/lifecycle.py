"""Start until serving, SIGTERM until gone, and whether a burst under which a daemon is replaced loses a server."""
from __future__ import annotations

import asyncio
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.request
import uuid

from harness.load import Json, Load, pause
from harness.parts import Bench
from harness.systems import Nova, Ours

ROLES = ('api', 'conductor', 'scheduler', 'compute-1')


class Daemon:
    """One daemon of our stack, which is stopped and started again."""

    def __init__(self, stack: Ours, name: str) -> None:
        self.name, self.file = name, stack.pids / f'{name}.pid'
        self.log = stack.home / 'log' / f'{name}.log'
        self.port, self.home = stack.port, stack.home
        self.pid = int(self.file.read_text())
        # As tools/lib/daemons.sh does it. Not read from /proc: a daemon may write its title over both.
        role, own = name.partition('-')[0], stack.home / f'{name}.conf'
        configs = [stack.home / 'minicompute.conf', stack.home / 'local.conf', *([own] if own.exists() else [])]
        self.words = [str(stack.venv / 'bin' / f'minicompute-{role}'),
                      *(word for config in configs for word in ('--config-file', str(config)))]
        self.env = {'PATH': os.environ['PATH'], 'HOME': os.environ.get('HOME', '/root'), 'LANG': 'C.UTF-8',
                    **{key: stack.env[key] for key in ('MINICOMPUTE_CONCURRENCY',) if key in stack.env}}

    def stop(self) -> float:
        """-> seconds from SIGTERM until the process, and all its children, are gone"""
        family = [self.pid, *descendants(self.pid)]
        began = time.perf_counter()
        os.kill(self.pid, signal.SIGTERM)
        while any(alive(pid) for pid in family):
            if time.perf_counter() - began > 60:
                raise RuntimeError(f'{self.name} does not end')
            time.sleep(0.005)
        return time.perf_counter() - began

    def start(self) -> float:
        """-> seconds until it serves: the api answers, another says that it takes messages"""
        size = self.log.stat().st_size if self.log.exists() else 0
        self.file.unlink(missing_ok=True)
        began = time.perf_counter()
        subprocess.run(['start-stop-daemon', '--start', '--quiet', '--background', '--make-pidfile', '--pidfile',
                        str(self.file), '--chdir', str(self.home), '--output', str(self.log), '--startas',
                        self.words[0], '--', *self.words[1:]], env=self.env, check=True)
        while not self.serves(size):
            if time.perf_counter() - began > 60:
                raise RuntimeError(f'{self.name} does not start')
            time.sleep(0.01)
        spent = time.perf_counter() - began
        self.pid = int(self.file.read_text())
        return spent

    def serves(self, size: int) -> bool:
        if self.name == 'api':
            try:
                with urllib.request.urlopen(f'http://127.0.0.1:{self.port}/', timeout=5) as answer:
                    return bool(answer.status)
            except urllib.error.HTTPError:
                return True
            except OSError:
                return False
        with open(self.log, 'rb') as file:
            file.seek(size)
            return b' is ready on ' in file.read()


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
            for child in (task / 'children').read_text().split():
                found += [int(child), *descendants(int(child))]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def alive(pid: int) -> bool:
    """A zombie, which only waits to be counted, is not."""
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


def lifecycle(bench: Bench) -> Json:
    """Each daemon, idle: stopped and started. Then each of ours in the middle of a burst."""
    stack = bench.system
    if isinstance(stack, Nova):
        return nova_lifecycle(stack)
    out = Json()
    for name in ROLES:
        stops, starts = [], []
        for _ in range(bench.size(5, 1)):
            daemon = Daemon(stack, name)
            stops.append(round(daemon.stop(), 3))
            starts.append(round(daemon.start(), 3))
        out[name] = {'stop_s': stops, 'start_s': starts}
    for name in ROLES:
        out[name]['burst'] = bench.load.run(functools.partial(
            under_load, stack=stack, name=name, count=bench.size(100, 20)))
    return out


async def under_load(load: Load, stack: Ours, name: str, count: int) -> Json:
    """`count` creates by 8 clients; after a third of them SIGTERM, and a start as soon as the process is gone."""
    prefix, accepted, unanswered = 'k' + uuid.uuid4().hex[:8], 0, 0
    turn = asyncio.Event()
    daemon, started = Daemon(stack, name), Json()

    async def create(number: int) -> None:
        nonlocal accepted, unanswered
        if number == count // 3:
            turn.set()
        status = (await load.api.call('POST', '/servers', load.generator.server_body(
            load.arguments, f'{prefix}-{number}')))[0]
        accepted += status == 202
        unanswered += status == 599

    async def replace() -> None:
        await turn.wait()
        started['stop_s'] = round(await asyncio.to_thread(daemon.stop), 3)
        started['start_s'] = round(await asyncio.to_thread(daemon.start), 3)
    await asyncio.gather(replace(), load.generator.parallel(list(range(count)), 8, create))
    began = time.perf_counter()
    while True:
        asked = time.perf_counter()
        status, _, data, spent = await load.api.call('GET', f'/servers?status=BUILD&name={prefix}&limit=1')
        if (status == 200 and not json.loads(data)['servers']) or asked - began > 120:
            break
        await asyncio.sleep(pause(spent))
    built = time.perf_counter() - began
    found = {state: len(await load.generator.list_ids(load.api, f'&status={state}&name={prefix}') or [])
             for state in ('ACTIVE', 'ERROR', 'BUILD')}
    await load.delete(prefix, 8)
    return {**started, 'built_s': round(built, 3), 'asked': count, 'accepted': accepted, 'unanswered': unanswered,
            **found,
            # An answer may be lost with the connection; a server whose 202 was seen may not.
            'lost': max(0, accepted - found['ACTIVE'])}


def nova_lifecycle(nova: Nova) -> Json:
    """By the script in its folder: {daemon: {stop_s, start_s}}."""
    out = Json()
    for line in nova.script('startup.sh').splitlines():
        if found := re.match(r'(\S+) stop_ms=(\d+) start_ms=(\d+)', line):
            name = found[1].removeprefix('nova-')
            out[name] = {'stop_s': [int(found[2]) / 1e3], 'start_s': [int(found[3]) / 1e3]}
    return out
