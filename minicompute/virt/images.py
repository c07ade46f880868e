"""Disk files of guests: the one place that runs qemu-img, and mkfs and mkswap.

The tools work on data of strangers, so every call names the format (nothing
is probed), runs under limits and a timeout, and dies with the daemon.  What
makes a file makes it under a temporary name first (`published`): under its
final name a file is whole, whenever the daemon is killed.

All functions block; they take absolute paths and sizes in bytes, and raise
`DiskFull`, or `ImageToolFailed` with a reason of one line.
"""
from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from oslo_log import log as logging

from minicompute import exception

LOG = logging.getLogger(__name__)

GIB = 1024 ** 3
Stop = Callable[[], bool]
Watch = Callable[[str], contextlib.AbstractContextManager[Any]]

_TEMP_SUFFIX = '.part'
_POLL = 0.5
_NO_SPACE = ('No space left on device', 'Disk quota exceeded')
# Users see the reason, so it names files, but not where they are or will be.
_DIRECTORIES = re.compile(r'/[^\s:\',"]*/')
_TEMP_NAME = re.compile(r'\.([^\s/]+)\.[0-9a-f]{12}\.part')


@dataclass(frozen=True)
class Limits:
    """What a tool may use: bytes of address space, seconds of CPU, seconds."""

    address_space: int
    cpu: int
    timeout: float


QUICK = Limits(1 * GIB, 30, 60)
LONG = Limits(4 * GIB, 4 * 3600, 6 * 3600)


@dataclass(frozen=True)
class DiskInfo:
    """What qemu-img says of a disk file; `actual_size` is what it takes on the host."""

    path: str
    format: str
    virtual_size: int
    actual_size: int
    backing_file: str | None = None
    backing_format: str | None = None
    data_file: str | None = None
    encrypted: bool = False


def info(path: str, fmt: str, *, in_use: bool = False) -> DiskInfo:
    """`in_use` also reads the disk of a running guest."""
    share = ['-U'] if in_use else []
    said = json.loads(_qemu_img('info', path, [*share, '--output=json', '-f', fmt, _absolute(path)], QUICK))
    specific: dict[str, Any] = said.get('format-specific', {}).get('data', {})
    return DiskInfo(path=path, format=said['format'], virtual_size=said['virtual-size'],
                    actual_size=said.get('actual-size', 0),
                    backing_file=said.get('full-backing-filename') or said.get('backing-filename'),
                    backing_format=said.get('backing-filename-format'),
                    data_file=specific.get('data-file'), encrypted=bool(said.get('encrypted')))


def create(path: str, fmt: str, size_bytes: int, *, preallocation: str | None = None) -> None:
    """An empty disk; `preallocation` is qemu-img's word (off, metadata, falloc, full)."""
    options = ['-o', f'preallocation={preallocation}'] if preallocation else []
    with published(path) as temp:
        _qemu_img('create', path, ['-q', '-f', fmt, *options, temp, str(size_bytes)], LONG)


def create_overlay(path: str, backing_path: str, backing_fmt: str, size_bytes: int | None = None) -> None:
    """A qcow2 that begins as `backing_path`, which nobody may change from now on.

    Without a size it is as large as the backing file.
    """
    size = [str(size_bytes)] if size_bytes else []
    with published(path) as temp:
        _qemu_img('create', path, ['-q', '-f', 'qcow2', '-b', _absolute(backing_path), '-F', backing_fmt,
                                   temp, *size], QUICK)


def convert(src: str, src_fmt: str, dst: str, dst_fmt: str, *, compress: bool = False, in_use: bool = False,
            limits: Limits = LONG, stop: Stop | None = None, watch: Watch = contextlib.nullcontext,
            first: bool = False) -> None:
    """The whole content of `src`, with what lies in its backing files, as one file.

    `stop` is asked twice a second; once it says True, the work ends with ImageToolFailed. `watch(path)` surrounds the
    work: at that path the file grows. `first`: a file that has come to `dst` meanwhile stays.
    """
    flags = ['-q', '-t', 'writeback'] + ['-c'] * compress + ['-U'] * in_use
    with published(dst, first=first) as temp, watch(temp):
        _qemu_img('convert', dst, [*flags, '-f', src_fmt, '-O', dst_fmt, _absolute(src), temp], limits, stop)


