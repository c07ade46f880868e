"""Builds a config drive: a small ISO 9660 or VFAT disk with the label `config-2`.

The files are those of `virt.metadata`; the tools come from the distribution,
whichever of genisoimage, mkisofs and xorriso is there.
"""
from __future__ import annotations

import os
import re
import shutil
import tempfile

from minicompute import exception
from minicompute.version import __version__
from minicompute.virt.images import Limits, published, run_tool

LABEL = 'config-2'
MAX_SIZE = 64 * 1024 * 1024
FORMATS = ('iso9660', 'vfat')

_LIMITS = Limits(1024 ** 3, 60, 120)
# Only names that every tool and file system takes as they are.
_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9._-]{0,63}')
_MAX_DEPTH = 8
_CLUSTER = 4096     # the most that a small file wastes
_ISO_TOOLS = (['genisoimage', '-quiet'], ['mkisofs', '-quiet'], ['xorriso', '-as', 'mkisofs', '-quiet'])


def build(path: str, files: dict[str, bytes], fmt: str = 'iso9660') -> None:
    """Write the drive with these files ({relative path: content}) to `path`, mode 0600.

    It is there whole or not at all; an older one is replaced.  Raises
    `InvalidInput` for a path that is not safe or content that is too much,
    `ConfigurationError` when the host has no tool, and what `virt.images` raises.
    """
    if fmt not in FORMATS:
        raise exception.InvalidInput(reason=f'the format of a config drive is iso9660 or vfat, not {fmt!r}')
    _check(files)
    # Beside the drive, whose directory goes with the server: the tree holds secrets, and a kill leaves it.
    directory = os.path.dirname(path)
    with tempfile.TemporaryDirectory(prefix='.config-', dir=directory) as tree, published(path, 0o600) as temp:
        _write(tree, files)
        # The drive has secrets: nobody may read it while it is made, either.
        os.close(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        if fmt == 'iso9660':
            _make_iso(tree, temp, os.path.basename(path))
        else:
            _make_vfat(tree, temp, os.path.basename(path))


def _check(files: dict[str, bytes]) -> None:
    total = 0
    for path, content in files.items():
        parts = path.split('/')
        if len(parts) > _MAX_DEPTH or not all(_NAME.fullmatch(part) for part in parts):
            raise exception.InvalidInput(reason=f'{path!r} cannot be the name of a file on a config drive')
        total += len(content) + _CLUSTER
    if total > MAX_SIZE - MAX_SIZE // 16:
        raise exception.InvalidInput(
            reason=f'the config drive would be larger than {MAX_SIZE // 1024 ** 2} MiB')
    for path in files:
        if any(other.startswith(path + '/') for other in files):
            raise exception.InvalidInput(reason=f'{path!r} cannot be a file and a directory')


def _write(tree: str, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        full = os.path.join(tree, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'xb') as file:
            file.write(content)


def _make_iso(tree: str, temp: str, what: str) -> None:
    for tool in _ISO_TOOLS:
        if shutil.which(tool[0]):
            break
    else:
        raise exception.ConfigurationError(
            reason='a config drive needs genisoimage, mkisofs or xorriso on this host: install one of them')
    # Rock Ridge for Linux, Joliet with long names for Windows.
    run_tool([*tool, '-J', '-joliet-long', '-r', '-V', LABEL, '-publisher', f'minicompute {__version__}',
              '-o', temp, tree], what, _LIMITS)


def _make_vfat(tree: str, temp: str, what: str) -> None:
    if not shutil.which('mcopy'):
        raise exception.ConfigurationError(
            reason='a config drive of vfat needs mcopy on this host: install mtools')
    os.truncate(temp, MAX_SIZE)
    run_tool(['mkfs.vfat', '-I', '-n', LABEL, temp], what, _LIMITS)
    entries = [os.path.join(tree, name) for name in sorted(os.listdir(tree))]
    if entries:
        run_tool(['mcopy', '-s', '-Q', '-i', temp, *entries, '::/'], what, _LIMITS)
