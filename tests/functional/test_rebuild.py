"""Servers are rebuilt, through all roles."""
from __future__ import annotations

import base64
import io
import threading
import uuid
from typing import Any

import pytest

from minicompute import exception
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import instances
from minicompute.image import base as image_base
from minicompute.objects import ImageMeta, Instance
from minicompute.virt.driver import SpawnRequest
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud
from tests.functional.test_snapshots import act, action_of


def new_image(**changes: Any) -> str:
    backend, context = image_base.load(), admin_context()
    meta = backend.create(context, ImageMeta(**{
        'id': str(uuid.uuid4()), 'name': 'other', 'disk_format': 'raw', 'container_format': 'bare',
        'visibility': 'public', 'owner': 'admin', **changes}))
    backend.upload(context, str(meta.id), io.BytesIO(b'\0' * 65536))
    return str(meta.id)


def record(server: str) -> Instance:
    with session.read() as conn:
        return instances.get(conn, server)


def rebuild(cloud: Cloud, server: str, image_id: str | None = None, version: str = '2.104', expect: int = 202,
            **more: Any) -> Any:
    body = {'imageRef': image_id or cloud.image(), **more}
    answer = act(cloud, server, 'rebuild', body, version=version, expect=expect)
    return answer['server'] if expect == 202 else answer


@pytest.fixture
def server(cloud: Cloud) -> str:
    uuid = cloud.boot('vm', flavorRef=cloud.flavor(disk=1), metadata={'old': '1'})['id']
    cloud.wait(uuid)
    return str(uuid)


@pytest.fixture
def asked(monkeypatch: Any) -> list[tuple[SpawnRequest, dict[str, Any]]]:
    """What the driver was asked for."""
    found: list[tuple[SpawnRequest, dict[str, Any]]] = []
    real = FakeDriver.rebuild

    def note(self: FakeDriver, request: SpawnRequest, **more: Any) -> None:
        found.append((request, more))
        real(self, request, **more)
    monkeypatch.setattr(FakeDriver, 'rebuild', note)
    return found


def test_the_same_image(cloud: Cloud, server: str, asked: list[Any]) -> None:
    shown = rebuild(cloud, server)
    assert shown['status'] == 'REBUILD' and shown['OS-EXT-STS:task_state'] == 'rebuilding'
    assert len(shown['adminPass']) == CONF.password_length and shown['metadata'] == {'old': '1'}
    after = cloud.wait(server)
    assert after['image']['id'] == cloud.image()
    (request, more), = asked
    assert request.admin_password == shown['adminPass'] and request.image.id == cloud.image()
    assert not more['preserve_ephemeral'] and more['start']
    log = action_of(cloud, server, 'rebuild')
    assert [event['event'] for event in reversed(log['events'])] == ['check_host', 'fetch_image', 'rebuild']


def test_another_image_and_all_else(cloud: Cloud, server: str, asked: list[Any]) -> None:
    image_id = new_image(properties={'hw_disk_bus': 'scsi'})
    key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqGPPQ0oeTNPC9rVuCMWKRWPMRqcqFGFIxZdPyzMWKW me'
    cloud.api('POST', '/os-keypairs', {'keypair': {'name': 'k', 'type': 'ssh', 'public_key': key}}, expect=None)
    data = base64.b64encode(b'#!/bin/sh').decode()
    shown = rebuild(cloud, server, image_id, name='new', description='d', adminPass='s3cret', key_name='k',
                    user_data=data, hostname='host.example', metadata={'a': 'b'}, preserve_ephemeral=True,
                    accessIPv4='10.1.2.3', trusted_image_certificates=['c1'], **{'OS-DCF:diskConfig': 'MANUAL'})
    assert (shown['name'], shown['description'], shown['adminPass'], shown['key_name'], shown['user_data']) == (
        'new', 'd', 's3cret', 'k', data)
    assert (shown['image']['id'], shown['metadata'], shown['accessIPv4'], shown['OS-DCF:diskConfig']) == (
        image_id, {'a': 'b'}, '10.1.2.3', 'MANUAL')
    assert shown['OS-EXT-SRV-ATTR:hostname'] == 'host.example' and shown['trusted_image_certificates'] == ['c1']
    cloud.wait(server)
    now = record(server)
    assert (now.key_data, now.image_ref, now.image_properties['hw_disk_bus']) == (key, image_id, 'scsi')
    assert [device.image_id for device in now.block_devices] == [image_id]
    with session.read() as conn:
        assert instances.specs(conn, [server])[server].image_id == image_id
    assert asked[0][0].instance.user_data == data and asked[0][1]['preserve_ephemeral']
    shown = rebuild(cloud, server, image_id, key_name=None, user_data=None, description=None,
                    trusted_image_certificates=None)
    assert shown['key_name'] is shown['user_data'] is shown['description'] is None
    cloud.wait(server)
    assert record(server).key_data is None and shown['trusted_image_certificates'] is None


def test_a_stopped_server_stays_stopped(cloud: Cloud, server: str, asked: list[Any]) -> None:
    act(cloud, server, 'os-stop')
    cloud.wait(server, 'SHUTOFF')
    assert rebuild(cloud, server)['status'] == 'REBUILD'
    assert cloud.wait(server, 'SHUTOFF')['OS-EXT-STS:power_state'] == 4
    assert asked[0][1]['start'] is False


def test_it_heals_a_server_in_error(cloud: Cloud, server: str) -> None:
    session.write(instances.update, server, {'vm_state': 'error'})
    rebuild(cloud, server)
    cloud.until(lambda: cloud.show(server)['status'] == 'ACTIVE', 'the server to be healed')


