"""`fake` is the service, `run` is the command: it gives (exit code, stdout, stderr)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from minicompute.cli import poll, shell
from tests.unit.cli.fake import Fake, serving


class Result(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def fake() -> Iterator[Fake]:
    with serving(Fake()) as running:
        yield running


@pytest.fixture
def run(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Any) -> Iterator[Run]:
    for name in [n for n in os.environ if n.startswith('OS_')]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('OS_AUTH_TYPE', 'none')
    monkeypatch.setenv('OS_ENDPOINT_OVERRIDE', f'{fake.url}/v2.1')
    monkeypatch.setenv('OS_IMAGE_ENDPOINT_OVERRIDE', f'{fake.url}/image/v2')
    monkeypatch.setenv('OS_NETWORK_ENDPOINT_OVERRIDE', f'{fake.url}/network/v2.0')
    monkeypatch.setattr(poll, 'FIRST_PAUSE', 0.0)
    root = logging.getLogger('')
    handlers = list(root.handlers)

    def call(*argv: str) -> Result:
        code = shell.main(list(argv))
        out, err = capsys.readouterr()
        root.handlers[:] = handlers
        return Result(code, out, err)
    yield call
    root.handlers[:] = handlers
