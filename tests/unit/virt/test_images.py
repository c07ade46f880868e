"""Real qemu-img on small files; what it is told, and what it leaves when things go wrong."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import pytest

from minicompute import exception
from minicompute.image.inspection import inspect_file
from minicompute.virt import images

MIB = 1024 * 1024


@pytest.fixture
def base(tmp_path: Path) -> str:
    path = tmp_path / 'base.raw'
    path.write_bytes(b'base' * 1024 + bytes(4 * MIB))
    return str(path)


def leftovers(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if name.endswith('.part')]


@pytest.mark.parametrize('fmt', ['raw', 'qcow2', 'vmdk', 'vpc', 'vhdx', 'vdi'])
def test_create_and_info(fmt: str, tmp_path: Path) -> None:
    path = str(tmp_path / 'disk')
    images.create(path, fmt, 8 * MIB)
    info = images.info(path, fmt)
    assert info.format == fmt
    assert info.virtual_size >= 8 * MIB
    assert info.backing_file is None and info.data_file is None and not info.encrypted
    assert os.listdir(tmp_path) == ['disk']


def test_preallocation(tmp_path: Path) -> None:
    path = str(tmp_path / 'disk')
    images.create(path, 'raw', 2 * MIB, preallocation='falloc')
    assert images.info(path, 'raw').actual_size >= 2 * MIB


def test_overlay(base: str, tmp_path: Path) -> None:
    path = str(tmp_path / 'disk')
    images.create_overlay(path, base, 'raw', 16 * MIB)
    info = images.info(path, 'qcow2')
    assert (info.virtual_size, info.backing_file, info.backing_format) == (16 * MIB, base, 'raw')
    images.create_overlay(path, base, 'raw')
    assert images.info(path, 'qcow2').virtual_size == os.path.getsize(base)
    with pytest.raises(exception.ImageUnacceptable, match='backing file'):
        inspect_file(path, 'qcow2')


@pytest.mark.parametrize('compress', [False, True])
def test_convert_takes_backing_files_along(compress: bool, base: str, tmp_path: Path) -> None:
    overlay, flat = str(tmp_path / 'overlay'), str(tmp_path / 'flat')
    images.create_overlay(overlay, base, 'raw')
    images.convert(overlay, 'qcow2', flat, 'qcow2', compress=compress, in_use=True)
    assert inspect_file(flat, 'qcow2').virtual_size == os.path.getsize(base)
    back = tmp_path / 'back'
    images.convert(flat, 'qcow2', str(back), 'raw')
    assert back.read_bytes() == Path(base).read_bytes()


def test_flatten_and_rebase(base: str, tmp_path: Path) -> None:
    path, moved = str(tmp_path / 'disk'), str(tmp_path / 'moved')
    images.create_overlay(path, base, 'raw')
    os.link(base, moved)
    images.rebase(path, moved, 'raw', content_is_same=True)
    assert images.info(path, 'qcow2').backing_file == moved
    images.rebase(path, base, 'raw')
    images.flatten(path)
    images.flatten(path)
    assert images.info(path, 'qcow2').backing_file is None
    inspect_file(path, 'qcow2')


def test_commit(base: str, tmp_path: Path) -> None:
    path = str(tmp_path / 'disk')
    images.create_overlay(path, base, 'raw')
    subprocess.run(['qemu-io', '-f', 'qcow2', '-c', 'write -P 0x41 1M 64k', path], check=True,
                   capture_output=True)
    images.commit(path)
    assert Path(base).read_bytes()[MIB:MIB + 65536] == b'A' * 65536


@pytest.mark.parametrize('fmt', ['raw', 'qcow2'])
def test_resize_grows_only(fmt: str, tmp_path: Path) -> None:
    path = str(tmp_path / 'disk')
    images.create(path, fmt, 4 * MIB)
    images.resize(path, fmt, 8 * MIB)
    images.resize(path, fmt, 8 * MIB)
    assert images.info(path, fmt).virtual_size == 8 * MIB
    with pytest.raises(exception.ImageToolFailed, match='lose data'):
        images.resize(path, fmt, 4 * MIB)


def test_format_is_told_and_not_probed(base: str, tmp_path: Path) -> None:
    """A guest that writes a qcow2 header onto its raw disk gets nowhere."""
    evil, out = str(tmp_path / 'evil'), tmp_path / 'out'
    images.create_overlay(evil, base, 'raw')
    assert images.info(evil, 'raw').backing_file is None
    images.convert(evil, 'raw', str(out), 'raw')
    assert out.read_bytes()[:4] == b'QFI\xfb'


@pytest.mark.parametrize('path', ['disk', 'nbd:localhost:10809', 'json:{"driver":"raw"}', '-f'])
def test_only_absolute_paths(path: str, base: str) -> None:
    with pytest.raises(ValueError, match='absolute'):
        images.info(path, 'raw')
    with pytest.raises(ValueError, match='absolute'):
        images.create_overlay('/tmp/x', path, 'raw')


def test_failure_has_one_line_and_leaves_nothing(base: str, tmp_path: Path) -> None:
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(exception.ImageToolFailed, match='qemu-img failed on out: .*base.raw.*qcow2') as e:
        images.convert(base, 'qcow2', str(tmp_path / 'out'), 'raw')
    assert '\n' not in str(e.value) and str(tmp_path) not in str(e.value)
    assert sorted(os.listdir(tmp_path)) == before


def test_old_file_stays_when_the_new_one_fails(base: str, tmp_path: Path) -> None:
    with pytest.raises(exception.ImageToolFailed):
        images.convert(str(tmp_path / 'missing'), 'raw', base, 'raw')
    assert Path(base).read_bytes()[:4] == b'base'


def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Puts another program into qemu-img's place."""
    path = tmp_path / 'bin' / 'qemu-img'
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\n{script}\n')
    path.chmod(0o755)
    monkeypatch.setenv('PATH', f'{path.parent}:{os.environ["PATH"]}')


