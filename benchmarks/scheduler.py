"""Decisions a second of one scheduler, without and with the claim, at 10,000 hosts; prints JSON.

    python benchmarks/scheduler.py [--database mariadb|postgresql|sqlite|URL] [--hosts 10000] [--count 4096]

A database named by its URL is emptied; otherwise a server is started for the benchmark, with durable commits.
How several schedulers get on with each other is measured by placement.py.
"""
from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from typing import Any

from harness import databases
from oslo_utils import uuidutils

from minicompute import servicegroup
from minicompute.conf import CONF, setup
from minicompute.db import migration, models, session
from minicompute.objects import Flavor, RequestSpec
from minicompute.scheduler.placer import BATCH, Placer

FLAVORS = [Flavor('1', 'small', 512, 1, 1), Flavor('2', 'medium', 2048, 2, 20),
           Flavor('3', 'large', 4096, 4, 40)]


def fill(hosts: int) -> None:
    """Hosts of four kinds in three zones."""
    _write([{'vcpus': 32 + 16 * kind, 'memory_mb': 131072 * (1 + kind), 'local_gb': 2000, 'reserved_memory_mb': 512,
             'cpu_allocation_ratio': 4.0, 'cpu_info': {'arch': 'x86_64', 'model': f'kind-{kind}'}}
            for kind in (number % 4 for number in range(hosts))])


def fill_equal(hosts: int, room: int) -> None:
    """Hosts with room for so many of the first flavor, each."""
    flavor = FLAVORS[0]
    _write([{'vcpus': flavor.vcpus * room, 'memory_mb': flavor.memory_mb * room, 'local_gb': flavor.root_gb * room,
             'reserved_memory_mb': 0, 'cpu_allocation_ratio': 1.0, 'cpu_info': {'arch': 'x86_64', 'model': 'equal'}}
            for _ in range(hosts)])


def _write(kinds: list[dict[str, Any]]) -> None:
    """A host and its service for each, instead of what there was."""
    with session.read() as conn:
        now = session.now(conn)
    nodes, services, members = [], [], []
    for number, kind in enumerate(kinds):
        name = f'host-{number:05d}'
        nodes.append({
            'uuid': uuidutils.generate_uuid(), 'host': name, 'hypervisor_hostname': name,
            'hypervisor_type': 'QEMU', 'hypervisor_version': 7002000,
            'reserved_vcpus': 0, 'reserved_disk_gb': 0,
            'ram_allocation_ratio': 1.0, 'disk_allocation_ratio': 1.0, 'traits': ['HW_CPU_X86_AVX2'],
            'supported_instances': [['x86_64', 'kvm', 'hvm']], 'capabilities': {}, 'failed_builds': 0,
            'changed_at': now, **kind})
        services.append({'uuid': uuidutils.generate_uuid(), 'host': name, 'binary': servicegroup.COMPUTE,
                         'version': 1, 'disabled': False, 'forced_down': False, 'report_count': 1,
                         'last_seen_up': now.replace(year=now.year + 1)})
        members.append({'aggregate_id': 1 + number % 3, 'host': name})
    session.write(empty)
    session.write(lambda conn: conn.execute(models.aggregates.insert(), [
        {'id': n, 'uuid': uuidutils.generate_uuid(), 'name': f'zone-{n}',
         'metadata': {'availability_zone': f'zone-{n}'}}
        for n in (1, 2, 3)]))
    for table, rows in ((models.compute_nodes, nodes), (models.services, services),
                        (models.aggregate_hosts, members)):
        session.write(lambda conn, table=table, rows=rows: conn.execute(table.insert(), rows))


def empty(conn: Any) -> None:
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
    parser.add_argument('--database', default='mariadb', help='mariadb, postgresql, sqlite, or the URL of one to empty')
    parser.add_argument('--hosts', type=int, default=10000)
    parser.add_argument('--count', type=int, default=4096)
    options = parser.parse_args()
    setup([], 'benchmark', [])
    with databases.serving(options.database) as url:
        CONF.set_override('connection', url, 'database')
        migration.sync()
        fill(options.hosts)
        result: dict[str, Any] = {'hosts': options.hosts, 'database': url.partition(':')[0]}
        result.update(alone(options.count))
        session.dispose()
    json.dump(result, sys.stdout)
    print()


if __name__ == '__main__':
    main()
