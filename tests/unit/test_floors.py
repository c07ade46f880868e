"""The architecture, checked: who may import whom, and how large things may grow."""
from __future__ import annotations

import ast
import pathlib
import statistics

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = ROOT / 'minicompute'
MOST_LINES_FILE, MOST_LINES_FUNCTION, MOST_MEDIAN = 600, 60, 160

#: floor of each module, the longest prefix wins; a module imports from its own floor's neighbours or below
FLOORS = {
    'version': 0, 'exception': 0, 'context': 0, 'conf': 0, 'concurrency': 0, 'utils': 0, 'crash': 0,
    'objects': 1, 'db': 1, 'policy': 1, 'policies': 1, 'quota': 1,
    'service_auth': 2, 'rpc': 2, 'health': 2, 'metrics': 2, 'notifications': 2, 'servicegroup': 2, 'service': 2,
    'compute.states': 1, 'compute.rpcapi': 2, 'conductor.rpcapi': 2, 'scheduler.rpcapi': 2,
    'image': 3, 'network': 3, 'volume': 3,
    'virt': 4,
    'compute': 5, 'conductor': 5, 'scheduler': 5,
    'api': 6, 'metadata': 6, 'console': 6,
    'cmd': 7, 'wsgi': 7, 'cli': 7,
}
ROLES = ('compute.api', 'compute', 'conductor', 'scheduler')
#: what these never import, whatever the floors say
FORBIDDEN = {'virt': ('db', 'rpc', 'servicegroup'), 'image': ('db',), 'network': ('db',), 'volume': ('db',),
             'compute.manager': ('db',), 'compute.guard': ('db',), 'objects': ('db', 'policy')}
#: the `local` backends are loaded by the api and the conductor, never by a compute
LOCAL_BACKENDS = ('image.local', 'network.local', 'volume.local')


def modules() -> list[tuple[str, pathlib.Path]]:
    out = []
    for path in sorted(PACKAGE.rglob('*.py')):
        name = '.'.join(path.relative_to(PACKAGE).with_suffix('').parts)
        if 'migrations' not in name:
            out.append((name.removesuffix('.__init__').removesuffix('__init__'), path))
    return out


def prefix(name: str, among: object) -> str | None:
    """The longest dotted prefix of `name` that is in `among`."""
    parts = name.split('.')
    for length in range(len(parts), 0, -1):
        if (candidate := '.'.join(parts[:length])) in among:   # type: ignore[operator]
            return candidate
    return None


def imports(name: str, path: pathlib.Path) -> set[str]:
    """Our own modules that this file imports at run time (not only for type checkers)."""
    tree = ast.parse(path.read_text())
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and 'TYPE_CHECKING' in ast.dump(n.test)]
    checking = {id(n) for block in blocks for n in ast.walk(block)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in checking:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or '').split('.')[0] == 'minicompute':
            base = (node.module or '').removeprefix('minicompute').lstrip('.')
            for alias in node.names:
                full = f'{base}.{alias.name}'.lstrip('.')
                target = PACKAGE.joinpath(*full.split('.'))
                found.add(full if target.with_suffix('.py').exists() or target.is_dir() else base)
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix('minicompute.') for a in node.names if a.name.startswith('minicompute.')}
    return found - {''}


ALL = modules()


@pytest.mark.parametrize(('name', 'path'), ALL, ids=[name or 'minicompute' for name, _ in ALL])
def test_floors(name: str, path: pathlib.Path) -> None:
    if not name:
        return
    mine = prefix(name, FLOORS)
    assert mine is not None, f'{name} has no floor: add it to FLOORS'
    for other in imports(name, path):
        theirs = prefix(other, FLOORS)
        assert theirs is not None, f'{name} imports {other}, which has no floor'
        assert FLOORS[theirs] <= FLOORS[mine], f'{name} (floor {FLOORS[mine]}) imports {other} (floor {FLOORS[theirs]})'
        for part, never in FORBIDDEN.items():
            if prefix(name, (part,)) and not name.startswith(LOCAL_BACKENDS):
                assert not prefix(other, never), f'{name} must not import {other}'
        if (role := prefix(name, ROLES)) and (role_of_other := prefix(other, ROLES)) and role != role_of_other:
            assert other.endswith(('.rpcapi', '.states')), f'{name} imports {other}: from another role only its rpcapi'


def test_cli_stands_alone() -> None:
    for name, path in ALL:
        if name.startswith('cli'):
            assert all(other.startswith(('cli', 'version')) for other in imports(name, path)), name


def test_only_one_file_names_eventlet() -> None:
    for name, path in ALL:
        if name != 'concurrency':
            assert 'import eventlet' not in path.read_text(), f'{name} names eventlet'


OURS = [p for p in ROOT.rglob('*.py') if not {'.venv', 'run', 'versions', 'build', '.tox'} & set(p.parts)]


@pytest.mark.parametrize('path', OURS, ids=lambda p: str(p.relative_to(ROOT)))
def test_sizes(path: pathlib.Path) -> None:
    text = path.read_text()
    assert text.count('\n') <= MOST_LINES_FILE, f'{path.name} has {text.count(chr(10))} lines'
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MOST_LINES_FUNCTION, f'{path.name}:{node.lineno} {node.name} has {length} lines'


def test_median_size() -> None:
    sizes = [path.read_text().count('\n') for _, path in ALL if path.stat().st_size]
    assert statistics.median(sizes) <= MOST_MEDIAN


def test_every_option_is_read() -> None:
    from minicompute import conf

    source = '\n'.join(path.read_text() for name, path in ALL if not name.startswith('conf'))
    ours = [opt.dest for module in conf.MODULES if module is not conf.database
            for opts in module.OPTIONS.values() for opt in opts]
    unread = [name for name in ours if name not in source]
    assert not unread, f'options that nobody reads: {unread}'
