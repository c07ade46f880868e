"""Pause, suspend, rescue, crash dump, passwords, and what starts, stops and resets in each state: all roles."""
from __future__ import annotations

import base64
import threading
import uuid as uuidlib
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from minicompute import exception
from minicompute.conductor.manager import _note_power
from minicompute.db import session
from minicompute.db.api import instances, system_metadata
from minicompute.db.models import block_device_mappings, compute_nodes, instance_actions
from minicompute.objects import Instance, PowerState
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud


@pytest.fixture
def server(cloud: Cloud) -> str:
    return str(cloud.wait(cloud.boot('guest')['id'])['id'])


def act(cloud: Cloud, uuid: str, name: str, value: Any = None, expect: int = 202, **more: Any) -> Any:
    return cloud.api('POST', f'/servers/{uuid}/action', {name: value}, expect=expect, **more)


def record(uuid: str) -> Instance:
    with session.read() as conn:
        return instances.get(conn, uuid)


def put(uuid: str, **changes: Any) -> None:
    session.write(instances.update, uuid, changes)


def domain(cloud: Cloud, uuid: str) -> tuple[str, int]:
    """-> (name, power state)"""
    driver = cloud.services[str(record(uuid).host)].manager.driver   # type: ignore[attr-defined]
    return next((d.name, d.power_state) for d in driver.domains() if d.uuid == uuid)


def newest(cloud: Cloud, uuid: str) -> Any:
    """The newest action, with its events."""
    path = f'/servers/{uuid}/os-instance-actions'
    request_id = cloud.api('GET', path)['instanceActions'][0]['request_id']
    return cloud.api('GET', f'{path}/{request_id}')['instanceAction']


def ended(cloud: Cloud, uuid: str) -> Any:
    """Until nothing is under way, well or not. -> the newest action"""
    def look() -> Any:
        with session.read() as conn:
            busy = conn.execute(instance_actions.select().where(
                instance_actions.c.instance_uuid == uuid, instance_actions.c.busy.is_not(None))).first()
        return busy is None
    cloud.until(look, f'the actions on {uuid} to end')
    return newest(cloud, uuid)


def refuse(error: Exception) -> Callable[[Any, str], None]:
    def fault(driver: Any, uuid: str) -> None:
        raise error
    return fault


# -- pause, suspend ------------------------------------------------------------

@pytest.mark.parametrize(('there', 'status', 'power', 'back'), [
    ('pause', 'PAUSED', PowerState.PAUSED, 'unpause'), ('suspend', 'SUSPENDED', PowerState.SHUTDOWN, 'resume')])
def test_there_and_back(cloud: Cloud, server: str, there: str, status: str, power: int, back: str) -> None:
    act(cloud, server, there)
    shown = cloud.wait(server, status)
    assert shown['OS-EXT-STS:power_state'] == power == domain(cloud, server)[1]
    assert newest(cloud, server)['action'] == there
    for refused in (there, 'os-start', 'os-stop', 'rescue', 'trigger_crash_dump' if there == 'suspend' else there):
        answer = act(cloud, server, refused, expect=409)
        assert f"vm_state {status.lower()}" in answer['conflictingRequest']['message']
    act(cloud, server, 'reboot', {'type': 'SOFT'}, expect=409)
    act(cloud, server, back)
    assert cloud.wait(server)['OS-EXT-STS:power_state'] == PowerState.RUNNING == domain(cloud, server)[1]
    act(cloud, server, back, expect=409)
    assert newest(cloud, server)['action'] == back


@pytest.mark.parametrize('there', ['pause', 'suspend'])
def test_a_hard_reboot_makes_it_active(cloud: Cloud, server: str, there: str) -> None:
    act(cloud, server, there)
    cloud.wait(server, {'pause': 'PAUSED', 'suspend': 'SUSPENDED'}[there])
    act(cloud, server, 'reboot', {'type': 'HARD'})
    cloud.wait(server)
    assert domain(cloud, server)[1] == PowerState.RUNNING


@pytest.mark.parametrize('verb', ['pause', 'suspend', 'trigger_crash_dump'])
def test_what_a_host_cannot_do_leaves_the_server_as_it_was(cloud: Cloud, server: str, verb: str) -> None:
    FakeDriver.faults[verb] = refuse(exception.InternalError(reason='this host will not'))
    act(cloud, server, verb)
    action = ended(cloud, server)
    assert action['message'] and action['events'][0]['result'] == 'Error'
    assert cloud.show(server)['status'] == 'ACTIVE' and record(server).task_state is None
    assert 'will not' in str(record(server).fault)


