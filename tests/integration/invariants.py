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


def domains(stack: Stack) -> dict[str, str]:
    """{uuid: host}; a server that runs twice fails at once."""
    found: dict[str, str] = {}
    for host in sorted(pathlib.Path(stack.state, 'fake-domains').glob('*')):
        for link in host.iterdir():
            if not link.name.startswith('.'):
                assert link.name not in found, f'{link.name} runs on {found[link.name]} and on {host.name}'
                found[link.name] = host.name
    return found


def problems(stack: Stack) -> dict[str, Any]:
    """Empty when nothing is left over and nothing is missing."""
    servers = rows(stack, 'SELECT uuid, host, vm_state, task_state FROM instances WHERE deleted = 0')
    placed = {row.uuid: row.host for row in servers if row.host}
    live = {row.uuid for row in servers}
    held = {name: [row[0] for row in rows(stack, query)] for name, query in HELD.items()}
    found = {
        'domains without a server': set(domains(stack).items()) - set(placed.items()),
        'servers without a domain': set(placed.items()) - set(domains(stack).items()),
        'claims of nobody': set(held['claims']) - set(placed),
        'servers without a claim': set(placed) - set(held['claims']),
        'double claims': len(held['claims']) - len(set(held['claims'])),
        'addresses of nobody': set(held['addresses']) - live,
        'disks of nobody': set(held['disks']) - live,
        'locks': [row[0] for row in rows(stack, 'SELECT busy FROM instance_actions WHERE busy IS NOT NULL')],
        'actions that go on': [tuple(row) for row in rows(
            stack, "SELECT id, flow, state, step FROM instance_actions WHERE state NOT IN ('done', 'failed')")],
        'secrets in the journal': [row[0] for row in rows(
            stack, "SELECT id FROM instance_actions WHERE state = 'done' AND data LIKE '%admin_password%'")]}
    return {name: value for name, value in found.items() if value}
