"""Names of servers and of their hosts, passwords and reservation ids."""
from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string

from minicompute.conf import CONF

LONGEST_LABEL = 63
_GROUPS = ('23456789', 'ABCDEFGHJKLMNPQRSTUVWXYZ', 'abcdefghijkmnopqrstuvwxyz')   # without look-alikes


def reservation_id() -> str:
    return 'r-' + ''.join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def password(seed: bytes | None = None) -> str:
    """At least one of each group, in a random order; of one `seed`, which is to be a secret, always the same."""
    below = secrets.randbelow if seed is None else _Drawn(seed).below
    chars = [group[below(len(group))] for group in _GROUPS]
    every = ''.join(_GROUPS)
    chars += [every[below(len(every))] for _ in range(CONF.password_length - len(chars))]
    for place in range(len(chars) - 1, 0, -1):      # Fisher and Yates
        other = below(place + 1)
        chars[place], chars[other] = chars[other], chars[place]
    return ''.join(chars)


class _Drawn:
    """Numbers that only who has the seed can tell: each is 256 bits of a keyed hash, so that the remainder by a
    small number prefers none."""

    def __init__(self, seed: bytes) -> None:
        self._seed, self._count = seed, 0

    def below(self, bound: int) -> int:
        self._count += 1
        return int.from_bytes(hmac.digest(self._seed, self._count.to_bytes(8, 'big'), hashlib.sha256)) % bound


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