def resize(path: str, fmt: str, size_bytes: int) -> None:
    """Grow to this size; a disk that has it already is left alone, a larger one is refused."""
    now = info(path, fmt).virtual_size
    if now > size_bytes:
        raise exception.ImageToolFailed(
            what=os.path.basename(path),
            reason=f'it has {now} bytes and would lose data at {size_bytes}')
    if now < size_bytes:
        _qemu_img('resize', path, ['-q', '-f', fmt, _absolute(path), str(size_bytes)], LONG)


def rebase(path: str, backing_path: str, backing_fmt: str, *, content_is_same: bool = False,
           stop: Stop | None = None) -> None:
    """Give a qcow2 another backing file.  What differs is copied, unless the caller
    knows that nothing does (the same image at another place)."""
    unsafe = ['-u'] if content_is_same else []
    _qemu_img('rebase', path, ['-q', *unsafe, '-f', 'qcow2', '-b', _absolute(backing_path), '-F', backing_fmt,
                               _absolute(path)], LONG, stop)


def commit(path: str, *, stop: Stop | None = None) -> None:
    """Write what a qcow2 overlay has into its backing file; the overlay keeps it too."""
    _qemu_img('commit', path, ['-q', '-d', '-f', 'qcow2', _absolute(path)], LONG, stop)


def flatten(path: str, *, stop: Stop | None = None) -> None:
    """Make a qcow2 overlay independent of its backing files."""
    if info(path, 'qcow2').backing_file:
        convert(path, 'qcow2', path, 'qcow2', stop=stop)


# What makes each file system, how its label is given, and how long that may be.
FILESYSTEMS: dict[str, tuple[list[str], str, int]] = {
    'ext2': (['mkfs.ext2', '-q', '-F'], '-L', 16),
    'ext3': (['mkfs.ext3', '-q', '-F'], '-L', 16),
    'ext4': (['mkfs.ext4', '-q', '-F'], '-L', 16),
    'xfs': (['mkfs.xfs', '-q', '-f'], '-L', 12),
    'vfat': (['mkfs.vfat', '-I'], '-n', 11),
    'ntfs': (['mkntfs', '--force', '--fast', '--quiet'], '-L', 32),
}


def make_filesystem(path: str, fs_format: str, label: str, size_bytes: int) -> None:
    """A raw disk with one file system and no partitions: an ephemeral disk, or the
    backing file of many. The label is cut to what the file system can hold."""
    if fs_format not in FILESYSTEMS:
        raise exception.InvalidInput(reason=f'the file system {fs_format!r} is not supported')
    command, flag, length = FILESYSTEMS[fs_format]
    label = re.sub(r'[^A-Za-z0-9_-]', '_', label).lstrip('-')[:length] or 'disk'
    with published(path) as temp:
        _make_sparse(temp, size_bytes)
        run_tool([*command, flag, label, temp], os.path.basename(path))


def make_swap(path: str, size_bytes: int) -> None:
    """A raw disk that a guest can use as swap space."""
    with published(path) as temp:
        _make_sparse(temp, size_bytes)
        run_tool(['mkswap', temp], os.path.basename(path))


# -- how files appear -------------------------------------------------------

@contextlib.contextmanager
def published(path: str, mode: int | None = None, *, first: bool = False) -> Iterator[str]:
    """A temporary name beside `path`; what lies there at the end becomes `path` at once. `first`: unless another has
    published it meanwhile.

    An exception removes it, a killed daemon leaves it to `remove_leftovers`.
    """
    directory, name = os.path.split(_absolute(path))
    temp = os.path.join(directory, f'.{name}.{uuid.uuid4().hex[:12]}{_TEMP_SUFFIX}')
    try:
        yield temp
        if mode is not None:
            os.chmod(temp, mode)
        _sync(temp)
        if first:
            with contextlib.suppress(FileExistsError):
                os.link(temp, path)
        else:
            os.replace(temp, path)
        _sync(directory)
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise exception.DiskFull(what=name) from e
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temp)


