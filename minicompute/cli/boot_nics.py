"""boot's --nic options to the body's networks."""

from __future__ import annotations

from typing import Any

from minicompute.cli import errors, lookup
from minicompute.cli.boot_devices import split

KEYS = ('net-id', 'net-name', 'port-id', 'v4-fixed-ip', 'v6-fixed-ip', 'tag')


def build(client: Any, words: list[str]) -> Any:
    """A list, 'auto', 'none', or (before 2.37, without --nic) None for nothing at all."""
    if not words:
        return 'auto' if client.at_least(37) else None
    special = [w for w in words if w in ('auto', 'none')]
    if special:
        if len(words) > 1:
            raise errors.UsageError(f"--nic {special[0]} can't go with another --nic")
        client.require(37, f'--nic {special[0]}')
        return special[0]
    return [_nic(client, word) for word in words]


def _nic(client: Any, word: str) -> dict[str, str]:
    given = split(word, '--nic', KEYS)
    if sum(key in given for key in ('net-id', 'net-name', 'port-id')) != 1:
        raise errors.UsageError(f"--nic takes one of net-id=, net-name= and port-id=: '{word}'")
    if 'v4-fixed-ip' in given and 'v6-fixed-ip' in given:
        raise errors.UsageError('--nic takes one of v4-fixed-ip= and v6-fixed-ip=')
    nic: dict[str, str] = {}
    if 'port-id' in given:
        nic['port'] = given['port-id']
    else:
        nic['uuid'] = given.get('net-id') or lookup.network(client, given['net-name'])['id']
    fixed = given.get('v4-fixed-ip') or given.get('v6-fixed-ip')
    if fixed:
        nic['fixed_ip'] = fixed
    if 'tag' in given:
        client.require(42, '--nic tag=')
        nic['tag'] = given['tag']
    return nic
