"""What this host is connected to: a NAT network must not take that away from it.

A user chooses the CIDR of a network; the host that runs its first server gets a route to it.  Were that the
network of the broker or of the database, the host would talk to guests instead.
"""
from __future__ import annotations

import ipaddress
import socket
import struct

ROUTES = '/proc/net/route'


def connected(path: str = ROUTES) -> list[tuple[str, ipaddress.IPv4Network]]:
    """(interface, network) of each IPv4 route but the default one."""
    found = []
    with open(path, encoding='ascii') as file:
        for line in file.readlines()[1:]:
            words = line.split()
            if len(words) > 7 and int(words[7], 16):
                network = ipaddress.IPv4Network((_dotted(words[1]), _dotted(words[7])), strict=False)
                found.append((words[0], network))
    return found


def collision(gateway: str, prefix: int, bridge: str, path: str = ROUTES) -> str | None:
    """The interface whose network a new one on `bridge` would overlap, if any."""
    wanted = ipaddress.IPv4Network((gateway, prefix), strict=False)
    return next((name for name, network in connected(path) if name != bridge and network.overlaps(wanted)), None)


def _dotted(word: str) -> str:
    """The kernel prints addresses as little-endian numbers."""
    return socket.inet_ntoa(struct.pack('<I', int(word, 16)))
