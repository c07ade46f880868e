"""The serial console of a guest, as virtlogd wrote it: `console.log`, and its older part in `console.log.0`.

The guest decides what is in there and how much, so it is read from the end and to a bound.
"""
from __future__ import annotations

import os

from minicompute.conf import CONF


def tail(directory: str, lines: int | None) -> str:
    """The last `lines` lines (None or negative: as much as one answer may hold)."""
    most = CONF.serial_console.log_max_bytes
    path = os.path.join(directory, 'console.log')
    data = last_bytes(path, most)
    if len(data) < most:
        data = last_bytes(f'{path}.0', most - len(data)) + data
    text = data.decode('utf-8', errors='replace')
    if lines is None or lines < 0:
        return text
    kept = text.splitlines(keepends=True)
    return ''.join(kept[len(kept) - min(lines, len(kept)):])


def last_bytes(path: str, most: int) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return b''
    with os.fdopen(handle, 'rb') as reader:
        size = reader.seek(0, os.SEEK_END)
        reader.seek(max(0, size - most))
        return reader.read(most)
