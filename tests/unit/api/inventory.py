"""The inventory of the API, our operations beside it, and docs/api-coverage.md, which is made of both.

    python -m tests.unit.api.inventory [RECORD ...]     writes the document, with what a run of the tests has recorded

`inventory.txt` says what Nova 34 has, handler by handler. A record is written by tests that run with
MINICOMPUTE_API_RECORD=DIRECTORY (tests/recording.py): one line `operation|version|code|test` for each request.
"""
from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator

from minicompute.api.openstack import api_version_request as versions
from minicompute.api.openstack import router, wsgi

HERE = pathlib.Path(__file__).parent
TABLE, COVERED = HERE / 'inventory.txt', HERE / 'covered.json'
DOCUMENT = HERE.parents[2] / 'docs' / 'api-coverage.md'
EVERY_VERSION = [versions.APIVersionRequest(2, minor) for minor in range(1, versions.MAX.minor + 1)]
#: what we declare otherwise, and why
OTHERWISE: dict[str, frozenset[int]] = {
    # A reset waits for what runs; a second one behind it is a conflict. Nova overwrites the state under its feet.
    'POST /servers/{id}/action os-resetState': frozenset((404, 409)),
    # Declared by Nova up to 2.30, where it can only answer 400.
    'GET /os-console-auth-tokens/{id}': frozenset((400, 404)),
}
#: tests that ask every handler by themselves say nothing of any
ASKS_ALL = ('test_each_handler.py', 'test_every_route.py', 'test_every_role.py')
#: answered by the application of the versions, before any route is looked for; no record can know who asks for it
ROOT = 'GET /'
ROOT_ASKED = {'files': ['functional/contract/test_stories.py', 'unit/api/test_core.py'],
              'versions': ['2.1', '2.36', '2.104']}


@dataclasses.dataclass(frozen=True)
class Handler:
    """`codes` {version: code} from that version on; {} for what was removed for good."""

    operation: str
    first: versions.APIVersionRequest
    last: versions.APIVersionRequest
    codes: dict[str, int]
    errors: frozenset[int]

    @property
    def section(self) -> str:
        return '/' + self.operation.split()[1].split('/')[1]


def handlers() -> list[Handler]:
    return [_parse(line) for line in TABLE.read_text().splitlines() if line and not line.startswith('#')]


def _parse(line: str) -> Handler:
    operation, span, codes, errors = line.split(' | ')
    first, last = (versions.parse(text) for text in span.split('-'))
    parsed = {}
    for part in [] if codes == '-' else codes.split(','):
        since, _, code = part.rpartition('=')
        parsed[since or str(first)] = int(code)
    return Handler(operation, first, last, parsed,
                   frozenset() if errors == '-' else frozenset(int(one) for one in errors.split(',')))


def operations() -> dict[str, list[wsgi.Operation]]:
    """{'GET /flavors/{id}': ours of it, those of the older versions first}"""
    table = router.Router(row for module in router.load_modules() for row in module.ROUTES)
    found: dict[str, list[wsgi.Operation]] = {}
    for key, resource in table.resources.items():
        for one in resource.operations:
            name = f'{key} {one.promise.action}' if one.promise.action else key
            found.setdefault(name, []).append(one)
    return {name: sorted(some, key=lambda one: one.promise.first) for name, some in found.items()}


def differences(handler: Handler, ours: Iterable[wsgi.Operation]) -> Iterator[str]:
    """What we promise otherwise than the inventory says."""
    some = list(ours)
    if not some:
        yield 'it is not there'
        return
    covered = [version for version in EVERY_VERSION if any(one.covers(version) for one in some)]
    wanted = [version for version in EVERY_VERSION if handler.first <= version <= handler.last]
    if covered != wanted:
        yield f'it answers from {covered[0]} to {covered[-1]}, not from {handler.first} to {handler.last}'
    errors = frozenset().union(*(one.promise.errors for one in some))
    declared = OTHERWISE.get(handler.operation, handler.errors)
    if errors != declared:
        yield f'it declares {sorted(errors)}, not {sorted(declared)}'
    if handler.codes:
        codes = wsgi.Since(handler.codes)
        wrong = {str(version) for one in some for version in wanted
                 if one.covers(version) and one.promise.code.at(version) != codes.at(version)}
        if wrong:
            yield f'its success code differs at {", ".join(sorted(wrong, key=versions.parse)[:5])}'


# -- the document ----------------------------------------------------------------

def gather(records: Iterable[pathlib.Path]) -> dict[str, dict[str, list[str]]]:
    """{operation: {'files': test files, 'versions': asked for}} of what tests have recorded."""
    known = operations()
    files, asked = collections.defaultdict(set), collections.defaultdict(set)
    for record in records:
        for line in record.read_text().splitlines():
            name, version, _code, test = line.split('|', 3)
            file = test.split('::')[0]
            if name in known and not file.endswith(ASKS_ALL):
                files[name].add(file.removeprefix('tests/'))
                asked[name].add(version)
    return {name: {'files': sorted(files[name]), 'versions': sorted(asked[name], key=versions.parse)}
            for name in sorted(files)}


def asked_for() -> dict[str, dict[str, list[str]]]:
    """As `gather`, of the last record."""
    return {ROOT: ROOT_ASKED, **json.loads(COVERED.read_text())}


def document() -> str:
    ours, covered = operations(), asked_for()
    known = handlers()
    lines = [
        '# The Compute API, handler by handler', '',
        'Made by `python -m tests.unit.api.inventory` from the inventory of Nova 34 (`tests/unit/api/inventory.txt`),',
        'from what our handlers promise, and from what the tests have asked for; `tests/unit/api/test_inventory.py`',
        'holds it true. Each handler is asked at the edges of its microversions, under `/v2` and as each role',
        '(`test_each_handler.py`, `test_every_role.py`); *files* is how many further test files reach it, and *asked*',
        'at how many microversions.', '',
        f'{len(known)} handlers; {sum(1 for one in known if ours.get(one.operation) or one.operation == ROOT)} are',
        f'there, {sum(1 for one in known if not one.codes)} of them removed for good (410; RDP consoles 400).', '',
    ]
    section = None
    for handler in known:
        if handler.section != section:
            section = handler.section
            lines += ['', f'## {section}', '', '| handler | microversions | success | errors | files | asked |',
                      '|---|---|---|---|---|---|']
        lines.append(_row(handler, handler.operation == ROOT or bool(ours.get(handler.operation)),
                          covered.get(handler.operation)))
    return '\n'.join(lines) + '\n'


def _row(handler: Handler, there: bool, covered: dict[str, list[str]] | None) -> str:
    codes = ', '.join(f'{code} from {since}' if since != str(handler.first) else str(code)
                      for since, code in handler.codes.items()) or 'gone'
    tests = ' | ' if there else 'missing | '
    if there and covered:
        tests = f"{len(covered['files'])} | {len(covered['versions'])}"
    return (f"| `{handler.operation}` | {handler.first} to {handler.last} | {codes} | "
            f"{', '.join(str(one) for one in sorted(handler.errors)) or 'none'} | {tests} |")


def main() -> None:
    if sys.argv[1:]:
        records = [path for name in sys.argv[1:] for path in sorted(pathlib.Path(name).glob('*.record'))]
        rows = [f'{json.dumps(name)}: {json.dumps(found)}' for name, found in gather(records).items()]
        COVERED.write_text('{\n' + ',\n'.join(rows) + '\n}\n')
    DOCUMENT.write_text(document())


if __name__ == '__main__':
    main()
