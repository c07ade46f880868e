"""Names of servers and of their hosts, passwords and reservation ids."""
from __future__ import annotations

import re
import secrets
import string

from minicompute.conf import CONF

LONGEST_LABEL = 63
_GROUPS = ('23456789', 'ABCDEFGHJKLMNPQRSTUVWXYZ', 'abcdefghijkmnopqrstuvwxyz')   # without look-alikes


def reservation_id() -> str:
    return 'r-' + ''.join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def password() -> str:
    """At least one of each group, in a random order."""
    chars = [secrets.choice(group) for group in _GROUPS]
    chars += [secrets.choice(''.join(_GROUPS)) for _ in range(CONF.password_length - len(chars))]
    secrets.SystemRandom().shuffle(chars)
    return ''.join(chars)


def display_name(name: str, place: int, count: int) -> str:
    """Servers of one request are told apart by their number."""
    if count == 1:
        return name
    tail = f'-{place + 1}'
    return name[:255 - len(tail)] + tail


def hostname(name: str, uuid: str) -> str:
    """One DNS label of a display name; 'Server-<uuid>' when nothing of it is left."""
    label = re.sub(r'[\s_.]', '-', name[:LONGEST_LABEL])
    label = re.sub(r'[^A-Za-z0-9-]', '', label).lower().strip('-')
    return label or f'Server-{uuid}'
