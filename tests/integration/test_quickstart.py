"""The quickstart without its long part: words, files, and what it says when something is missing."""
from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

from tests.integration.stack import BIN, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIB = '; '.join(f'. {ROOT}/tools/lib/{part}.sh' for part in (
    'common', 'packages', 'rabbitmq', 'libvirt', 'config', 'daemons', 'demo'))


@pytest.fixture
def env(tmp_path: pathlib.Path) -> dict[str, str]:
    return {**os.environ, 'MINICOMPUTE_RUN': str(tmp_path / 'run'), 'MINICOMPUTE_VENV': str(BIN.parent),
            'MINICOMPUTE_PORT': str(free_port())}


def quickstart(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(ROOT / 'tools' / 'quickstart.sh'), *words], env=env, text=True, capture_output=True,
                          timeout=600)


def shell(env: dict[str, str], script: str) -> subprocess.CompletedProcess[str]:
    (pathlib.Path(env['MINICOMPUTE_RUN']) / 'log').mkdir(parents=True, exist_ok=True)
    (pathlib.Path(env['MINICOMPUTE_RUN']) / 'pids').mkdir(exist_ok=True)
    return subprocess.run(['bash', '-euc', f'{LIB}; {script}'], env=env, text=True,
                          capture_output=True, timeout=600)


def test_status_of_nothing_says_so_and_changes_nothing(env: dict[str, str]) -> None:
    first, second = quickstart(env, 'status'), quickstart(env, 'status')
    assert first.returncode == second.returncode == 1
    assert 'minicompute-api        down' in first.stdout
    assert first.stdout == second.stdout
    assert not pathlib.Path(env['MINICOMPUTE_RUN']).exists()


def test_a_wrong_word_is_one_line(env: dict[str, str]) -> None:
    done = quickstart(env, 'sideways')
    assert (done.returncode, done.stderr) == (
        1, "quickstart.sh: unknown word 'sideways': say up, down or status\n")


def test_help_says_the_words(env: dict[str, str]) -> None:
    assert 'down    deletes the servers' in quickstart(env, '--help').stdout


def test_configuration_is_written_once_and_is_private(env: dict[str, str]) -> None:
    run = pathlib.Path(env['MINICOMPUTE_RUN'])
    assert shell(env, 'write_configuration').returncode == 0
    before = {path.name: path.stat().st_mtime_ns for path in run.iterdir() if path.suffix in ('.conf', '.yaml')}
    assert shell(env, 'write_configuration').returncode == 0
    assert before == {name: (run / name).stat().st_mtime_ns for name in before}
    assert (run / 'minicompute.conf').stat().st_mode & 0o077 == 0
    assert f'OS_ENDPOINT_OVERRIDE=http://127.0.0.1:{env["MINICOMPUTE_PORT"]}/v2.1' in (run / 'openrc').read_text()


def test_the_written_configuration_is_one_that_daemons_take(env: dict[str, str]) -> None:
    done = shell(env, 'write_configuration; sync_database; sync_database; '
                      '"$VENV/bin/minicompute-manage" --config-file "$CONFIG" db version')
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('0')


def test_a_daemon_that_dies_is_named_with_its_log(env: dict[str, str]) -> None:
    done = shell(env, 'write_configuration; echo nonsense >> "$RUN/local.conf"; start_daemons')
    assert done.returncode == 1
    assert f'minicompute-conductor ended: see {env["MINICOMPUTE_RUN"]}/log/conductor.log' in done.stderr
    assert 'Traceback' not in done.stderr


def test_only_what_is_missing_is_installed(env: dict[str, str], tmp_path: pathlib.Path) -> None:
    listed = tmp_path / 'list'
    listed.write_text('# a comment\n\nbash\nno-such-package-of-debian\n')
    assert shell(env, f'missing_packages {listed}').stdout.split() == ['no-such-package-of-debian']


def test_a_taken_port_is_named(env: dict[str, str]) -> None:
    script = ('python3 -m http.server --bind 127.0.0.1 "$PORT" > /dev/null 2>&1 & pid=$!; trap "kill $pid" EXIT; '
              'wait_until 120 port_open "$PORT"; '
              f'source <(sed -n "/^check_port()/,/^}}/p" {ROOT}/tools/quickstart.sh); check_port')
    done = shell(env, script)
    assert done.returncode == 1
    assert f'something else listens on port {env["MINICOMPUTE_PORT"]}' in done.stderr
