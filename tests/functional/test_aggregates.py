"""Aggregates and their zones, images on hosts before they are needed, hosts as before 2.43, services."""
from __future__ import annotations

import threading
from typing import Any

import pytest

from minicompute import exception
from minicompute.conductor import image_caching as caching
from minicompute.db import session
from minicompute.db.api import image_caching, migrations
from minicompute.objects import Migration
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud


def create(cloud: Cloud, name: str, zone: str | None = None, **kwargs: Any) -> int:
    body = {'aggregate': {'name': name, **({'availability_zone': zone} if zone else {})}}
    return int(cloud.api('POST', '/os-aggregates', body, **{'expect': 200, **kwargs})['aggregate']['id'])


def act(cloud: Cloud, number: int, action: str, expect: int = 200, **argument: Any) -> Any:
    return cloud.api('POST', f'/os-aggregates/{number}/action', {action: argument}, expect=expect)


def add(cloud: Cloud, number: int, host: str, expect: int = 200) -> Any:
    return act(cloud, number, 'add_host', expect, host=host)


def test_the_life_of_an_aggregate(cloud: Cloud) -> None:
    made = cloud.api('POST', '/os-aggregates', {'aggregate': {'name': 'fast', 'availability_zone': 'north'}})
    assert set(made['aggregate']) == {'id', 'uuid', 'name', 'availability_zone', 'created_at', 'updated_at', 'deleted',
                                      'deleted_at'}
    number = made['aggregate']['id']
    found = add(cloud, number, 'compute1')['aggregate']
    assert found['hosts'] == ['compute1'] and found['metadata'] == {'availability_zone': 'north'}
    found = act(cloud, number, 'set_metadata', metadata={'ssd': 'yes', 'old': 'x'})['aggregate']
    found = act(cloud, number, 'set_metadata', metadata={'old': None})['aggregate']
    assert found['metadata'] == {'availability_zone': 'north', 'ssd': 'yes'}
    found = cloud.api('PUT', f'/os-aggregates/{number}', {'aggregate': {'name': ' faster '}})['aggregate']
    assert found['name'] == 'faster' and found['updated_at'] is not None
    assert cloud.api('GET', f'/os-aggregates/{number}')['aggregate'] == found
    assert 'uuid' not in cloud.api('GET', '/os-aggregates', version='2.40')['aggregates'][0]
    refused = cloud.api('DELETE', f'/os-aggregates/{number}', expect=400)
    assert 'Host aggregate is not empty' in refused['badRequest']['message']
    assert act(cloud, number, 'remove_host', host='compute1')['aggregate']['hosts'] == []
    cloud.api('DELETE', f'/os-aggregates/{number}', expect=200)
    cloud.api('GET', f'/os-aggregates/{number}', expect=404)
    assert cloud.api('GET', '/os-aggregates')['aggregates'] == []


def test_what_is_not_there(cloud: Cloud) -> None:
    number = create(cloud, 'a')
    refused = add(cloud, number, 'nowhere', expect=404)
    assert 'Compute host nowhere could not be found' in refused['itemNotFound']['message']
    act(cloud, number, 'remove_host', 404, host='compute1')
    cloud.api('GET', '/os-aggregates/99', expect=404)
    cloud.api('GET', '/os-aggregates/x', expect=400)
    for action, argument in (('add_host', {'host': 'compute1'}), ('set_metadata', {'metadata': {'a': 'b'}})):
        act(cloud, 99, action, 404, **argument)
    cloud.api('PUT', '/os-aggregates/99', {'aggregate': {'name': 'x'}}, expect=404)
    cloud.api('DELETE', '/os-aggregates/99', expect=404)