def test_what_fails_before_the_disks_go_changes_nothing(cloud: Cloud, server: str) -> None:
    old = record(server).image_properties

    def refuse(driver: Any, uuid: str) -> None:
        raise exception.ImageUnacceptable(image_id='x', reason='it has a backing file')
    FakeDriver.faults['fetch_image'] = refuse
    image_id = new_image()
    assert rebuild(cloud, server, image_id)['image']['id'] == image_id
    after = cloud.wait(server)
    assert after['image']['id'] == cloud.image() and record(server).image_properties == old
    assert [device.image_id for device in record(server).block_devices] == [cloud.image()]
    with session.read() as conn:
        assert instances.specs(conn, [server])[server].image_id == cloud.image()
    assert 'backing file' in action_of(cloud, server, 'rebuild')['message']


def test_what_fails_later_is_an_error_that_a_second_rebuild_ends(cloud: Cloud, server: str) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        FakeDriver.faults.clear()
        raise exception.DiskFull(what='the disks')
    FakeDriver.faults['rebuild'] = refuse
    rebuild(cloud, server)
    after = cloud.wait(server, 'ERROR')
    assert 'No space left' in after['fault']['message'] and after['OS-EXT-SRV-ATTR:host']
    rebuild(cloud, server)
    cloud.until(lambda: cloud.show(server)['status'] == 'ACTIVE', 'the second rebuild')


def test_what_nobody_gives_is_refused_at_once(cloud: Cloud, server: str) -> None:
    said = rebuild(cloud, server, new_image(properties={'hw_tpm_version': '2.0'}), expect=400)
    assert 'hw_tpm_version' in said['badRequest']['message']
    assert cloud.show(server)['status'] == 'ACTIVE' and not cloud.leaks()


def test_a_host_that_cannot_run_the_image(cloud: Cloud, server: str) -> None:
    image_id = new_image(properties={'hw_architecture': 'aarch64'})
    rebuild(cloud, server, image_id)
    assert cloud.wait(server)['image']['id'] == cloud.image()
    assert 'No valid host' in action_of(cloud, server, 'rebuild')['message']


def test_a_disabled_host_may_rebuild_what_it_has(cloud: Cloud, server: str) -> None:
    for service in cloud.api('GET', '/os-services?binary=nova-compute')['services']:
        cloud.api('PUT', f'/os-services/{service["id"]}', {'status': 'disabled'})
    cloud.until(lambda: cloud.api('GET', '/os-services?binary=nova-compute')['services'][0]['status'] == 'disabled',
                'the hosts to be disabled')
    image_id = new_image()
    rebuild(cloud, server, image_id)
    assert cloud.wait(server)['image']['id'] == image_id


def test_delete_while_it_is_rebuilt(cloud: Cloud, server: str) -> None:
    gate, busy = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        busy.set()
        gate.wait(60)
    FakeDriver.faults['rebuild'] = hold
    rebuild(cloud, server)
    assert busy.wait(60)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    gate.set()
    cloud.wait_gone(server)
    assert not cloud.leaks()


@pytest.mark.parametrize('body, named', [
    ({}, 'imageRef'), ({'imageRef': 'x'}, 'imageRef'), ({'name': 'n' * 256}, 'name'), ({'metadata': []}, 'metadata'),
    ({'personality': []}, 'personality'), ({'user_data': 'eHg'}, 'user_data'), ({'hostname': '-'}, 'hostname'),
    ({'preserve_ephemeral': 'perhaps'}, 'preserve_ephemeral'), ({'more': 1}, 'more'),
    ({'trusted_image_certificates': []}, 'trusted_image_certificates'), ({'key_name': 'gone'}, 'key_name'),
    ({'imageRef': str(uuid.uuid4())}, 'image')])
def test_bad_bodies(cloud: Cloud, server: str, body: dict[str, Any], named: str) -> None:
    whole = {'imageRef': cloud.image(), **body} if body else {}
    answer = cloud.request('POST', f'/servers/{server}/action', {'rebuild': whole})
    assert answer.status_int == 400 and named in answer.json['badRequest']['message'], answer.text
    assert record(server).task_state is None


def test_an_image_that_does_not_fit(cloud: Cloud, server: str) -> None:
    refused = rebuild(cloud, server, new_image(min_disk=5), expect=400)
    assert 'minimum size is 5 GiB' in refused['badRequest']['message']
    CONF.set_override('metadata_items', 1, 'quota')
    assert rebuild(cloud, server, metadata={'a': '1', 'b': '2'}, expect=403)


def test_states_that_forbid_it(cloud: Cloud, server: str) -> None:
    act(cloud, server, 'pause')
    cloud.wait(server, 'PAUSED')
    refused = rebuild(cloud, server, expect=409)['conflictingRequest']['message']
    assert refused == f"Cannot 'rebuild' instance {server} while it is in vm_state paused"


@pytest.mark.parametrize('version, there, missing', [
    ('2.1', 'metadata', 'locked'), ('2.53', 'tags', 'key_name'), ('2.54', 'key_name', 'user_data'),
    ('2.57', 'user_data', 'server_groups'), ('2.71', 'server_groups', 'OS-EXT-STS:vm_state'),
    ('2.75', 'OS-EXT-STS:vm_state', 'pinned_availability_zone'), ('2.104', 'scheduler_hints', '')])
def test_the_answer_grows(cloud: Cloud, server: str, version: str, there: str, missing: str) -> None:
    shown = rebuild(cloud, server, version=version)
    assert there in shown and missing not in shown
    cloud.wait(server)
