#!/usr/bin/env python3
"""The whole measurement, side by side with the real Nova; broken off, it goes on where it was.

    benchmarks/run.py                             all parts; results under benchmarks/results/DATE-COMMIT/
    benchmarks/run.py --quick                     every part with sizes that only show that it works
    benchmarks/run.py --only single,reads         these parts; --again PART... measures them once more
    benchmarks/run.py --without-nova              only ours
    benchmarks/run.py --report                    measures nothing: table, plots and docs/performance.md anew

--peer names the folder with loadgen.py and the scripts that set Nova up. Part names: --list. The virtual
environment that runs this is the one whose minicompute is measured. Run it as root on a machine that does nothing else.
"""
from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent
sys.path.insert(0, str(HERE))

from harness import lifecycle, load, parts, report, store, systems  # noqa: E402
from harness.parts import Bench, Part  # noqa: E402
from harness.store import progress  # noqa: E402

OURS = ('ours',)


def outside(script: str, *words: str) -> load.Json:
    """A benchmark of its own, with a database of its own: its last line is JSON, whatever its exit code says."""
    done = subprocess.run([sys.executable, str(HERE / script), *words], stdout=subprocess.PIPE, text=True, check=False)
    try:
        return {**json.loads(done.stdout.splitlines()[-1]), 'exit_code': done.returncode}
    except (IndexError, ValueError):
        raise RuntimeError(f'{script} ended with {done.returncode}') from None


def scheduler(bench: Bench) -> load.Json:
    return outside('scheduler.py', '--hosts', str(bench.size(10000, 200)), '--count', str(bench.size(4096, 256)))


def placement(bench: Bench) -> load.Json:
    return outside('placement.py', '--hosts', bench.size('4,100,10000', '4'), '--schedulers', bench.size('2,4', '2'),
                   '--servers', str(bench.size(4000, 200)))


def hosts(count: int) -> Part:
    def run(bench: Bench) -> load.Json:
        return parts.nova_hosts(bench) if bench.is_nova else parts.hosts(bench)
    return Part(f'hosts-{count}', run, 'once', ('ours', 'nova') if count == 1000 else OURS,
                (('hollow', count - 4),) if count > 4 else ())


#: In order of weight: what is broken off lacks the end. Parts that share a stack stand together.
PARTS = (
    Part('single', parts.single), Part('boots-100-8', parts.boots(100, 8)), Part('boots-100-32', parts.boots(100, 32)),
    Part('multi-100', parts.multi), Part('reads', parts.reads),
    Part('boots-500-8', parts.boots(500, 8, memory=True), 'big'),
    Part('boots-500-32', parts.boots(500, 32, memory=True), 'big'),
    hosts(4), Part('lifecycle', lifecycle.lifecycle, 'once'),
    Part('growth-clients', parts.growth_clients, 'once', OURS),
    Part('growth-projects', parts.growth_projects, 'once', OURS),
    Part('growth-servers', parts.growth_servers, 'once', OURS), Part('pages-mariadb', parts.pages, 'once', OURS),
    hosts(1000), hosts(10000),
    Part('pages-postgresql', parts.pages, 'once', OURS, (('database', 'postgresql'),)),
    Part('pages-sqlite', parts.pages, 'once', OURS, (('database', 'sqlite'),)),
    Part('scheduler', scheduler, 'alone', OURS), Part('placement', placement, 'alone', OURS))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=int, default=5, help='turns of each system (5)')
    parser.add_argument('--big-runs', type=int, default=1, help='turns of Nova in the bursts of 500 (1): minutes each')
    parser.add_argument('--only', default='', help='parts, with commas')
    parser.add_argument('--again', default='', help='parts to forget and measure once more, with commas')
    parser.add_argument('--without-nova', action='store_true')
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--report', action='store_true')
    parser.add_argument('--list', action='store_true', help='the names of the parts')
    parser.add_argument('--results', type=pathlib.Path, help='the folder to go on with (results/DATE-COMMIT)')
    parser.add_argument('--peer', type=pathlib.Path, default=pathlib.Path(os.environ.get(
        'PEER_SCRIPTS', REPO.parent / 'shared' / 'peer')))
    parser.add_argument('--home', type=pathlib.Path, default=pathlib.Path(os.environ.get(
        'BENCH_HOME', REPO / 'run' / 'bench')), help='state of the system under measurement (run/bench)')
    parser.add_argument('--port', type=int, default=int(os.environ.get('BENCH_PORT', '18774')))
    return parser.parse_args()