def test_a_server_in_error_is_stopped_and_reset(cloud: Cloud, server: str) -> None:
    put(server, vm_state='error')
    act(cloud, server, 'os-stop')
    ended(cloud, server)
    cloud.wait(server, 'SHUTOFF')
    put(server, vm_state='error')
    act(cloud, server, 'reboot', {'type': 'HARD'})
    ended(cloud, server)
    cloud.wait(server)


def test_a_guest_may_not_be_touched_while_it_is_locked(cloud: Cloud, server: str) -> None:
    put(server, locked=True, project_id='p9')
    for name in ('pause', 'suspend', 'rescue', 'trigger_crash_dump'):
        answer = act(cloud, server, name, expect=409, user='bob', project='p9')
        assert answer['conflictingRequest']['message'] == f'Instance {server} is locked'
    act(cloud, server, 'changePassword', {'adminPass': 'x'}, expect=409, user='bob', project='p9')


# -- a hard reboot cuts short ----------------------------------------------------

@pytest.mark.parametrize(('name', 'value'), [('reboot', {'type': 'SOFT'}), ('pause', None), ('suspend', None)])
def test_a_hard_reboot_cuts_short_what_is_under_way(cloud: Cloud, server: str, name: str, value: Any) -> None:
    gate, there = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        if not there.is_set():
            there.set()
            gate.wait(60)
    FakeDriver.faults[name] = hold
    act(cloud, server, name, value)
    assert there.wait(60)
    act(cloud, server, 'reboot', {'type': 'HARD'})
    assert record(server).task_state == 'rebooting_hard'
    gate.set()
    assert ended(cloud, server)['action'] == 'reboot'
    cloud.wait(server)
    assert domain(cloud, server)[1] == PowerState.RUNNING
    assert not cloud.leaks()


def test_a_hard_reboot_does_not_cut_short_what_it_may_not(cloud: Cloud, server: str) -> None:
    gate = threading.Event()
    FakeDriver.faults['rescue'] = lambda driver, uuid: gate.wait(60)
    act(cloud, server, 'rescue', expect=200)
    answer = act(cloud, server, 'reboot', {'type': 'HARD'}, expect=409)
    assert 'task_state rescuing' in answer['conflictingRequest']['message']
    gate.set()
    cloud.wait(server, 'RESCUE')


# -- rescue ----------------------------------------------------------------------

def test_rescue_and_back(cloud: Cloud, server: str) -> None:
    name = domain(cloud, server)[0]
    assert act(cloud, server, 'rescue', {'adminPass': 'pass me'}, expect=200) == {'adminPass': 'pass me'}
    cloud.wait(server, 'RESCUE')
    assert domain(cloud, server) == (f'{name}.rescue', PowerState.RUNNING)
    assert record(server).system_metadata['rescue_image_ref'] == record(server).image_ref
    assert {event['event'] for event in newest(cloud, server)['events']} == {'rescue', 'prepare_rescue'}
    with session.read() as conn:
        kept = conn.execute(instance_actions.select().where(instance_actions.c.action == 'rescue')).one()
    assert 'pass me' not in str(kept.data)
    for refused, value in (('rescue', None), ('os-stop', None), ('os-start', None), ('pause', None),
                           ('reboot', {'type': 'HARD'})):
        act(cloud, server, refused, value, expect=409)
    act(cloud, server, 'trigger_crash_dump')
    ended(cloud, server)
    act(cloud, server, 'unrescue')
    cloud.wait(server)
    assert domain(cloud, server) == (name, PowerState.RUNNING)
    assert record(server).system_metadata == {}
    act(cloud, server, 'unrescue', expect=409)


def test_a_stopped_server_is_rescued(cloud: Cloud, server: str) -> None:
    act(cloud, server, 'os-stop')
    cloud.wait(server, 'SHUTOFF')
    assert len(act(cloud, server, 'rescue', expect=200)['adminPass']) == 12
    cloud.wait(server, 'RESCUE')
    act(cloud, server, 'unrescue')
    cloud.wait(server)


def test_a_rescued_server_is_deleted(cloud: Cloud, server: str) -> None:
    act(cloud, server, 'rescue', expect=200)
    cloud.wait(server, 'RESCUE')
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    assert not cloud.leaks()