@pytest.mark.parametrize('text', ['error while writing at byte 0: No space left on device',
                                  'Disk quota exceeded'])
def test_full_disk(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, monkeypatch, f'echo "qemu-img: {text}" >&2; exit 1')
    with pytest.raises(exception.DiskFull, match='for disk'):
        images.create(str(tmp_path / 'disk'), 'raw', MIB)


def test_full_disk_while_publishing(tmp_path: Path) -> None:
    with mock.patch.object(images.os, 'fsync', side_effect=OSError(28, 'No space')), \
            pytest.raises(exception.DiskFull):
        images.create(str(tmp_path / 'disk'), 'raw', MIB)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(subprocess.run(['unshare', '-rm', 'true'], capture_output=True).returncode != 0,
                    reason='this kernel lets nobody mount here')
def test_really_full_disk(tmp_path: Path) -> None:
    script = ('import os, sys; from minicompute import exception; from minicompute.virt import images\n'
              'try:\n    images.convert(sys.argv[1], "raw", sys.argv[2], "raw")\n'
              'except exception.DiskFull as e:\n    print(e, os.listdir(os.path.dirname(sys.argv[2])))\n')
    source, small = tmp_path / 'source', tmp_path / 'small'
    source.write_bytes(b'x' * 4 * MIB)
    small.mkdir()
    mount = 'mount -t tmpfs -o size=1m none "$1"; shift; exec "$@"'
    done = subprocess.run(['unshare', '-rm', 'sh', '-c', mount, 'sh', small, sys.executable, '-c', script,
                           source, small / 'disk'],
                          capture_output=True, text=True)
    assert done.stdout == 'No space left for disk on this host. []\n', done.stderr


def test_limits_language_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('LC_ALL', 'de_DE.UTF-8')
    monkeypatch.setenv('OS_PASSWORD', 'secret')
    tool(tmp_path, monkeypatch, 'echo "$LC_ALL-$(ulimit -v)-$(ulimit -t)-$(ulimit -c)-$OS_PASSWORD"')
    assert images.run_tool(['qemu-img'], 'x') == f'C-{1024 * 1024}-30-0-\n'


def test_cpu_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, monkeypatch, 'while :; do :; done')
    with pytest.raises(exception.ImageToolFailed, match='limit of CPU time'):
        images.run_tool(['qemu-img'], 'x', images.Limits(images.GIB, 1, 60))


def test_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, monkeypatch, 'exec sleep 600')
    with pytest.raises(exception.ImageToolFailed, match='took longer than 0.1 s'):
        images.run_tool(['qemu-img'], 'x', images.Limits(images.GIB, 10, 0.1))


def test_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    tool(tmp_path, monkeypatch, 'exec sleep 600')
    stop = threading.Event()
    stop.set()
    with pytest.raises(exception.ImageToolFailed, match='stopped'):
        images.convert(base, 'raw', str(tmp_path / 'out'), 'raw', stop=stop.is_set)
    assert leftovers(tmp_path) == []


