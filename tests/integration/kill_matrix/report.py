"""The table in docs/reliability.md, from the lines that runs have written."""
from __future__ import annotations

import json
import pathlib
import statistics
from collections import defaultdict
from typing import Any

from tests.integration.kill_matrix.actions import ACTIONS
from tests.integration.kill_matrix.cases import EXECUTORS

ROOT = pathlib.Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / 'docs' / 'reliability.md'
BEGIN, END = '<!-- kill matrix: generated -->', '<!-- end of kill matrix -->'


def read(path: pathlib.Path) -> dict[str, dict[str, Any]]:
    """{case: its newest result}"""
    if not path.exists():
        return {}
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return {result['key']: result for result in found}


def table(results: dict[str, dict[str, Any]]) -> str:
    """Kept/tried by action and executor, and the slowest end after a restart. What was not reached was not tried."""
    cells: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for result in results.values():
        if result['verdict'] != 'not reached':
            cells[result['action'], result['executor']].append(result)
    lines = ['| action | ' + ' | '.join(EXECUTORS) + ' | slowest |', '|---' * (len(EXECUTORS) + 2) + '|']
    for act in ACTIONS:
        row = [cells.get((act.name, executor), []) for executor in EXECUTORS]
        slowest = max((one['seconds'] for cell in row for one in cell), default=None)
        if slowest is not None:
            lines.append(f'| {act.name} | ' + ' | '.join(_cell(cell) for cell in row) + f' | {slowest:.1f} s |')
    return '\n'.join(lines)


def _cell(cell: list[dict[str, Any]]) -> str:
    kept = sum(one['verdict'] == 'kept' for one in cell)
    return f'{kept}/{len(cell)}' if cell else '-'


def summary(results: dict[str, dict[str, Any]]) -> str:
    tried = [one for one in results.values() if one['verdict'] != 'not reached']
    if not tried:
        return 'Nothing was tried.'
    kept = [one for one in tried if one['verdict'] == 'kept']
    seconds = sorted(one['seconds'] for one in kept) or [0.0]
    done = sum(one['state'] == 'done' for one in kept)
    return (f'{len(tried)} kills, {len(kept)} of them kept the promise; {len(results) - len(tried)} points were not '
            f'reached again. {done} of the operations were done after all, {len(kept) - done} failed and said why. '
            f'Seconds from the restart to the end: median {statistics.median(seconds):.1f}, worst {seconds[-1]:.1f}.')


def write(results: dict[str, dict[str, Any]]) -> None:
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f'{before}{BEGIN}\n{summary(results)}\n\n{table(results)}\n{END}{after}')


def broken(results: dict[str, dict[str, Any]]) -> str:
    return '\n'.join(f"{one['key']}: {one['why']}" for one in results.values() if one['verdict'] == 'broken')
