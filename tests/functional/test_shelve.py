"""Servers go on the shelf, off their host, and come back."""
from __future__ import annotations

import os
import threading
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute import exception
from minicompute.conductor import due
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import instances, owed
from minicompute.db.models import compute_nodes, images, services
from minicompute.image import base as image_base
from minicompute.objects import Instance
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud
from tests.functional.test_snapshots import act, action_of, gone, left_over, show


def record(server: str) -> Instance:
    with session.read() as conn:
        return instances.get(conn, server)


def image_of(server: str) -> str:
    return str(record(server).system_metadata['shelved_image_id'])


@pytest.fixture
def server(cloud: Cloud) -> str:
    uuid = cloud.boot('vm', networks='auto', flavorRef=cloud.flavor(disk=1))['id']
    cloud.wait(uuid)
    return str(uuid)


def shelved(cloud: Cloud, server: str, offload_time: int = 0) -> None:
    CONF.set_override('shelved_offload_time', offload_time)
    act(cloud, server, 'shelve')
    cloud.wait(server, 'SHELVED' if offload_time else 'SHELVED_OFFLOADED')


def test_off_the_host_and_back(cloud: Cloud, server: str) -> None:
    before = cloud.show(server)
    shelved(cloud, server)
    image_id = image_of(server)
    meta = show(image_id)
    assert (meta.name, meta.status, meta.properties['image_type']) == ('vm-shelved', 'active', 'snapshot')
    now = cloud.show(server)
    assert now['OS-EXT-SRV-ATTR:host'] is None and now['hostId'] == '' and now['addresses'] == before['addresses']
    assert cloud.domains() == {} and left_over() == [] and not cloud.leaks()
    act(cloud, server, 'unshelve', None)
    after = cloud.wait(server)
    assert cloud.domains() == {server: after['OS-EXT-SRV-ATTR:host']}
    assert after['addresses'] == before['addresses'] and after['image'] == before['image']
    assert gone(image_id) and record(server).system_metadata == {} and not cloud.leaks()
    events = [event['event'] for event in reversed(action_of(cloud, server, 'unshelve')['events'])]
    assert events == ['find_image', 'choose_host', 'bind_ports', 'spawn_from_image', 'let_run', 'forget_image']
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    assert not cloud.leaks()


def test_on_the_shelf_and_back_on_its_host(cloud: Cloud, server: str) -> None:
    host = cloud.domains()[server]
    shelved(cloud, server, -1)
    assert cloud.domains() == {server: host} and record(server).due_at is None
    assert cloud.show(server)['OS-EXT-STS:power_state'] == 4
    image_id = image_of(server)
    act(cloud, server, 'unshelve', None)
    cloud.wait(server)
    assert cloud.domains() == {server: host} and gone(image_id) and not cloud.leaks()


@pytest.mark.parametrize('before, status', [('os-stop', 'SHUTOFF'), ('pause', 'PAUSED'), ('suspend', 'SUSPENDED')])
def test_from_each_state(cloud: Cloud, server: str, before: str, status: str) -> None:
    act(cloud, server, before)
    cloud.wait(server, status)
    shelved(cloud, server)
    act(cloud, server, 'unshelve', None)
    cloud.wait(server)
    assert not cloud.leaks()


def test_its_time_comes(cloud: Cloud, server: str) -> None:
    shelved(cloud, server, 3600)
    assert record(server).due_at is not None and due.sweep() == []
    session.write(instances.update, server, {'due_at': session.utcnow()})
    cloud.until(lambda: due.sweep() or cloud.show(server)['status'] == 'SHELVED_OFFLOADED', 'its time')
    cloud.wait(server, 'SHELVED_OFFLOADED')
    assert record(server).due_at is None and cloud.domains() == {} and not cloud.leaks()
    assert action_of(cloud, server, 'shelveOffload')['message'] is None


def test_an_administrator_offloads_it(cloud: Cloud, server: str) -> None:
    refused = cloud.request('POST', f'/servers/{server}/action', {'shelveOffload': None})
    assert refused.status_int == 409 and 'vm_state active' in refused.text
    shelved(cloud, server, -1)
    act(cloud, server, 'shelveOffload')
    cloud.wait(server, 'SHELVED_OFFLOADED')
    assert cloud.domains() == {} and not cloud.leaks()
    act(cloud, server, 'unshelve', None)
    cloud.wait(server)


