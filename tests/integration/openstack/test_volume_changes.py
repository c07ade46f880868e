"""Volumes of the real Cinder that change under their guests: shared, moved between back ends, snapshotted, shelved."""
from __future__ import annotations

import contextlib
import uuid
from typing import Any

import openstack
import pytest

from tests.integration.openstack.conftest import HOME, Lab
from tests.integration.openstack.test_volumes import (  # noqa: F401
    admin,
    boot,
    clean,
    said,
    status,
    until,
    user,
    volume,
)
from tests.integration.openstack.truth import Truth

# Fixtures of another module.
# ruff: noqa: F811
WORD = 'written0here0000'


@pytest.fixture
def shared_kind(admin: Any, clean: list[Any]) -> str:
    made = admin.block_storage.create_type(name=f'shared-{uuid.uuid4().hex[:6]}', is_public=True, extra_specs={
        'volume_backend_name': 'rbd1', 'multiattach': '<is> True'})

    def unused() -> bool:
        with contextlib.suppress(openstack.exceptions.BadRequestException):
            admin.block_storage.delete_type(made)
            return True
        return False
    clean.append(lambda: until(unused, 'the type to be of no volume'))
    return str(made.name)


def test_one_volume_of_two_servers(lab: Lab, user: Any, clean: list[Any], shared_kind: str) -> None:
    """Each sees what the other wrote; the first that leaves leaves it to the other."""
    one = volume(user, clean, shared_kind)
    assert one.is_multiattach
    first, second = boot(user, clean), boot(user, clean)
    user.compute.create_volume_attachment(first, volume_id=one.id)
    said(user, first, 'volume-test: vdb sectors=2097152 word=new')
    user.compute.create_volume_attachment(second, volume_id=one.id)
    said(user, second, f'volume-test: vdb sectors=2097152 word={WORD}')
    assert lab.domain(first.id).count('<shareable/>') == 1
    truth = Truth(HOME, lab.of('admin'))
    for server in (first, second):
        assert [found['status'] for found in truth.attachments(server.id)] == ['attached']
    user.compute.delete_volume_attachment(first, one.id)
    until(lambda: not list(user.compute.volume_attachments(first)), 'the first to leave it')
    assert user.block_storage.get_volume(one.id).status == 'in-use'
    user.compute.delete_server(second)
    user.compute.wait_for_delete(second, interval=1, wait=120)
    status(user, one, 'available')


@pytest.mark.parametrize('kinds', [('nfs1', 'rbd1'), ('rbd1', 'nfs1')], ids='-to-'.join)
def test_a_retype_under_a_guest(lab: Lab, user: Any, admin: Any, clean: list[Any], kinds: tuple[str, str]) -> None:
    """Cinder makes a volume at the other back end and has us copy: the guest has its disk all the time, then anew."""
    one, server = volume(user, clean, kinds[0]), boot(user, clean)
    user.compute.create_volume_attachment(server, volume_id=one.id)
    said(user, server, 'volume-test: vdb sectors=2097152 word=new')
    admin.block_storage.retype_volume(one.id, kinds[1], migration_policy='on-demand')
    settled(lab, user, admin, server, one.id, kinds[1])
    restarted(lab, user, server)
    user.compute.delete_volume_attachment(server, one.id)
    status(user, one, 'available')
    user.compute.create_volume_attachment(server, volume_id=one.id)
    said(user, server, f'volume-test: vdb sectors=2097152 word={WORD}', 2)


def test_a_volume_migrates_under_a_guest(lab: Lab, user: Any, admin: Any, clean: list[Any]) -> None:
    one, server = volume(user, clean, '__DEFAULT__'), boot(user, clean)
    user.compute.create_volume_attachment(server, volume_id=one.id)
    said(user, server, 'volume-test: vdb sectors=2097152 word=new')
    place = admin.block_storage.get_volume(one.id).host
    host = place.partition('@')[0]
    there = 'nfs1' if '@rbd1' in place else 'rbd1'
    admin.block_storage.migrate_volume(one.id, host=f'{host}@{there}#{there}')
    settled(lab, user, admin, server, one.id, None, there)
    restarted(lab, user, server)


