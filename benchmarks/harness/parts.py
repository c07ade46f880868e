"""What is measured of a running system, one function a part: (Bench) -> a JSON document.

`QUICK` sizes show that a part works; they measure nothing.
"""
from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from harness.load import Json, Load
from harness.systems import Nova, Ours


@dataclasses.dataclass(slots=True)
class Bench:
    """One system, up and warm."""
    system: Ours | Nova
    quick: bool = False

    @property
    def is_nova(self) -> bool:
        return isinstance(self.system, Nova)

    @property
    def load(self) -> Load:
        return self.system.load()

    def size(self, full: Any, quick: Any) -> Any:
        return quick if self.quick else full


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """`phase`: 'turns' are measured in both systems, in turn; 'big' likewise, Nova less often; the others once.
    `stack`: what stack.sh is told."""
    name: str
    run: Callable[[Bench], Json]
    phase: str = 'turns'
    systems: tuple[str, ...] = ('ours', 'nova')
    stack: tuple[tuple[str, Any], ...] = ()


def warm_up(bench: Bench) -> None:
    """Pools filled, caches warm, code compiled: not counted. Takes away what a broken run left."""
    async def work(load: Load) -> None:
        await load.delete('', 8)
        made = await load.boot(bench.size(24, 8), 8)
        await load.delete(made['prefix'], 8)
    bench.load.run(work)


def single(bench: Bench) -> Json:
    """One server at a time on an idle system."""
    async def work(load: Load) -> Json:
        await load.single()
        pairs = [await load.single() for _ in range(bench.size(10 if bench.is_nova else 40, 3))]
        return {'accept_ms': [round(accept * 1e3, 1) for accept, _ in pairs],
                'active_ms': [round(active * 1e3, 1) for _, active in pairs]}
    return dict(bench.load.run(work))


def boots(count: int, clients: int, *, memory: bool = False) -> Callable[[Bench], Json]:
    """A burst of creates, and their deletion. `memory`: of each process while all servers are there."""
    def run(bench: Bench) -> Json:
        async def work(load: Load) -> Json:
            row = await load.boot(bench.size(count, min(count, 10)), clients)
            if memory:
                row['memory'] = load.snapshot(memory=True)
            row['delete'] = await load.delete(row.pop('prefix'), 8)
            if memory:
                row['memory_after'] = load.snapshot(memory=True)
            return row
        return dict(bench.load.run(work))
    return run


def multi(bench: Bench) -> Json:
    """One POST for 100 servers."""
    async def work(load: Load) -> Json:
        row = await load.multi(bench.size(100, 10))
        row['delete'] = await load.delete(row.pop('prefix'), 8)
        return row
    return dict(bench.load.run(work))


LIST = '/servers/detail?limit=1000'


def reads(bench: Bench) -> Json:
    """What users ask most, with one server; then the list of 1,000. One client alone, then 8 that ask at once."""
    async def one(load: Load) -> Json:
        await load.boot(1, 1)
        uuid = (await load.generator.list_ids(load.api))[0]
        return {'servers/{id}': await ask(load, f'/servers/{uuid}'),
                'flavors/detail': await ask(load, '/flavors/detail'),
                '/': await ask(load, '/', absolute=True)}

    async def ask(load: Load, path: str, absolute: bool = False) -> Json:
        await load.throughput(path, 16, 0, absolute)   # every worker has seen it
        return {'alone': await load.latency(path, bench.size(200, 20), bench.size(5, 1), absolute),
                'clients': await load.throughput(path, 8, bench.size(3, 0.5), absolute)}

    async def listing(load: Load) -> Json:
        out = await ask(load, LIST)
        out['servers'] = len(await load.generator.list_ids(load.api))
        return out

    async def clean(load: Load) -> None:
        await load.delete('', 8)
    rows = bench.load.run(one)
    try:
        bench.system.fill(bench.size(1000, 50))
        rows['servers/detail'] = bench.load.run(listing)
    finally:
        bench.system.fill(0)
    bench.load.run(clean)
    return dict(rows)


