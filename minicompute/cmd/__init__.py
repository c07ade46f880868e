"""The entry points.

Importing this package is the first thing that a daemon does: it looks into the configuration file for
`concurrency_backend`, which must be known before anything else is imported, and leaves it in the environment
where `concurrency.setup()` finds it.  A file that is wrong is passed over here; the real parser complains.
"""
from __future__ import annotations

import os
import pathlib
import re
import sys
import warnings
from collections.abc import Iterator, Sequence

_LINE = re.compile(r'concurrency_backend\s*[=:]\s*(\S+)')


def configured_backend(argv: Sequence[str]) -> str | None:
    """`[DEFAULT] concurrency_backend` of the files that `argv` names, else of the default one; the last wins."""
    found = None
    for path in _files(argv):
        section = ''
        try:
            lines = path.read_text(encoding='utf-8').splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines:
            if line.startswith('['):
                section = line.strip()
            elif section == '[DEFAULT]' and (match := _LINE.match(line)):
                found = match.group(1)
    return found


def _files(argv: Sequence[str]) -> Iterator[pathlib.Path]:
    named = False
    for option, value in _options(argv):
        named = True
        path = pathlib.Path(value)
        yield from (sorted(path.glob('*.conf')) if option == '--config-dir' else [path])
    if not named:
        yield pathlib.Path(os.environ.get('MINICOMPUTE_CONFIG') or '/etc/minicompute/minicompute.conf')


def _options(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    for place, word in enumerate(argv):
        name, equals, value = word.partition('=')
        if name not in ('--config-file', '--config-dir'):
            continue
        if equals:
            yield name, value
        elif place + 1 < len(argv):
            yield name, argv[place + 1]


# Libraries load it in either mode, and say this of it on every start.
warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')

if os.path.basename(sys.argv[0]).startswith('minicompute-') and not os.environ.get('MINICOMPUTE_CONCURRENCY'):
    if (_backend := configured_backend(sys.argv[1:])) is not None:
        os.environ['MINICOMPUTE_CONCURRENCY'] = _backend
