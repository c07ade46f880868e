"""explain, events, top, and the key of a boot."""
from __future__ import annotations

import argparse
import json
import uuid
from typing import Any

import pytest

from minicompute.cli import errors, follow, top
from minicompute.cli.client import root
from minicompute.cli.follow import messages
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake

FUNNEL = {'total': 9, 'stages': [{'name': 'ComputeFilter', 'left': 8}, {'name': 'MEMORY_MB', 'left': 0}]}
FOUND: dict[str, Any] = {
    'fits': False, 'servers': 1, 'servers_that_fit': 0, 'quota': {'fits': True, 'reason': None}, 'funnel': FUNNEL,
    'hosts_chosen': 0, 'text': 'No room.', 'changes': [
        {'without': [], 'more': [{'resource': 'MEMORY_MB', 'amount': 7, 'unit': 'MiB'}], 'hosts': 1, 'host': 'h3',
         'text': '7 MiB more on one host'}]}
EVENT = {'kind': 'changed', 'time': '2026-11-23T07:00:00.1Z', 'server': {
    'id': 'abc', 'name': 'web', 'status': 'ACTIVE', 'task_state': 'powering-off', 'host': 'h1'}}


def test_explain_a_server_to_be(run: Run, fake: Fake) -> None:
    image = fake.image('small')['id']
    fake.canned['POST', '/minicompute/v1/placement'] = (200, {'placement': FOUND})
    result = run('explain', '--flavor', 'm1.tiny', '--image', image, '--nic', 'none')
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[:2] == ['It does not fit.', 'No room.'] and '  would help: 7 MiB more on one host (h3)' in lines
    assert [line.split() for line in lines[2:5]] == [['hosts', '9'], ['ComputeFilter', '8'], ['MEMORY_MB', '0']]
    (sent,) = fake.sent('POST', '/minicompute/v1/placement')
    assert sent.body['server']['flavorRef'] == '1' and sent.body['server']['networks'] == 'none'
    assert json.loads(run('--json', 'explain', '--flavor', 'm1.tiny', '--image', image).out) == FOUND


def test_explain_a_server_that_is_there(run: Run, fake: Fake) -> None:
    server = fake.server('web')['id']
    attempt = {'action': 'create', 'request_id': 'req-1', 'time': '2026-11-23T07:00:00Z', 'funnel': FUNNEL}
    fake.canned['GET', f'/minicompute/v1/servers/{server}/placement'] = (200, {'placement': {
        'server_id': server, 'placed': True, 'host': 'h1', 'attempts': [attempt],
        'now': {**FOUND, 'fits': True, 'hosts': ['h2'], 'changes': []}}})
    lines = run('explain', 'web').out.splitlines()
    assert lines[0] == 'web is placed on h1.' and lines[1] == '2026-11-23T07:00:00Z create (req-1)'
    assert '  Hosts: h2' in lines


@pytest.mark.parametrize('words', [[], ['web', '--flavor', 'm1.tiny']])
def test_explain_what(run: Run, words: list[str]) -> None:
    assert run('explain', *words).code == errors.USAGE


def test_the_key_of_a_boot(run: Run, fake: Fake) -> None:
    image = fake.image('small')['id']
    for words, key in (((), None), (('--idempotency-key', 'k1'), 'k1')):
        assert run('boot', 'web', '--flavor', 'm1.tiny', '--image', image, *words).code == 0
        assert fake.sent('POST', '/v2.1/servers')[-1].headers.get('idempotency-key') == key


def test_messages_of_a_stream() -> None:
    text = ('retry: 1000\n\n: \nid: 4\n\nid: 5\nevent: server\ndata: {"a":\ndata: 1}\n\n: \n\n'
            'id: 6\nevent: lost\ndata: {}\n\n')
    assert list(messages(line.encode() for line in text.split('\n'))) == [
        (None, 4, None), ('server', 5, {'a': 1}), ('lost', 6, {})]


