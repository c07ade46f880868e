"""Volumes that are files in NFS shares: mounted once, below [libvirt] nfs_mount_point_base, and looked at before use.

What such a file holds was written by strangers. QEMU is told its format; of a qcow2 one the header is read here first,
as it may name other files: Cinder's snapshots leave a chain of them, all in the share itself.
"""
from __future__ import annotations

import hashlib
import os
import re
import subprocess
import threading

from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF

LOG = logging.getLogger(__name__)

MOUNT_TIMEOUT = 60
#: files that a chain of snapshots may have
LONGEST_CHAIN = 256
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,250}')
_EXPORT = re.compile(r'[^\s:,]+:/[^\s,]*|\[[0-9a-fA-F:]+\]:/[^\s,]*')
_MAGIC, _BACKING_FORMAT, _EXTERNAL_DATA = b'QFI\xfb', 0xE2792ACA, 1 << 2
_HEAD = 1 << 16
#: one for each share: a server that does not answer keeps nobody from the others
_mounting: dict[str, threading.Lock] = {}


def directory_of(export: str) -> str:
    """Cinder's name for the place of a share: the same share may be mounted for it already."""
    name = hashlib.md5(export.encode(), usedforsecurity=False).hexdigest()
    return os.path.join(CONF.libvirt.nfs_mount_point_base, name)


def path_of(export: str, name: str) -> str:
    """Raises ValueError."""
    if not _EXPORT.fullmatch(export):
        raise ValueError('export')
    if not _NAME.fullmatch(name):
        raise ValueError('name')
    return os.path.join(directory_of(export), name)


def ready(export: str, options: str | None, path: str, form: str) -> None:
    """The file can be given to QEMU. Raises InvalidVolume, VolumeLost."""
    mount(export, options)
    if not os.path.isfile(path) or os.path.islink(path):
        LOG.error('%s is no file in the share %s', path, export)
        raise exception.InvalidVolume(reason=f'{os.path.basename(path)} is no file in its share')
    if form == 'qcow2':
        check_chain(path)


def mount(export: str, options: str | None) -> None:
    """Raises InvalidVolume, which tenants read: what the share is and what mount(8) said is for the log."""
    where = directory_of(export)
    with _mounting.setdefault(where, threading.Lock()):
        if is_mounted(where):
            return
        os.makedirs(where, mode=0o755, exist_ok=True)
        more = [part for part in (options or '', CONF.libvirt.nfs_mount_options or '') if part]
        given = ['-o', ','.join(part.removeprefix('-o').strip() for part in more)] if more else []
        try:
            done = subprocess.run(['mount', '-t', 'nfs', *given, '--', export, where], capture_output=True, text=True,
                                  timeout=MOUNT_TIMEOUT, check=False, stdin=subprocess.DEVNULL)
            said = '' if done.returncode == 0 else ' '.join(done.stderr.split()) or f'it ended with {done.returncode}'
        except (OSError, subprocess.TimeoutExpired) as error:
            said = 'mount did not end' if isinstance(error, subprocess.TimeoutExpired) else str(error)
    if said:
        LOG.error('The share %s cannot be mounted at %s: %s', export, where, said)
        raise exception.InvalidVolume(reason='this host cannot reach the share where the volume is')


def is_mounted(where: str) -> bool:
    """Without a look at the place itself, which may be a share that does not answer."""
    directory, name = os.path.split(where)
    real = os.path.join(os.path.realpath(directory), name)
    with open('/proc/mounts', encoding='utf-8', errors='surrogateescape') as mounts:
        return any(_plain(line.split()[1]) == real for line in mounts)


def _plain(text: str) -> str:
    """/proc/mounts writes spaces and the like in octal."""
    return re.sub(r'\\([0-7]{3})', lambda found: chr(int(found[1], 8)), text)


def check_chain(path: str) -> None:
    """All that QEMU opens for this qcow2 file lies beside it, in formats that are said. Raises InvalidVolume."""
    directory, name = os.path.split(path)
    for _ in range(LONGEST_CHAIN):
        below, form = _below(os.path.join(directory, name))
        if below is None:
            return
        if os.path.dirname(below) not in ('', directory) or not _NAME.fullmatch(os.path.basename(below)):
            raise _refused(name, 'its backing file is not in the share')
        if form not in ('raw', 'qcow2'):
            raise _refused(name, 'its header does not say the format of its backing file')
        name = os.path.basename(below)
        if os.path.islink(os.path.join(directory, name)) or not os.path.isfile(os.path.join(directory, name)):
            raise _refused(name, 'it is no file')
        if form == 'raw':
            return
    raise _refused(name, 'its chain of backing files does not end')


def format_of(path: str, above: str) -> str:
    """Of a file of the chain of `above`, as the file over it says. Raises InvalidVolume when it is not in there."""
    directory, name = os.path.split(above)
    for _ in range(LONGEST_CHAIN):
        below, form = _below(os.path.join(directory, name))
        if below is None or form is None:
            break
        if os.path.basename(below) == os.path.basename(path):
            return form
        if form == 'raw':
            break
        name = os.path.basename(below)
    raise _refused(os.path.basename(path), 'it is not in the chain')


def _below(path: str) -> tuple[str | None, str | None]:
    """-> (backing file, its format) of a qcow2 file."""
    name = os.path.basename(path)
    with open(path, 'rb') as file:
        head = file.read(_HEAD)
    if head[:4] != _MAGIC or len(head) < 72:
        raise _refused(name, 'it is not the qcow2 file that it is said to be')
    version, offset, length = _number(head, 4, 4), _number(head, 8, 8), _number(head, 16, 4)
    if _number(head, 32, 4):
        raise _refused(name, 'it is encrypted')
    size = _number(head, 100, 4) if version >= 3 else 72
    if version >= 3 and _number(head, 72, 8) & _EXTERNAL_DATA:
        raise _refused(name, 'its data are in another file')
    if not offset:
        return None, None
    if not 0 < length <= 1023 or offset + length > len(head):
        raise _refused(name, 'its header is broken')
    form, place = None, size
    while place + 8 <= len(head):
        kind, more = _number(head, place, 4), _number(head, place + 4, 4)
        if kind == 0:
            break
        if kind == _BACKING_FORMAT:
            form = head[place + 8:place + 8 + more].decode('ascii', 'replace')
        place += 8 + -(-more // 8) * 8
    return head[offset:offset + length].decode('utf-8', 'replace'), form


def _number(head: bytes, offset: int, size: int) -> int:
    return int.from_bytes(head[offset:offset + size], 'big')


def _refused(name: str, reason: str) -> exception.InvalidVolume:
    return exception.InvalidVolume(reason=f'{name}: {reason}')
