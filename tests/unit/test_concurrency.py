"""The backend is chosen before anything else is imported, so from text, not from oslo.config."""
from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from minicompute import concurrency

ASK = 'from minicompute import concurrency; print(concurrency.setup())'


def ask(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-W', 'ignore', '-c', ASK, *argv], capture_output=True, text=True,
                          env={'PYTHONPATH': str(pathlib.Path(__file__).parents[2]), **env}, timeout=60)


def test_threads_are_the_default() -> None:
    assert ask().stdout.strip() == 'threading'


def test_the_environment_wins(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'c').write_text('[DEFAULT]\nconcurrency_backend = threading\n')
    assert ask('--config-file', str(tmp_path / 'c'), MINICOMPUTE_CONCURRENCY='eventlet').stdout.strip() == 'eventlet'


def test_the_file_is_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'a').write_text('[DEFAULT]\n# concurrency_backend = threading\nconcurrency_backend = eventlet\n')
    assert concurrency._configured(['x', '--config-file', str(tmp_path / 'a')]) == 'eventlet'
    assert concurrency._configured(['x', f'--config-file={tmp_path}/a']) == 'eventlet'
    assert concurrency._configured(['x', '--config-file', str(tmp_path / 'missing')]) is None


def test_what_is_neither_is_refused() -> None:
    refused = ask(MINICOMPUTE_CONCURRENCY='trio')
    assert refused.returncode == 1
    assert refused.stderr.strip() == "concurrency_backend: 'trio' is not one of threading, eventlet"


@pytest.mark.parametrize('backend', ['threading', 'eventlet'])
def test_native_threads_and_calls(backend: str) -> None:
    code = '''
from minicompute import concurrency
concurrency.setup()
import time
queue = concurrency.native_queue()
concurrency.native_thread(lambda: queue.put(concurrency.native_call(sum, [1, 2])), 'x')
for _ in range(100):
    time.sleep(0.02)
    try:
        print(queue.get_nowait()); break
    except Exception:
        pass
'''
    env = {'PYTHONPATH': str(pathlib.Path(__file__).parents[2]), 'MINICOMPUTE_CONCURRENCY': backend}
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, timeout=60,
                          env=env)
    assert done.stdout.strip() == '3', done.stderr
