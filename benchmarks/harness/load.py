"""Load, by the shared load generator: its client, its accounting of CPU and memory, and waiting of our own.

The generator's own waits look every half second, which is coarse where a goal is a few hundred milliseconds.
Ours sleep ten times as long as the last answer took, between 20 ms and half a second, whichever system
is asked: the watching stays a small part of the load, and the resolution follows the speed of what is watched.
"""
from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import pathlib
import shlex
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any

Json = dict[str, Any]
LEAST, MOST, SHARE = 0.02, 0.5, 10.0


def module(peer: pathlib.Path) -> ModuleType:
    """loadgen.py, from the folder of the real Nova's set-up."""
    path = peer / 'loadgen.py'
    spec = importlib.util.spec_from_file_location('loadgen', path)
    if spec is None or spec.loader is None or not path.exists():
        raise SystemExit(f'no load generator at {path}: name its folder with --peer')
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def arguments(words: str) -> argparse.Namespace:
    """The generator's common arguments, from the LG_ARGS of a loadgen.env."""
    parser = argparse.ArgumentParser()
    for name, default in (('base', ''), ('auth', 'headers'), ('auth-url', ''), ('user', 'admin'), ('password', ''),
                          ('project', 'admin'), ('roles', 'admin,member,reader'), ('token', ''),
                          ('microversion', '2.96'), ('image', ''), ('flavor', '1'), ('networks', 'none'),
                          ('pids', '')):
        parser.add_argument('--' + name, default=default)
    return parser.parse_args(shlex.split(words))


def pause(answer: float, share: float = SHARE, least: float = LEAST, most: float = MOST) -> float:
    """How long to wait before asking again, when the last answer took so many seconds."""
    return min(most, max(least, share * answer))


