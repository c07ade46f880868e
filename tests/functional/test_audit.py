"""Each kind of corruption is found, mended where that is safe, and nothing else is touched."""
from __future__ import annotations

import argparse
import datetime
import os
import uuid as uuidlib
from collections.abc import Callable
from typing import Any

import oslo_messaging as messaging
import pytest
import sqlalchemy as sa

from minicompute.cmd import manage
from minicompute.compute.manager import housekeeping
from minicompute.conductor import auditor
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import audit, migrations
from minicompute.db.models import allocations, block_device_mappings, instance_actions, instances, ports
from minicompute.db.models import migrations as moves
from minicompute.db.models import networks as network_table
from minicompute.objects import Migration, PowerState
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud

LONG_AGO = datetime.datetime(2020, 1, 1)
GONE = '5c3b8f0a-0000-4000-8000-00000000dead'


def execute(statement: Any) -> Any:
    return session.write(lambda conn: conn.execute(statement).rowcount)


def rows(statement: Any) -> list[Any]:
    with session.read() as conn:
        return list(conn.execute(statement))


def action(uuid: str, **columns: Any) -> None:
    made = {'action': 'stop', 'flow': 'stop', 'step': 'power_off', 'instance_uuid': uuid, 'request_id': 'req-seeded',
            'state': 'done', 'generation': 1, 'cancel': False, 'attempts': 0, 'start_time': LONG_AGO,
            'updated_at': LONG_AGO, **columns}
    execute(instance_actions.insert().values(**made))


def move(uuid: str, status: str) -> str:
    made = Migration(uuid=str(uuidlib.uuid4()), instance_uuid=uuid, migration_type='migration', status=status)
    session.write(migrations.create, made)
    execute(moves.update().where(moves.c.uuid == made.uuid).values(updated_at=LONG_AGO))
    return made.uuid


def claim(consumer: str, instance: str, node_id: int) -> None:
    execute(allocations.insert().values(consumer_uuid=consumer, instance_uuid=instance, node_id=node_id, vcpus=1,
                                        memory_mb=64, disk_gb=1, created_at=LONG_AGO))


def age(table: sa.Table, uuid: str, column: str) -> None:
    key = table.c.uuid if 'uuid' in table.c and table is instances else table.c.consumer_uuid
    execute(table.update().where(key == uuid).values({column: LONG_AGO}))


# -- what can go wrong ---------------------------------------------------------------

def claim_of_gone(uuid: str, node: int) -> None:
    claim(GONE, GONE, node)


def claim_of_an_ended_move(uuid: str, node: int) -> None:
    claim(move(uuid, 'confirmed'), uuid, node)


def claim_of_no_move(uuid: str, node: int) -> None:
    claim(str(uuidlib.uuid4()), uuid, node)


def claim_without_place(uuid: str, node: int) -> None:
    execute(instances.update().where(instances.c.uuid == uuid).values(
        host=None, node=None, vm_state='shelved_offloaded', updated_at=LONG_AGO))
    age(allocations, uuid, 'created_at')


def no_claim(uuid: str, node: int) -> None:
    execute(allocations.delete().where(allocations.c.consumer_uuid == uuid))
    age(instances, uuid, 'updated_at')


def wrong_size(uuid: str, node: int) -> None:
    execute(allocations.update().where(allocations.c.consumer_uuid == uuid).values(
        memory_mb=7, disk_gb=99, created_at=LONG_AGO))


def wrong_node(uuid: str, node: int) -> None:
    execute(allocations.update().where(allocations.c.consumer_uuid == uuid).values(
        node_id=node + 1000, created_at=LONG_AGO))


def port_of_gone(uuid: str, node: int) -> None:
    execute(network_table.insert().values(id='net-1', name='n', kind='nat', shared=True, bridge='br-1', mtu=1500,
                                          project_id='demo', created_at=LONG_AGO))
    execute(ports.insert().values(id=str(uuidlib.uuid4()), network_id='net-1', instance_uuid=GONE, address='10.0.0.9',
                                  mac_address='fa:16:3e:00:00:01', created_at=LONG_AGO))


