"""The matrix from the command line. Exit status 1 when a promise was broken.

    python -m tests.integration.kill_matrix                    all cases; half an hour on two cores
    ... --resume                                               those that have no result yet
    ... --only live-migrate --only '|broker|'                  those whose name has one of these words in it
    ... --list                                                 which there are
    ... --table                                                only write docs/reliability.md anew
    ... --scenario storm [--scenario frozen ...] [--size N]    see scenarios.py
"""
from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import signal
import sys
import tempfile
import time

from tests.integration.kill_matrix import report, scenarios
from tests.integration.kill_matrix.actions import ACTIONS
from tests.integration.kill_matrix.cases import Case, batches
from tests.integration.kill_matrix.runner import Runner
from tests.integration.kill_matrix.site import Site

RUN = report.ROOT / 'run' / 'kill_matrix'


def main() -> int:
    args = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # what was started ends with it
    args.run.mkdir(parents=True, exist_ok=True)
    results = args.run / 'results.jsonl'
    if args.table:
        report.write(report.read(results))
        return 0
    directory = pathlib.Path(tempfile.mkdtemp(prefix='site-', dir=args.run))
    if args.scenario:
        return max(_scenario(name, args.size, directory) for name in args.scenario)
    with Site(directory) as site:
        runner = Runner(site, results)
        cases = _cases(runner, args.run / 'cases.json', args.rediscover)
        known = {key for key, one in report.read(results).items() if one['verdict'] != 'not reached'}
        chosen = [case for case in cases if not (args.resume and case.key in known) and (
            not args.only or any(word in case.key for word in args.only))]
        if args.list:
            print('\n'.join(case.key for case in chosen))
            return 0
        if not args.resume and not args.only:
            results.unlink(missing_ok=True)
        _run(runner, chosen)
    found = report.read(results)
    if not args.only:
        report.write(found)
    print(report.summary(found))
    print(report.broken(found))
    return int(bool(report.broken(found)))


def _run(runner: Runner, chosen: list[Case]) -> None:
    groups = batches(chosen, alone=[act.name for act in ACTIONS if act.alone])
    began = time.monotonic()
    for number, batch in enumerate(groups, 1):
        found = runner.run(batch)
        kept = sum(result.verdict == 'kept' for result in found)
        print(f'{number}/{len(groups)} {batch[0].executor}: {kept} of {len(found)} kept '
              f'({time.monotonic() - began:.0f} s)', flush=True)
        for result in found:
            if result.verdict != 'kept':
                print(f'  {result.verdict}: {result.key}: {result.why}', flush=True)


def _cases(runner: Runner, path: pathlib.Path, again: bool) -> list[Case]:
    if path.exists() and not again:
        return [Case(**one) for one in json.loads(path.read_text())]
    cases, left_out = runner.discover()
    for name, why in left_out.items():
        print(f'left out: {name}: {why}', flush=True)
    path.write_text(json.dumps([dataclasses.asdict(case) for case in cases]))
    print(f'{len(cases)} cases', flush=True)
    return cases


def _scenario(name: str, size: int, directory: pathlib.Path) -> int:
    scenario = scenarios.SCENARIOS[name]
    with Site(directory / name, scenario.settings) as site:
        said = scenario.run(site, size or scenario.size)
    print(f'{name}: {said}', flush=True)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m tests.integration.kill_matrix', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', action='append', default=[], metavar='WORD')
    parser.add_argument('--resume', action='store_true')
    parser.add_argument('--rediscover', action='store_true', help='look again for what there is to kill')
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--table', action='store_true')
    parser.add_argument('--scenario', action='append', choices=sorted(scenarios.SCENARIOS))
    parser.add_argument('--size', type=int, default=0, help='operations, or seconds, of a scenario')
    parser.add_argument('--run', type=pathlib.Path, default=RUN, metavar='DIRECTORY')
    return parser.parse_args()


if __name__ == '__main__':
    sys.exit(main())