def test_an_offload_that_failed_is_tried_again(cloud: Cloud, server: str) -> None:
    shelved(cloud, server, 3600)

    def refuse(driver: Any, uuid: str) -> None:
        FakeDriver.faults.clear()
        raise exception.InternalError(reason='the disk is busy')
    FakeDriver.faults['destroy'] = refuse
    act(cloud, server, 'shelveOffload')
    cloud.wait(server, 'SHELVED')
    assert record(server).due_at is not None
    assert 'the disk is busy' in action_of(cloud, server, 'shelveOffload')['message']


@pytest.mark.parametrize('fault', ['power_off', 'power_off.after', 'extract', 'send_image.after'])
def test_a_shelve_that_fails_leaves_it_running(cloud: Cloud, server: str, fault: str) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        FakeDriver.faults.clear()
        raise exception.DiskFull(what='the image')
    FakeDriver.faults[fault] = refuse
    act(cloud, server, 'shelve')
    cloud.wait(server)
    assert cloud.services[cloud.domains()[server]].manager.driver.power_state(server) == 1   # type: ignore[attr-defined]
    assert 'No space left' in action_of(cloud, server, 'shelve')['message'] and left_over() == []
    assert unfinished() == []
    assert [name for name in os.listdir(CONF.local_images.path) if name != cloud.image()] == []
    assert not cloud.leaks()


def test_no_room_for_it(cloud: Cloud, server: str) -> None:
    shelved(cloud, server)
    cloud.services['conductor1'].manager.engine._steady = lambda: True      # type: ignore[attr-defined]
    zoned = cloud.request('POST', f'/servers/{server}/action', {'unshelve': {'availability_zone': 'moon'}})
    assert zoned.status_int == 400 and 'availability zone' in zoned.text
    session.write(lambda conn: conn.execute(compute_nodes.update().values(vcpus=0, changed_at=session.now(conn))))
    act(cloud, server, 'unshelve', None)
    cloud.wait(server, 'SHELVED_OFFLOADED')
    assert 'No valid host' in action_of(cloud, server, 'unshelve')['message']
    assert show(image_of(server)).status == 'active' and not cloud.leaks()


def test_a_broken_host_is_left(cloud: Cloud, server: str) -> None:
    shelved(cloud, server)
    broken: list[str] = []

    def refuse(driver: Any, uuid: str) -> None:
        if not broken:
            broken.append(driver.host)
            raise RuntimeError('planned')
    FakeDriver.faults['spawn'] = refuse
    act(cloud, server, 'unshelve', None)
    assert cloud.wait(server)['OS-EXT-SRV-ATTR:host'] not in broken
    assert len(broken) == 1 and not cloud.leaks()


def test_an_image_that_is_gone_is_an_error(cloud: Cloud, server: str) -> None:
    shelved(cloud, server)
    image_base.load().delete(admin_context(), image_of(server))
    act(cloud, server, 'unshelve', None)
    assert 'cannot be found' in cloud.wait(server, 'ERROR')['fault']['message']
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    assert not cloud.leaks()


def test_a_host_that_fell_silent_may_be_running_it(cloud: Cloud, server: str) -> None:
    """Nobody starts a second one before it is back, or said to be dead."""
    shelved(cloud, server)
    spawning = threading.Event()
    held: list[str] = []
    cloud.services['conductor1'].manager.engine._steady = lambda: True      # type: ignore[attr-defined]

    def hold(driver: Any, uuid: str) -> None:
        FakeDriver.faults.clear()
        held.append(driver.host)
        session.write(lambda conn: conn.execute(services.update().where(services.c.host == driver.host).values(
            forced_down=True)))
        spawning.set()
        cloud.until(lambda: record(server).task_state is None, 'the conductor to give it up')
    FakeDriver.faults['spawn'] = hold
    act(cloud, server, 'unshelve', None)
    assert spawning.wait(60)
    cloud.wait(server, 'SHELVED_OFFLOADED')
    assert record(server).system_metadata['unshelve_doubt'] == held[0]
    with session.read() as conn:
        assert owed.of_hosts(conn, held) == [(held[0], server)]
    cloud.force_down(held[0], False)
    act(cloud, server, 'unshelve', None)
    cloud.wait(server, 'SHELVED_OFFLOADED')
    assert 'may be running it' in action_of(cloud, server, 'unshelve')['message']
    cloud.force_down(held[0])
    act(cloud, server, 'unshelve', None)
    assert cloud.wait(server)['OS-EXT-SRV-ATTR:host'] not in held
    assert record(server).system_metadata == {}