def directory(options: argparse.Namespace) -> pathlib.Path:
    """The folder of this commit, of whatever day; else a new one."""
    if options.results:
        return pathlib.Path(options.results).resolve()
    root, tail = HERE / 'results', store.commit(REPO) + ('-quick' if options.quick else '')
    found = sorted(path for path in root.glob(f'*-{tail}') if path.is_dir())
    if options.report and not found:
        found = report.folders(root)
    return found[-1] if found else root / f'{time.strftime("%Y-%m-%d")}-{tail}'


class Runner:
    """Which part is measured when, and of which system. One system runs at a time."""

    def __init__(self, options: argparse.Namespace, kept: store.Store) -> None:
        self.options, self.store = options, kept
        generator = load.module(options.peer)
        self.ours = systems.Ours(generator, options.home.resolve(), options.port)
        self.nova = None if options.without_nova else systems.Nova(generator, options.peer, options.home.resolve())
        self.failed: list[str] = []

    def wanted(self, phase: str) -> list[Part]:
        only = [word for word in self.options.only.split(',') if word]
        unknown = set(only) - {part.name for part in PARTS}
        if unknown:
            raise SystemExit(f'no part is called {", ".join(sorted(unknown))}: see --list')
        return [part for part in PARTS if part.phase == phase and (not only or part.name in only)]

    def run(self) -> None:
        """Everything that is not there yet. Whatever happens, both systems are down in the end."""
        try:
            for phase, most in (('turns', self.options.runs), ('big', self.options.runs), ('once', 1), ('alone', 1)):
                for turn in range(1, (1 if self.options.quick else most) + 1):
                    self.turn(phase, turn)
        finally:
            self.rest()

    def turn(self, phase: str, turn: int) -> None:
        for name in ('ours', 'nova'):
            rare = phase == 'big' and name == 'nova' and turn > self.options.big_runs
            for part in self.wanted(phase):
                if name in part.systems and not rare and not self.store.has(part.name, name, turn):
                    self.measure(part, name, turn)

    def measure(self, part: Part, name: str, turn: int) -> None:
        if name == 'nova' and self.nova is None:
            return
        try:
            bench = self.prepared(part, name)
            progress(f'{part.name}: {name}, run {turn}')
            began, average = time.time(), os.getloadavg()[0]
            result = part.run(bench)
        except Exception:
            self.failed.append(f'{part.name} of {name}, run {turn}')
            progress(f'FAILED {self.failed[-1]}\n{traceback.format_exc()}')
            self.rest()   # what is half done is thrown away with its system
            return
        self.store.save(part.name, name, turn, began, average, result)
        progress(f'{part.name}: {name}, run {turn}: {time.time() - began:.0f} s')

    def prepared(self, part: Part, name: str) -> Bench:
        """The system that the part wants, up and warm; the other one down."""
        system = self.ours if name == 'ours' else self.nova
        assert system is not None
        bench = Bench(system, self.options.quick)
        if part.phase == 'alone':
            self.rest()
            return bench
        other = self.nova if name == 'ours' else self.ours
        if other is not None and other.running:
            progress(f'stopping {other.name}')
            other.stop()
        stack = {key: min(value, 20) if self.options.quick and key == 'hollow' else value for key, value in part.stack}
        if system.start(stack):
            progress(f'{name} is up')
            parts.warm_up(bench)
        return bench

    def rest(self) -> None:
        for system in (self.ours, self.nova):
            if system is not None:
                try:
                    system.stop()
                except systems.TargetError as error:
                    progress(f'could not stop {system.name}: {error}')


def main() -> None:
    # As Ctrl-C: what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated'))
    options = arguments()
    if options.list:
        print('\n'.join(f'{part.name:20} {part.phase}' for part in PARTS))
        return
    kept = store.Store(directory(options), store.commit(REPO))
    if options.report:
        report.write(kept.directory, kept.collect({}), REPO)
        return
    for name in options.again.split(','):
        if name:
            kept.forget(name)
    runner, began = Runner(options, kept), time.time()
    about = store.facts(REPO)
    if runner.nova is not None:
        about['nova'] = runner.nova.version()
    try:
        runner.run()
    finally:
        kept.collect({**about, 'quick': options.quick})
    report.write(kept.directory, kept.collect({}), REPO)
    progress(f'{time.time() - began:.0f} s; results in {kept.directory}')
    if runner.failed:
        sys.exit('failed: ' + '; '.join(runner.failed))


if __name__ == '__main__':
    main()