def test_a_rescued_server_starts_rescued_with_its_host(cloud: Cloud, server: str, conf: Any) -> None:
    act(cloud, server, 'rescue', expect=200)
    cloud.wait(server, 'RESCUE')
    host = str(record(server).host)
    cloud.stop(host)
    FakeDriver(host)._change(server, PowerState.SHUTDOWN)
    conf.set_override('resume_guests_state_on_host_boot', True)
    try:
        cloud.start_compute(host)
    finally:
        conf.clear_override('resume_guests_state_on_host_boot')
    assert domain(cloud, server) == (f'{record(server).name}.rescue', PowerState.RUNNING)


def rescue_image(cloud: Cloud, size: int = 65536, **properties: Any) -> str:
    import io

    from minicompute.context import admin_context
    from minicompute.image import base as image_base
    from minicompute.objects import ImageMeta

    backend, context = image_base.load(), admin_context()
    meta = backend.create(context, ImageMeta(
        id=str(uuidlib.uuid4()), name='rescue', status='queued', disk_format='raw', container_format='bare',
        visibility='public', owner='admin', properties=properties))
    if size:
        backend.upload(context, str(meta.id), io.BytesIO(b'\0' * size))
    return str(meta.id)


def test_a_rescue_with_an_image_of_its_own(cloud: Cloud, server: str) -> None:
    image = rescue_image(cloud, hw_rescue_device='cdrom', hw_rescue_bus='sata')
    act(cloud, server, 'rescue', {'rescue_image_ref': image}, expect=200)
    cloud.wait(server, 'RESCUE')
    kept = {'rescue_image_ref': image, 'rescue_device': 'cdrom', 'rescue_bus': 'sata'}
    assert record(server).system_metadata == kept
    act(cloud, server, 'unrescue')
    cloud.wait(server)
    act(cloud, server, 'rescue', expect=200)
    cloud.wait(server, 'RESCUE')
    assert record(server).system_metadata == {'rescue_image_ref': record(server).image_ref}


def test_rescues_that_cannot_be(cloud: Cloud, server: str) -> None:
    def message(value: Any, code: int = 400, version: str = '2.104') -> str:
        answer = act(cloud, server, 'rescue', value, expect=code, version=version)
        return str(answer['badRequest']['message'])
    nowhere = str(uuidlib.uuid4())
    assert message({'rescue_image_ref': nowhere}) == f"Requested rescue image '{nowhere}' is not supported"
    assert 'rescue_image_ref' in message({'rescue_image_ref': 'x'})
    assert 'adminPass' in message({'adminPass': 5})
    message({'more': 1})
    message([])
    for flaw in ({'hw_rescue_device': 'floppy'}, {'hw_rescue_bus': 'xen'},
                 {'hw_rescue_device': 'cdrom', 'hw_rescue_bus': 'virtio'}, {'img_block_device_mapping': '[]x'}):
        assert 'is not supported' in message({'rescue_image_ref': rescue_image(cloud, **flaw)})
    assert 'is not active' in message({'rescue_image_ref': rescue_image(cloud, size=0)})
    put(server, image_ref='')
    assert 'cannot be rescued' in message(None)
    put(server, image_ref=nowhere)
    assert nowhere in message(None)
    assert record(server).task_state is None and cloud.show(server)['status'] == 'ACTIVE'


def test_a_server_that_boots_from_a_volume(cloud: Cloud, server: str) -> None:
    """It is rescued from 2.87 on, with an image that says which device it is, on a host that can."""
    def on_a_volume(conn: Any) -> None:
        conn.execute(block_device_mappings.update().where(block_device_mappings.c.instance_uuid == server).values(
            source_type='volume', destination_type='volume', boot_index=0, volume_size=1))
    session.write(on_a_volume)
    stable = rescue_image(cloud, hw_rescue_bus='virtio')
    refusals = (({'rescue_image_ref': rescue_image(cloud)}, '2.104'), ({'rescue_image_ref': stable}, '2.86'))
    for value, version in refusals:
        answer = act(cloud, server, 'rescue', value, expect=400, version=version)
        assert answer['badRequest']['message'].endswith('Cannot rescue a volume-backed instance')
    nodes = compute_nodes.select().with_only_columns(compute_nodes.c.traits)
    with session.read() as conn:
        traits = conn.execute(nodes).scalars().first()

    def teach(conn: Any, known: list[str]) -> None:
        conn.execute(compute_nodes.update().values(traits=known))
    session.write(teach, [])
    answer = act(cloud, server, 'rescue', {'rescue_image_ref': stable}, expect=400)
    assert 'Host unable' in answer['badRequest']['message']
    session.write(teach, traits)
    act(cloud, server, 'rescue', {'rescue_image_ref': stable}, expect=200)
    cloud.wait(server, 'RESCUE')