def test_host_and_zone(cloud: Cloud, server: str) -> None:
    wrong = cloud.request('POST', f'/servers/{server}/action', {'unshelve': {'host': 'compute1'}})
    assert wrong.status_int == 409
    shelved(cloud, server, -1)
    wrong = cloud.request('POST', f'/servers/{server}/action', {'unshelve': {'host': 'compute1'}})
    assert wrong.status_int == 409 and 'SHELVED_OFFLOADED' in wrong.text
    act(cloud, server, 'shelveOffload')
    cloud.wait(server, 'SHELVED_OFFLOADED')
    for host, code in (('nowhere', 400), ('compute1', 409)):
        body = {'unshelve': {'host': host, 'availability_zone': 'nova'}}
        if host == 'compute1':
            made = cloud.api('POST', '/os-aggregates', {'aggregate': {'name': 'a', 'availability_zone': 'z'}})
            cloud.api('POST', f'/os-aggregates/{made["aggregate"]["id"]}/action', {'add_host': {'host': 'compute1'}})
        answer = cloud.request('POST', f'/servers/{server}/action', body)
        assert answer.status_int == code and host in answer.text, answer.text
    act(cloud, server, 'unshelve', {'host': 'compute1', 'availability_zone': 'z'})
    after = cloud.wait(server)
    assert after['OS-EXT-SRV-ATTR:host'] == 'compute1' and after['pinned_availability_zone'] == 'z'
    shelved(cloud, server)
    act(cloud, server, 'unshelve', {'availability_zone': None, 'host': 'compute2'})
    after = cloud.wait(server)
    assert after['OS-EXT-SRV-ATTR:host'] == 'compute2' and after['pinned_availability_zone'] is None


def test_a_host_is_named_by_administrators_only(cloud: Cloud) -> None:
    server = cloud.boot('own', user='alice', flavorRef=cloud.flavor(disk=1))['id']
    cloud.wait(server)
    shelved(cloud, server)
    body = {'unshelve': {'host': 'compute1'}}
    assert cloud.request('POST', f'/servers/{server}/action', body, user='alice').status_int == 403
    act(cloud, server, 'unshelve', None, user='alice')
    cloud.wait(server)


def test_the_image_goes_with_a_deleted_server(cloud: Cloud, server: str) -> None:
    shelved(cloud, server)
    image_id = image_of(server)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    assert gone(image_id) and not cloud.leaks()


def unfinished() -> list[str]:
    with session.read() as conn:
        return list(conn.scalars(sa.select(images.c.uuid).where(images.c.status != 'active')))


@pytest.mark.parametrize('place,task_state', [('power_off', 'shelving'), ('extract', 'shelving_image_pending_upload')])
def test_a_delete_breaks_a_shelve_off(cloud: Cloud, server: str, place: str, task_state: str) -> None:
    gate, copying = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        copying.set()
        gate.wait(60)
    FakeDriver.faults[place] = hold
    act(cloud, server, 'shelve')
    assert copying.wait(60)
    assert cloud.show(server)['OS-EXT-STS:task_state'] == task_state
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    gate.set()
    cloud.wait_gone(server)
    assert left_over() == [] and not cloud.leaks()
    assert [name for name in os.listdir(CONF.local_images.path) if name != cloud.image()] == []
    cloud.until(lambda: not unfinished(), 'its image to be forgotten')


def test_a_locked_server_stays_where_it_is(cloud: Cloud) -> None:
    server = cloud.boot('own', user='alice', flavorRef=cloud.flavor(disk=1))['id']
    cloud.wait(server)
    session.write(instances.update, server, {'locked': True})
    answer = cloud.request('POST', f'/servers/{server}/action', {'shelve': None}, user='alice')
    assert answer.status_int == 409 and 'is locked' in answer.text


@pytest.mark.parametrize('version, body, code', [
    ('2.76', {'x': 1}, 202), ('2.77', {}, 400), ('2.77', {'host': 'compute1'}, 400), ('2.90', None, 202),
    ('2.91', {'availability_zone': 3}, 400), ('2.91', {'more': 1}, 400), ('2.91', {'host': ''}, 400)])
def test_bodies(cloud: Cloud, server: str, version: str, body: Any, code: int) -> None:
    shelved(cloud, server)
    act(cloud, server, 'unshelve', body, version=version, expect=code)
    if code == 202:
        cloud.wait(server)
