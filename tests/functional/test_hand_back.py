"""A host is Nova's again: what an import has written of its servers is forgotten, and nothing else."""
from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute import exception
from minicompute.cmd.nova import handback
from minicompute.conductor.manager import ConductorManager
from minicompute.conf import CONF
from minicompute.db import models, session
from minicompute.db.api import actions, instances, services
from minicompute.objects import Action, ComputeNode, Instance
from tests.functional.test_import_nova import Nova, all_rows, there

__all__ = ['there']

UNKNOWN = '00000000-0000-4000-8000-000000000078'


def hand_back(there: Nova, host: str, *, apply: bool = True,
              force: bool = False) -> tuple[dict[str, int], dict[str, str]]:
    """-> ({kind of record: how many}, {server: why it stays})"""
    rows, refusals = handback.run(argparse.Namespace(nova_database=f'sqlite:///{there.cell}', of_host=host,
                                                     apply=apply, force=force))
    return dict(map(tuple, rows)), {one.name.split()[0]: one.reason for one in refusals}  # type: ignore[arg-type]


def on(host: str) -> dict[str, Instance]:
    with session.read() as conn:
        found = instances.get_many(conn, conn.scalars(sa.select(models.instances.c.uuid)))
    return {one.uuid: one for one in found.values() if one.host == host}


@pytest.fixture
def host(there: Nova) -> str:
    there.take()
    return str(there.sql("SELECT host FROM instances WHERE display_name = 'web' AND deleted = 0")[0][0])


def test_a_dry_run_forgets_nothing(there: Nova, host: str) -> None:
    before = all_rows()
    counts, stays = hand_back(there, host, apply=False)
    assert counts['instances'] == len(on(host)) > 0 and not stays and all_rows() == before


def test_all_of_a_host_and_nothing_else(there: Nova, host: str) -> None:
    gone = on(host)
    with session.read() as conn:
        others = set(conn.scalars(sa.select(models.instances.c.uuid))) - set(gone)
    counts, stays = hand_back(there, host)
    assert not stays and counts['instances'] == len(gone) and counts['services'] == 1 == counts['compute_nodes']
    assert not on(host)
    with session.read() as conn:
        assert set(conn.scalars(sa.select(models.instances.c.uuid))) == others != set()
        assert host not in set(conn.scalars(sa.select(models.compute_nodes.c.host)))
        assert services.find(conn, host, 'nova-compute').disabled_reason == services.HANDED_BACK
    named = {name: [row for row in rows if any(str(uuid) in map(str, row) for uuid in gone)]
             for name, rows in all_rows().items() if name != 'events'}
    assert not [name for name, rows in named.items() if rows]
    log = {row.id for row in all_rows_of(models.instance_actions)}
    assert {row.action_id for row in all_rows_of(models.instance_actions_events)} <= log
    assert hand_back(there, host) == ({}, {})


def all_rows_of(table: sa.Table) -> list[Any]:
    with session.read() as conn:
        return list(conn.execute(sa.select(table)))


def test_it_can_come_again(there: Nova, host: str) -> None:
    before = set(on(host))
    hand_back(there, host)
    counts, _plan = there.take()
    assert set(on(host)) == before and counts['server'][0] == len(before)
    with session.read() as conn:
        assert services.handed_back(conn, [host]) == []


def test_a_compute_that_is_started_there_by_mistake_removes_nothing(there: Nova, host: str) -> None:
    """The domains that it adopted name us, and are in no record: it would take them for left over."""
    manager, guests = ConductorManager('a'), sorted(on(host))
    node = ComputeNode(host=host, uuid='00000000-0000-4000-8000-000000000042', hypervisor_hostname=host)
    with session.read() as conn:
        elsewhere = conn.scalars(sa.select(models.instances.c.uuid).where(
            models.instances.c.deleted == 0, models.instances.c.host != host)).first()
    assert set(manager.strangers(None, host, [elsewhere, UNKNOWN])) == {elsewhere}
    assert manager.unknown(None, [elsewhere, UNKNOWN]) == [UNKNOWN]
    hand_back(there, host)
    with pytest.raises(exception.Conflict, match='handed back to Nova'):
        manager.hellos(None, [node])
    assert manager.strangers(None, host, guests) == {} and manager.deleted(None, guests) == []
    found = manager.servers(None, host)
    assert not (found['instances'] or found['busy'] or found['owed'])


def test_what_runs_here_stays(there: Nova, host: str) -> None:
    def report(conn: Any) -> None:
        conn.execute(models.services.update().where(models.services.c.host == host).values(
            last_seen_up=session.now(conn), forced_down=True))
    session.write(report)
    counts, stays = hand_back(there, host, force=True)
    assert not counts and set(stays) == set(on(host)) and all('stop it first' in why for why in stays.values())


def test_what_is_made_or_changed_here_stays(there: Nova, host: str) -> None:
    servers = sorted(on(host))
    made = Instance(uuid='00000000-0000-4000-8000-000000000077', project_id='p', user_id='u', host=host, node=host,
                    flavor=on(host)[servers[0]].flavor, vm_state='active')

    def write(conn: Any) -> None:
        from minicompute.objects import RequestSpec
        instances.create(conn, [([made], RequestSpec(project_id='p', user_id='u', flavor=made.flavor))])
        instances.update(conn, made.uuid, {'host': host, 'node': host})
        instances.update(conn, servers[0], {'image_ref': 'another'})
    session.write(write)
    counts, stays = hand_back(there, host)
    assert 'made here' in stays[made.uuid] and 'its image' in stays[servers[0]] and len(stays) == 2
    assert 'services' not in counts and set(on(host)) == {made.uuid, servers[0]}
    counts, stays = hand_back(there, host, force=True)
    assert set(stays) == {made.uuid} == set(on(host))


def test_what_is_busy_stays(there: Nova, host: str) -> None:
    one = sorted(on(host))[0]
    session.write(actions.begin, [Action(action='stop', flow='stop', step='power_off', instance_uuid=one,
                                         request_id='req-1', busy=one)])
    assert 'wait for the end' in hand_back(there, host)[1][one]


def test_the_command(there: Nova, host: str) -> None:
    config = pathlib.Path(there.cell).with_name('minicompute.conf')
    config.write_text(f'[database]\nconnection = {CONF.database.connection}\n')
    done = subprocess.run([sys.executable, '-W', 'ignore', '-m', 'minicompute.cmd.manage', '--config-file', str(config),
                           'import', 'hand-back', '--nova-database', f'sqlite:///{there.cell}', '--host', host],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0 and 'Nothing was forgotten' in done.stdout, done.stderr
    assert on(host)