def test_missing_tool() -> None:
    with pytest.raises(exception.ImageToolFailed, match='no-such-tool failed on x: '):
        images.run_tool(['no-such-tool'], 'x')
    with mock.patch.object(images.subprocess, 'Popen', side_effect=FileNotFoundError(2, 'No such file')), \
            pytest.raises(exception.ImageToolFailed, match='cannot be started'):
        images.run_tool(['qemu-img'], 'x')


def test_killed_daemon_leaves_no_half_file_and_no_tool(tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, monkeypatch, f'echo half > "$5"; echo $$ > {tmp_path}/pid; exec sleep 600')
    script = 'import sys; from minicompute.virt import images; images.create(sys.argv[1], "raw", 1 << 20)'
    final = tmp_path / 'disk'
    with subprocess.Popen([sys.executable, '-c', script, str(final)]) as daemon:
        wait_for(lambda: (tmp_path / 'pid').exists() and (tmp_path / 'pid').read_text().strip())
        tool_pid = int((tmp_path / 'pid').read_text())
        daemon.send_signal(signal.SIGKILL)
    wait_for(lambda: gone(tool_pid))
    assert not final.exists()
    assert len(leftovers(tmp_path)) == 1
    assert images.remove_leftovers(str(tmp_path), older_than=3600) == []
    assert len(images.remove_leftovers(str(tmp_path), older_than=-1)) == 1
    assert leftovers(tmp_path) == []


def wait_for(condition: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().split()[2] == 'Z'
    except FileNotFoundError:
        return True


def test_many_threads(base: str, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            images.convert(base, 'raw', str(tmp_path / f'out{number}'), 'qcow2')
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_under_eventlet(base: str, tmp_path: Path) -> None:
    """While a tool runs, other greenlets do too."""
    script = ('import sys; from minicompute import concurrency; concurrency.setup("eventlet")\n'
              'import threading, time\n'
              'from minicompute.virt import images\n'
              'ticks = []\n'
              'def tick():\n'
              '    while True:\n        ticks.append(1); time.sleep(0.01)\n'
              'threading.Thread(target=tick, daemon=True).start()\n'
              'images.convert(sys.argv[1], "raw", sys.argv[2], "qcow2")\n'
              'print(images.info(sys.argv[2], "qcow2").format, len(ticks) > 1)\n')
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', script, base, str(tmp_path / 'out')],
                          capture_output=True, text=True)
    assert done.stdout == 'qcow2 True\n', done.stderr


@pytest.mark.parametrize(('fs_format', 'signature'), [
    ('ext4', (1080, b'\x53\xef')), ('ext3', (1080, b'\x53\xef')), ('vfat', (510, b'\x55\xaa')),
])
def test_filesystems(fs_format: str, signature: tuple[int, bytes], tmp_path: Path) -> None:
    path = tmp_path / 'ephemeral'
    images.make_filesystem(str(path), fs_format, 'ephemeral0 $(evil)', 16 * MIB)
    data = path.read_bytes()
    assert data[signature[0]:signature[0] + 2] == signature[1]
    assert b'ephemeral0' in data[:4096]
    overlay = str(tmp_path / 'overlay')
    images.create_overlay(overlay, str(path), 'raw', 32 * MIB)
    assert leftovers(tmp_path) == []


def test_unknown_filesystem(tmp_path: Path) -> None:
    with pytest.raises(exception.InvalidInput, match='not supported'):
        images.make_filesystem(str(tmp_path / 'x'), 'ext4; rm', 'x', MIB)


def test_swap(tmp_path: Path) -> None:
    path = tmp_path / 'swap'
    images.make_swap(str(path), 2 * MIB)
    assert path.read_bytes()[4086:4096] == b'SWAPSPACE2'
    with pytest.raises(exception.ImageToolFailed, match='mkswap failed on tiny'):
        images.make_swap(str(tmp_path / 'tiny'), 512)
    assert os.listdir(tmp_path) == ['swap']


def test_the_first_to_publish_wins(base: str, tmp_path: Path) -> None:
    made = str(tmp_path / 'made')
    with pytest.raises(RuntimeError), images.published(made, first=True):
        raise RuntimeError
    assert not os.path.exists(made)
    images.convert(base, 'raw', made, 'qcow2', first=True)
    before = os.stat(made).st_ino
    images.convert(base, 'raw', made, 'qcow2', first=True)
    assert os.stat(made).st_ino == before
    assert sorted(os.listdir(tmp_path)) == sorted({'made', os.path.basename(base)})
