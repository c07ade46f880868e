"""A server's life through all four roles."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud


def test_boot_show_stop_start_reboot_delete(cloud: Cloud) -> None:
    server = cloud.boot('first')
    uuid = server['id']
    active = cloud.wait(uuid)
    assert active['OS-EXT-SRV-ATTR:host'] in ('compute1', 'compute2')
    assert cloud.domains() == {uuid: active['OS-EXT-SRV-ATTR:host']}
    cloud.api('POST', f'/servers/{uuid}/action', {'os-stop': None}, expect=202)
    cloud.wait(uuid, 'SHUTOFF')
    cloud.api('POST', f'/servers/{uuid}/action', {'os-start': None}, expect=202)
    cloud.wait(uuid)
    for kind in ('SOFT', 'HARD'):
        cloud.api('POST', f'/servers/{uuid}/action', {'reboot': {'type': kind}}, expect=202)
        cloud.wait(uuid)
    actions = cloud.api('GET', f'/servers/{uuid}/os-instance-actions')['instanceActions']
    assert [a['action'] for a in actions] == ['reboot', 'reboot', 'start', 'stop', 'create']
    create = cloud.api('GET', f'/servers/{uuid}/os-instance-actions/{actions[-1]["request_id"]}')['instanceAction']
    assert {'schedule', 'spawn'} <= {event['event'] for event in create['events']}
    cloud.api('DELETE', f'/servers/{uuid}', expect=204)
    cloud.wait_gone(uuid)
    assert not cloud.leaks()


def test_a_network_gives_an_address_and_takes_it_back(cloud: Cloud) -> None:
    server = cloud.boot('net', networks='auto')
    active = cloud.wait(server['id'])
    (cards,) = active['addresses'].values()
    assert cards[0]['addr'] and cards[0]['OS-EXT-IPS-MAC:mac_addr']
    cloud.api('DELETE', f'/servers/{server["id"]}', expect=204)
    cloud.wait_gone(server['id'])
    assert not cloud.leaks()


def test_many_at_once(make_cloud: Any) -> None:
    cloud = make_cloud(computes=3, conductors=2, schedulers=2)
    flavor, image = cloud.flavor(disk=1), cloud.image()
    servers = cloud.boot('many', min_count=8, max_count=8, flavorRef=flavor, imageRef=image)
    assert servers
    listed = cloud.api('GET', '/servers')['servers']
    assert len(listed) == 8
    for each in listed:
        cloud.wait(each['id'])
    assert len(set(cloud.domains().values())) == 3   # spread over all hosts
    for each in listed:
        cloud.api('DELETE', f'/servers/{each["id"]}', expect=204)
    for each in listed:
        cloud.wait_gone(each['id'])
    assert not cloud.leaks()


def test_no_valid_host_says_why(cloud: Cloud) -> None:
    server = cloud.boot('big', flavorRef=cloud.flavor(ram=64, vcpus=20, disk=10_000_000))
    found = cloud.wait(server['id'], 'ERROR')
    assert found['fault']['code'] == 500
    assert 'No valid host was found' in found['fault']['message']
    assert 'disk' in found['fault']['message'].lower()
    cloud.api('DELETE', f'/servers/{server["id"]}', expect=204)
    cloud.wait_gone(server['id'])
    assert not cloud.leaks()


def test_a_zone_that_is_not_there_is_refused(cloud: Cloud) -> None:
    refused = cloud.boot('far', availability_zone='moon', expect=400)
    assert 'availability zone' in refused['badRequest']['message']


def test_a_broken_host_is_left(cloud: Cloud) -> None:
    broken: list[str] = []

    def refuse(driver: Any, uuid: str) -> None:
        if not broken:
            broken.append(driver.host)
            raise RuntimeError('planned')
    FakeDriver.faults['spawn'] = refuse
    server = cloud.wait(cloud.boot('moved')['id'])
    assert server['OS-EXT-SRV-ATTR:host'] not in broken
    cloud.api('DELETE', f'/servers/{server["id"]}', expect=204)
    cloud.wait_gone(server['id'])
    assert not cloud.leaks()


def test_the_last_host_that_refuses_says_why(cloud: Cloud) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        raise exception.DiskFull(what='image tiny')
    FakeDriver.faults['spawn'] = refuse
    server = cloud.wait(cloud.boot('unlucky', host='compute1')['id'], 'ERROR')
    message = server['fault']['message']
    assert 'No valid host was found' in message and 'No space left for image tiny on this host' in message
    assert not cloud.leaks()


def test_a_guest_that_shuts_itself_down_is_stopped(cloud: Cloud) -> None:
    server = cloud.wait(cloud.boot('tired')['id'])
    driver = cloud.services[server['OS-EXT-SRV-ATTR:host']].manager.driver   # type: ignore[attr-defined]
    driver.change_by_itself(server['id'], 4)
    cloud.wait(server['id'], 'SHUTOFF')


def test_delete_while_building(cloud: Cloud) -> None:
    import threading

    gate, spawning = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        spawning.set()
        gate.wait(60)
    FakeDriver.faults['spawn'] = hold
    uuid = cloud.boot('short')['id']
    assert spawning.wait(60)
    cloud.api('DELETE', f'/servers/{uuid}', expect=204)
    cloud.api('DELETE', f'/servers/{uuid}', expect=204)
    gate.set()
    cloud.wait_gone(uuid)
    assert not cloud.leaks()


def test_a_compute_that_comes_back_removes_what_is_not_its_own(cloud: Cloud) -> None:
    server = cloud.wait(cloud.boot('here')['id'])
    host = server['OS-EXT-SRV-ATTR:host']
    gone = cloud.wait(cloud.boot('gone')['id'])['id']
    cloud.api('DELETE', f'/servers/{gone}', expect=204)
    cloud.wait_gone(gone)
    cloud.stop(host)
    FakeDriver(host)._write(gone, 'instance-00000099', 1)
    cloud.start_compute(host)
    cloud.until(lambda: set(cloud.domains()) == {server['id']}, 'the foreign domain to go')
