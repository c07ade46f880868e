"""console-log --follow, and the URLs of consoles."""

from __future__ import annotations

import pytest

from minicompute.cli import consoles, errors
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake

LONG = ''.join(f'line {number}\n' for number in range(1000))


@pytest.mark.parametrize(('shown', 'output', 'new'), [
    ('', '', ''), ('', 'a', 'a'), ('a\n', 'a\n', ''), ('a\n', 'a\nb', 'b'),
    ('a\nb\n', 'b\nc\n', 'b\nc\n'),     # too short to tell: another guest's
    (LONG, LONG[500:] + 'more', 'more'), (LONG, 'booting\n', 'booting\n'), (LONG, LONG, '')])
def test_news(shown: str, output: str, new: str) -> None:
    assert consoles.news(shown, output) == new


def test_follow_until_the_server_is_gone(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    server = fake.server('a')
    path = ('POST', f"/v2.1/servers/{server['id']}/action")
    answers = [(200, {'output': 'one\n'}), (200, {'output': 'one\ntwo\n'}),
               (409, {'conflictingRequest': {'code': 409, 'message': 'it moves'}}),
               (200, {'output': 'one\ntwo\nthree\n'}), (404, {'itemNotFound': {'code': 404, 'message': 'gone'}})]

    def pause(_seconds: float) -> None:
        fake.canned[path] = answers.pop(0)
    monkeypatch.setattr(consoles.time, 'sleep', pause)
    pause(0)
    result = run('console-log', '--follow', 'a')
    assert (result.code, result.out) == (0, 'one\ntwo\nthree\n') and not answers


@pytest.mark.parametrize(('argv', 'protocol', 'kind'), [
    (['get-vnc-console', 'a'], 'vnc', 'novnc'), (['get-vnc-console', 'a', 'xvpvnc'], 'vnc', 'xvpvnc'),
    (['get-spice-console', 'a', 'spice-direct'], 'spice', 'spice-direct'),
    (['get-serial-console', 'a'], 'serial', 'serial'), (['get-mks-console', 'a'], 'mks', 'webmks')])
def test_urls(run: Run, fake: Fake, argv: list[str], protocol: str, kind: str) -> None:
    path = f"/v2.1/servers/{fake.server('a')['id']}/remote-consoles"
    asked = {'protocol': protocol, 'type': kind}
    fake.canned['POST', path] = (200, {'remote_console': {**asked, 'url': 'http://x/?token=1'}})
    result = run(*argv, '-f', 'value')
    assert (result.code, result.out) == (0, f'{kind} http://x/?token=1\n')
    assert fake.sent('POST', path)[0].body == {'remote_console': asked}


def test_the_older_action(run: Run, fake: Fake) -> None:
    path = f"/v2.1/servers/{fake.server('a')['id']}/action"
    fake.canned['POST', path] = (200, {'console': {'type': 'novnc', 'url': 'http://x/'}})
    assert run('--microversion', '2.5', 'get-vnc-console', 'a').code == 0
    assert fake.sent('POST', path)[0].body == {'os-getVNCConsole': {'type': 'novnc'}}
    assert run('--microversion', '2.5', 'get-mks-console', 'a').code == errors.USAGE
