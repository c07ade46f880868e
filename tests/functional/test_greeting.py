"""Daemons that start while a neighbour is away, or is not what we need."""
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute import exception
from minicompute.cmd import api as api_daemon
from minicompute.cmd import conductor as daemon
from minicompute.conductor.greeting import Greeting
from minicompute.volume import base as volume
from tests.functional.cinder_server import CinderServer, always
from tests.functional.cloud import PATIENCE, Cloud, until
from tests.functional.test_cinder import cloud, server

__all__ = ['cloud', 'server']


@pytest.fixture
def started(monkeypatch: Any) -> Iterator[list[str]]:
    """What a conductor daemon that is called comes to."""
    found: list[str] = []
    greetings: list[Greeting] = []

    def greeting(*args: Any) -> Greeting:
        greetings.append(Greeting(*args))
        return greetings[-1]
    monkeypatch.setattr(daemon, 'Greeting', greeting)
    monkeypatch.setattr(daemon.conf, 'setup', lambda *_: None)
    monkeypatch.setattr(daemon.conf, 'setup_logging', lambda *_: None)
    monkeypatch.setattr(daemon.service.Service, 'run', lambda _self: found.append('started'))
    yield found
    for one in greetings:       # none of them asks the Cinder of another test
        one.stop()
        assert one.join(PATIENCE)


@pytest.mark.parametrize(('newest', 'fault', 'words'), [
    ('3.0', None, '3.44'), ('3.43', None, '3.44'), ('3.71', 403, 'roles admin and service'),
    ('3.71', 404, 'endpoint'), ('3.71', 503, 'it answers 503'), ('3.71', 418, 'it answers 418')])
def test_no_answer_of_cinders_ends_a_daemon(cinder: CinderServer, started: list[str], caplog: Any, newest: str,
                                            fault: int | None, words: str) -> None:
    cinder.newest = newest
    if fault:
        cinder.faults['*'] = always(fault)
    assert daemon.main([]) == 0 and started
    until(lambda: 'It is asked again' in caplog.text, 'the operator to be told')
    assert words in caplog.text


def test_a_cinder_that_is_silent_holds_up_no_daemon(cinder: CinderServer, started: list[str]) -> None:
    answered: list[bool] = []

    def swallow(_name: str, done: bool) -> int | None:
        end = time.monotonic() + PATIENCE / 2
        while not done and not started and time.monotonic() < end:
            time.sleep(0.05)
        answered.append(bool(started))
        return None
    cinder.faults['*'] = swallow
    assert daemon.main([]) == 0
    until(lambda: answered, 'Cinder to be asked')
    assert all(answered)


def test_it_is_asked_again_until_it_has_been_mended(cinder: CinderServer, caplog: Any) -> None:
    caplog.set_level('INFO')
    cinder.newest = '3.27'
    greeting = Greeting(volume.load().greet, interval=0.01)
    greeting.start()
    until(lambda: cinder.count('attachments') > 3, 'it to be asked again')
    cinder.newest = '3.71'
    assert greeting.join(PATIENCE)
    assert caplog.text.count('It is asked again') == 1 and 'Mended' in caplog.text


@pytest.mark.parametrize(('backend', 'group'), [('volume_backend', 'cinder'), ('network_backend', 'neutron')])
def test_a_configuration_that_can_never_work_ends_the_start(conf: Any, started: list[str], backend: str,
                                                            group: str) -> None:
    conf.set_override(backend, group)
    with pytest.raises(SystemExit, match=fr'\[{group}\] auth_type is not set'):
        daemon.main([])
    with pytest.raises(exception.ConfigurationError, match=fr'\[{group}\] auth_type is not set'):
        api_daemon.preload()
    assert not started


def test_one_that_is_too_old_says_so_at_its_first_use(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    cinder.newest = '3.27'
    answer = cloud.request('POST', f'/servers/{server}/os-volume_attachments', {
        'volumeAttachment': {'volumeId': cinder.volume()}})
    assert answer.status_int == 503 and 'must speak microversion 3.44' in answer.text