def test_what_may_be_said(cloud: Cloud) -> None:
    number = create(cloud, 'a')
    cloud.api('POST', '/os-aggregates', {'aggregate': {'name': 'a'}}, expect=409)
    other = create(cloud, 'b')
    cloud.api('PUT', f'/os-aggregates/{other}', {'aggregate': {'name': 'a'}}, expect=409)
    for body in ({}, {'name': ''}, {'name': ' a'}, {'name': 'x' * 256}, {'name': 'c', 'availability_zone': 'a:b'},
                 {'name': 'c', 'availability_zone': ''}, {'name': 'c', 'hosts': []}):
        cloud.api('POST', '/os-aggregates', {'aggregate': body}, expect=400)
    for body in ({}, {'name': ''}, {'availability_zone': ''}, {'metadata': {}}):
        cloud.api('PUT', f'/os-aggregates/{number}', {'aggregate': body}, expect=400)
    refused = cloud.api('PUT', f'/os-aggregates/{number}', {'aggregate': {'availability_zone': None}}, expect=400)
    assert 'does not support empty named availability zone' in refused['badRequest']['message']
    for metadata in ({'availability_zone': None}, {'a': 1}, {'': 'x'}, {'a': 'x' * 256}):
        act(cloud, number, 'set_metadata', 400, metadata=metadata)
    add(cloud, number, 'compute1')
    refused = add(cloud, number, 'compute1', expect=409)
    assert refused['conflictingRequest']['message'] == f'Aggregate {number} already has host compute1.'
    for method, path, body in (('GET', '', None), ('POST', '', {'aggregate': {'name': 'x'}}),
                               ('DELETE', f'/{number}', None), ('GET', f'/{number}', None)):
        cloud.api(method, f'/os-aggregates{path}', body, expect=403, user='ann', project='p')


def test_a_host_is_in_one_zone(cloud: Cloud) -> None:
    north, south, none = create(cloud, 'n', 'north'), create(cloud, 's', 'south'), create(cloud, 'o')
    add(cloud, north, 'compute1')
    refused = add(cloud, south, 'compute1', expect=409)
    assert "already in availability zone(s) ['north']" in refused['conflictingRequest']['message']
    add(cloud, none, 'compute1')
    act(cloud, none, 'set_metadata', 400, metadata={'availability_zone': 'south'})
    cloud.api('PUT', f'/os-aggregates/{none}', {'aggregate': {'availability_zone': 'south'}}, expect=400)
    act(cloud, none, 'set_metadata', metadata={'availability_zone': 'north'})


def test_servers_stay_in_their_zone(cloud: Cloud) -> None:
    uuid = cloud.wait(cloud.boot(availability_zone='nova:compute1')['id'])['id']
    north, plain = create(cloud, 'n', 'north'), create(cloud, 'plain')
    refused = add(cloud, north, 'compute1', expect=409)
    assert "change from None to 'north', but it has 1 instance(s)" in refused['conflictingRequest']['message']
    add(cloud, plain, 'compute1')
    act(cloud, plain, 'set_metadata', 400, metadata={'availability_zone': 'north'})
    act(cloud, plain, 'remove_host', host='compute1')
    add(cloud, north, 'compute2')
    there = cloud.wait(cloud.boot(availability_zone='north')['id'])
    assert there['OS-EXT-SRV-ATTR:host'] == 'compute2' and there['OS-EXT-AZ:availability_zone'] == 'north'
    refused = act(cloud, north, 'remove_host', 409, host='compute2')
    assert 'Move them away first' in refused['conflictingRequest']['message']
    cloud.api('PUT', f'/os-aggregates/{north}', {'aggregate': {'availability_zone': 'west'}}, expect=400)
    cloud.api('PUT', f'/os-aggregates/{north}', {'aggregate': {'availability_zone': 'north'}})
    for one in (uuid, there['id']):
        cloud.api('DELETE', f'/servers/{one}', expect=204)
        cloud.wait_gone(one)
    act(cloud, north, 'remove_host', host='compute2')


def test_the_scheduler_sees_exchanged_members(cloud: Cloud) -> None:
    """As many members as before, and no other sign than the aggregate's."""
    number = create(cloud, 'z', 'zone')
    for host, other in (('compute1', 'compute2'), ('compute2', 'compute1'), ('compute1', 'compute2')):
        if cloud.api('GET', f'/os-aggregates/{number}')['aggregate']['hosts']:
            act(cloud, number, 'remove_host', host=other)
        add(cloud, number, host)
        cloud.until(lambda host=host: host_in(cloud, 'zone') == host, f'servers of the zone to go to {host}')


def host_in(cloud: Cloud, zone: str) -> str | None:
    """Where a server goes that is for this zone."""
    uuid = cloud.boot(availability_zone=zone)['id']
    server = cloud.until(lambda: one if (one := cloud.show(uuid))['status'] in ('ACTIVE', 'ERROR') else None, 'a build')
    cloud.api('DELETE', f'/servers/{uuid}', expect=204)
    cloud.wait_gone(uuid)
    host: str | None = server['OS-EXT-SRV-ATTR:host']
    return host


# -- images ------------------------------------------------------------------------

