"""At ten thousand servers each list is found by an index: no statement of it reads a whole table, but where the list is
the whole table, or a regular expression asks for it."""
from __future__ import annotations

import pytest

from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import actions, undecided
from tests.functional import plans
from tests.functional.api.client import Client
from tests.functional.plans import ident
from tests.functional.servers_fixtures import *  # noqa: F403

#: statements that a list may cost, at whatever size
MOST = 5
SINCE, BEFORE = 'changes-since=2026-01-02T02:00:00Z', 'changes-before=2026-01-02T00:10:00Z'
MARKER = f'marker={ident(1, 5001)}'
#: lists of servers, asked by a user of a small project, by one of the project that has half of all, and by the operator
OWN = ('', 'limit=20', 'status=ACTIVE', 'status=ERROR', 'status=REBOOT', 'status=SHUTOFF&limit=5', 'vm_state=error',
       'task_state=rebooting', 'reservation_id=r-00000007', f'image={ident(4, 7)}', 'flavor=7', 'user_id=u7', SINCE,
       BEFORE, f'{SINCE}&changes-before=2026-01-02T03:00:00Z', 'tags=t0', 'tags=t0,t1', 'tags-any=t0,t1', 'locked=true',
       'power_state=4', 'not-tags=t0', 'not-tags-any=t0', 'sort_key=display_name&sort_dir=asc', 'sort_dir=asc',
       'created_at=2026-01-01T00:00:07Z', 'all_tenants=0')
ALL = ('', 'limit=20', 'status=ERROR', 'host=c7', 'host=c7&status=ACTIVE', 'reservation_id=r-00000007', 'user_id=u7',
       f'image={ident(4, 7)}', 'flavor=7', f'uuid={ident(1, 7)}', 'project_id=p8', 'project_id=p8&status=ERROR',
       'tags=t0', 'tags-any=t0', 'deleted=true', 'task_state=rebooting', SINCE, f'limit=20&{MARKER}',
       'sort_key=created_at&sort_dir=asc&limit=20')
#: other lists, and the tables that they show as a whole, or nearly so
_SERVER, _HOSTS = f'/servers/{ident(1, 7)}', {'aggregates', 'aggregate_hosts'}
OTHERS: dict[str, set[str]] = {
    '/flavors/detail': {'flavors'}, '/flavors?limit=20': {'flavors'},     # MariaDB rather sorts two thousand
    '/flavors?limit=20&marker=500': set(),
    '/os-migrations': {'migrations'}, **{f'/os-migrations{query}': set() for query in (
        '?limit=20', f'?limit=20&marker={ident(6, 5000)}', '?status=running', f'?instance_uuid={ident(1, 7)}',
        '?host=c7', '?source_compute=c7', '?changes-since=2026-01-01T02:40:00Z', '?project_id=p8', '?user_id=u7')},
    **{f'{_SERVER}{part}': set() for part in (
        '', '/tags', '/migrations', '/os-instance-actions', '/os-instance-actions?limit=1',
        f'/os-instance-actions?{SINCE}', f'/os-instance-actions/req-{ident(7, 7)}')},
    '/os-keypairs': set(), '/os-keypairs?user_id=u7&limit=3': set(), '/os-keypairs?user_id=u7&marker=k7': set(),
    '/os-aggregates': _HOSTS, '/os-services': {'services', *_HOSTS}, '/os-services?host=c7': _HOSTS,
    '/os-hypervisors': {'compute_nodes', 'services'},
    '/os-hypervisors/detail': {'compute_nodes', 'services', 'allocations'}, '/os-hypervisors?limit=20': set(),
    '/os-hypervisors/detail?limit=20': {'allocations'},
    f'/os-hypervisors/{ident(3, 7)}?with_servers=true': {'allocations'}}


@pytest.fixture
def many(app, database, conf):
    CONF.set_override('max_limit', 1000, 'api')
    plans.fill()
    return app


def asked(client, path):
    """The tables that are read as a whole, and the statements that do it."""
    with plans.selects() as seen:
        client.get(path, version='2.104')
    assert 0 < len(seen) <= MOST, seen
    found = {}
    for statement, values in seen:
        for table in plans.scans(statement, values):
            found[table] = statement
    return found


def test_no_list_reads_a_whole_table(many):
    assert plans.scans('SELECT * FROM migrations WHERE memory_total = 7', ()) == {'migrations'}     # it would be seen
    small, large = Client(many, user='u8', project='p8'), Client(many, user='u7', project='demo')
    operator = Client(many)
    wrong = []
    paths = [(client, f'/servers?{query}', set()) for client in (small, large) for query in OWN]
    paths += [(operator, f'/servers?all_tenants=1&{query}', set()) for query in ALL]
    paths += [(operator, f'/servers/detail?all_tenants=1&{query}', {'services'}) for query in ALL[:3]]
    paths += [(large, f'/servers/detail?{query}', {'services'}) for query in OWN[:3]]
    for client, path, whole in [*paths, *((operator, path, whole) for path, whole in OTHERS.items())]:
        for table, statement in asked(client, path).items():
            if table not in whole:
                wrong.append(f'{client.headers["X-Project-Id"]} {path} scans {table}: {statement.partition("FROM")[2]}')
    assert not wrong, '\n\n'.join(wrong)


def test_what_is_looked_for_all_the_time(many):
    """Each few seconds, whether there is any or not."""
    def look(conn):
        assert not undecided.find(conn) and not actions.queued_at_hosts(conn)
    with plans.selects() as seen:
        session.write(look)
    assert seen and not [statement for statement, values in seen if plans.scans(statement, values)]