def remove_leftovers(directory: str, older_than: float) -> list[str]:
    """Remove temporary files that nothing touched for so many seconds. -> their paths."""
    removed = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if not (entry.name.startswith('.') and entry.name.endswith(_TEMP_SUFFIX)):
                continue
            with contextlib.suppress(FileNotFoundError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > older_than:
                    os.unlink(entry.path)
                    removed.append(entry.path)
    return removed


def _make_sparse(path: str, size_bytes: int) -> None:
    with open(path, 'xb') as file:
        file.truncate(size_bytes)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# -- how tools run ----------------------------------------------------------

def run_tool(command: Sequence[str], what: str, limits: Limits = QUICK, stop: Stop | None = None) -> str:
    """Run a tool under limits. -> its standard output; `what` names the file in errors."""
    LOG.debug('Running %s', ' '.join(command))
    # The tool dies with the thread that waits for it here, so that none of a killed
    # daemon goes on beside those of its successor.
    guarded = ['setpriv', '--pdeathsig', 'KILL', 'prlimit', f'--as={limits.address_space}',
               f'--cpu={limits.cpu}', '--core=0', '--', *command]
    path = os.pathsep.join([os.environ.get('PATH', '/usr/bin:/bin'), '/usr/sbin', '/sbin'])
    try:
        process = subprocess.Popen(guarded, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env={'LC_ALL': 'C', 'PATH': path})
    except OSError as e:
        raise _failure(command[0], what, f'it cannot be started: {e.strerror}') from e
    with process:
        try:
            out, err, ended = _wait(process, limits.timeout, stop)
        except BaseException:
            process.kill()
            raise
    if ended:
        raise _failure(command[0], what, ended)
    if process.returncode:
        _raise_for(command[0], what, process.returncode, err.decode('utf-8', 'replace'))
    return out.decode('utf-8', 'replace')


def _wait(process: subprocess.Popen[bytes], timeout: float, stop: Stop | None) -> tuple[bytes, bytes, str]:
    """-> standard output and error, and why we ended it ourselves ('' when we did not)."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return (*process.communicate(timeout=_POLL), '')
        except subprocess.TimeoutExpired:
            reason = ''
            if stop is not None and stop():
                reason = 'it was stopped'
            elif time.monotonic() > deadline:
                reason = f'it took longer than {timeout:g} s'
            if reason:
                process.kill()
                return (*process.communicate(), reason)


def _qemu_img(verb: str, path: str, args: list[str], limits: Limits, stop: Stop | None = None) -> str:
    return run_tool(['qemu-img', verb, *args], os.path.basename(path), limits, stop)


def _absolute(path: str) -> str:
    """qemu-img takes `nbd:...` or `json:...` for an instruction, but never what begins with a slash."""
    if not path.startswith('/'):
        raise ValueError(f'{path!r} is not an absolute path')
    return path


def _raise_for(tool: str, what: str, code: int, err: str) -> None:
    if any(text in err for text in _NO_SPACE):
        raise exception.DiskFull(what=what)
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    reason = lines[-1].removeprefix(f'{tool}: ') if lines else f'it ended with code {code}'
    reason = _TEMP_NAME.sub(r'\1', _DIRECTORIES.sub('', reason))[:300]
    if code < 0:
        # SIGXCPU (24), or SIGKILL at the hard limit
        reason = f'it was ended by signal {-code}' + (', the limit of CPU time' if code in (-24, -9) else '')
    raise _failure(tool, what, reason)


def _failure(tool: str, what: str, reason: str) -> exception.ImageToolFailed:
    return exception.ImageToolFailed(f'{tool} failed on {what}: {reason}', what=what, reason=reason)
