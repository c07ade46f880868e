"""What other services tell of servers, volumes that grow under them, and addresses as the proxies gave them."""
from __future__ import annotations

from typing import Any

import pytest

from minicompute.db import session
from minicompute.db.api import actions, instances, networks, services, system_metadata
from minicompute.db.api import volumes as db
from minicompute.objects import Action, Instance
from minicompute.virt.fake import FakeDriver
from tests.functional.beginnings import lan
from tests.functional.cloud import Cloud
from tests.functional.small import Caller

NOWHERE = '00000000-0000-4000-8000-000000000000'
NEWEST = ('network-changed', 'network-vif-plugged', 'network-vif-unplugged', 'network-vif-deleted', 'volume-extended',
          'power-update', 'accelerator-request-bound', 'volume-reimaged')


@pytest.fixture
def server(cloud: Cloud) -> str:
    return str(cloud.wait(cloud.boot()['id'])['id'])


def record(uuid: str) -> Instance:
    with session.read() as conn:
        return instances.get(conn, uuid)


def tell(cloud: Cloud, *events: dict[str, Any], expect: int = 200, version: str = '2.104') -> Any:
    return cloud.api('POST', '/os-server-external-events', {'events': list(events)}, expect=expect, version=version)


def event(server: str, name: str, **more: Any) -> dict[str, Any]:
    return {'name': name, 'server_uuid': server, **more}


def quiet(cloud: Cloud) -> None:
    cloud.until(lambda: 'locks' not in cloud.leaks(), 'the end of the actions')
    assert not cloud.leaks()


def log(cloud: Cloud, uuid: str) -> list[str]:
    return [one['action'] for one in cloud.api('GET', f'/servers/{uuid}/os-instance-actions')['instanceActions']]


def attach_volume(cloud: Cloud, uuid: str) -> str:
    made = Caller(cloud.app, '/volume/v3', token='admin:demo')('POST', '/volumes', {'volume': {'size': 1}}, status=202)
    volume = str(made['volume']['id'])
    cloud.api('POST', f'/servers/{uuid}/os-volume_attachments', {'volumeAttachment': {'volumeId': volume}})
    quiet(cloud)
    return volume


def driver_of(cloud: Cloud, uuid: str) -> FakeDriver:
    driver: FakeDriver = cloud.services[str(record(uuid).host)].manager.driver    # type: ignore[attr-defined]
    return driver


# -- codes -----------------------------------------------------------------------

@pytest.mark.parametrize(('version', 'known'), [('2.1', 4), ('2.50', 4), ('2.51', 5), ('2.76', 6), ('2.82', 7),
                                                ('2.93', 8), ('2.104', 8)])
def test_each_name_begins_at_its_version(cloud: Cloud, server: str, version: str, known: int) -> None:
    for place, name in enumerate(NEWEST):
        answer = tell(cloud, event(server, name, tag='x', status='in-progress'), version=version,
                      expect=200 if place < known else 400)
        if place < known:
            assert answer == {'events': [{**event(server, name, tag='x'), 'status': 'completed', 'code': 200}]}


def test_each_event_has_its_own_code(cloud: Cloud, server: str) -> None:
    answer = tell(cloud, event(server, 'network-changed'), event(NOWHERE, 'network-changed', status='failed'),
                  event(server, 'volume-extended'), event(server, 'power-update'),
                  event(server, 'accelerator-request-bound'), event(server, 'volume-reimaged'), expect=207)
    assert [(one['code'], one['status']) for one in answer['events']] == [
        (200, 'completed'), (404, 'failed'), (400, 'failed'), (400, 'failed'), (400, 'failed'), (200, 'completed')]
    assert answer['events'][1] == {**event(NOWHERE, 'network-changed'), 'status': 'failed', 'code': 404}


def test_a_server_without_a_host_hears_nothing(cloud: Cloud, server: str) -> None:
    cloud.api('POST', f'/servers/{server}/action', {'shelve': None}, expect=202)
    cloud.wait(server, 'SHELVED_OFFLOADED')
    answer = tell(cloud, event(server, 'network-changed'), expect=207)
    assert answer['events'][0]['code'] == 422


@pytest.mark.parametrize('body', [
    {}, {'events': []}, {'events': [{}]}, {'events': [{'name': 'network-changed'}]},
    {'events': [event(NOWHERE, 'no-such')]}, {'events': [event('x', 'network-changed')]},
    {'events': [event(NOWHERE, 'network-changed', tag='x' * 256)]},
    {'events': [event(NOWHERE, 'network-changed', status='done')]},
    {'events': [event(NOWHERE, 'network-changed', more=1)]}])