class Stream:
    """An answer of requests."""

    def __init__(self, *lines: str) -> None:
        self._lines = lines

    def iter_lines(self) -> Any:
        for line in self._lines:
            if line == 'broken':
                import requests
                raise requests.exceptions.ChunkedEncodingError
            yield line.encode()


def event(seq: int) -> tuple[str, ...]:
    return (f'id: {seq}', 'event: server', f'data: {json.dumps(EVENT)}', '')


def test_a_follower_goes_on_where_it_was_cut_off(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    from minicompute.cli.client import Client
    streams = [Stream(*event(7), 'id: 8', 'broken'), Stream(*event(8), ': ', 'id: 9', ''), KeyboardInterrupt()]
    asked: list[str | None] = []

    def stream(self: Any, url: str, params: dict[str, str], headers: dict[str, str]) -> Any:
        asked.append(headers.get('Last-Event-ID'))
        found = streams.pop(0)
        if isinstance(found, KeyboardInterrupt):
            raise found
        return found
    monkeypatch.setattr(Client, 'stream', stream)
    monkeypatch.setattr(follow, 'PAUSE', 0.0)
    result = run('events', '--follow')
    assert asked == [None, '7', '9'] and result.code == errors.INTERRUPTED
    assert [line.split()[2] for line in result.out.splitlines()] == ['7', '8']
    assert result.out.splitlines()[0].endswith('abc  web: ACTIVE (powering-off) on h1')


def test_what_is_kept(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    from minicompute.cli.client import Client
    seen: list[Any] = []
    monkeypatch.setattr(Client, 'stream', lambda self, url, params, headers: seen.append((params, headers)) or Stream(
        *event(1), *event(2), ': ', 'id: 2', '', *event(3)))
    server = str(uuid.uuid4())
    found = [json.loads(line) for line in run('--json', 'events', '--server', server, '--all-tenants').out.splitlines()]
    assert [one['id'] for one in found] == [1, 2] and found[0]['server']['name'] == 'web'
    assert seen == [({'server_id': server, 'all_projects': 'true'},
                     {'Accept': 'text/event-stream', 'Last-Event-ID': '0'})]


SUMMARY = {'total': {'servers': 3, 'vcpus': 4, 'memory_mb': 5}, 'status': {
    'ACTIVE': {'servers': 2, 'vcpus': 2, 'memory_mb': 2}, 'ERROR': {'servers': 1, 'vcpus': 2, 'memory_mb': 3}}}


def test_top(run: Run, fake: Fake) -> None:
    fake.canned['GET', '/minicompute/v1/summary'] = (200, {'summary': SUMMARY})
    lines = run('top', '--all-tenants').out.splitlines()
    assert lines[0] == '3 servers, 4 VCPUs, 5 MiB' and lines[1] == 'status:'
    assert [line.split() for line in lines[2:]] == [['ACTIVE', '2', '2', '2'], ['ERROR', '1', '2', '3']]
    assert fake.sent('GET', '/minicompute/v1/summary')[0].query == {'all_projects': ['true']}
    assert json.loads(run('--json', 'top').out) == SUMMARY
    assert run('top', '--interval', '0').code == errors.USAGE


def test_the_picture_of_top() -> None:
    from rich.console import Console
    many = {f'p[{n}]': {'servers': n, 'vcpus': 1, 'memory_mb': 1} for n in range(20)}
    console = Console(width=120, record=True, file=open('/dev/null', 'w'))
    console.print(top.picture({**SUMMARY, 'project': many}))
    text = console.export_text()
    assert 'p[19]' in text and '8 others' in text and '28' in text, 'what is too much is added up'


@pytest.mark.parametrize('url', ['http://h:1/v2.1', 'http://h:1/v2.1/', 'http://h:1/v2.1/project'])
def test_the_root(url: str) -> None:
    assert root(url) == 'http://h:1/'


def test_options_are_those_of_boot() -> None:
    from minicompute.cli.boot import Boot
    parser = argparse.ArgumentParser()
    Boot.options(parser)
    assert parser.parse_args(['--image', 'x', '--min-count', '2']).min_count == 2
