"""Crash points, in processes of their own: they kill."""
from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from minicompute import crash

#: passes two points, so often as it is told, and says when it got through
SCRIPT = """
import sys
from minicompute import crash
for _ in range(int(sys.argv[1])):
    if crash.armed:
        crash.point('compute', 'build.spawn', 'before', 'server-1')
        crash.points('conductor', [('build.spawn.undo', 'server-1'), ('stop.power_off', 'server-2')], 'after')
print('through')
"""


def start(said: str | None, times: int = 1) -> subprocess.Popen[str]:
    env = {'PATH': os.environ['PATH'], 'PYTHONPATH': os.pathsep.join(sys.path)}
    if said is not None:
        env[crash.VARIABLE] = said
    return subprocess.Popen([sys.executable, '-c', SCRIPT, str(times)], env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def run(said: str | None, times: int = 1) -> tuple[int, str, str]:
    process = start(said, times)
    out, errors = process.communicate(timeout=60)
    return process.returncode, out, errors


def test_nothing_is_armed_in_an_ordinary_process() -> None:
    assert crash.VARIABLE not in os.environ
    assert not crash.armed
    assert run(None) == (0, 'through\n', '')


@pytest.mark.parametrize('said', [
    'compute:build.spawn:before', 'conductor:build.spawn.undo:after', 'conductor:stop.*:after', '*:*:before!kill',
    'scheduler:claim:after,compute:build.spawn:before', 'conductor:*:after/server-2'])
def test_it_kills(said: str) -> None:
    assert run(said)[:2] == (-signal.SIGKILL, '')


@pytest.mark.parametrize('said', [
    'compute:build.spawn:after', 'scheduler:build.spawn:before', 'compute:build.spawn.undo:before',
    'compute:build.spawn:before/server-2'])
def test_another_point_is_left_alone(said: str) -> None:
    assert run(said)[0] == 0


def test_it_waits_for_the_nth_time() -> None:
    assert run('compute:build.spawn:before@3', times=2)[0] == 0
    assert run('compute:build.spawn:before@3', times=3)[0] == -signal.SIGKILL


@pytest.mark.parametrize('said', ['compute', 'a:b', 'a:b:c!maim', 'a:b:c@x', ':b:c'])
def test_a_word_that_means_nothing_stops_the_daemon(said: str) -> None:
    code, _, errors = run(said)
    assert code == 1
    assert said in errors


def test_of_a_file_only_one_process_dies(tmp_path: pathlib.Path) -> None:
    """A daemon that was killed comes back with the same environment, and must live."""
    plan = tmp_path / 'plan'
    plan.write_text('compute:build.spawn:before\n')
    assert run(f'@{plan}')[0] == -signal.SIGKILL
    assert run(f'@{plan}')[0] == 0
    assert (tmp_path / 'plan.hits' / 'compute:build.spawn:before').read_text().endswith(' server-1\n')


def test_a_file_that_is_not_there_arms_nothing(tmp_path: pathlib.Path) -> None:
    assert run(f'@{tmp_path}/none')[0] == 0


def test_it_fails_the_step(tmp_path: pathlib.Path) -> None:
    code, _, errors = run('compute:build.spawn:before!fail')
    assert code == 1
    assert 'Planned' in errors


def test_it_holds_until_it_is_let_go(tmp_path: pathlib.Path) -> None:
    plan = tmp_path / 'plan'
    plan.write_text('conductor:stop.power_off:after!hold,conductor:build.spawn.undo:after!hold')
    process = start(f'@{plan}')
    hits = tmp_path / 'plan.hits'
    while len(list(hits.glob('*'))) < 2:     # both are noted although the first one holds
        assert process.poll() is None
        time.sleep(0.01)
    assert process.poll() is None
    plan.write_text('')
    for hit in hits.iterdir():
        hit.unlink()
    assert process.communicate(timeout=60)[0] == 'through\n'


def test_it_traces(tmp_path: pathlib.Path) -> None:
    plan = tmp_path / 'plan'
    plan.write_text('trace')
    assert run(f'@{plan}', times=2)[0] == 0
    assert (tmp_path / 'plan.trace').read_text().splitlines() == 2 * [
        'compute build.spawn before server-1', 'conductor build.spawn.undo after server-1',
        'conductor stop.power_off after server-2']


def test_it_freezes() -> None:
    process = start('compute:build.spawn:before!stop')
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
    finally:
        process.kill()
        process.communicate()
