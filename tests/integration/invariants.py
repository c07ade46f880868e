"""What must hold once a stack is quiet, read from its database and its fake hosts."""
from __future__ import annotations

import pathlib
from typing import Any

import sqlalchemy as sa

from tests.integration.stack import Stack

#: rows that hold something for a server, by what a person would call it
HELD = {
    'claims': 'SELECT instance_uuid FROM allocations',
    'addresses': 'SELECT instance_uuid FROM ports WHERE instance_uuid IS NOT NULL',
    'disks': 'SELECT DISTINCT instance_uuid FROM block_device_mappings',
}


def rows(stack: Stack, query: str) -> list[Any]:
    engine = sa.create_engine(stack.database)
    try:
        with engine.connect() as conn:
            return list(conn.execute(sa.text(query)))
    finally:
        engine.dispose()


def places(stack: Stack) -> set[tuple[str, str]]:
    """(uuid, host) of all that fake hosts have, whether it runs or not."""
    found = set()
    for host in pathlib.Path(stack.state, 'fake-domains').glob('*'):
        found |= {(link.name, host.name) for link in host.iterdir() if not link.name.startswith('.')}
    return found


def plugged(stack: Stack) -> set[tuple[str, str, str]]:
    """(host, server, device) of what was plugged into guests while they were there: 'volume.<id>', 'vif.<id>'."""
    return {(link.parts[-4], link.parent.name, link.name)
            for link in pathlib.Path(stack.state, 'fake-domains').glob('*/.devices/*/*')
            if link.name.startswith(('volume.', 'vif.'))}


def recorded(stack: Stack) -> set[tuple[str, str]]:
    """(server, device) of what servers have by the records."""
    return {(row[0], f'volume.{row[1]}') for row in rows(
        stack, 'SELECT instance_uuid, volume_id FROM block_device_mappings WHERE volume_id IS NOT NULL')} | {
        (row[0], f'vif.{row[1]}') for row in rows(
            stack, 'SELECT instance_uuid, id FROM ports WHERE instance_uuid IS NOT NULL')}


def half_moves(stack: Stack) -> list[str]:
    """Room that hosts keep for servers that come, and copies that are under way."""
    return sorted(path.name for kind in ('live', 'room')
                  for path in pathlib.Path(stack.state, 'fake-domains').glob(f'*/.{kind}.*'))


def domains(stack: Stack) -> dict[str, str]:
    """{uuid: host}; a server that is on two hosts fails at once."""
    found: dict[str, str] = {}
    for uuid, host in sorted(places(stack)):
        assert uuid not in found, f'{uuid} is on {found[uuid]} and on {host}'
        found[uuid] = host
    return found


def problems(stack: Stack) -> dict[str, Any]:
    """Empty when nothing is left over and nothing is missing."""
    servers = rows(stack, 'SELECT uuid, host, vm_state, task_state FROM instances WHERE deleted = 0')
    placed = {row.uuid: row.host for row in servers if row.host}
    live = {row.uuid for row in servers}
    held = {name: [row[0] for row in rows(stack, query)] for name, query in HELD.items()}
    # A resized server that waits for its owner's word has what it needs to go back, on the other host.
    both = {row[0] for row in rows(stack, "SELECT instance_uuid FROM migrations WHERE status = 'finished'")}
    there, own, devices = places(stack), recorded(stack), plugged(stack)
    found = {
        'domains without a server': {(uuid, host) for uuid, host in there - set(placed.items()) if uuid not in both},
        'servers without a domain': set(placed.items()) - there,
        'half moves': half_moves(stack),
        'devices of no domain': {one for one in devices if (one[1], one[0]) not in there},
        'devices that the records do not have': {one for one in devices if one[1:] not in own},
        'volumes in between': [row[0] for row in rows(
            stack, "SELECT instance_uuid FROM block_device_mappings WHERE connection_info LIKE '%attaching%' "
            "OR connection_info LIKE '%detaching%' OR connection_info LIKE '%swapping%'")],
        'claims of nobody': set(held['claims']) - set(placed),
        'servers without a claim': set(placed) - set(held['claims']),
        'double claims': sorted({uuid for uuid in held['claims'] if held['claims'].count(uuid) > 1} - both),
        'addresses of nobody': set(held['addresses']) - live,
        'disks of nobody': set(held['disks']) - live,
        'locks': [row[0] for row in rows(stack, 'SELECT busy FROM instance_actions WHERE busy IS NOT NULL')],
        'actions that go on': [tuple(row) for row in rows(
            stack, "SELECT id, flow, state, step FROM instance_actions WHERE state NOT IN ('done', 'failed')")],
        'secrets in the journal': [row[0] for row in rows(
            stack, "SELECT id FROM instance_actions WHERE state = 'done' AND data LIKE '%admin_password%'")]}
    return {name: value for name, value in found.items() if value}
