from __future__ import annotations

import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute import exception, servicegroup
from minicompute.db import models, session
from minicompute.db.api import compute_nodes
from tests.functional.counting import told
from tests.unit.scheduler.support import node, store

pytestmark = pytest.mark.usefixtures('database')


def test_a_report_is_written_once_a_uuid_and_keeps_what_the_database_decides() -> None:
    first = store(node('a'))['a']
    session.write(compute_nodes.bump_failed_builds, ['a'])
    again = session.write(compute_nodes.upsert, node('a', memory_mb=1, traits=['T'], failed_builds=0))
    with session.read() as conn:
        found = compute_nodes.get(conn, first)
        assert again == first and (found.memory_mb, found.traits, found.failed_builds) == (1, ['T'], 1)
        assert compute_nodes.get(conn, found.uuid) == found
        with pytest.raises(exception.ComputeHostNotFound):
            compute_nodes.get(conn, 'nobody')


def test_a_uuid_does_not_move_to_another_host() -> None:
    store(node('a'))
    other = node('a')
    other.host = 'b'
    with pytest.raises(exception.Conflict, match='belongs to host a'):
        session.write(compute_nodes.upsert, other)


def test_failed_builds() -> None:
    at = store(node('a'))['a']
    for _ in range(2):
        session.write(compute_nodes.bump_failed_builds, ['a'])
    with session.read() as conn:
        assert compute_nodes.get(conn, at).failed_builds == 2
    session.write(compute_nodes.reset_failed_builds, ['a'])
    with session.read() as conn:
        assert compute_nodes.get(conn, at).failed_builds == 0
        moved = dict(compute_nodes.changed_since(conn, datetime.datetime(2000, 1, 1)))[at]
    session.write(compute_nodes.reset_failed_builds, ['a'])
    with session.read() as conn:
        assert dict(compute_nodes.changed_since(conn, moved)) == {at: moved}, 'nothing to forget, nothing written'


def test_only_services_that_matter_are_read() -> None:
    store(*(node(host) for host in ('up', 'late', 'forced', 'disabled')))
    with session.read() as conn:
        now = session.now(conn)

    def set_up(conn: object) -> None:
        for host, values in (('late', {'last_seen_up': now - datetime.timedelta(seconds=90)}),
                             ('forced', {'forced_down': True}), ('disabled', {'disabled': True})):
            conn.execute(models.services.update().where(models.services.c.host == host).values(values))  # type: ignore
    session.write(set_up)
    with session.read() as conn:
        known = compute_nodes.services_to_know(conn, 0, now - datetime.timedelta(seconds=60))
        assert {(s.host, s.disabled, s.down) for s in known} == {
            ('up', False, False), ('late', False, True), ('forced', False, True), ('disabled', True, False)}
        last = max(s.id for s in known)
        later = compute_nodes.services_to_know(conn, last, now - datetime.timedelta(seconds=60))
        assert {s.host for s in later} == {'late', 'forced', 'disabled'}


def stamps() -> dict[str, datetime.datetime]:
    with session.read() as conn:
        return {row.host: row.changed_at for row in conn.execute(models.compute_nodes.select())}


def test_reports_that_say_nothing_new_write_nothing() -> None:
    many = [node(f'h{number}', cpu_allocation_ratio=0.7) for number in range(3)]
    store(*many)
    before = stamps()
    written: list[str] = []

    def watch(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(('UPDATE', 'INSERT')):
            written.append(statement)
    with told('before_cursor_execute', watch):
        assert session.write(compute_nodes.upsert_many, many) == []
    assert not written and stamps() == before
    many[1].uptime, many[2].memory_mb = 'up 2 days', 9999
    session.write(compute_nodes.upsert_many, many)
    after = stamps()
    assert after['h1'] == before['h1'], 'schedulers do not read how long a host is up'
    assert after['h2'] > before['h2'] and after['h0'] == before['h0']
    with session.read() as conn:
        found = {n.host: n for n, _ in compute_nodes.load(conn)}
    assert found['h1'].uptime == 'up 2 days' and found['h2'].memory_mb == 9999


def test_one_that_is_refused_holds_up_no_other() -> None:
    store(node('a'))
    stolen, fresh = node('a'), node('b')
    stolen.host = 'thief'
    refusals = session.write(compute_nodes.upsert_many, [stolen, fresh])
    assert ['belongs to host a' in str(refusal) for refusal in refusals] == [True]
    assert set(stamps()) == {'a', 'b'}


def test_thousands_of_hosts_report_in_few_statements() -> None:
    hosts = [f'h{number:04}' for number in range(1200)]
    assert session.write(servicegroup.report_computes, hosts) == hosts
    statements: list[str] = []
    with told('before_cursor_execute', lambda conn, cursor, statement, *_: statements.append(statement)):
        assert session.write(servicegroup.report_computes, [*hosts, 'new']) == ['new']
    assert len([s for s in statements if s.startswith('UPDATE')]) == 3, statements
    with session.read() as conn:
        assert conn.execute(sa.select(sa.func.min(models.services.c.report_count))).scalar_one() == 1
        assert compute_nodes.counts(conn) == (0, 1201)