def requests(cloud: Cloud) -> dict[tuple[str, str], Any]:
    with session.read() as conn:
        return {(row.host, row.image_id): row for row in image_caching.every(conn)}


def statuses(cloud: Cloud) -> dict[str, str]:
    return {host: row.status for (host, _), row in requests(cloud).items()}


@pytest.fixture
def both(cloud: Cloud) -> int:
    number = create(cloud, 'both')
    for host in ('compute1', 'compute2'):
        add(cloud, number, host)
    return number


def ask(cloud: Cloud, number: int, *images: str, **kwargs: Any) -> Any:
    return cloud.api('POST', f'/os-aggregates/{number}/images', {'cache': [{'id': one} for one in images]},
                     **{'expect': 202, **kwargs})


def test_images_are_cached_on_all_hosts(cloud: Cloud, both: int) -> None:
    image = cloud.image()
    ask(cloud, both, image)
    cloud.until(lambda: statuses(cloud) == {'compute1': 'cached', 'compute2': 'cached'}, 'the images to be there')
    assert {row.percent for row in requests(cloud).values()} == {100}
    ask(cloud, both, image)
    cloud.until(lambda: statuses(cloud) == {'compute1': 'existing', 'compute2': 'existing'}, 'them to be found there')


def test_what_images_may_be_asked_for(cloud: Cloud, both: int) -> None:
    image = cloud.image()
    ask(cloud, both, image, version='2.80', expect=404)
    ask(cloud, both, image, image, expect=400)
    ask(cloud, both, '00000000-0000-4000-8000-000000000000', expect=400)
    ask(cloud, both, 'x', expect=400)
    ask(cloud, both, expect=400)
    ask(cloud, 99, image, expect=404)
    ask(cloud, both, image, expect=403, user='ann', project='p')


def test_an_image_that_cannot_be_fetched_says_why(cloud: Cloud, both: int) -> None:
    def refuse(driver: Any, image_id: str) -> None:
        if driver.host == 'compute1':
            raise exception.DiskFull(what='image x')
        raise ValueError('/a/path of ours')
    FakeDriver.faults['cache_image'] = refuse
    ask(cloud, both, cloud.image())
    cloud.until(lambda: set(statuses(cloud).values()) == {'error'}, 'both to fail')
    said = {host: row.message for (host, _), row in requests(cloud).items()}
    assert said == {'compute1': 'No space left for image x on this host.', 'compute2': 'ValueError'}


def test_a_host_that_is_down_is_passed_over(cloud: Cloud, both: int) -> None:
    (service,) = cloud.api('GET', '/os-services?host=compute1&binary=nova-compute')['services']
    cloud.api('PUT', f'/os-services/{service["id"]}', {'forced_down': True})
    ask(cloud, both, cloud.image())
    cloud.until(lambda: statuses(cloud) == {'compute1': 'skipped', 'compute2': 'cached'}, 'the other to have it')


def test_a_compute_that_dies_is_asked_again(cloud: Cloud, both: int, monkeypatch: Any) -> None:
    gate, fetching = threading.Event(), threading.Event()

    def hold(driver: Any, image_id: str) -> None:
        if driver.host == 'compute1' and not gate.is_set():
            fetching.set()
            gate.wait(60)
            raise RuntimeError('the daemon is dead by now')
    FakeDriver.faults['cache_image'] = hold
    ask(cloud, both, cloud.image())
    assert fetching.wait(60)
    monkeypatch.setattr(caching, 'UNHEARD', 0)
    manager = cloud.services['compute1'].manager
    manager._images._ids.clear()    # type: ignore[attr-defined]
    manager._images._say = lambda *args, **kwargs: None     # type: ignore[attr-defined]
    gate.set()
    from minicompute.compute.manager.image_caching import ImageCaching
    manager._images = ImageCaching('compute1', manager.driver, manager._pools.builds.submit)    # type: ignore[attr-defined]
    caching.sweep()
    cloud.until(lambda: statuses(cloud) == {'compute1': 'cached', 'compute2': 'cached'}, 'it to be asked again')


def test_nothing_is_asked_for_ever(cloud: Cloud, both: int, monkeypatch: Any) -> None:
    cloud.stop('compute1')
    ask(cloud, both, cloud.image())
    cloud.until(lambda: statuses(cloud) == {'compute1': 'queued', 'compute2': 'cached'}, 'the other to have it')
    monkeypatch.setattr(caching, 'GIVE_UP', -1)
    caching.sweep()
    assert statuses(cloud)['compute1'] == 'error'
    monkeypatch.setattr(caching, 'FORGET', -1)
    caching.sweep()
    assert not requests(cloud)