def pages(bench: Bench) -> Json:
    """The first page of 1,000 servers, and pages of 10,000 (first, middle, last); and how the list grows."""
    async def seed(load: Load) -> None:
        await load.boot(4, 4)

    async def grown(load: Load) -> Json:
        ids = await load.generator.list_ids(load.api)
        # Each page has a full 1,000 (or all there are): the last begins where 1,000 are left.
        starts = {'first': None, 'middle': len(ids) // 2 - 1, 'last': len(ids) - 1001}
        page = {name: LIST + (f'&marker={ids[start]}' if start is not None and start > 0 else '')
                for name, start in starts.items() if len(ids) > 1000 or name == 'first'}
        out: Json = {'servers': len(ids)}
        for name, path in page.items():
            await load.throughput(path, 16, 0)
            out[name] = {'alone': await load.latency(path, 60, bench.size(6, 1)),
                         'clients': await load.throughput(path, 8, bench.size(3, 0.5))}
        return out
    bench.load.run(seed)
    out = {}
    for count in bench.size((100, 1000, 10000), (50, 1100)):
        bench.system.fill(count)
        out[str(count)] = bench.load.run(grown)
    bench.system.fill(0)
    return out


def growth_servers(bench: Bench) -> Json:
    """Boots a second while the project has so many servers already."""
    async def burst(load: Load) -> Json:
        row = await load.boot(bench.size(100, 8), 8)
        row['delete'] = await load.delete(row.pop('prefix'), 8)
        return row

    async def seed(load: Load) -> str:
        return str((await load.boot(4, 4))['prefix'])
    bench.load.run(seed)
    out = {}
    for count in bench.size((100, 1000, 10000), (20, 200)):
        bench.system.fill(count)
        out[str(count)] = bench.load.run(burst)
    bench.system.fill(0)
    return out


def growth_projects(bench: Bench) -> Json:
    """200 boots by 8 clients, spread over so many projects."""
    async def burst(load: Load) -> Json:
        out = {}
        for count in bench.size((1, 10, 100, 200), (1, 4)):
            row = await load.boot(bench.size(200, 8), 8, projects=count)
            row['delete'] = await load.delete(row.pop('prefix'), 8, more='&all_tenants=1')
            out[str(count)] = row
        return out
    return dict(bench.load.run(burst))


def growth_clients(bench: Bench) -> Json:
    """100 boots by so many clients at once; and reads of one server."""
    async def burst(load: Load) -> Json:
        out = {}
        for clients in bench.size((1, 2, 4, 8, 16, 32, 64), (1, 4)):
            row = await load.boot(bench.size(100, 8), clients)
            uuid = (await load.generator.list_ids(load.api))[0]
            row['reads'] = await load.throughput(f'/servers/{uuid}', clients, bench.size(2, 0.5))
            row['delete'] = await load.delete(row.pop('prefix'), 8)
            out[str(clients)] = row
        return out
    return dict(bench.load.run(burst))


def hosts(bench: Bench) -> Json:
    """Boots and single servers with as many hosts as the stack has; memory, and what it costs when nobody asks."""
    async def work(load: Load) -> Json:
        made = await load.boot(8, 8)      # the scheduler has read all hosts
        await load.delete(made['prefix'], 8)
        await load.single()
        singles = [await load.single() for _ in range(bench.size(20, 3))]
        bursts = []
        for _ in range(bench.size(3, 1)):
            row = await load.boot(bench.size(100, 8), 8)
            row['delete'] = await load.delete(row.pop('prefix'), 8)
            bursts.append(row)
        return {'active_ms': [round(active * 1e3, 1) for _, active in singles], 'bursts': bursts}
    rows = bench.load.run(work)
    rows['idle'] = idle(bench)
    rows['memory'] = bench.load.snapshot(memory=True)
    rows['hollow'] = (bench.system.options or {}).get('hollow', 0) if isinstance(bench.system, Ours) else 0
    return dict(rows)


def idle(bench: Bench) -> Json:
    """CPU seconds a second of each process, while nobody asks for anything."""
    time.sleep(bench.size(10, 1))
    load, out, began = bench.load, Json(), time.perf_counter()
    with load.cpu(out, 1):
        time.sleep(bench.size(60, 5))      # a whole round of reports
    spent = time.perf_counter() - began
    return {'seconds': round(spent, 1), 'total': round(out['cpu_total_s'] / spent, 5),
            'each': {name: round(value / spent, 5) for name, value in out['cpu_s'].items()}}


def nova_hosts(bench: Bench) -> Json:
    """The same for Nova: its further hosts are rows with fresh heartbeats."""
    nova = bench.system
    assert isinstance(nova, Nova)

    async def work(load: Load) -> Json:
        await load.single()
        singles = [await load.single() for _ in range(bench.size(5, 1))]
        row = await load.boot(bench.size(30, 4), 8)
        row['delete'] = await load.delete(row.pop('prefix'), 8)
        return {'active_ms': [round(active * 1e3, 1) for _, active in singles], 'bursts': [row]}
    nova.fake('set', str(bench.size(1000, 20)))
    try:
        with nova.heartbeats():
            time.sleep(3)
            return dict(bench.load.run(work))
    finally:
        nova.fake('set', '0')