class Load:
    """What one part does to one system. Times are seconds unless a name says _ms."""

    def __init__(self, generator: ModuleType, words: str) -> None:
        self.generator, self.arguments = generator, arguments(words)
        self.api = generator.API(self.arguments)

    def run(self, work: Callable[[Load], Awaitable[Any]]) -> Any:
        """Run a coroutine on a client of its own; connections do not outlive the loop."""
        async def inner() -> Any:
            self.api = self.generator.API(self.arguments)
            await self.api.probe()
            return await work(self)
        return asyncio.run(inner())

    # -- CPU ---------------------------------------------------------------------

    def snapshot(self, memory: bool = False) -> Json:
        return dict(self.generator.snapshot(self.arguments.pids, memory=memory))

    @contextlib.contextmanager
    def cpu(self, into: Json, per: int) -> Iterator[None]:
        """CPU seconds of the system's processes per `per`, by name and in all, and the generator's own."""
        before, own = self.snapshot(), time.process_time()
        yield
        each = {name: now['cpu'] - before.get(name, {'cpu': 0.0})['cpu'] for name, now in self.snapshot().items()}
        into['cpu_s'] = {name: round(value / per, 5) for name, value in each.items()}
        into['cpu_total_s'] = round(sum(each.values()) / per, 5)
        into['loadgen_cpu_s'] = round((time.process_time() - own) / per, 5)

    # -- servers -----------------------------------------------------------------

    async def boot(self, count: int, clients: int, timeout: float = 900, projects: int = 0) -> Json:
        """`count` creates by `clients` at once, until the last is built. They stay."""
        prefix, out = 'b' + uuid.uuid4().hex[:8], Json()
        gen = self.generator

        callers = [self.of_project(number) for number in range(projects)] or [self.api]

        async def create(number: int) -> Any:
            body = gen.server_body(self.arguments, f'{prefix}-{number}')
            return await callers[number % len(callers)].call('POST', '/servers', body)
        with self.cpu(out, count):
            began = time.perf_counter()
            answers = await gen.parallel(list(range(count)), clients, create)
            accepted = time.perf_counter() - began
            ids = [json.loads(answer[2])['server']['id'] for answer in answers if answer[0] == 202]
            everyone = '&all_tenants=1' if projects else ''
            built = await self.wait_built(prefix, len(ids), timeout, everyone)
        spent = built.pop('at') - began
        refusals = [f'{answer[0]} {answer[2][:160]!r}' for answer in answers if answer[0] != 202]
        return {'count': count, 'clients': clients, 'refused': len(refusals), 'first_refusal': refusals[:1],
                'accept': gen.summary([answer[3] for answer in answers]), 'accept_all_s': round(accepted, 3),
                'all_built_s': round(spent, 3), 'per_s': round(built['active'] / spent, 2), **built, **out,
                'prefix': prefix}

    def of_project(self, number: int) -> Any:
        """The generator's client as another project, over the same connections."""
        name = f'project-{number}'
        other = self.generator.API(argparse.Namespace(**{**vars(self.arguments), 'project': name}))
        other.persistent, other.free = self.api.persistent, self.api.free
        return other

    async def wait_built(self, prefix: str, expect: int, timeout: float, more: str = '') -> Json:
        """Until none is in BUILD and `expect` are ACTIVE or ERROR; `at` is the moment of the answer that said so."""
        began = time.perf_counter()
        while True:
            asked = time.perf_counter()
            building = await self.api.get(f'/servers?status=BUILD&name={prefix}&limit=1{more}')
            now = time.perf_counter()
            late = now - began > timeout
            if late or (building is not None and not building['servers']):
                active, error = [len(await self.generator.list_ids(
                    self.api, f'&status={status}&name={prefix}{more}') or []) for status in ('ACTIVE', 'ERROR')]
                if late or active + error >= expect:
                    return {'at': now, 'active': active, 'error': error, 'stuck': expect - active - error}
            await asyncio.sleep(pause(now - asked))

    async def delete(self, prefix: str, clients: int, timeout: float = 900, more: str = '') -> Json:
        """All servers of the prefix, until the list of them is empty."""
        ids = await self.generator.list_ids(self.api, f'&name={prefix}{more}') or []
        out = Json()
        if not ids:
            return {'count': 0, 'gone_s': 0.0, 'left': 0}
        with self.cpu(out, len(ids)):
            began = time.perf_counter()
            answers = await self.generator.parallel(
                ids, clients, lambda one: self.api.call('DELETE', f'/servers/{one}'))
            gone, left = await self._wait_gone(prefix, began, timeout, more)
        return {'count': len(ids), 'refused': sum(answer[0] not in (204, 404) for answer in answers),
                'accept': self.generator.summary([answer[3] for answer in answers]),
                'gone_s': round(gone - began, 3), 'left': left, **out}

    async def _wait_gone(self, prefix: str, began: float, timeout: float, more: str) -> tuple[float, int]:
        again = began
        while True:
            asked = time.perf_counter()
            listed = await self.api.get(f'/servers?limit=1&name={prefix}{more}')
            now = time.perf_counter()
            if listed is not None and not listed['servers']:
                return now, 0
            if now - began > timeout:
                return now, len(await self.generator.list_ids(self.api, f'&name={prefix}{more}') or [])
            if now - again > 60:   # a delete that ended in ERROR at the other side
                again = now
                for one in await self.generator.list_ids(self.api, f'&status=ERROR&name={prefix}{more}') or []:
                    await self.api.call('DELETE', f'/servers/{one}')
            await asyncio.sleep(pause(now - asked))

    async def multi(self, count: int, timeout: float = 900) -> Json:
        """One POST for many servers."""
        prefix, out = 'm' + uuid.uuid4().hex[:8], Json()
        with self.cpu(out, count):
            began = time.perf_counter()
            status, _, data, accept = await self.api.call(
                'POST', '/servers', self.generator.server_body(self.arguments, prefix, count))
            if status != 202:
                raise RuntimeError(f'POST for {count} servers: {status} {data[:200]!r}')
            built = await self.wait_built(prefix, count, timeout)
        return {'count': count, 'accept_ms': round(accept * 1e3, 1),
                'all_built_s': round(built.pop('at') - began, 3), **built, **out, 'prefix': prefix}

    async def single(self, timeout: float = 60) -> tuple[float, float]:
        """-> seconds of the POST, and from POST to ACTIVE, of one server on an idle system; it is deleted again."""
        began = time.perf_counter()
        status, _, data, accept = await self.api.call(
            'POST', '/servers', self.generator.server_body(self.arguments, 'one-' + uuid.uuid4().hex[:8]))
        if status != 202:
            raise RuntimeError(f'POST: {status} {data[:200]!r}')
        path = '/servers/' + json.loads(data)['server']['id']
        while True:
            asked = time.perf_counter()
            shown = await self.api.get(path)
            now = time.perf_counter()
            if shown and shown['server']['status'] != 'BUILD':
                break
            if now - began > timeout:
                raise RuntimeError(f'{path} is not built after {timeout} s')
            await asyncio.sleep(pause(now - asked, share=2.0, least=0.005, most=0.05))
        if shown['server']['status'] != 'ACTIVE':
            raise RuntimeError(f'{path}: {shown["server"]}')
        await self.api.call('DELETE', path)
        while (await self.api.call('GET', path))[0] != 404:
            await asyncio.sleep(0.05)
        return accept, now - began

    # -- reads -------------------------------------------------------------------

    async def latency(self, path: str, most: int, seconds: float, absolute: bool = False) -> Json:
        """One client, one request after the other, for so many or so long."""
        times: list[float] = []
        errors = size = 0
        conn = self.generator.Conn(self.api.host, self.api.port)
        began = time.perf_counter()
        while len(times) < most and (time.perf_counter() - began < seconds or len(times) < 3):
            status, _, data, spent = await self.api.call('GET', path, conn=conn, absolute=absolute)
            times.append(spent)
            size, errors = len(data), errors + (status not in (200, 300))
        conn.close()
        return {**self.generator.summary(times), 'errors': errors, 'bytes': size}

    async def throughput(self, path: str, clients: int, seconds: float, absolute: bool = False) -> Json:
        """So many clients, each asking again at once; at least one answer each."""
        times: list[float] = []
        errors = 0
        until = time.perf_counter() + seconds

        async def client() -> None:
            nonlocal errors
            conn = self.generator.Conn(self.api.host, self.api.port)
            while True:
                status, _, _, spent = await self.api.call('GET', path, conn=conn, absolute=absolute)
                times.append(spent)
                errors += status not in (200, 300)
                if time.perf_counter() >= until:
                    break
            conn.close()
        out, began = Json(), time.perf_counter()
        with self.cpu(out, 1):
            await asyncio.gather(*[client() for _ in range(clients)])
            spent = time.perf_counter() - began
        return {'per_s': round(len(times) / spent, 1), 'errors': errors,
                'cpu_ms': round(out['cpu_total_s'] / len(times) * 1e3, 3),
                'loadgen_cpu_ms': round(out['loadgen_cpu_s'] / len(times) * 1e3, 3),
                **self.generator.summary(times)}
