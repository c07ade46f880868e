"""What is taken over from a Nova: its tables as a real Nova 34 had written them (nova_dump.sql)."""
from __future__ import annotations

import argparse
import json
import pathlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute.cmd import nova
from minicompute.cmd.nova import catalog
from minicompute.cmd.nova.source import Source
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import aggregates, allocations, flavors, instance_groups, instances, keypairs, quotas, services
from minicompute.db.models import compute_nodes, instance_actions, instance_actions_events, migrations
from minicompute.db.models import instances as table
from minicompute.virt.libvirt import sources
from tests.functional.cloud import Cloud

DUMP = pathlib.Path(__file__).with_name('nova_dump.sql').read_text()
CELL, API = DUMP.split('-- the API database\n')


class Nova:
    """The two databases, of which a test may change a row."""

    def __init__(self, path: pathlib.Path) -> None:
        self.cell, self.api = path / 'nova.sqlite', path / 'nova_api.sqlite'
        for file, script in ((self.cell, CELL), (self.api, API)):
            with sqlite3.connect(file) as conn:
                conn.executescript(script)

    def sql(self, statement: str, *values: Any, api: bool = False) -> list[Any]:
        with sqlite3.connect(self.api if api else self.cell) as conn:
            return conn.execute(statement, values).fetchall()

    def server(self, name: str) -> str:
        return str(self.sql("SELECT uuid FROM instances WHERE display_name = ? AND deleted = 0", name)[0][0])

    def take(self, *, apply: bool = True, host: list[str] | None = None, force: bool = False) -> Any:
        """-> ({kind: (new, there, cannot)}, the plan)"""
        rows, plan = nova.run(argparse.Namespace(
            nova_database=f'sqlite:///{self.cell}', nova_api_database=f'sqlite:///{self.api}', apply=apply, hosts=host,
            force=force))
        return {kind: tuple(counts) for kind, *counts in rows}, plan


@pytest.fixture
def there(database: str, tmp_path: pathlib.Path) -> Iterator[Nova]:
    yield Nova(tmp_path)


def reasons(plan: Any, kind: str = 'server') -> dict[str, str]:
    return {one.name.split()[0]: one.reason for one in plan.refusals if one.kind == kind}


def all_rows() -> dict[str, list[Any]]:
    from minicompute.db.models import metadata
    with session.read() as conn:
        return {each.name: [tuple(row) for row in conn.execute(sa.select(each))] for each in metadata.sorted_tables}


def test_a_dry_run_writes_nothing(there: Nova) -> None:
    before = all_rows()
    counts, plan = there.take(apply=False)
    assert all_rows() == before
    assert counts['server'][0] == 6 and counts['flavor'][0] >= 1
    assert '-' not in counts


