#!/usr/bin/env python3
"""Where a boot goes: statements and commits of MariaDB, messages of RabbitMQ, CPU of each process, for one server.

    benchmarks/boot_cost.py [--servers 200] [--peer DIR] [--publish]

Counts come from the counters of the database and the broker, so they say what happened, not what we think happens.
The system is idle before; what it does while idle (heartbeats, sweeps) is measured over the same time and taken off
the counts, not off the CPU. Prints a Markdown table; --publish puts it into docs/performance.md.
"""
from __future__ import annotations

import argparse
import os
import pathlib
import re
import subprocess
import sys
import time
from typing import Any

import sqlalchemy as sa
from harness import load as loads
from harness.systems import Ours

REPO = pathlib.Path(__file__).resolve().parent.parent
KINDS = ('select', 'insert', 'update', 'delete', 'commit')
BEGIN, END = '<!-- begin: the profile of one boot -->', '<!-- end: the profile of one boot -->'
IDLE = 5.0


class Counters:
    """Of the database and the broker, since they started."""

    def __init__(self, system: Ours) -> None:
        self._system = system
        self._engine = sa.create_engine(system.database)

    def read(self) -> dict[str, float]:
        with self._engine.connect() as conn:
            status = {row[0].lower(): row[1] for row in conn.execute(sa.text('SHOW GLOBAL STATUS'))}
        found = {kind: float(status[f'com_{kind}']) for kind in KINDS}
        found['syncs'] = float(status['innodb_data_fsyncs'])
        said = subprocess.run([REPO / 'benchmarks' / 'stack.sh', 'messages'], env=self._system.env, check=True,
                              capture_output=True, text=True).stdout
        return {**found, 'messages': float(said.split()[-1]), 'at': time.monotonic()}


def difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in before}


def measure(system: Ours, counters: Counters, clients: int, servers: int) -> dict[str, Any]:
    """Counts and CPU for each server of a burst, the deletion not included."""
    load = system.load()
    start = counters.read()
    time.sleep(IDLE)
    idle = difference(start, counters.read())

    async def burst(work: loads.Load) -> Any:
        return await work.boot(servers, clients)
    before = counters.read()
    row = load.run(burst)
    busy = difference(before, counters.read())
    load.run(lambda work: work.delete(row['prefix'], 8))
    share = busy['at'] / idle['at']
    counts = {name: max(0.0, busy[name] - idle[name] * share) / servers for name in busy if name != 'at'}
    return {'clients': clients, 'counts': counts, 'cpu_ms': {name: value * 1e3 for name, value in row['cpu_s'].items()},
            'per_s': row['per_s']}


def table(rows: list[dict[str, Any]]) -> str:
    heads = [f'{row["clients"]} client' + ('s' if row['clients'] > 1 else '') for row in rows]
    out = ['| of one boot | ' + ' | '.join(heads) + ' |', '|---|' + '---|' * len(rows)]
    for kind in (*KINDS, 'syncs', 'messages'):
        name = {'commit': 'commits', 'syncs': 'syncs to disk', 'messages': 'messages'}.get(kind, kind.upper())
        out.append(f'| {name} | ' + ' | '.join(f'{row["counts"][kind]:.2f}' for row in rows) + ' |')
    groups = {'api': ('api',), 'conductor': ('conductor',), 'scheduler': ('scheduler',), 'computes': ('compute',),
              'MariaDB': ('mariadb',), 'RabbitMQ': ('rabbitmq',)}
    for title, prefixes in groups.items():
        spent = [sum(ms for name, ms in row['cpu_ms'].items() if name.startswith(prefixes)) for row in rows]
        out.append(f'| CPU of {title} | ' + ' | '.join(f'{ms * 1e3:,.0f} \u00b5s' for ms in spent) + ' |')
    whole = [sum(row['cpu_ms'].values()) * 1e3 for row in rows]
    out.append('| **CPU in all** | ' + ' | '.join(f'**{spent:,.0f} \u00b5s**' for spent in whole) + ' |')
    out.append('| boots a second | ' + ' | '.join(f'{row["per_s"]:.0f}' for row in rows) + ' |')
    return '\n'.join(out)


def publish(text: str) -> None:
    page = REPO / 'docs' / 'performance.md'
    whole, found = re.subn(re.escape(BEGIN) + '.*' + re.escape(END), lambda _: f'{BEGIN}\n\n{text}\n\n{END}',
                           page.read_text(), flags=re.DOTALL)
    if not found:
        raise SystemExit(f'{page} has no marks for the profile')
    page.write_text(whole)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--servers', type=int, default=200)
    parser.add_argument('--peer', type=pathlib.Path, default=REPO.parent / 'shared' / 'peer')
    parser.add_argument('--home', type=pathlib.Path, default=REPO / 'run' / 'bench-cost')
    parser.add_argument('--port', type=int, default=int(os.environ.get('BENCH_PORT', '18874')))
    parser.add_argument('--publish', action='store_true')
    options = parser.parse_args()
    system = Ours(loads.module(options.peer), options.home, options.port)
    try:
        system.start()
        counters = Counters(system)
        warm = measure(system, counters, 8, 40)
        print(f'# warm: {warm["per_s"]:.0f} boots/s', file=sys.stderr)
        rows = [measure(system, counters, clients, servers) for clients, servers in (
            (1, 40), (8, options.servers), (32, options.servers))]
    finally:
        system.stop()
    text = table(rows)
    print(text)
    if options.publish:
        publish(text)
    return 0


if __name__ == '__main__':
    sys.exit(main())