def settled(lab: Lab, user: Any, admin: Any, server: Any, volume_id: str, kind: str | None,
            place: str | None = None) -> None:
    """The volume is at its new place under its old id, and Cinder, our records and the domain agree."""
    def look() -> bool:
        now = admin.block_storage.get_volume(volume_id)
        assert 'error' not in (now.status, now.migration_status), f'{now.status} {now.migration_status}'
        return (now.status, now.migration_status) in (('in-use', None), ('in-use', 'success')) and (
            kind in (None, now.volume_type)) and f'@{place or kind}' in now.host
    until(look, f'the volume to be at {place or kind}')
    until(lambda: user.compute.get_server(server).task_state is None, 'the server to rest')
    assert [one.volume_id for one in user.compute.volume_attachments(server)] == [volume_id]
    truth = Truth(HOME, lab.of('admin'))
    (found,) = truth.attachments(server.id)
    assert (found['volume'], found['status']) == (volume_id, 'attached')
    assert (" protocol='rbd'" in lab.domain(server.id)) == ('rbd1' == (place or kind))


def restarted(lab: Lab, user: Any, server: Any) -> None:
    """Its next domain is made of the records: the guest finds what it wrote."""
    line = f'volume-test: vdb sectors=2097152 word={WORD}'
    user.compute.stop_server(server)
    lab.wait('demo', server.id, 'SHUTOFF')
    user.compute.start_server(server)
    lab.wait('demo', server.id, 'ACTIVE')
    said(user, server, line)         # its console begins anew


def test_a_snapshot_of_a_file_that_is_in_use(lab: Lab, user: Any, clean: list[Any]) -> None:
    """NFS: Cinder asks us to have the guest go on in a new file, and to merge the files when the snapshot goes."""
    one, server = volume(user, clean, 'nfs1'), boot(user, clean)
    user.compute.create_volume_attachment(server, volume_id=one.id)
    said(user, server, 'volume-test: vdb sectors=2097152 word=new')
    snapshot = user.block_storage.create_snapshot(volume_id=one.id, name='live', force=True)

    def gone() -> None:
        user.block_storage.delete_snapshot(snapshot, ignore_missing=True)
        until(lambda: user.block_storage.find_snapshot(snapshot.id) is None, 'the snapshot to go')
    clean.append(lambda: gone())
    until(lambda: user.block_storage.get_snapshot(snapshot.id).status == 'available', 'the snapshot')
    assert snapshot.id in lab.domain(server.id), 'the guest goes on in the new file'
    restarted(lab, user, server)
    assert lab.domain(server.id).count(f'volume-{one.id}') == 2, 'a file upon another'
    gone()
    assert lab.domain(server.id).count(f'volume-{one.id}') == 1, 'the files are one'
    restarted(lab, user, server)
    user.compute.delete_volume_attachment(server, one.id)
    status(user, one, 'available')


@pytest.mark.parametrize('kind', ['nfs1', 'rbd1'])
def test_a_volume_for_a_shelved_server(lab: Lab, user: Any, clean: list[Any], kind: str) -> None:
    """2.20: it is kept for the server, and there when the server is back; another may be taken off meanwhile."""
    one, two, server = volume(user, clean, kind), volume(user, clean, kind), boot(user, clean)
    user.compute.shelve_server(server)
    lab.wait('demo', server.id, 'SHELVED_OFFLOADED')
    for each in (one, two):
        user.compute.create_volume_attachment(server, volume_id=each.id)
        until(lambda each=each: user.block_storage.get_volume(each.id).status in ('reserved', 'in-use'), 'it is kept')
    user.compute.delete_volume_attachment(server, two.id)
    status(user, two, 'available')
    user.compute.unshelve_server(server)
    lab.wait('demo', server.id, 'ACTIVE')
    said(user, server, 'volume-test: vdb sectors=2097152 word=new')
    status(user, one, 'in-use')
    assert [found.volume_id for found in user.compute.volume_attachments(server)] == [one.id]
