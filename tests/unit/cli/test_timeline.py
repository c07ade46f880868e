from __future__ import annotations

import json
import uuid
from typing import Any

from minicompute.cli import errors, poll
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake

ACTION = {'action': 'resize', 'request_id': 'req-9', 'message': None, 'start_time': '2026-11-23T01:00:00.000000'}
EVENTS = [
    {'event': 'finish', 'result': None, 'start_time': '2026-11-23T01:00:06.000000', 'finish_time': None, 'host': 'h2',
     'details': 'disks 40 %'},
    {'event': 'carry', 'result': 'Error', 'start_time': '2026-11-23T01:00:01.000000',
     'finish_time': '2026-11-23T01:00:05.000000', 'host': 'h1', 'details': 'the disk\nis full'},
    {'event': 'claim', 'result': 'Success', 'start_time': '2026-11-23T01:00:00.500000',
     'finish_time': '2026-11-23T01:00:01.000000', 'host': None, 'hostId': 'abcdef0123456789', 'details': None}]


def canned(fake: Fake, events: list[dict[str, Any]], **changes: Any) -> str:
    server = str(uuid.uuid4())
    path = f'/v2.1/servers/{server}/os-instance-actions'
    action = {**ACTION, **changes}
    fake.canned['GET', path] = (200, {'instanceActions': [action, {**action, 'request_id': 'req-1'}]})
    for request in ('req-9', 'req-1'):
        fake.canned['GET', f'{path}/{request}'] = (
            200, {'instanceAction': {**action, 'request_id': request, 'events': events}})
    return server


def test_steps_are_drawn_in_order(run: Run, fake: Fake) -> None:
    server = canned(fake, EVENTS[1:], message='No.')
    lines = run('timeline', server).out.splitlines()
    assert lines[0] == f'resize of {server} (req-9)  2026-11-23 01:00:00  5.00 s  failed'
    assert lines[1] == 'No.'
    assert [line.split()[:3] for line in lines[3:5]] == [['claim', 'abcdef012345', '0.50'], ['carry', 'h1', '4.00']]
    claim, carry = (line.partition('0  ')[2] for line in lines[3:5])
    assert set(carry.strip()) == {'╳'} and set(claim.strip()) == {'━'}
    assert 7 <= len(carry.strip()) / len(claim.strip()) <= 9
    assert carry.index('╳') == len(claim), 'one begins where the other ends'
    assert lines[5].strip() == 'the disk is full'
    assert '\x1b' not in ''.join(lines)


def test_a_step_that_runs_shows_how_far_it_is(run: Run, fake: Fake) -> None:
    lines = run('timeline', canned(fake, EVENTS)).out.splitlines()
    assert lines[0].endswith('running')
    assert '╌' in lines[-2]
    assert lines[-1].strip() == 'disks 40 %'


def test_another_request_and_json(run: Run, fake: Fake) -> None:
    server = canned(fake, EVENTS[1:])
    said = json.loads(run('--json', 'timeline', server, 'req-1').out)
    assert said['request_id'] == 'req-1'
    assert said['steps'][0] == {'step': 'claim', 'host': 'abcdef012345', 'result': 'Success', 'after': 0.5,
                                'seconds': 0.5, 'details': ''}


def test_nothing_was_done(run: Run, fake: Fake) -> None:
    server = canned(fake, [])
    fake.canned['GET', f'/v2.1/servers/{server}/os-instance-actions'] = (200, {'instanceActions': []})
    result = run('timeline', server)
    assert (result.code, 'Nothing was done' in result.err) == (errors.FAILED, True)


def test_an_action_without_steps(run: Run, fake: Fake) -> None:
    assert run('timeline', canned(fake, [])).out.startswith('resize of')


def test_poll_says_how_far_a_server_is() -> None:
    assert str(poll.State('BUILD', 'spawning', 40)) == 'BUILD (spawning) 40%'
    assert poll.completed(poll.State('BUILD', 'spawning', 40)) == 40
    assert poll.completed(poll.State('BUILD', 'spawning', 0)) == 0
    assert poll.completed(poll.State('ACTIVE', None, 0)) == 100