def test_a_rescue_disk_that_cannot_be_made_leaves_the_guest_alone(cloud: Cloud, server: str) -> None:
    FakeDriver.faults['prepare_rescue'] = refuse(exception.DiskFull(what='the rescue disk'))
    act(cloud, server, 'rescue', expect=200)
    assert 'No space left' in ended(cloud, server)['message']
    assert cloud.show(server)['status'] == 'ACTIVE'
    assert not domain(cloud, server)[0].endswith('.rescue') and record(server).system_metadata == {}


@pytest.mark.parametrize('verb', ['rescue', 'unrescue'])
def test_a_guest_that_does_not_start_is_in_error(cloud: Cloud, server: str, verb: str) -> None:
    if verb == 'unrescue':
        act(cloud, server, 'rescue', expect=200)
        cloud.wait(server, 'RESCUE')
    FakeDriver.faults[verb] = refuse(exception.InternalError(reason='QEMU is not in the mood'))
    act(cloud, server, verb, expect=200 if verb == 'rescue' else 202)
    assert 'mood' in cloud.wait(server, 'ERROR')['fault']['message']
    assert record(server).system_metadata == {}
    act(cloud, server, 'reboot', {'type': 'HARD'})
    ended(cloud, server)
    cloud.wait(server)
    assert domain(cloud, server) == (record(server).name, PowerState.RUNNING)


# -- in the middle ---------------------------------------------------------------

@pytest.mark.parametrize(('name', 'verb', 'status'), [
    ('pause', 'pause', 'ACTIVE'), ('suspend', 'suspend', 'ACTIVE'), ('rescue', 'prepare_rescue', 'ACTIVE'),
    ('rescue', 'rescue', 'ERROR')])
def test_a_host_that_goes_down_meanwhile(cloud: Cloud, server: str, name: str, verb: str, status: str) -> None:
    """It ends with the reason; the host, which is back later, has the server still."""
    gate, there = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        there.set()
        gate.wait(60)
    FakeDriver.faults[verb] = hold
    act(cloud, server, name, expect=200 if name == 'rescue' else 202)
    assert there.wait(60)
    host = str(record(server).host)
    cloud.services['conductor1'].manager.engine._steady = lambda: True      # type: ignore[attr-defined]
    cloud.force_down(host, True)
    assert 'is down' in ended(cloud, server)['message']
    assert (record(server).vm_state, record(server).task_state) == (status.lower(), None)
    gate.set()
    cloud.force_down(host, False)
    act(cloud, server, 'reboot', {'type': 'HARD'})
    ended(cloud, server)
    cloud.wait(server)
    assert domain(cloud, server) == (record(server).name, PowerState.RUNNING)
    assert not cloud.leaks()


@pytest.mark.parametrize(('name', 'verb'), [
    ('pause', 'pause'), ('suspend', 'suspend'), ('rescue', 'prepare_rescue'), ('rescue', 'rescue'),
    ('trigger_crash_dump', 'trigger_crash_dump')])
def test_a_delete_in_the_middle(cloud: Cloud, server: str, name: str, verb: str) -> None:
    gate, there = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        there.set()
        gate.wait(60)
    FakeDriver.faults[verb] = hold
    act(cloud, server, name, expect=200 if name == 'rescue' else 202)
    assert there.wait(60)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    gate.set()
    cloud.wait_gone(server)
    assert not cloud.leaks()


# -- passwords ---------------------------------------------------------------------

@pytest.fixture(scope='module')
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=3072)


def give_key(uuid: str, key: rsa.RSAPrivateKey) -> None:
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    put(uuid, key_data=f'{public.decode()} somebody@somewhere')


