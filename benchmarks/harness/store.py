"""Results on disk: one JSON file for each part, system and run, so that a run that was broken off goes on.

    results/DATE-COMMIT/parts/PART.SYSTEM-N.json     not kept in git
    results/DATE-COMMIT/results.json                 all of them, with machine and versions
"""
from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time
from typing import Any

from harness.load import Json

PACKAGES = ('SQLAlchemy', 'PyMySQL', 'psycopg', 'oslo.messaging', 'oslo.db', 'orjson', 'WebOb', 'gunicorn', 'numpy')


def said(*words: str, cwd: pathlib.Path | None = None) -> str:
    """The first line that a command prints; empty when there is no such command."""
    try:
        done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        return ''
    return (done.stdout.splitlines() or [''])[0].strip()


def commit(repo: pathlib.Path) -> str:
    return said('git', 'rev-parse', '--short', 'HEAD', cwd=repo) or 'unknown'


def facts(repo: pathlib.Path) -> Json:
    """The machine, the versions and the commit."""
    cpu = re.search(r'model name\s*:\s*(.*)', pathlib.Path('/proc/cpuinfo').read_text())
    memory = re.search(r'MemTotal:\s*(\d+)', pathlib.Path('/proc/meminfo').read_text())
    return {
        'machine': {'cpu': cpu[1] if cpu else platform.machine(), 'cores': os.cpu_count(),
                    'memory_gib': round(int(memory[1]) / 2**20, 1) if memory else None,
                    'kernel': platform.release()},
        'versions': {'python': platform.python_version(), 'mariadb': said('mariadbd', '--version'),
                     'postgresql': said('psql', '--version'),
                     'rabbitmq': said('dpkg-query', '-W', '-f', '${Version}', 'rabbitmq-server'),
                     'packages': {name: version_of(name) for name in PACKAGES}},
        'commit': commit(repo),
        'changed_files': len(subprocess.run(['git', 'status', '--porcelain', '-uno', 'minicompute'], cwd=repo,
                                            capture_output=True, text=True, check=False).stdout.splitlines())}


def version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


class Store:
    """The results of one measurement."""

    def __init__(self, directory: pathlib.Path, commit: str) -> None:
        self.directory, self.parts, self.commit = directory, directory / 'parts', commit
        self.parts.mkdir(parents=True, exist_ok=True)

    def path(self, part: str, system: str, number: int) -> pathlib.Path:
        return self.parts / f'{part}.{system}-{number}.json'

    def has(self, part: str, system: str, number: int) -> bool:
        return self.path(part, system, number).exists()

    def forget(self, part: str) -> None:
        for path in self.parts.glob(f'{part}.*-*.json'):
            path.unlink()

    def save(self, part: str, system: str, number: int, began: float, load_before: float, result: Json) -> None:
        document = {'part': part, 'system': system, 'run': number, 'commit': self.commit,
                    'at': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(began)),
                    'seconds': round(time.time() - began, 1),
                    'load_average': [round(load_before, 2), round(os.getloadavg()[0], 2)], 'result': result}
        write(self.path(part, system, number), document)

    def rows(self) -> list[Json]:
        rows = [json.loads(path.read_text()) for path in self.parts.glob('*.json')]
        return sorted(rows, key=lambda row: (row['part'], row['system'], row['run']))

    def collect(self, about: Json) -> Json:
        """results.json, from all parts that are there; facts of an earlier session stay."""
        target = self.directory / 'results.json'
        before = json.loads(target.read_text()) if target.exists() else {}
        document = {**before, **about, 'rows': self.rows() or before.get('rows', [])}
        write(target, document)
        return document


def write(path: pathlib.Path, document: Any) -> None:
    """In one piece: a run that is broken off leaves no half file."""
    partial = path.with_suffix('.new')
    partial.write_text(json.dumps(document, separators=(',', ':') if len(str(document)) > 20000 else None) + '\n')
    partial.rename(path)


def progress(text: str) -> None:
    print(time.strftime('%H:%M:%S'), text, file=sys.stderr, flush=True)