def test_all_of_it(there: Nova) -> None:
    counts, plan = there.take()
    with session.read() as conn:
        found = instances.get_many(conn, conn.scalars(sa.select(table.c.uuid)))
        by_name = {one.display_name: one for one in found.values()}
        assert set(by_name) == {'web', 'db', 'old', 'moved', 'paused', 'shelf'}
        web = by_name['web']
        assert (web.vm_state, web.task_state, web.power_state) == ('active', None, 1)
        assert web.flavor is not None and web.flavor.extra_specs == {'hw:watchdog_action': 'reset'}
        assert web.metadata == {'role': 'web'} and web.tags == ['front'] and web.config_drive
        assert web.user_data == 'IyEvYmluL3NoCg==' and web.locked and web.locked_reason == 'do not touch'
        assert web.key_name and web.key_data and web.key_data.startswith('ssh-ed25519')
        assert [d.boot_index for d in web.block_devices] == [0]
        row = there.sql('SELECT id, host, node, hostname FROM instances WHERE uuid = ?', web.uuid)[0]
        assert (web.id, web.host, web.node, web.hostname) == row and web.name == 'instance-%08x' % row[0]
        assert by_name['old'].vm_state == 'stopped' and by_name['paused'].vm_state == 'paused'
        claims = {u: [(c.host, c.vcpus, c.memory_mb) for c in some]
                  for u, some in allocations.for_instances(conn, found).items()}
        assert claims == {one.uuid: [(one.host, 1, 64)] for one in found.values() if one.host}
        spec = instances.specs(conn, [web.uuid])[web.uuid]
        assert spec.flavor == web.flavor and spec.image_id == web.image_ref and not spec.is_volume_backed
        group = instance_groups.of_instance(conn, web.uuid)
        assert group is not None and group.policy == 'anti-affinity' and len(group.members) == 2
        flavor = flavors.get(conn, web.flavor.flavorid)
        assert not flavor.is_public and flavors.projects(conn, flavor) == ['shop'] and flavor.description == 'for shops'
        assert keypairs.get(conn, 'jane', str(web.key_name)).public_key == web.key_data
        assert quotas.limits(conn, 'shop', 'jane')['ram'] == 65536 and quotas.limits(conn, 'shop')['cores'] == 77
        assert quotas.of_class(conn)['instances'] == 1000
        rack = next(one for one in aggregates.every(conn) if one.metadata.get('ssd'))
        assert rack.hosts == ['peer-c1']
        computes = {one.host: one for one in services.every(conn, binary='nova-compute')}
        assert computes['peer-c2'].disabled and computes['peer-c2'].disabled_reason == 'memory is being exchanged'
        assert len(services.hypervisors(conn)) == len(computes)
        moves = conn.execute(sa.select(migrations)).all()
        assert [(m.instance_uuid, m.status) for m in moves] == [(by_name['moved'].uuid, 'confirmed')]
        log = [row.action for row in conn.execute(sa.select(instance_actions).where(
            instance_actions.c.instance_uuid == by_name['moved'].uuid).order_by(instance_actions.c.id))]
        assert log == ['create', 'migrate', 'confirmResize']
        assert conn.execute(sa.select(instance_actions_events)).first() is not None
    assert counts['server'] == (6, 0, 1)


def test_a_second_run_writes_nothing(there: Nova) -> None:
    there.take()
    before = all_rows()
    counts, plan = there.take()
    assert all_rows() == before
    assert all(new == 0 for new, _, _ in counts.values())
    assert counts['server'] == (0, 6, 1)


#: what is changed in Nova -> a part of the reason why the server `db` stays there
OBSTACLES = {
    'a task': ("UPDATE instances SET task_state = 'rebooting' WHERE uuid = ?", 'rebooting is under way'),
    'resized': ("UPDATE instances SET vm_state = 'resized' WHERE uuid = ?", 'confirm or revert'),
    'rescued': ("UPDATE instances SET vm_state = 'rescued' WHERE uuid = ?", 'unrescue'),
    'soft-deleted': ("UPDATE instances SET vm_state = 'soft-delete' WHERE uuid = ?", 'restore it'),
    'building': ("UPDATE instances SET vm_state = 'building' WHERE uuid = ?", 'wait for the end'),
    'no host': ("UPDATE instances SET host = 'nowhere' WHERE uuid = ?", 'nowhere'),
    'no flavor': ('UPDATE instance_extra SET flavor = NULL WHERE instance_uuid = ?', 'flavor'),
    'pinned': ("UPDATE instance_extra SET numa_topology = '{\"nova_object.data\": {\"cells\": [{\"nova_object.data\": "
               "{\"cpu_policy\": \"dedicated\"}}]}}' WHERE instance_uuid = ?", 'CPUs of its own'),
    'left behind': ("INSERT INTO migrations (id, uuid, instance_uuid, migration_type, status, source_compute, "
                    "dest_compute, deleted) SELECT 9997, 'm', i.uuid, 'evacuation', 'done', (SELECT host FROM services "
                    "WHERE binary = 'nova-compute' AND host != i.host AND deleted = 0), i.host, 0 FROM instances i "
                    'WHERE i.uuid = ?', 'from where it was evacuated'),
    'vTPM': ("INSERT INTO instance_system_metadata (instance_uuid, key, value, deleted) VALUES (?, "
             "'image_hw_tpm_version', '2.0', 0)", 'TPM'),
    'vTPM by flavor': ("UPDATE instance_extra SET flavor = replace(flavor, 'hw:watchdog_action', 'hw:tpm_version') "
                       'WHERE instance_uuid = ?', 'hw:tpm_version'),
    'pci': ('INSERT INTO pci_devices (instance_uuid, deleted) VALUES (?, 0)', 'PCI'),
    'shares': ('INSERT INTO share_mapping (instance_uuid) VALUES (?)', 'shares'),
    'encrypted': ('UPDATE block_device_mapping SET encrypted = 1 WHERE instance_uuid = ?', 'encrypted'),
    'swap': ("INSERT INTO block_device_mapping (id, instance_uuid, source_type, destination_type, boot_index, "
             "guest_format, deleted) VALUES (9999, ?, 'blank', 'local', -1, 'swap', 0)", 'ephemeral or swap'),
}


