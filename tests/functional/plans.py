"""How a database means to answer: the plans of the statements of a request, and ten thousand rows to plan for."""
from __future__ import annotations

import contextlib
import datetime
import json
import uuid
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from minicompute.db import session
from minicompute.db.models import (
    aggregate_hosts,
    aggregates,
    compute_nodes,
    flavors,
    instance_actions,
    instance_actions_events,
    instances,
    key_pairs,
    metadata,
    migrations,
    services,
    tags,
)
from tests.functional.counting import told

SERVERS, GONE, HOSTS = 10_000, 1_000, 1_000
BEGIN = datetime.datetime(2026, 1, 1)
FLAVOR = {'flavorid': '1', 'name': 'f', 'vcpus': 1, 'memory_mb': 1, 'root_gb': 1, 'ephemeral_gb': 0, 'swap': 0,
          'rxtx_factor': 1.0, 'is_public': True, 'disabled': False, 'extra_specs': {}}


def ident(kind: int, number: int) -> str:
    return str(uuid.UUID(int=kind << 64 | number))


def fill() -> None:
    """Half of the servers are `demo`'s, the other half of fifty small projects."""
    session.write(_fill)
    with session.engine().connect().execution_options(isolation_level='AUTOCOMMIT') as conn:
        for table in metadata.sorted_tables:
            conn.exec_driver_sql(
                f'ANALYZE {"TABLE " if conn.dialect.name == "mysql" else ""}{table.name}')


def _fill(conn: sa.Connection) -> None:
    servers = [_server(number) for number in range(SERVERS + GONE)]
    rows: dict[sa.Table, list[dict[str, Any]]] = {
        instances: servers,
        tags: [{'resource_id': ident(1, number), 'tag': f't{number % 7}'} for number in range(0, SERVERS, 10)],
        flavors: [{**FLAVOR, 'flavorid': str(n), 'name': f'f{n}', 'memory_mb': n + 1, 'created_at': BEGIN}
                  for n in range(2000)],
        services: [{'uuid': ident(2, n), 'host': f'c{n}', 'binary': 'nova-compute', 'version': 1, 'created_at': BEGIN,
                    'last_seen_up': session.utcnow()} for n in range(HOSTS)],
        compute_nodes: [{
            'uuid': ident(3, n), 'host': f'c{n}', 'hypervisor_hostname': f'c{n}', 'vcpus': 8, 'memory_mb': 8192,
            'local_gb': 100, 'hypervisor_type': 'fake', 'hypervisor_version': 1, 'host_ip': '10.0.0.1', 'uptime': 'up',
            'reserved_vcpus': 0, 'reserved_memory_mb': 0, 'reserved_disk_gb': 0,
            'cpu_allocation_ratio': 4.0, 'ram_allocation_ratio': 1.0, 'disk_allocation_ratio': 1.0,
            'created_at': BEGIN} for n in range(HOSTS)],
        key_pairs: [{'user_id': f'u{n % 500}', 'name': f'k{n}', 'type': 'ssh', 'fingerprint': 'f', 'public_key': 'p',
                     'created_at': BEGIN} for n in range(5000)],
        migrations: [_migration(n) for n in range(SERVERS)],
        instance_actions: [_action(n) for n in range(2 * SERVERS)],
        aggregates: [{'uuid': ident(5, n), 'name': f'a{n}', 'created_at': BEGIN} for n in range(200)]}
    for table, some in rows.items():
        for start in range(0, len(some), 1000):
            conn.execute(table.insert(), some[start:start + 1000])
    some_aggregates = list(conn.scalars(sa.select(aggregates.c.id)))
    conn.execute(aggregate_hosts.insert(), [
        {'aggregate_id': some_aggregates[n % 200], 'host': f'c{n}'} for n in range(HOSTS)])
    some_actions = list(conn.scalars(sa.select(instance_actions.c.id)))
    for start in range(0, len(some_actions), 1000):
        conn.execute(instance_actions_events.insert(), [
            {'action_id': one, 'event': 'spawn', 'start_time': BEGIN} for one in some_actions[start:start + 1000]])