def test_what_is_no_event(cloud: Cloud, body: Any) -> None:
    cloud.api('POST', '/os-server-external-events', body, expect=400)


def test_only_services_tell(cloud: Cloud, server: str) -> None:
    cloud.api('POST', '/os-server-external-events', {'events': [event(server, 'network-changed')]}, expect=403,
              user='alice')


# -- what they do ------------------------------------------------------------------

def test_a_volume_has_grown(cloud: Cloud, server: str) -> None:
    volume = attach_volume(cloud, server)
    session.write(db.update, volume, size=3)
    tell(cloud, event(server, 'volume-extended', tag=volume), version='2.51')
    quiet(cloud)
    assert [device.volume_size for device in record(server).block_devices if device.volume_id] == [3]
    assert driver_of(cloud, server).size_of(server, volume) == 3
    assert log(cloud, server)[0] == 'extend_volume'


def test_a_user_extends_a_volume_in_use(cloud: Cloud, server: str) -> None:
    volume = attach_volume(cloud, server)
    blocks = Caller(cloud.app, '/volume/v3', token='admin:demo')
    blocks('POST', f'/volumes/{volume}/action', {'os-extend': {'new_size': 2}}, status=202)
    quiet(cloud)
    assert driver_of(cloud, server).size_of(server, volume) == 2
    assert blocks('GET', f'/volumes/{volume}')['volume']['size'] == 2
    blocks('POST', f'/volumes/{volume}/action', {'os-extend': {'new_size': 2}}, status=400)


def test_a_volume_of_nobody(cloud: Cloud, server: str) -> None:
    tell(cloud, event(server, 'volume-extended', tag=NOWHERE))
    assert 'extend_volume' not in log(cloud, server)


def test_the_host_cannot_extend(cloud: Cloud, server: str) -> None:
    """The record is larger all the same: the file grows when the server starts next."""
    volume = attach_volume(cloud, server)
    session.write(db.update, volume, size=2)

    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('planned')
    FakeDriver.faults['extend_volume'] = refuse
    tell(cloud, event(server, 'volume-extended', tag=volume))
    quiet(cloud)
    shown = cloud.api('GET', f'/servers/{server}/os-instance-actions')['instanceActions'][0]
    assert (shown['action'], bool(shown['message'])) == ('extend_volume', True)
    assert [device.volume_size for device in record(server).block_devices if device.volume_id] == [2]
    assert cloud.show(server)['status'] == 'ACTIVE'


def unreached(uuid: str, why: str) -> None:
    """Its host is down, or its guest may be on either of two hosts."""
    if why == 'undecided':
        session.write(system_metadata.merge, uuid, {actions.UNDECIDED: NOWHERE})
        return
    host = str(record(uuid).host)
    session.write(lambda conn: services.update(conn, services.find(conn, host, services.COMPUTE), forced_down=True))


@pytest.mark.parametrize('why', ['down', 'undecided'])
def test_a_volume_grows_while_its_host_cannot_be_told(cloud: Cloud, server: str, why: str) -> None:
    volume = attach_volume(cloud, server)
    session.write(db.update, volume, size=2)
    unreached(server, why)
    tell(cloud, event(server, 'volume-extended', tag=volume))
    assert [device.volume_size for device in record(server).block_devices if device.volume_id] == [2]


def test_a_volume_grows_and_nobody_can_be_told(cloud: Cloud, server: str) -> None:
    """What is stuck holds the server: the guest has it larger after its next start."""
    volume = attach_volume(cloud, server)
    session.write(lambda conn: actions.begin(conn, [Action(
        action='x', flow='stop', step='power_off', busy=server, instance_uuid=server, request_id='req-1',
        state='stuck')]))
    Caller(cloud.app, '/volume/v3', token='admin:demo')(
        'POST', f'/volumes/{volume}/action', {'os-extend': {'new_size': 2}}, status=202)
    assert [device.volume_size for device in record(server).block_devices if device.volume_id] == [2]


def fail(verb: str) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('planned')
    FakeDriver.faults[verb] = refuse


@pytest.mark.parametrize('why', ['down', 'undecided', 'refuses'])
def test_a_port_goes_and_its_host_does_not_hear_of_it(cloud: Cloud, why: str) -> None:
    server = str(cloud.wait(cloud.boot(networks=[{'uuid': lan()}])['id'])['id'])
    (card,) = record(server).network_info
    if why == 'refuses':
        fail('detach_interface')
    else:
        unreached(server, why)
    tell(cloud, event(server, 'network-vif-deleted', tag=card.id))
    quiet(cloud)
    assert record(server).network_info == [] and cloud.show(server)['addresses'] == {}
    with session.read() as conn:
        assert networks.list_ports(conn, {'instance_uuid': [server]}) == []