@pytest.mark.parametrize('name', sorted(OBSTACLES))
def test_what_stays_in_nova(there: Nova, name: str) -> None:
    """Nothing of it comes, and all others do."""
    statement, reason = OBSTACLES[name]
    uuid = there.server('db')
    there.sql(statement, uuid)
    counts, plan = there.take()
    assert reason in reasons(plan)[uuid]
    assert counts['server'] == (5, 0, 2)
    for name, rows in all_rows().items():
        assert not [row for row in rows if uuid in row], name
    there.take()


def test_an_evacuation_whose_source_is_gone(there: Nova) -> None:
    """Nobody comes back to clean up: its compute service was deleted."""
    uuid = there.server('db')
    there.sql(OBSTACLES['left behind'][0], uuid)
    host = there.sql("SELECT source_compute FROM migrations WHERE uuid = 'm'")[0][0]
    there.sql('UPDATE services SET deleted = id WHERE host = ?', host)
    _, plan = there.take()
    assert uuid not in reasons(plan)


def test_a_compute_that_reports(there: Nova) -> None:
    """Two must not have one guest."""
    host = there.sql('SELECT host FROM instances WHERE uuid = ?', there.server('web'))[0][0]
    there.sql("UPDATE services SET last_seen_up = datetime('now') || '.000000' WHERE host = ?", host)
    _, plan = there.take(apply=False)
    assert 'stop it first' in reasons(plan)[there.server('web')]
    _, plan = there.take(apply=False, force=True)
    assert there.server('web') not in reasons(plan)


def test_a_host_that_is_ours_already(there: Nova) -> None:
    """Under an id that our compute made: a second node for it would be filled beside the first."""
    source = Source(f'sqlite:///{there.cell}', f'sqlite:///{there.api}')
    host = there.sql('SELECT host FROM instances WHERE uuid = ?', there.server('web'))[0][0]
    [theirs] = [row for row in source.nova.rows('compute_nodes') if row.host == host]
    source.close()
    made = {**catalog._node(theirs), 'uuid': '6a1f6a7e-8d0c-4c8c-9d86-07b0d1a6e3a1'}
    session.write(lambda conn: conn.execute(compute_nodes.insert().values(**made)))
    _, plan = there.take()
    assert 'compute_id' in reasons(plan, 'compute node')[theirs.hypervisor_hostname]
    assert 'is not taken over' in reasons(plan)[there.server('web')]
    with session.read() as conn:
        assert conn.scalars(sa.select(compute_nodes.c.uuid).where(compute_nodes.c.host == host)).all() == [made['uuid']]


