"""Which hosts have their servers in the directory where ours are: each leaves a marker there when it starts.

Whose a server's disks are is said by the file `owner` beside them (disks.py), which changes hands when the server
moves. This is the second net, for when a host died before the change: disks here of a server that lives on a host which
sees the same directory are that server's, and no leftovers of ours.

    .host-<name>   {"host", "directory": its inode, "token": made here, "knows": {other host: the token of its marker}}

A directory that came here as a copy (with an image of a host, or by a restore) has markers of hosts that do not see it,
whose "directory" is another one. Whom to believe with more than leftovers is a host whose marker knows the token of
ours: it has read it here.
"""
from __future__ import annotations

import json
import os
import uuid
from typing import Any
from urllib.parse import quote, unquote

from minicompute.conf import CONF

_PREFIX = '.host-'
#: what the markers were when we looked last: {name: when it was written, ns}
_seen: dict[str, int] = {}


def register() -> None:
    """Leave our marker, with what the others' say. Raises OSError."""
    refresh(anew=True)


def refresh(*, anew: bool = False) -> None:
    """Note new markers of others in ours, so that they may believe us. `anew`: our own may be of another directory, or
    of an earlier version, even if nobody else is there. Raises OSError."""
    found = _times()
    mine = _PREFIX + quote(CONF.host, safe='')
    others = {name: time for name, time in found.items() if name != mine}
    if mine in found and others == _seen and not anew:
        return
    before, directory = _read(CONF.host) or {}, _directory()
    kept = before.get('directory') == directory
    knows = {}
    for name in others:
        host = unquote(name[len(_PREFIX):])
        said = _read(host)
        if said and said.get('directory') == directory:
            knows[host] = said.get('token')
    made = {'host': CONF.host, 'directory': directory, 'knows': knows,
            'token': (before.get('token') if kept else None) or uuid.uuid4().hex}
    if made != before:
        _write(made)
    _seen.clear()
    _seen.update(others)


def shares(host: str | None) -> bool:
    """Whether `host`, another one, may have its servers in our directory. Raises OSError when the directory does not
    say."""
    if not host or host == CONF.host:
        return False
    said = _read(host)
    return said is not None and said.get('directory', _directory()) == _directory()


def known_apart(host: str) -> bool:
    """Whether the marker of `host` that is here is that of another directory: ours is a copy of it. Raises OSError."""
    said = _read(host)
    return said is not None and said.get('directory', _directory()) != _directory()


def knows_us(host: str) -> bool:
    """Whether `host` has seen our marker where it has its servers; one of an earlier version could not say so. Raises
    OSError."""
    if not shares(host):
        return False
    said, mine = _read(host) or {}, _read(CONF.host) or {}
    return 'token' not in said or (said.get('knows') or {}).get(CONF.host, '') == mine.get('token')


def _directory() -> int:
    return os.stat(CONF.instances_path).st_ino


def _times() -> dict[str, int]:
    with os.scandir(CONF.instances_path) as entries:
        return {entry.name: entry.stat().st_mtime_ns for entry in entries
                if entry.name.startswith(_PREFIX) and not entry.name.endswith('.new')}


def _read(host: str) -> dict[str, Any] | None:
    """None: there is no marker. One of an earlier version says nothing but that it is there."""
    try:
        with open(_path(host), encoding='utf-8') as file:
            said = json.load(file)
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _write(marker: dict[str, Any]) -> None:
    path = _path(CONF.host)
    with open(path + '.new', 'w', encoding='utf-8') as file:
        json.dump(marker, file)
    os.replace(path + '.new', path)


def _path(host: str) -> str:
    return os.path.join(CONF.instances_path, _PREFIX + quote(host, safe=''))