@pytest.mark.parametrize('locked', [False, True])
def test_power_updates(cloud: Cloud, server: str, locked: bool) -> None:
    if locked:
        cloud.api('POST', f'/servers/{server}/action', {'lock': None}, expect=202)
    tell(cloud, event(server, 'power-update', tag='POWER_OFF'), version='2.76')
    cloud.wait(server, 'SHUTOFF')
    tell(cloud, event(server, 'power-update', tag='POWER_OFF'), event(server, 'power-update', tag='SIDEWAYS'))
    tell(cloud, event(server, 'power-update', tag='POWER_ON'))
    cloud.wait(server, 'ACTIVE')
    assert log(cloud, server)[:2] == ['start', 'stop']
    tell(cloud, event(server, 'power-update', tag='POWER_ON'))
    quiet(cloud)
    assert log(cloud, server)[:3].count('start') == 1


def test_a_port_is_gone(cloud: Cloud, server: str) -> None:
    card = cloud.api('POST', f'/servers/{server}/os-interface', {'interfaceAttachment': {'net_id': lan()}})
    port = card['interfaceAttachment']['port_id']
    quiet(cloud)
    assert f'vif.{port}' in driver_of(cloud, server).plugged(server)
    tell(cloud, event(server, 'network-vif-deleted', tag=port), event(server, 'network-vif-deleted', tag=NOWHERE),
         version='2.1')
    quiet(cloud)
    assert record(server).network_info == []
    assert f'vif.{port}' not in driver_of(cloud, server).plugged(server)
    assert cloud.api('GET', f'/servers/{server}/os-interface')['interfaceAttachments'] == []


def test_a_network_has_changed(cloud: Cloud, server: str) -> None:
    """The record of the cards is read anew; their order stays."""
    from minicompute.db.api import networks
    for _ in range(2):
        cloud.api('POST', f'/servers/{server}/os-interface', {'interfaceAttachment': {'net_id': lan()}})
        quiet(cloud)
    before = record(server).network_info
    session.write(networks.update_network, lan(), name='renamed')
    assert {card.network_name for card in record(server).network_info} == {'lan'}
    tell(cloud, event(server, 'network-changed', tag=before[0].id))
    after = record(server).network_info
    assert [card.id for card in after] == [card.id for card in before]
    assert {card.network_name for card in after} == {'renamed'}


# -- addresses, up to 2.43 -----------------------------------------------------------

def act(cloud: Cloud, uuid: str, body: dict[str, Any], expect: int, **more: Any) -> Any:
    return cloud.api('POST', f'/servers/{uuid}/action', body, expect=expect, version='2.43', **more)


def test_fixed_addresses(cloud: Cloud, server: str) -> None:
    act(cloud, server, {'addFixedIp': {'networkId': lan()}}, 202)
    quiet(cloud)
    address = cloud.show(server)['addresses']['lan'][0]['addr']
    act(cloud, server, {'removeFixedIp': {'address': '192.0.2.1'}}, 400)
    act(cloud, server, {'addFloatingIp': {'address': '192.0.2.1', 'fixed_address': '192.0.2.2'}}, 400)
    act(cloud, server, {'addFloatingIp': {'address': '192.0.2.1', 'fixed_address': address}}, 404)
    act(cloud, server, {'addFloatingIp': {'address': '192.0.2.1'}}, 404)
    act(cloud, server, {'removeFixedIp': {'address': address}}, 202)
    quiet(cloud)
    assert cloud.show(server)['addresses'] == {}
    act(cloud, server, {'addFixedIp': {'networkId': NOWHERE}}, 404)
    act(cloud, server, {'addFloatingIp': {'address': '192.0.2.1'}}, 400)


def test_fixed_addresses_know_no_conflict(cloud: Cloud) -> None:
    """What is in the way is a bad request: these two actions declare no 409."""
    server = str(cloud.wait(cloud.boot(user='alice')['id'])['id'])
    cloud.api('POST', f'/servers/{server}/action', {'lock': None}, expect=202)
    act(cloud, server, {'addFixedIp': {'networkId': lan()}}, 400, user='alice')


# -- shares --------------------------------------------------------------------------

