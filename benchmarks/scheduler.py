"""Decisions a second of one scheduler, without and with the claim, at 10,000 hosts; prints JSON.

    python benchmarks/scheduler.py --database mysql+pymysql://user:word@host/empty --hosts 10000
    python benchmarks/scheduler.py --schedulers 4 --hosts 100     # processes that fight for the same hosts

The database must be one to throw away: its rows are deleted. Default: SQLite in a temporary directory.
"""
from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import sys
import tempfile
import time
from typing import Any

from oslo_utils import uuidutils

from minicompute import servicegroup
from minicompute.conf import CONF, setup
from minicompute.db import migration, models, session
from minicompute.db.api import allocations
from minicompute.objects import Flavor, RequestSpec
from minicompute.scheduler.placer import BATCH, Placer

FLAVORS = [Flavor('1', 'small', 512, 1, 1), Flavor('2', 'medium', 2048, 2, 20),
           Flavor('3', 'large', 4096, 4, 40)]


def fill(hosts: int) -> None:
    """Hosts of four kinds in three zones."""
    with session.read() as conn:
        now = session.now(conn)
    nodes, services, members = [], [], []
    for number in range(hosts):
        name, kind = f'host-{number:05d}', number % 4
        nodes.append({
            'uuid': uuidutils.generate_uuid(), 'host': name, 'hypervisor_hostname': name,
            'hypervisor_type': 'QEMU', 'hypervisor_version': 7002000,
            'vcpus': 32 + 16 * kind, 'memory_mb': 131072 * (1 + kind),
            'local_gb': 2000, 'reserved_vcpus': 0, 'reserved_memory_mb': 512, 'reserved_disk_gb': 0,
            'cpu_allocation_ratio': 4.0, 'ram_allocation_ratio': 1.0, 'disk_allocation_ratio': 1.0,
            'cpu_info': {'arch': 'x86_64', 'model': f'kind-{kind}'}, 'traits': ['HW_CPU_X86_AVX2'],
            'supported_instances': [['x86_64', 'kvm', 'hvm']], 'capabilities': {}, 'failed_builds': 0,
            'changed_at': now})
        services.append({'uuid': uuidutils.generate_uuid(), 'host': name, 'binary': servicegroup.COMPUTE,
                         'version': 1, 'disabled': False, 'forced_down': False, 'report_count': 1,
                         'last_seen_up': now.replace(year=now.year + 1)})
        members.append({'aggregate_id': 1 + number % 3, 'host': name})
    session.write(_clear)
    session.write(lambda conn: conn.execute(models.aggregates.insert(), [
        {'id': n, 'uuid': uuidutils.generate_uuid(), 'name': f'zone-{n}',
         'metadata': {'availability_zone': f'zone-{n}'}}
        for n in (1, 2, 3)]))
    for table, rows in ((models.compute_nodes, nodes), (models.services, services),
                        (models.aggregate_hosts, members)):
        session.write(lambda conn, table=table, rows=rows: conn.execute(table.insert(), rows))


def _clear(conn: Any) -> None:
    for table in (models.allocations, models.aggregate_hosts, models.aggregates, models.compute_nodes,
                  models.services):
        conn.execute(table.delete())


def requests(count: int, *, dry_run: bool, mixed: bool) -> list[dict[str, Any]]:
    """One request a server; `mixed` has three flavors, four zones (one of them none) and traits."""
    made = []
    for number in range(count):
        flavor, zone, properties = FLAVORS[number % 3 if mixed else 0], None, {}
        if mixed:
            zone = [None, 'zone-1', 'zone-2', 'zone-3'][number % 4]
            properties = {'hw_architecture': 'x86_64', 'trait:HW_CPU_X86_AVX2': 'required'}
        spec = RequestSpec('project', 'user', flavor=flavor, availability_zone=zone,
                           image_properties=properties)
        made.append({'key': number, 'spec': spec, 'instance_uuids': [uuidutils.generate_uuid()],
                     'dry_run': dry_run})
    return made