def test_a_changed_password_is_kept_for_the_owner_of_the_key(
        cloud: Cloud, server: str, key: rsa.RSAPrivateKey) -> None:
    path = f'/servers/{server}/os-server-password'
    give_key(server, key)
    assert cloud.api('GET', path) == {'password': ''}
    assert act(cloud, server, 'changePassword', {'adminPass': 'grüß Gott'}) is None
    assert record(server).task_state is None and cloud.show(server)['status'] == 'ACTIVE'
    assert newest(cloud, server)['action'] == 'changePassword'
    sealed = cloud.api('GET', path)['password']
    assert key.decrypt(base64.b64decode(sealed), padding.PKCS1v15()).decode() == 'grüß Gott'
    assert all(len(piece) <= 255 for piece in record(server).system_metadata.values())
    with session.read() as conn:
        assert 'grüß' not in str(list(conn.execute(instance_actions.select())))
    session.write(system_metadata.merge, server, {'kept': 'by others'})
    cloud.api('DELETE', path, expect=204)
    cloud.api('DELETE', path, expect=204)
    assert cloud.api('GET', path) == {'password': ''} and record(server).system_metadata == {'kept': 'by others'}
    cloud.api('GET', f'{path}?x=1', expect=400)
    cloud.api('GET', f'{path}?x=1', version='2.101')


def test_a_password_that_cannot_be_sealed_replaces_the_one_that_was(
        cloud: Cloud, server: str, key: rsa.RSAPrivateKey) -> None:
    path = f'/servers/{server}/os-server-password'
    give_key(server, key)
    act(cloud, server, 'changePassword', {'adminPass': 'x'})
    assert cloud.api('GET', path)['password']
    act(cloud, server, 'changePassword', {'adminPass': 'x' * 1000})     # longer than the key takes
    assert cloud.api('GET', path) == {'password': ''}
    put(server, key_data='ssh-rsa nonsense')
    act(cloud, server, 'changePassword', {'adminPass': 'x'})
    assert cloud.api('GET', path) == {'password': ''}


@pytest.mark.parametrize(('error', 'code', 'text'), [
    (exception.InstanceAgentNotEnabled(), 409, 'Guest agent is not enabled for the instance'),
    (exception.NotImplementedHere('it sleeps'), 501, 'Unable to set password on instance'),
    (RuntimeError('/a/path'), 409, 'error setting admin password')])
def test_a_password_that_cannot_be_set(cloud: Cloud, server: str, error: Exception, code: int, text: str) -> None:
    FakeDriver.faults['set_admin_password'] = refuse(error)
    answer = act(cloud, server, 'changePassword', {'adminPass': 'x'}, expect=code)
    (fault,) = answer.values()
    assert text in fault['message'] and '/a/path' not in fault['message']
    assert record(server).task_state is None and cloud.show(server)['status'] == 'ACTIVE'


def test_who_may_change_what(cloud: Cloud, server: str) -> None:
    act(cloud, server, 'changePassword', None, expect=400)
    act(cloud, server, 'changePassword', {}, expect=400)
    act(cloud, server, 'trigger_crash_dump', version='2.16', expect=404)
    act(cloud, server, 'trigger_crash_dump', {}, expect=400)
    for name in ('pause', 'rescue', 'changePassword'):
        act(cloud, server, name, {'adminPass': 'x'} if name == 'changePassword' else None, expect=404,
            user='eve', project='elsewhere')
    cloud.api('GET', f'/servers/{server}/os-server-password', expect=404, user='eve', project='elsewhere')
    cloud.api('DELETE', f'/servers/{server}/os-server-password', expect=404, user='eve', project='elsewhere')


# -- what domains do by themselves ---------------------------------------------------

@pytest.mark.parametrize(('vm_state', 'told', 'becomes', 'begins'), [
    ('active', PowerState.PAUSED, 'active', False), ('active', PowerState.SHUTDOWN, 'stopped', False),
    ('paused', PowerState.SHUTDOWN, 'stopped', False), ('paused', PowerState.RUNNING, 'paused', False),
    ('suspended', PowerState.SHUTDOWN, 'suspended', False), ('suspended', PowerState.RUNNING, 'suspended', False),
    ('rescued', PowerState.SHUTDOWN, 'rescued', False), ('rescued', PowerState.CRASHED, 'rescued', False),
    ('error', PowerState.RUNNING, 'error', False), ('stopped', PowerState.RUNNING, 'stopped', True),
    ('stopped', PowerState.PAUSED, 'stopped', True), ('stopped', PowerState.CRASHED, 'stopped', False)])
def test_power_states_that_are_told(
        cloud: Cloud, server: str, vm_state: str, told: int, becomes: str, begins: bool) -> None:
    put(server, vm_state=vm_state)
    begun = session.write(_note_power, str(record(server).host), {server: told})
    assert bool(begun) == begins and record(server).vm_state == becomes
    assert begins or record(server).power_state == told