def test_shares(cloud: Cloud, server: str) -> None:
    path, share = f'/servers/{server}/shares', {'share': {'share_id': NOWHERE}}
    cloud.api('GET', path, version='2.96', expect=404)
    assert cloud.api('GET', path, version='2.97') == {'shares': []}
    cloud.api('GET', f'{path}?x=1', version='2.97', expect=400)
    cloud.api('GET', f'{path}/{NOWHERE}', version='2.97', expect=404)
    for bad in ({}, {'share': {}}, {'share': {'share_id': 'x'}}, {'share': {'share_id': NOWHERE, 'tag': 'a b'}},
                {'share': {'share_id': NOWHERE, 'tag': ''}}):
        cloud.api('POST', path, bad, version='2.97', expect=400)
    assert 'vm_state active' in cloud.api('POST', path, share, version='2.97', expect=409)[
        'conflictingRequest']['message']
    cloud.api('DELETE', f'{path}/{NOWHERE}', version='2.97', expect=409)
    cloud.api('POST', f'/servers/{server}/action', {'os-stop': None}, expect=202)
    cloud.wait(server, 'SHUTOFF')
    assert 'VIRTIO_FS' in cloud.api('POST', path, share, version='2.97', expect=409)['conflictingRequest']['message']
    cloud.api('DELETE', f'{path}/{NOWHERE}', version='2.97', expect=404)
    cloud.api('GET', f'/servers/{NOWHERE}/shares', version='2.97', expect=404)


# -- the other name of /servers ------------------------------------------------------

def test_servers_by_their_other_name(cloud: Cloud) -> None:
    base = '/os-volumes_boot'
    made = cloud.api('POST', base, {'server': {
        'name': 'vm', 'imageRef': cloud.image(), 'flavorRef': cloud.flavor(disk=1), 'networks': 'none'}},
        version='2.102', expect=202)['server']
    uuid = made['id']
    assert made['links'][0]['href'].endswith(f'/servers/{uuid}')
    cloud.wait(uuid)
    for version in ('2.1', '2.47', '2.102'):
        for path, other in ((base, '/servers'), (f'{base}/detail', '/servers/detail'), (f'{base}/{uuid}',
                                                                                      f'/servers/{uuid}')):
            assert cloud.api('GET', path, version=version) == cloud.api('GET', other, version=version)
    changed = cloud.api('PUT', f'{base}/{uuid}', {'server': {'name': 'new'}}, version='2.102')
    assert changed['server']['name'] == 'new'
    for method, path, body in (('GET', base, None), ('GET', f'{base}/{uuid}', None), ('DELETE', f'{base}/{uuid}', None),
                               ('POST', base, {'server': {}}), ('POST', f'{base}/{uuid}/action', {'os-stop': None})):
        cloud.api(method, path, body, version='2.103', expect=404)
    cloud.api('POST', f'{base}/{uuid}/action', {'os-stop': None}, version='2.102', expect=202)
    cloud.wait(uuid, 'SHUTOFF')
    cloud.api('POST', f'{base}/{uuid}/action', {'pause': None}, version='2.102', expect=400)
    cloud.api('DELETE', f'{base}/{uuid}', version='2.102', expect=204)
    cloud.wait_gone(uuid)


# -- help with snapshots of volumes that are files -----------------------------------

def test_assisted_volume_snapshots(cloud: Cloud, server: str) -> None:
    """Local volumes need no help: what is wrong with a request is said first, then that."""
    path, volume = '/os-assisted-volume-snapshots', attach_volume(cloud, server)
    info = {'snapshot_id': NOWHERE, 'type': 'qcow2', 'new_file': 'volume.1'}

    def create(expect: int = 400, user: str = 'admin', **changes: Any) -> str:
        body = {'snapshot': {'volume_id': volume, 'create_info': info, **changes}}
        return str(cloud.api('POST', path, body, expect=expect, user=user))

    def delete(more: str, version: str = '2.74', user: str = 'admin', expect: int = 400) -> str:
        return str(cloud.api('DELETE', f'{path}/{NOWHERE}?{more}', version=version, expect=expect, user=user))

    assert 'is a local one' in create()
    assert 'No volume Block Device Mapping' in create(volume_id=NOWHERE)
    assert 'attribute type' in create(create_info={**info, 'type': 'raw'})
    assert 'more' in create(more=1)
    create(403, user='alice')
    named = f'delete_info={{"volume_id":"{volume}"}}'
    assert 'is a local one' in delete(named) and 'is a local one' in delete(f'{named}&more=1')
    assert 'more' in delete(f'{named}&more=1', '2.75')
    for bad in ('', 'delete_info=', 'delete_info=[]', 'delete_info={"volume_id":1}', 'delete_info={'):
        delete(bad)
    delete(named, user='alice', expect=403)
    cloud.api('POST', f'/servers/{server}/action', {'os-stop': None}, expect=202)
    cloud.wait(server, 'SHUTOFF')
    assert 'vm_state' in delete(f'delete_info={{"volume_id":"{volume}","merge_target_file":"x"}}')
