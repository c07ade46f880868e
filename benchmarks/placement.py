"""Placement quality: several schedulers that know nothing of each other fill one cloud, in bursts.

    python benchmarks/placement.py [--database mariadb|postgresql|sqlite|URL] [--hosts 4,100,10000] [--schedulers 1,2,4]

Each scheduler is a process with its own table of hosts and its own polling, as the daemon has; all begin a phase
together.  The hosts are equal, so that the ideal is known: one server more on none before each has as many.
Phases: until half of the room is taken, until nine tenths, and on until more was asked for than there is.  After
each, the records are counted by SQL: no host may hold more than it has, each answer must be in the records, and
in the end none may have been refused while there was room.  Exits with 1 where one of these is broken.

On the last line one JSON object: {"bursts": ..., "runs": [{"hosts", "schedulers", "phases": [{"name",
"decisions_per_second", "lost_share" (claims lost, of all tried), "spread" ...}]}]}.  A database named by its URL
is emptied; without one a server is started for the benchmark, with durable commits.
"""
from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import statistics
import sys
import time
from typing import Any

from harness import databases
from oslo_utils import uuidutils
from scheduler import FLAVORS, empty, fill_equal

from minicompute.conf import CONF, setup
from minicompute.db import migration, models, session
from minicompute.db.api import allocations
from minicompute.objects import RequestSpec
from minicompute.scheduler.placer import Placer

PHASES = (('half', 0.5), ('nearly full', 0.9), ('overfull', 1.05))
Json = dict[str, Any]


def entries(count: int) -> list[Json]:
    spec = RequestSpec('project', 'user', flavor=FLAVORS[0])
    return [{'key': number, 'spec': spec, 'instance_uuids': [uuidutils.generate_uuid()]} for number in range(count)]


# -- one scheduler -------------------------------------------------------------

def scheduler(url: str, shares: list[int], burst: int, barrier: Any, results: Any) -> None:
    """A process: places its share of each phase, burst after burst."""
    setup([], 'benchmark', [])
    CONF.set_override('connection', url, 'database')
    placer = Placer()
    placer.feed.refresh()
    for number, share in enumerate(shares):
        barrier.wait()
        results.put((number, work(placer, share, burst)))
        barrier.wait()
        barrier.wait()    # the records are counted meanwhile


def work(placer: Placer, share: int, burst: int) -> Json:
    before, refused = dataclasses.asdict(placer.stats), 0
    places: dict[str, str] = {}
    latencies: list[float] = []
    began, burnt = time.perf_counter(), time.process_time()
    for start in range(0, share, burst):
        at = time.perf_counter()
        for answer in placer.place(entries(min(burst, share - start))):
            refused += answer['selections'] is None
            places.update((one.instance_uuid, one.node_uuid) for one in answer['selections'] or ())
        latencies.append(time.perf_counter() - at)
    stats = {name: value - before[name] for name, value in dataclasses.asdict(placer.stats).items()}
    return {**stats, 'places': places, 'asked': share, 'not_placed': refused, 'latencies': latencies,
            'seconds': time.perf_counter() - began, 'cpu_seconds': time.process_time() - burnt}


# -- all of them ---------------------------------------------------------------