def test_nova_is_read_before_anything_is_locked(there: Nova, monkeypatch: Any) -> None:
    """While we write, nobody else of us can: a Nova that answers slowly must not make all wait."""
    writing, read = [False], []
    real = nova._apply

    def apply(*args: Any) -> Any:
        writing[0] = True
        try:
            return real(*args)
        finally:
            writing[0] = False

    def note(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if writing[0] and conn.engine.url.database in (str(there.cell), str(there.api)):
            read.append(statement)
    monkeypatch.setattr(nova, '_apply', apply)
    sa.event.listen(sa.Engine, 'before_cursor_execute', note)
    try:
        counts, _ = there.take()
    finally:
        sa.event.remove(sa.Engine, 'before_cursor_execute', note)
    assert not read and counts['server'] == (6, 0, 1)


def test_one_host(there: Nova) -> None:
    host = there.sql('SELECT host FROM instances WHERE uuid = ?', there.server('web'))[0][0]
    there.take(host=[host])
    with session.read() as conn:
        assert {one.host for one in services.every(conn)} == {host}
        assert set(conn.scalars(sa.select(table.c.host))) == {host}
    counts, _ = there.take()
    assert counts['server'][1] > 0 and counts['server'][0] + counts['server'][1] == 6
    _, plan = there.take(host=['typo'], apply=False)
    assert reasons(plan, 'service') == {'typo': 'Nova has no compute service on this host'}


def test_what_is_here_already_stays(there: Nova) -> None:
    """And what says something else is told."""
    from minicompute.objects import Flavor, KeyPair

    theirs = there.sql("SELECT flavorid, name FROM flavors WHERE is_public = 0", api=True)[0]
    key = there.sql('SELECT user_id, name FROM key_pairs', api=True)[0]
    session.write(flavors.create, Flavor(theirs[0], 'mine', 4096, 8, 80))
    session.write(keypairs.create, KeyPair(name=key[1], user_id=key[0], public_key='mine', fingerprint='f'))
    session.write(quotas.put, {'cores': 5}, 'shop')
    session.write(aggregates.create, there.sql('SELECT name FROM aggregates', api=True)[0][0])
    counts, plan = there.take()
    assert {one.kind for one in plan.refusals} >= {'flavor', 'keypair', 'quota', 'aggregate'}
    with session.read() as conn:
        assert flavors.get(conn, theirs[0]).memory_mb == 4096 and keypairs.get(conn, *key).public_key == 'mine'
        assert quotas.limits(conn, 'shop')['cores'] == 5
    assert counts['server'][0] == 6     # they have their flavor with them


def test_a_number_that_is_taken(there: Nova, make_cloud: Any) -> None:
    """A domain is named by it."""
    cloud: Cloud = make_cloud()
    uuid = there.server('web')
    one = cloud.boot()
    cloud.wait(one['id'])
    with session.read() as conn:
        number = instances.get(conn, one['id']).id
    there.sql('UPDATE instances SET id = ? WHERE uuid = ?', number, uuid)
    _, plan = there.take()
    assert 'is taken here' in reasons(plan)[uuid]
    again = cloud.boot('later')      # and numbers go on behind those that came
    cloud.wait(again['id'])


def test_nothing_is_half_done(there: Nova, monkeypatch: Any) -> None:
    """What fails on the way takes all of it back."""
    from minicompute.cmd.nova.plan import Plan

    real = Plan.write

    def broken(self: Plan, conn: sa.Connection) -> None:
        real(self, conn)
        raise ZeroDivisionError
    before = all_rows()
    monkeypatch.setattr(Plan, 'write', broken)
    with pytest.raises(ZeroDivisionError):
        there.take()
    assert all_rows() == before


def test_volumes_and_ports(there: Nova) -> None:
    """As Cinder and Neutron had given them."""
    uuid = there.server('db')
    there.sql("INSERT INTO block_device_mapping (id, uuid, instance_uuid, source_type, destination_type, boot_index, "
              'device_name, volume_id, attachment_id, volume_size, connection_info, delete_on_termination, no_device, '
              "deleted) VALUES (9998, '6a1f6a7e-8d0c-4c8c-9d86-07b0d1a6e3a1', ?, 'volume', 'volume', NULL, '/dev/vdb', "
              "'51a0a3f6-6c37-4f3a-a0f6-1c22b09aa511', 'b0a1f3c2-18a0-4f0e-9d86-07b0d1a6e3a1', 1, ?, 0, 0, 0)", uuid,
              json.dumps({'driver_volume_type': 'rbd', 'data': RBD, 'serial': 'x', 'multiattach': True}))
    there.sql('DELETE FROM instance_info_caches WHERE instance_uuid = ?', uuid)
    there.sql('INSERT INTO instance_info_caches (instance_uuid, network_info, deleted) VALUES (?, ?, 0)', uuid,
              json.dumps([PORT]))
    there.take()
    with session.read() as conn:
        one = instances.get(conn, uuid)
    [volume] = [device for device in one.block_devices if device.volume_id]
    assert volume.connection_info['state'] == 'attached' and volume.attachment_id
    assert sources.of(volume) == sources.Source(
        'network', 'volumes/volume-51a0', protocol='rbd', hosts=(('10.0.0.2', '6789'),), shared=True, remote=True,
        secret=sources.Secret('cinder', 'ceph', 'a5d0dd94-57c4-ae55-ffe0-7e3732a24455'))
    assert 'AQBkeyring' not in str(volume.connection_info)
    [card] = one.network_info
    assert (card.id, card.mac_address, card.kind, card.network_name) == (
        PORT['id'], PORT['address'], 'ovs', 'private')
    assert card.details['bridge'] == 'br-int' and card.mtu == 1442 and card.active and card.preserve_on_delete
    assert [(ip.address, ip.floating_ips) for ip in card.fixed_ips] == [('10.0.0.7', ['203.0.113.9'])]
    assert 'security_groups' not in card.details     # nobody has said that it has none
    assert card.subnets[0].gateway == '10.0.0.1'


RBD = {'name': 'volumes/volume-51a0', 'hosts': ['10.0.0.2'], 'ports': ['6789'], 'cluster_name': 'ceph',
       'auth_enabled': True, 'auth_username': 'cinder', 'secret_type': 'ceph', 'keyring': 'AQBkeyring',
       'secret_uuid': 'a5d0dd94-57c4-ae55-ffe0-7e3732a24455', 'access_mode': 'rw', 'encrypted': False}
PORT = {
    'id': '8d7ec5c4-4bd6-4b3f-8a35-6c11d1e9d6a5', 'address': 'fa:16:3e:aa:bb:cc', 'type': 'ovs', 'active': True,
    'vnic_type': 'normal', 'profile': {}, 'preserve_on_delete': True, 'devname': 'tap8d7ec5c4-4b', 'meta': {},
    'ovs_interfaceid': '8d7ec5c4-4bd6-4b3f-8a35-6c11d1e9d6a5',
    'details': {'port_filter': True, 'bridge_name': 'br-int'},
    'network': {'id': '0b5f0a0a-1111-4bd6-8a35-6c11d1e9d6a5', 'label': 'private', 'bridge': 'br-int',
                'meta': {'mtu': 1442, 'injected': False, 'tenant_id': 'shop'},
                'subnets': [{'cidr': '10.0.0.0/24', 'version': 4, 'dns': [], 'routes': [],
                             'gateway': {'address': '10.0.0.1', 'type': 'gateway', 'version': 4, 'meta': {}},
                             'meta': {'dhcp_server': '10.0.0.2'},
                             'ips': [{'address': '10.0.0.7', 'type': 'fixed', 'version': 4, 'meta': {},
                                      'floating_ips': [{'address': '203.0.113.9', 'type': 'floating', 'version': 4,
                                                        'meta': {}, 'floating_ips': []}]}]}]}}


def test_they_are_shown(there: Nova, make_cloud: Any) -> None:
    """By the API, to their owner, and with their log."""
    there.take()
    cloud: Cloud = make_cloud()
    listed = cloud.api('GET', '/servers/detail', user='jane', project='shop')['servers']
    assert {one['name'] for one in listed} == {'web', 'db', 'old', 'moved', 'paused', 'shelf'}
    web = there.server('web')
    log = cloud.api('GET', f'/servers/{web}/os-instance-actions', project='shop')['instanceActions']
    assert [one['action'] for one in log] == ['lock', 'create'] or [one['action'] for one in log] == ['create']
    one = cloud.api('GET', f'/servers/{web}/os-instance-actions/{log[-1]["request_id"]}', project='shop')
    assert one['instanceAction']['events']


def test_the_command(there: Nova) -> None:
    """As an operator types it. Exit status 3: something stays there."""
    config = there.cell.with_name('minicompute.conf')
    config.write_text(f'[database]\nconnection = {CONF.database.connection}\n')
    words = [sys.executable, '-W', 'ignore', '-m', 'minicompute.cmd.manage', '--config-file', str(config), 'import',
             'nova', '--nova-database']
    done = subprocess.run([*words, f'sqlite:///{there.cell}', '--nova-api-database', f'sqlite:///{there.api}'],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert 'Nothing was written' in done.stdout and 'confirm or revert' in done.stdout
    wrong = subprocess.run([*words, 'sqlite:////nonexistent/x', '--nova-api-database', 'sqlite://'],
                           capture_output=True, text=True, check=False)
    assert wrong.returncode == 1 and '--nova-database' in wrong.stderr and 'Traceback' not in wrong.stderr