def volume_of_gone(uuid: str, node: int) -> None:
    execute(block_device_mappings.insert().values(
        uuid=str(uuidlib.uuid4()), instance_uuid=GONE, volume_id=str(uuidlib.uuid4()), created_at=LONG_AGO,
        delete_on_termination=False, no_device=False))


def attachment_of_nothing(uuid: str, node: int) -> None:
    execute(block_device_mappings.insert().values(
        uuid=str(uuidlib.uuid4()), instance_uuid=uuid, volume_id=str(uuidlib.uuid4()), created_at=LONG_AGO,
        delete_on_termination=False, no_device=False, connection_info={'state': 'detaching', 'more': 1}))


def lock_of_ended(uuid: str, node: int) -> None:
    action(uuid, busy=uuid)


def queued_behind_ended(uuid: str, node: int) -> None:
    last = rows(sa.select(sa.func.max(instance_actions.c.id).label('id')))[0].id
    action(uuid, state='queued', after=last, busy=f'{uuid}/queued')


def queued_behind_nothing(uuid: str, node: int) -> None:
    action(uuid, state='queued', after=10 ** 9, busy=f'{uuid}/queued')


def task_of_nothing(uuid: str, node: int) -> None:
    execute(instances.update().where(instances.c.uuid == uuid).values(task_state='rebooting', updated_at=LONG_AGO))


def build_of_nothing(uuid: str, node: int) -> None:
    execute(instances.update().where(instances.c.uuid == uuid).values(
        vm_state='building', task_state='spawning', updated_at=LONG_AGO))


def move_of_nothing(uuid: str, node: int) -> None:
    move(uuid, 'migrating')


#: (what goes wrong, what it is called)
SEEDS: list[tuple[Callable[[str, int], None], str]] = [
    (claim_of_gone, 'claim of no server'), (claim_of_an_ended_move, 'claim of an ended move'),
    (claim_of_no_move, 'claim of an ended move'), (claim_without_place, 'claim without a place'),
    (no_claim, 'server without a claim'), (wrong_size, 'claim of a wrong size'), (wrong_node, 'claim on another host'),
    (port_of_gone, 'port of no server'), (volume_of_gone, 'volume of no server'),
    (attachment_of_nothing, 'attachment without an action'),
    (lock_of_ended, 'lock of an ended action'), (queued_behind_ended, 'queued behind nothing'),
    (queued_behind_nothing, 'queued behind nothing'), (task_of_nothing, 'task without an action'),
    (build_of_nothing, 'task without an action'), (move_of_nothing, 'move without an action')]