def _server(number: int) -> dict[str, Any]:
    state = {0: 'error', 1: 'stopped'}.get(number % 50, 'active')
    when = BEGIN + datetime.timedelta(seconds=number)
    return {
        'uuid': ident(1, number), 'project_id': 'demo' if number % 2 else f'p{number % 100}',
        'user_id': f'u{number % 500}', 'reservation_id': f'r-{number:08d}', 'display_name': f'vm{number % 997}',
        'hostname': f'vm{number}', 'image_ref': ident(4, number % 100), 'flavorid': str(number % 40), 'flavor': FLAVOR,
        'vm_state': state, 'task_state': 'rebooting' if number % 100 == 7 else None, 'host': f'c{number % HOSTS}',
        'node': f'c{number % HOSTS}', 'power_state': 1, 'network_info': [], 'metadata': {}, 'created_at': when,
        'updated_at': when + datetime.timedelta(days=1), 'launched_at': when, 'locked': number % 1000 == 3,
        'key_name': f'k{number % 500}', 'deleted': number if number >= SERVERS else 0}


def _migration(number: int) -> dict[str, Any]:
    when = BEGIN + datetime.timedelta(seconds=number)
    return {'uuid': ident(6, number), 'instance_uuid': ident(1, number % SERVERS), 'migration_type': 'migration',
            'status': 'running' if number % 1000 == 5 else 'completed', 'source_compute': f'c{number % HOSTS}',
            'dest_compute': f'c{(number + 1) % HOSTS}', 'project_id': 'demo' if number % 2 else f'p{number % 100}',
            'user_id': f'u{number % 500}', 'created_at': when, 'updated_at': when}


def _action(number: int) -> dict[str, Any]:
    when = BEGIN + datetime.timedelta(seconds=number)
    return {'action': 'create', 'flow': 'build', 'instance_uuid': ident(1, number % SERVERS),
            'request_id': f'req-{ident(7, number)}', 'state': 'done', 'generation': 0, 'cancel': False, 'attempts': 0,
            'user_id': 'u1', 'project_id': 'demo', 'start_time': when, 'updated_at': when}


# -- plans ---------------------------------------------------------------------------------

@contextlib.contextmanager
def selects() -> Iterator[list[tuple[str, Any]]]:
    """The SELECTs that are sent meanwhile, each with its values as the driver gets them."""
    found: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        if statement.lstrip().upper().startswith('SELECT ') and 'FROM ' in statement:
            found.append((statement, values))
    with told('before_cursor_execute', note):
        yield found


def scans(statement: str, values: Any) -> set[str]:
    """The tables that the database means to read as a whole."""
    with session.read() as conn:
        return {'sqlite': _sqlite, 'mysql': _mysql, 'postgresql': _postgresql}[conn.dialect.name](
            conn, statement, values)


def _sqlite(conn: sa.Connection, statement: str, values: Any) -> set[str]:
    lines = [row[3] for row in conn.exec_driver_sql(f'EXPLAIN QUERY PLAN {statement}', values)]
    if ' LIMIT ' in statement and not any('ORDER BY' in line for line in lines):
        return set()        # in the order of its primary key, as far as the limit
    return {line.split()[1] for line in lines if line.startswith('SCAN ') and 'INDEX' not in line} & NAMES


def _mysql(conn: sa.Connection, statement: str, values: Any) -> set[str]:
    return {row.table for row in conn.exec_driver_sql(f'EXPLAIN {statement}', values) if row.type == 'ALL'} & NAMES


def _postgresql(conn: sa.Connection, statement: str, values: Any) -> set[str]:
    # What it reads as a whole then, it has no other way to read: the tables are small enough to be scanned anyway.
    conn.exec_driver_sql('SET enable_seqscan = off')
    found = conn.exec_driver_sql(f'EXPLAIN (FORMAT JSON) {statement}', values).scalar_one()
    conn.exec_driver_sql('RESET enable_seqscan')
    (plan,) = json.loads(found) if isinstance(found, str) else found
    return set(_sequential(plan['Plan']))


def _sequential(node: dict[str, Any]) -> Iterator[str]:
    if node['Node Type'] == 'Seq Scan':
        yield node['Relation Name']
    for inner in node.get('Plans', ()):
        yield from _sequential(inner)


NAMES = frozenset(metadata.tables)