def measure(placer: Placer, count: int, batch: int, **how: Any) -> dict[str, Any]:
    entries = requests(count, **how)
    latencies = []
    began, burnt = time.perf_counter(), time.process_time()
    for start in range(0, count, batch):
        at = time.perf_counter()
        answers = placer.place(entries[start:start + batch])
        latencies.append(time.perf_counter() - at)
        assert all(answer['selections'] for answer in answers), answers
    spent, burnt = time.perf_counter() - began, time.process_time() - burnt
    latencies.sort()
    return {'per_second': round(count / spent), 'microseconds_each': round(spent / count * 1e6, 1),
            'cpu_microseconds_each': round(burnt / count * 1e6, 1),
            'batch': batch, 'call_ms_median': round(latencies[len(latencies) // 2] * 1e3, 2),
            'call_ms_worst': round(latencies[-1] * 1e3, 2)}


def fight(job: tuple[str, int]) -> dict[str, int]:
    """One of several schedulers, in a process of its own: claims until its share is placed or refused."""
    url, count = job
    setup([], 'benchmark', [])
    CONF.set_override('connection', url, 'database')
    placer = Placer()
    entries = requests(count, dry_run=False, mixed=True)
    for start in range(0, count, 32):
        placer.place(entries[start:start + 32])
    return dataclasses.asdict(placer.stats)


def contention(url: str, schedulers: int, count: int) -> dict[str, Any]:
    with multiprocessing.get_context('spawn').Pool(schedulers) as pool:
        began = time.perf_counter()
        stats = pool.map(fight, [(url, count // schedulers)] * schedulers, chunksize=1)
        spent = time.perf_counter() - began
    total = {name: sum(one[name] for one in stats) for name in stats[0]}
    with session.read() as conn:
        usage = allocations.usage_by_node(conn)
        nodes = conn.execute(models.compute_nodes.select()).all()
    servers = [usage[node.id].consumers if node.id in usage else 0 for node in nodes]
    over = [node.host for node in nodes if node.id in usage and any(
        have > most for have, most in zip(dataclasses.astuple(usage[node.id]), allocations.capacity(node),
                                          strict=False))]
    return {'schedulers': schedulers, **total, 'lost_share': round(total['lost'] / max(1, total['claimed']), 4),
            'over_committed_hosts': len(over), 'seconds': round(spent, 2),
            'servers_a_host': {'least': min(servers), 'mean': round(sum(servers) / len(servers), 2),
                               'most': max(servers)}}


def alone(count: int) -> dict[str, Any]:
    placer = Placer()
    began = time.perf_counter()
    placer.feed.refresh()
    result: dict[str, Any] = {'load_seconds': round(time.perf_counter() - began, 2)}
    measure(placer, 64, 64, dry_run=True, mixed=True)
    for mixed in (False, True):
        kind = 'mixed' if mixed else 'equal'
        result[f'decide_{kind}'] = measure(placer, count, BATCH, dry_run=True, mixed=mixed)
        result[f'decide_{kind}_alone'] = measure(placer, count, 1, dry_run=True, mixed=mixed)
        result[f'claim_{kind}'] = measure(placer, count, BATCH, dry_run=False, mixed=mixed)
        result[f'claim_{kind}_by_32'] = measure(placer, count // 4, 32, dry_run=False,
                                                mixed=mixed)
        result[f'claim_{kind}_alone'] = measure(placer, 200, 1, dry_run=False, mixed=mixed)
    began = time.perf_counter()
    placer.feed.refresh()
    result['refresh_ms'] = round((time.perf_counter() - began) * 1e3, 1)
    began = time.process_time()
    for _ in range(10):
        placer.feed.refresh()
    result['refresh_cpu_ms'] = round((time.process_time() - began) * 100, 1)
    result['stats'] = dataclasses.asdict(placer.stats)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--database')
    parser.add_argument('--hosts', type=int, default=10000)
    parser.add_argument('--count', type=int, default=4096)
    parser.add_argument('--schedulers', type=int, default=1)
    options = parser.parse_args()
    setup([], 'benchmark', [])
    with tempfile.TemporaryDirectory() as directory:
        url = options.database or 'sqlite:///' + os.path.join(directory, 'scheduler.sqlite')
        CONF.set_override('connection', url, 'database')
        migration.sync()
        fill(options.hosts)
        result: dict[str, Any] = {'hosts': options.hosts, 'database': url.partition(':')[0]}
        if options.schedulers > 1:
            result.update(contention(url, options.schedulers, options.count))
        else:
            result.update(alone(options.count))
        json.dump(result, sys.stdout, indent=1)
        print()


if __name__ == '__main__':
    main()