@pytest.fixture
def quiet_cloud(make_cloud: Any, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Its own conductor must not mend what the test is to find."""
    monkeypatch.setattr(auditor, 'INTERVAL', 3600.0)
    made: Cloud = make_cloud(computes=2, sweep_interval=3600.0)
    return made


def healthy(cloud: Cloud) -> tuple[str, int]:
    """-> a running server and the id of its node"""
    uuid = str(cloud.boot('audited')['id'])
    cloud.wait(uuid)
    return uuid, rows(sa.select(allocations.c.node_id).where(allocations.c.consumer_uuid == uuid))[0].node_id


@pytest.mark.every_case
@pytest.mark.parametrize(('seed', 'kind'), SEEDS, ids=[seed.__name__ for seed, _ in SEEDS])
def test_found_and_mended(quiet_cloud: Cloud, seed: Any, kind: str) -> None:
    uuid, node = healthy(quiet_cloud)
    other, _ = healthy(quiet_cloud)
    before = rows(sa.select(allocations).where(allocations.c.consumer_uuid == other))
    assert auditor.look(audit.checks(), mend=False) == []
    seed(uuid, node)
    found = auditor.look(audit.checks(), mend=False)
    assert [finding.kind for finding in found] == [kind]
    assert all(finding.safe and finding.reason for finding in found)
    assert [finding.kind for finding in auditor.look(audit.checks(), mend=False)] == [kind], 'the dry run mended it'
    assert [finding.kind for finding in auditor.look(audit.checks(), mend=True)] == [kind]
    assert auditor.look(audit.checks(), mend=False) == []
    assert rows(sa.select(allocations).where(allocations.c.consumer_uuid == other)) == before


def test_a_lost_claim_comes_back_as_it_was(quiet_cloud: Cloud) -> None:
    uuid, _ = healthy(quiet_cloud)
    c = allocations.c
    sizes = sa.select(c.node_id, c.vcpus, c.memory_mb, c.disk_gb).where(c.consumer_uuid == uuid)
    before = rows(sizes)
    for seed in (no_claim, wrong_size, wrong_node):
        seed(uuid, before[0].node_id)
        assert rows(sizes) != before
        auditor.look(audit.checks(), mend=True)
        assert rows(sizes) == before, seed.__name__


def test_a_build_that_was_lost_says_so(quiet_cloud: Cloud) -> None:
    uuid, node = healthy(quiet_cloud)
    build_of_nothing(uuid, node)
    auditor.look(audit.checks(), mend=True)
    server = quiet_cloud.show(uuid)
    assert (server['status'], server['OS-EXT-STS:task_state']) == ('ERROR', None)
    assert 'lost' in server['fault']['message']


def test_what_is_under_way_is_left_alone(quiet_cloud: Cloud) -> None:
    uuid, node = healthy(quiet_cloud)
    for seed in (claim_of_no_move, wrong_size, task_of_nothing, move_of_nothing):
        seed(uuid, node)
    action(uuid, state='running', busy=uuid, owner='somebody', lease_until=datetime.datetime(2999, 1, 1))
    assert auditor.look(audit.checks(), mend=True) == []


def test_what_is_young_is_left_alone(quiet_cloud: Cloud) -> None:
    uuid, node = healthy(quiet_cloud)
    claim(GONE, GONE, node)
    execute(allocations.update().where(allocations.c.consumer_uuid == GONE).values(created_at=session.utcnow()))
    assert auditor.look(audit.checks(), mend=True) == []


def test_a_server_whose_host_is_unknown_is_only_told(quiet_cloud: Cloud) -> None:
    uuid, node = healthy(quiet_cloud)
    no_claim(uuid, node)
    execute(instances.update().where(instances.c.uuid == uuid).values(node='nobody knows', updated_at=LONG_AGO))
    found = auditor.look(audit.checks(), mend=True)
    assert [(f.kind, f.safe) for f in found] == [('server without a claim', False)]
    assert not rows(sa.select(allocations).where(allocations.c.consumer_uuid == uuid))


def test_sizes_are_walked_through_in_parts(quiet_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, 'PART', 2)
    uuids = [healthy(quiet_cloud)[0] for _ in range(5)]
    for uuid in uuids:
        age(allocations, uuid, 'created_at')
    wrong_size(uuids[4], 0)
    checks = audit.checks()
    found = [auditor.look(checks, mend=False) for _ in range(3)]
    assert [len(part) for part in found] == [0, 0, 1]


def test_ten_thousand_servers_are_measured_in_one_round(quiet_cloud: Cloud) -> None:
    """What is wrong is found within a minute, also when it is with the last of them."""
    uuid, _ = healthy(quiet_cloud)
    server, held = (dict(rows(sa.select(table).where(key == uuid))[0]._mapping) for table, key in (
        (instances, instances.c.uuid), (allocations, allocations.c.consumer_uuid)))
    del server['id']
    many = [str(uuidlib.uuid4()) for _ in range(9999)]

    def fill(conn: sa.Connection) -> None:
        conn.execute(instances.insert(), [{**server, 'uuid': one} for one in many])
        conn.execute(allocations.insert(), [{**held, 'consumer_uuid': one, 'instance_uuid': one,
                                             'created_at': LONG_AGO} for one in many])
    session.write(fill)
    wrong_size(many[-1], 0)
    assert [finding.subject for finding in auditor.look(audit.checks(), mend=True)] == [many[-1]]


def test_a_hint_is_no_word_of_the_scheduler(quiet_cloud: Cloud) -> None:
    """Else who boots with such a hint would hold no disk."""
    uuid = str(quiet_cloud.boot('sly', hints={'is_volume_backed': True})['id'])
    quiet_cloud.wait(uuid)
    age(allocations, uuid, 'created_at')
    said = sa.type_coerce(instances.c.request_spec, sa.Text).label('said')
    assert '"is_volume_backed":true' in rows(sa.select(said).where(instances.c.uuid == uuid))[0].said
    assert auditor.look(audit.checks(), mend=False) == []


def test_the_command(quiet_cloud: Cloud, capsys: Any) -> None:
    _, node = healthy(quiet_cloud)
    manage.audit_records(argparse.Namespace(mend=False, timeout=10))
    assert capsys.readouterr().out == 'Nothing is wrong.\n'
    claim(GONE, GONE, node)
    with pytest.raises(SystemExit) as ended:
        manage.audit_records(argparse.Namespace(mend=False, timeout=10))
    assert ended.value.code == manage.FOUND
    assert 'can be mended' in capsys.readouterr().out
    manage.audit_records(argparse.Namespace(mend=True, timeout=10))
    assert 'mended' in capsys.readouterr().out
    manage.audit_records(argparse.Namespace(mend=False, timeout=10))
    assert capsys.readouterr().out == 'Nothing is wrong.\n'


# -- all of it, by itself --------------------------------------------------------------

@pytest.fixture
def hasty(make_cloud: Any, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Looks more often than in the field; what it does is the same."""
    monkeypatch.setattr(auditor, 'INTERVAL', 0.3)
    monkeypatch.setattr(auditor, 'SHARE', 1)    # a busy machine must not make it rest for minutes
    monkeypatch.setattr(housekeeping, 'PRESENT', 0.3)
    made: Cloud = make_cloud(computes=2)
    return made


def test_a_conductor_does_it_by_itself(hasty: Cloud) -> None:
    uuid, node = healthy(hasty)
    for seed in (claim_of_gone, lock_of_ended, move_of_nothing, volume_of_gone):
        seed(uuid, node)
    hasty.until(lambda: not auditor.look(audit.checks(), mend=False), 'all to be mended')


def deleted_server(cloud: Cloud) -> str:
    uuid, _ = healthy(cloud)
    cloud.api('DELETE', f'/servers/{uuid}')
    cloud.wait_gone(uuid)
    return uuid


def stray(uuid: str, *hosts: str) -> None:
    for host in hosts:
        os.makedirs(os.path.join(CONF.fake.state_dir, host), exist_ok=True)
        os.symlink('4:stray', os.path.join(CONF.fake.state_dir, host, uuid))


def everything(cloud: Cloud) -> set[tuple[str, str]]:
    """(host, server) of each domain, also where a server has two"""
    return {(host, domain.uuid) for host in ('compute1', 'compute2') for domain in FakeDriver(host).domains()}


def test_a_host_removes_what_is_not_its_own(hasty: Cloud) -> None:
    uuid, _ = healthy(hasty)
    home = hasty.show(uuid)['OS-EXT-SRV-ATTR:host']
    other, gone = 'compute2' if home == 'compute1' else 'compute1', deleted_server(hasty)
    stray(gone, home, other)
    stray(uuid, other)
    hasty.until(lambda: everything(hasty) == {(home, uuid)}, 'the strays to be removed')


def test_what_the_records_never_knew_is_left_and_told(hasty: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    """The database was restored from a backup that is older than a server: nobody could bring back what is removed."""
    gone = deleted_server(hasty)
    hasty.stop('compute1')
    stray(GONE, 'compute1', 'compute2')
    stray(gone, 'compute1', 'compute2')
    hasty.start_compute('compute1')     # and when it compares itself before it takes work
    hasty.until(lambda: everything(hasty) == {('compute1', GONE), ('compute2', GONE)}, 'what was deleted to go')
    hasty.until(lambda: f'server without a record: {GONE}' in caplog.text, 'somebody to say so')
    for host in ('compute1', 'compute2'):
        keeper: Any = hasty.services[host].manager.housekeeping    # type: ignore[attr-defined]
        keeper.clean_up()
        keeper.remove_strangers({GONE: None})
    assert everything(hasty) == {('compute1', GONE), ('compute2', GONE)}
    assert FakeDriver('compute2').power_state(GONE) == 4, 'it is not started either'


def test_a_host_that_starts_while_nobody_knows_removes_nothing(
        hasty: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = deleted_server(hasty)
    keeper: Any = hasty.services['compute1'].manager.housekeeping    # type: ignore[attr-defined]

    def silence(*words: Any, **more: Any) -> Any:
        raise messaging.MessagingTimeout
    monkeypatch.setattr(keeper._conductor, 'unknown', silence)
    monkeypatch.setattr(keeper._conductor, 'strangers', silence)
    stray(gone, 'compute1')
    keeper.say_hello()
    assert everything(hasty) == {('compute1', gone)}
    monkeypatch.undo()
    keeper.say_hello()
    assert everything(hasty) == set()


def test_a_host_that_lost_a_server_is_told_of(hasty: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    uuid, _ = healthy(hasty)
    execute(instances.update().where(instances.c.uuid == uuid).values(updated_at=LONG_AGO))
    os.unlink(os.path.join(CONF.fake.state_dir, hasty.show(uuid)['OS-EXT-SRV-ATTR:host'], uuid))
    hasty.until(lambda: 'server without a domain' in caplog.text, 'somebody to say so')
    assert hasty.show(uuid)['status'] == 'ACTIVE'


def home_of(cloud: Cloud, uuid: str) -> str:
    execute(instances.update().where(instances.c.uuid == uuid).values(updated_at=LONG_AGO))
    return str(cloud.show(uuid)['OS-EXT-SRV-ATTR:host'])


def test_a_server_whose_domain_was_undefined_is_off(hasty: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody has heard of it at that moment. Its disks are there, so that it is only to be started."""
    uuid, _ = healthy(hasty)
    other, _ = healthy(hasty)
    FakeDriver(home_of(hasty, uuid)).undefine(uuid)
    hasty.wait(uuid, 'SHUTOFF')
    assert f'Mended: server without a domain: {uuid}' in caplog.text
    hasty.api('POST', f'/servers/{uuid}/action', {'os-start': None})
    hasty.wait(uuid)
    assert set(hasty.domains()) == {uuid, other} and hasty.show(other)['status'] == 'ACTIVE'


def test_a_domain_that_is_seen_to_go_is_told_at_once(quiet_cloud: Cloud) -> None:
    uuid, _ = healthy(quiet_cloud)
    driver: Any = quiet_cloud.services[home_of(quiet_cloud, uuid)].manager.driver    # type: ignore[attr-defined]
    driver.undefine(uuid)
    assert quiet_cloud.wait(uuid, 'SHUTOFF')['OS-EXT-STS:power_state'] == PowerState.SHUTDOWN


def test_a_host_that_is_asked_to_look_again_tells_what_is(quiet_cloud: Cloud) -> None:
    """A conductor was stopped between its look at a list and its question: the domain has been made since."""
    uuid, _ = healthy(quiet_cloud)
    keeper: Any = quiet_cloud.services[home_of(quiet_cloud, uuid)].manager.housekeeping  # type: ignore[attr-defined]
    keeper.look_again([uuid])
    keeper.tell_changes()
    assert quiet_cloud.show(uuid)['status'] == 'ACTIVE'


@pytest.mark.parametrize(('action', 'status', 'advice'), [('suspend', 'SUSPENDED', 'reboot it hard'),
                                                          ('rescue', 'RESCUE', 'unrescue it')])
def test_what_a_server_without_a_domain_has_lost_is_told(hasty: Cloud, caplog: pytest.LogCaptureFixture, action: str,
                                                         status: str, advice: str) -> None:
    uuid, _ = healthy(hasty)
    hasty.api('POST', f'/servers/{uuid}/action', {action: None})
    hasty.wait(uuid, status)
    FakeDriver(home_of(hasty, uuid)).undefine(uuid)
    hasty.until(lambda: advice in caplog.text, 'somebody to say so')
    assert hasty.show(uuid)['status'] == status


def test_a_server_whose_disks_are_gone_is_told_and_runs_on(hasty: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    uuid, _ = healthy(hasty)
    driver = FakeDriver(home_of(hasty, uuid))
    driver.lose_disks(uuid)
    hasty.until(lambda: f'left to you: server without its disks: {uuid}' in caplog.text, 'somebody to say so')
    assert hasty.show(uuid)['status'] == 'ACTIVE' and driver.power_state(uuid) == PowerState.RUNNING


def test_what_a_compute_of_before_tells_is_understood(quiet_cloud: Cloud) -> None:
    conductor: Any = quiet_cloud.services['conductor1'].manager     # type: ignore[attr-defined]
    conductor.present(None, [{'host': 'compute1', 'uuids': []}])
    conductor.auditor.compare()


def test_what_moves_is_no_stranger(quiet_cloud: Cloud) -> None:
    uuid, _ = healthy(quiet_cloud)
    gone = deleted_server(quiet_cloud)
    present = {'compute1': [uuid, GONE], 'compute2': [uuid], 'elsewhere': [gone]}
    home = quiet_cloud.show(uuid)['OS-EXT-SRV-ATTR:host']
    other = 'compute2' if home == 'compute1' else 'compute1'
    with session.read() as conn:
        found = audit.compare(conn, present)
    assert found.strangers == {other: {uuid: home}, 'elsewhere': {gone: None}}
    assert found.unknown == {'compute1': [GONE]}
    going = move(uuid, 'finished')
    with session.read() as conn:
        assert audit.compare(conn, present).strangers == {'elsewhere': {gone: None}}
    execute(moves.update().where(moves.c.uuid == going).values(status='confirmed'))
    with session.read() as conn:
        assert audit.compare(conn, present).strangers[other] == {uuid: home}


def test_what_was_asked_for_meanwhile_is_ours_again(quiet_cloud: Cloud) -> None:
    """The conductor's answer may be older than the request that made the domain."""
    uuid, _ = healthy(quiet_cloud)
    home = quiet_cloud.show(uuid)['OS-EXT-SRV-ATTR:host']
    manager: Any = quiet_cloud.services[home].manager
    manager.housekeeping.tell_present()
    quiet_cloud.api('POST', f'/servers/{uuid}/action', {'reboot': {'type': 'HARD'}})
    quiet_cloud.wait(uuid)
    manager.housekeeping.remove_strangers({uuid: None})
    assert quiet_cloud.domains() == {uuid: home}


@pytest.mark.parametrize('home', [None, 'compute9'])
def test_an_order_of_long_ago_removes_nothing(quiet_cloud: Cloud, home: str | None) -> None:
    """A conductor was stopped between its look at a list and its order; since then the server came (back) here, and
    newer lists were made."""
    uuid, _ = healthy(quiet_cloud)
    host = quiet_cloud.show(uuid)['OS-EXT-SRV-ATTR:host']
    manager: Any = quiet_cloud.services[host].manager
    manager.housekeeping.tell_present()
    manager.housekeeping.remove_strangers({uuid: home})
    assert quiet_cloud.domains() == {uuid: host}


def test_an_order_while_no_conductor_can_be_asked(quiet_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    uuid, _ = healthy(quiet_cloud)
    host = quiet_cloud.show(uuid)['OS-EXT-SRV-ATTR:host']
    keeper: Any = quiet_cloud.services[host].manager.housekeeping    # type: ignore[attr-defined]
    gone = deleted_server(quiet_cloud)
    stray(gone, host)

    def silence(*words: Any, **more: Any) -> Any:
        raise messaging.MessagingTimeout
    with monkeypatch.context() as patched:
        patched.setattr(keeper._conductor, 'strangers', silence)
        patched.setattr(keeper._conductor, 'servers', silence)
        keeper.remove_strangers({gone: None})
        keeper.pay([gone])
    assert set(quiet_cloud.domains()) == {uuid, gone}
    keeper.remove_strangers({gone: None})
    assert set(quiet_cloud.domains()) == {uuid}


def test_a_sweep_spares_what_lives_elsewhere(quiet_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its disks may be shared with its home: what becomes of the domain is not decided by a sweep. Nor does it touch
    what the records never knew."""
    uuid, _ = healthy(quiet_cloud)
    home = quiet_cloud.show(uuid)['OS-EXT-SRV-ATTR:host']
    other = 'compute2' if home == 'compute1' else 'compute1'
    keeper: Any = quiet_cloud.services[other].manager.housekeeping    # type: ignore[attr-defined]
    gone = deleted_server(quiet_cloud)
    for name in (uuid, gone, GONE):
        stray(name, other)
    swept: list[tuple[bool, ...]] = []

    def sweep(driver: Any, known: Any, minimum_age: int, deleted: Any = ()) -> list[str]:
        swept.append((uuid in known, gone in known, GONE in known, uuid in deleted))
        return []
    monkeypatch.setattr(FakeDriver, 'sweep', sweep)
    keeper.clean_up()
    assert swept == [(True, False, True, False)]
    monkeypatch.setattr(FakeDriver, 'abandoned', lambda driver: {uuid, GONE})
    quiet_cloud.api('DELETE', f'/servers/{uuid}')
    quiet_cloud.wait_gone(uuid)
    keeper.clean_up()
    assert swept[1:] == [(False, False, True, True)], 'only what the records know to be deleted'


def test_what_is_connected_for_nobody_is_disconnected(quiet_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of servers that are gone, and of those that live elsewhere; not of who is here, or on its way."""
    uuid, _ = healthy(quiet_cloud)
    home = quiet_cloud.show(uuid)['OS-EXT-SRV-ATTR:host']
    other = 'compute2' if home == 'compute1' else 'compute1'
    gone = deleted_server(quiet_cloud)
    monkeypatch.setattr(FakeDriver, 'connected', lambda driver: {uuid, gone})
    done: list[tuple[str, str]] = []
    monkeypatch.setattr(FakeDriver, 'disconnect', lambda driver, one: done.append((driver.host, one)))
    for name in (home, other):
        quiet_cloud.services[name].manager.housekeeping.clean_up()    # type: ignore[attr-defined]
    assert sorted(done) == sorted([(home, gone), (other, gone), (other, uuid)])


def test_a_move_that_an_operator_gave_up_is_only_told(quiet_cloud: Cloud) -> None:
    """Its guest may be at the destination: ended, the destination would remove it as a stranger."""
    uuid, node = healthy(quiet_cloud)
    move_of_nothing(uuid, node)
    action(uuid, state='failed', start_time=datetime.datetime(2999, 1, 1))
    found = auditor.look(audit.checks(), mend=True)
    assert [(finding.kind, finding.safe) for finding in found] == [('move without an action', False)]
    assert rows(sa.select(moves.c.status).where(moves.c.instance_uuid == uuid))[0].status == 'migrating'
