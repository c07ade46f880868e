"""169.254.169.254 for the guests of a bridge, and for nobody else.

No interface of the host gets the address: a host that is itself a guest of some cloud needs it to be that of the other
cloud. Instead a routing rule makes packets that come in by the bridge local, and a socket that is bound to the bridge
takes them.
"""
from __future__ import annotations

import json
import re
import socket
import subprocess

from minicompute import exception

ADDRESS, PORT = '169.254.169.254', 80
#: our routing table, and the priority of our rules: before the main table's 32766
TABLE = PRIORITY = '16925'
_TIMEOUT = 20
_BRIDGE = re.compile(r'[A-Za-z0-9_.-]{1,15}')


def capture(bridge: str) -> None:
    """What its guests send to the address does not leave this host, whoever listens: a host that is itself a guest of
    some cloud would else hand out to them what that cloud tells the host. Raises InternalError."""
    if not _BRIDGE.fullmatch(bridge):
        raise exception.InternalError(reason=f'{bridge!r} cannot be a bridge')
    _ip('route', 'replace', 'local', f'{ADDRESS}/32', 'dev', 'lo', 'table', TABLE)
    if bridge not in rules():
        try:
            _ip('rule', 'add', 'iif', bridge, 'to', f'{ADDRESS}/32', 'lookup', TABLE, 'priority', PRIORITY)
        except exception.InternalError:
            if bridge not in rules():   # else another thread, or another compute, was faster
                raise


def listen(bridge: str) -> socket.socket:
    """A listening socket for what guests of the bridge send to the address. Raises OSError, InternalError."""
    capture(bridge)
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # It may answer from an address that the host does not have.
        made.setsockopt(socket.SOL_IP, getattr(socket, 'IP_TRANSPARENT', 19), 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, bridge.encode() + b'\0')
        made.bind((ADDRESS, PORT))
        made.listen(64)
    except OSError:
        made.close()
        raise
    return made


def rules() -> set[str]:
    """The bridges that have a rule of ours."""
    found = json.loads(_ip('-j', 'rule', 'show', 'priority', PRIORITY) or '[]')
    return {rule['iif'] for rule in found if 'iif' in rule}


def forget(bridge: str) -> None:
    """Take the rule of a bridge that has gone."""
    if _BRIDGE.fullmatch(bridge) and bridge in rules():
        _ip('rule', 'del', 'iif', bridge, 'to', f'{ADDRESS}/32', 'lookup', TABLE, 'priority', PRIORITY)


def index(bridge: str) -> int | None:
    """The kernel's number of a bridge, None for one that is not there. One that goes and comes again has another, and
    a socket that was bound to the old one hears nothing."""
    try:
        return socket.if_nametoindex(bridge)
    except OSError:
        return None


def exists(bridge: str) -> bool:
    return index(bridge) is not None


def mac_of(bridge: str, address: str, path: str = '/proc/net/arp') -> str | None:
    """The card that the kernel speaks to when it answers `address` on the bridge."""
    with open(path, encoding='ascii') as file:
        for line in file.readlines()[1:]:
            words = line.split()
            if len(words) == 6 and words[0] == address and words[5] == bridge:
                return words[3].lower()
    return None


def _ip(*words: str) -> str:
    flags = [word for word in words if word.startswith('-')]
    rest = [word for word in words if not word.startswith('-')]
    try:
        done = subprocess.run(['ip', '-4', *flags, *rest], capture_output=True, text=True, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise exception.InternalError(reason=f'ip {" ".join(rest)}: {error}') from None
    if done.returncode:
        raise exception.InternalError(reason=f'ip {" ".join(rest)}: {done.stderr.strip()[:300]}')
    return done.stdout
