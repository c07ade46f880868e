"""Which hosts have their servers in the directory where ours are: each leaves its name there when it starts.

Whose a server's disks are is said by the file `owner` beside them (disks.py), which changes hands when the server
moves. This is the second net, for when a host died before the change: disks here of a server that lives on a host which
sees the same directory are that server's, and no leftovers of ours.
"""
from __future__ import annotations

import os
from urllib.parse import quote

from minicompute.conf import CONF


def register() -> None:
    """Raises OSError."""
    path = _path(CONF.host)
    with open(path + '.new', 'w', encoding='utf-8') as file:
        file.write(CONF.host)
    os.replace(path + '.new', path)


def shares(host: str | None) -> bool:
    """Whether `host`, another one, has its servers in our directory. Raises OSError when the directory does not say."""
    if not host or host == CONF.host:
        return False
    try:
        os.stat(_path(host))
    except FileNotFoundError:
        return False
    return True


def _path(host: str) -> str:
    return os.path.join(CONF.instances_path, '.host-' + quote(host, safe=''))
