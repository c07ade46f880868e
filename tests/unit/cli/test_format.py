from __future__ import annotations

import io
import re
import sys

import pytest

from minicompute.cli import format as fmt
from minicompute.cli import poll
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """For the body of a test: between a fixture and the test pytest puts its own stdout back."""
    monkeypatch.delenv('NO_COLOR', raising=False)
    monkeypatch.setenv('TERM', 'xterm')
    stream = Terminal()
    monkeypatch.setattr(sys, 'stdout', stream)
    return stream


def test_status_has_colour_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch)
    assert fmt.Status('ACTIVE').human_readable() == '\x1b[32mACTIVE\x1b[0m'
    assert fmt.Status('ACTIVE').machine_readable() == 'ACTIVE'
    assert fmt.Status('WHATEVER').human_readable() == 'WHATEVER'
    monkeypatch.setenv('NO_COLOR', '1')
    assert fmt.Status('ACTIVE').human_readable() == 'ACTIVE'


def test_colour_does_not_widen_the_table(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    fake.server('a'), fake.server('b', status='ERROR'), fake.server('c', status='BUILD')
    run('list')
    lines = [re.sub(r'\x1b\[[0-9;]*m', '', line) for line in terminal.getvalue().splitlines()]
    assert len({len(line) for line in lines}) == 1


def test_json_on_a_terminal_is_plain(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    fake.server('a')
    run('list', '--json')
    assert '\x1b' not in terminal.getvalue()


def test_cells() -> None:
    assert fmt.Pairs({'b': 1, 'a': 2}).human_readable() == 'a=2\nb=1'
    assert fmt.Items([{'id': 1}, 'x']).human_readable() == 'id=1\nx'
    assert [c.human_readable() for c in (fmt.Items([]), fmt.Pairs({}), fmt.Plain(None))] == ['-'] * 3
    assert fmt.power_state(4) == 'Shutdown' and fmt.power_state(None) is None


def test_live_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, 'stderr', stream)
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.delenv('NO_COLOR', raising=False)
    with poll.progress({'1': 'we[b]'}) as show:
        show('1', poll.State('BUILD', 'spawning', 30))
        show('1', poll.State('ACTIVE', None))
    assert 'we[b]' in stream.getvalue() and 'ACTIVE' in stream.getvalue()