def run(url: str, hosts: int, schedulers: int, room: int, burst: int) -> Json:
    """Fill `hosts` of `room` servers each."""
    fill_equal(hosts, room)
    context = multiprocessing.get_context('spawn')
    barrier, results = context.Barrier(schedulers + 1), context.Queue()
    bounds = [0, *(int(hosts * room * part) for _, part in PHASES)]
    shares = [(high - low) // schedulers for low, high in zip(bounds, bounds[1:], strict=False)]
    workers = [context.Process(target=scheduler, args=(url, shares, burst, barrier, results),
                               daemon=True)
               for _ in range(schedulers)]
    for worker in workers:
        worker.start()
    phases: list[Json] = []
    places: dict[str, str] = {}
    for number, (name, _) in enumerate(PHASES):
        barrier.wait(300)
        done = [results.get() for _ in workers]
        barrier.wait(600)
        assert all(phase == number for phase, _ in done)
        for _, one in done:
            places.update(one.pop('places'))
        phases.append({'name': name, **summary([one for _, one in done]), **count(places, room)})
        barrier.wait(300)
    for worker in workers:
        worker.join()
    return {'hosts': hosts, 'room_a_host': room, 'schedulers': schedulers, 'burst': burst, 'phases': phases}


def summary(done: list[Json]) -> Json:
    total = {name: sum(one[name] for one in done)
             for name in ('asked', 'not_placed', 'decisions', 'claimed', 'lost', 'transactions')}
    latencies = sorted(seconds for one in done for seconds in one['latencies'])
    spent = max(one['seconds'] for one in done)
    return {**total, 'decisions_per_second': round(total['decisions'] / spent),
            'placed_per_second': round(total['claimed'] / spent),
            'cpu_ms_a_server': round(sum(one['cpu_seconds'] for one in done) / total['asked'] * 1e3, 3),
            'lost_share': round(total['lost'] / max(1, total['lost'] + total['claimed']), 4),
            'burst_ms_p50': round(latencies[len(latencies) // 2] * 1e3, 1),
            'burst_ms_p95': round(latencies[int(len(latencies) * 0.95)] * 1e3, 1)}


def count(places: dict[str, str], room: int) -> Json:
    """What the records say, against what was answered and what there is."""
    with session.read() as conn:
        usage = allocations.usage_by_node(conn)
        nodes = conn.execute(models.compute_nodes.select()).all()
        uuids = {node.id: node.uuid for node in nodes}
        rows = {row.consumer_uuid: uuids[row.node_id] for row in conn.execute(models.allocations.select())}
    held = [usage[node.id].consumers if node.id in usage else 0 for node in nodes]
    over = [node.host for node in nodes if node.id in usage and any(
        have > most for have, most in zip(dataclasses.astuple(usage[node.id]), allocations.capacity(node),
                                          strict=False))]
    mean = statistics.mean(held)
    return {'over_committed_hosts': len(over), 'answers_not_in_records': len(set(places.items()) ^ set(rows.items())),
            'room_left': room * len(nodes) - len(rows),
            'spread': {'mean': round(mean, 3), 'least': min(held), 'most': max(held),
                       'stddev_by_mean': round(statistics.pstdev(held) / mean, 4),
                       'ideal_stddev_by_mean': round((mean % 1 * (1 - mean % 1)) ** 0.5 / mean, 4)}}


def bursts() -> Json:
    """A hundred alike at once over a hundred equal hosts: as one request, and as a hundred in one call."""
    found = {}
    for name in ('one_request', 'one_call'):
        fill_equal(100, 10)
        asked = entries(100)
        if name == 'one_request':
            asked = [{**asked[0], 'instance_uuids': [one['instance_uuids'][0] for one in asked]}]
        began = time.perf_counter()
        answers = Placer().place(asked)
        hosts = [one.host for answer in answers for one in answer['selections']]
        found[name] = {'servers': len(hosts), 'hosts': len(set(hosts)),
                       'most_on_one': max(map(hosts.count, set(hosts))),
                       'ms': round((time.perf_counter() - began) * 1e3, 1)}
    return found


def broken(result: Json) -> list[str]:
    """What must not be."""
    found = [f'{name}: {one["most_on_one"]} servers of a burst on one host' for name, one in result['bursts'].items()
             if one['most_on_one'] != 1]
    for one in result['runs']:
        where = f'{one["schedulers"]} schedulers, {one["hosts"]} hosts'
        for phase in one['phases']:
            found += [f'{where}, {phase["name"]}: {phase[name]} {name}'
                      for name in ('over_committed_hosts', 'answers_not_in_records') if phase[name]]
        if one['phases'][-1]['room_left']:
            found.append(f'{where}: refused while there was room for {one["phases"][-1]["room_left"]}')
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--database', default='mariadb', help='mariadb, postgresql, sqlite, or the URL of one to empty')
    parser.add_argument('--hosts', default='4,100,10000')
    parser.add_argument('--schedulers', default='1,2,4')
    parser.add_argument('--servers', type=int, default=4000, help='room in all; at least two servers a host')
    parser.add_argument('--burst', type=int, default=32, help='requests in one call')
    options = parser.parse_args()
    setup([], 'benchmark', [])
    with databases.serving(options.database) as url:
        CONF.set_override('connection', url, 'database')
        migration.sync()
        result: Json = {'database': url.partition(':')[0], 'bursts': bursts(), 'runs': []}
        for hosts in map(int, options.hosts.split(',')):
            for schedulers in map(int, options.schedulers.split(',')):
                one = run(url, hosts, schedulers, max(2, options.servers // hosts), options.burst)
                result['runs'].append(one)
                for phase in one['phases']:
                    print(f'{hosts:6} hosts {schedulers} schedulers {phase["name"]:12}'
                          f'{phase["placed_per_second"]:6} placed/s  lost {phase["lost_share"]:.2%}  '
                          f'{phase["cpu_ms_a_server"]:.2f} ms CPU  spread {phase["spread"]}', flush=True)
        session.write(empty)
        session.dispose()
    problems = broken(result)
    for problem in problems:
        print('BROKEN', problem, file=sys.stderr)
    print(json.dumps(result))
    sys.exit(bool(problems))


if __name__ == '__main__':
    main()