# -- hosts and services ----------------------------------------------------------------

def test_old_hosts(cloud: Cloud) -> None:
    def api(method: str, path: str, body: Any = None, expect: int = 200) -> Any:
        return cloud.api(method, path, body, version='2.42', expect=expect)
    flavor = cloud.flavor(vcpus=2, disk=3)
    uuid = cloud.wait(cloud.boot(availability_zone='nova:compute1', flavorRef=flavor)['id'])['id']
    hosts = {(one['host_name'], one['service'], one['zone']) for one in api('GET', '/os-hosts')['hosts']}
    assert {('compute1', 'compute', 'nova'), ('conductor1', 'conductor', 'internal')} <= hosts
    assert {one['host_name'] for one in api('GET', '/os-hosts?zone=nova')['hosts']} == {'compute1', 'compute2'}
    rows = {one['resource']['project']: one['resource'] for one in api('GET', '/os-hosts/compute1')['host']}
    assert set(rows) == {'(total)', '(used_now)', '(used_max)', 'demo'}
    assert rows['demo'] == {'host': 'compute1', 'project': 'demo', 'cpu': 2, 'memory_mb': 64, 'disk_gb': 3}
    assert rows['(used_max)']['cpu'] == 2 and rows['(used_now)']['cpu'] == 2
    api('GET', '/os-hosts/nowhere', expect=404)
    assert api('PUT', '/os-hosts/compute2', {'status': 'Disable'}) == {'host': 'compute2', 'status': 'disabled'}
    assert {one['host_name'] for one in api('GET', '/os-hosts?zone=nova')['hosts']} == {'compute1'}
    assert api('PUT', '/os-hosts/compute2', {'status': 'enable'})['status'] == 'enabled'
    api('PUT', '/os-hosts/compute2', {'maintenance_mode': 'enable'}, expect=501)
    api('PUT', '/os-hosts/nowhere', {'status': 'enable'}, expect=404)
    for body in ({}, {'status': 'off'}, {'state': 'enable'}):
        api('PUT', '/os-hosts/compute2', body, expect=400)
    for action in ('reboot', 'shutdown', 'startup'):
        api('GET', f'/os-hosts/compute1/{action}', expect=501)
        api('GET', f'/os-hosts/nowhere/{action}', expect=404)
    cloud.api('GET', '/os-hosts', version='2.43', expect=404)
    assert cloud.show(uuid)['status'] == 'ACTIVE'


def move(status: str, kind: str, source: str, dest: str) -> None:
    session.write(migrations.create, Migration(
        uuid='5d1f7a6e-0000-4000-8000-000000000002', instance_uuid='5d1f7a6e-0000-4000-8000-000000000003',
        migration_type=kind, status=status, source_compute=source, dest_compute=dest))


def test_a_service_with_moves_under_way_is_kept(cloud: Cloud) -> None:
    move('finished', 'resize', 'compute1', 'compute2')
    services = {one['host']: one['id'] for one in cloud.api('GET', '/os-services?binary=nova-compute')['services']}
    for host in ('compute1', 'compute2'):
        refused = cloud.api('DELETE', f'/os-services/{services[host]}', expect=409)
        assert 'in-progress migrations' in refused['conflictingRequest']['message']


def test_a_host_that_was_evacuated_is_not_forced_up(cloud: Cloud) -> None:
    (service,) = cloud.api('GET', '/os-services?host=compute1&binary=nova-compute')['services']
    cloud.api('PUT', f'/os-services/{service["id"]}', {'forced_down': True})
    move('done', 'evacuation', 'compute1', 'compute2')
    refused = cloud.api('PUT', f'/os-services/{service["id"]}', {'forced_down': False}, expect=400)
    assert 'Unable to force up host compute1' in refused['badRequest']['message']
    body = {'host': 'compute1', 'binary': 'nova-compute', 'forced_down': False}
    cloud.api('PUT', '/os-services/force-down', body, version='2.52', expect=400)
    session.write(migrations.update, '5d1f7a6e-0000-4000-8000-000000000002', status='completed')
    cloud.api('PUT', f'/os-services/{service["id"]}', {'forced_down': False})
