"""Which hosts have their servers in the directory where ours are: each leaves a marker there when it starts.

Whose a server's disks are is said by the file `owner` beside them (disks.py), which changes hands when the server
moves. This is the second net, for when a host died before the change: disks here of a server that lives on a host which
sees the same directory are that server's, and no leftovers of ours.

    .host-<name>   {"host", "directory": its inode, "mount": where from, "token": made here,
                    "knows": {other host: the token of its marker}}

A directory that came here as a copy (with an image of a host, or by a restore) has markers of hosts that do not see it,
whose "directory" is another one; but a copy of the blocks below it is the same in that, too. Whom to believe with more
than leftovers (`proven`) is a host whose marker knows the token of ours: it has read it here, as the token is made anew
wherever we may have come to another copy. Or one that such a host has met: so a host that joined the others when one of
them was lost already is believed as soon as one that lives has noticed it.
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
    before, directory, mount = _read(CONF.host) or {}, _directory(), _mount()
    kept = before.get('directory') == directory and before.get('mount', mount) == mount
    knows = {}
    for name in others:
        host = unquote(name[len(_PREFIX):])
        said = _read(host)
        if said and said.get('directory') == directory:
            knows[host] = said.get('token')
    made = {'host': CONF.host, 'directory': directory, 'mount': mount, 'knows': knows,
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


def proven(host: str) -> bool:
    """Whether it is sure that `host` has its servers in this very directory: it has read our marker where they are, or
    that of one whom we know in that way and who has read its own. One of an earlier version cannot prove it. Raises
    OSError."""
    mine = _read(CONF.host)
    if not shares(host) or mine is None or mine.get('mount') != _mount():
        return False    # mounted over since we started: what others know of us is not of this one
    names = [unquote(name[len(_PREFIX):]) for name in _times()]
    markers = {name: found for name in names if (found := _read(name)) and found.get('directory') == _directory()}
    markers[CONF.host] = {**mine, 'knows': {name: found.get('token') for name, found in markers.items()}}
    met, news = {CONF.host}, [CONF.host]
    while news:
        one = news.pop()
        others = [other for other in markers if other not in met and _have_met(markers, one, other)]
        met.update(others)
        news += others
    return host in met


def _have_met(markers: dict[str, dict[str, Any]], one: str, other: str) -> bool:
    """Whether each has read the marker of the other as it is now."""
    return all(markers[a].get('token') and (markers[b].get('knows') or {}).get(a) == markers[a].get('token')
               for a, b in ((one, other), (other, one)))


def _directory() -> int:
    return os.stat(CONF.instances_path).st_ino


def _mount() -> str:
    """Another one after each start of the machine, as it may have been given a copy then, and on another device."""
    with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as file:
        return f'{file.read().strip()} {os.stat(CONF.instances_path).st_dev}'


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
