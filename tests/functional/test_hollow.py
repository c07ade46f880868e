"""Some dozens of computes in one service: what a single one does, each of them does."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute import rpc, servicegroup
from minicompute.compute.hollow.hosts import HollowHosts
from minicompute.db import session
from minicompute.db.models import compute_nodes, services
from minicompute.objects import PowerState
from minicompute.service import Service
from tests.functional.cloud import Cloud

HOSTS = [f'hollow-{number:05}' for number in range(1, 25)]


class Hollow:
    """The service of the hosts, and its end and new start."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.hosts = HollowHosts(HOSTS)
        self.service = Service(servicegroup.COMPUTE, rpc.COMPUTE, self.hosts, database=False, host='many')
        self.service.start()

    def domains(self) -> dict[str, str]:
        return {d.uuid: host for host, manager in self.hosts.managers.items() for d in manager.driver.domains()}


@pytest.fixture
def cloud(make_cloud: Any, conf: Any) -> Cloud:
    conf.set_override('report_interval', 1)
    conf.set_override('instances', -1, 'quota')
    made: Cloud = make_cloud(computes=0)
    return made


@pytest.fixture
def hollow(cloud: Cloud) -> Iterator[Hollow]:
    made = Hollow()
    yield made
    made.service.stop()


def rows(query: Any) -> list[Any]:
    with session.read() as conn:
        return list(conn.execute(query))


def test_each_is_a_hypervisor_of_its_own(cloud: Cloud, hollow: Hollow) -> None:
    found = cloud.api('GET', '/os-hypervisors/detail')['hypervisors']
    assert sorted(h['hypervisor_hostname'] for h in found) == HOSTS
    assert {h['state'] for h in found} == {'up'}
    assert len({h['id'] for h in found}) == len(HOSTS)


def test_servers_live_on_them_and_survive_their_end(cloud: Cloud, hollow: Hollow) -> None:
    uuids = [cloud.boot(f'vm{number}')['id'] for number in range(12)]
    places = {uuid: cloud.wait(uuid)['OS-EXT-SRV-ATTR:host'] for uuid in uuids}
    assert hollow.domains() == places and len(set(places.values())) > 6, 'spread as over any hosts'
    hollow.service.stop()
    hollow.start()
    assert hollow.domains() == places
    cloud.api('POST', f'/servers/{uuids[0]}/action', {'os-stop': None})
    cloud.wait(uuids[0], 'SHUTOFF')
    assert 'fake console' in cloud.api('POST', f'/servers/{uuids[1]}/action', {'os-getConsoleOutput': {}})['output']
    for uuid in uuids:
        cloud.api('DELETE', f'/servers/{uuid}')
    for uuid in uuids:
        cloud.wait_gone(uuid)
    cloud.until(lambda: not hollow.domains(), 'no domain is left')
    cloud.until(lambda: not cloud.leaks(), 'nothing is held')


def test_a_guest_that_stops_by_itself_is_told_of(cloud: Cloud, hollow: Hollow) -> None:
    uuid = cloud.boot()['id']
    host = cloud.wait(uuid)['OS-EXT-SRV-ATTR:host']
    driver: Any = hollow.hosts.managers[host].driver
    driver.change_by_itself(uuid, PowerState.SHUTDOWN)
    cloud.wait(uuid, 'SHUTOFF')


def test_heartbeats_of_all_arrive(cloud: Cloud, hollow: Hollow) -> None:
    query = sa.select(services.c.host, services.c.report_count).where(services.c.binary == servicegroup.COMPUTE)
    first = dict(map(tuple, rows(query)))
    assert sorted(first) == HOSTS
    cloud.until(lambda: all(count > first[host] for host, count in rows(query)), 'every host to report')


def test_a_host_that_the_records_lost_tells_what_it_has(cloud: Cloud, hollow: Hollow) -> None:
    """Whoever deletes the service of a host that runs finds it again, inventory and all."""
    def lose(conn: sa.Connection) -> None:
        conn.execute(services.delete().where(services.c.host == HOSTS[3]))
        conn.execute(compute_nodes.delete().where(compute_nodes.c.host == HOSTS[3]))
    session.write(lose)
    cloud.until(lambda: rows(sa.select(compute_nodes.c.id).where(compute_nodes.c.host == HOSTS[3])), 'the inventory')


def test_what_a_dead_process_left_is_compared_when_it_starts(cloud: Cloud, hollow: Hollow) -> None:
    """A domain of a server that is no more goes, before any work is taken."""
    from minicompute.objects import Instance
    from minicompute.virt.driver import SpawnRequest

    gone = cloud.wait(cloud.boot('gone')['id'])['id']
    cloud.api('DELETE', f'/servers/{gone}')
    cloud.wait_gone(gone)
    hollow.service.stop()
    hollow.hosts.managers[HOSTS[5]].driver.spawn(SpawnRequest(Instance(uuid=gone, project_id='p', user_id='u', id=1)))
    assert hollow.domains() == {gone: HOSTS[5]}
    hollow.start()
    assert hollow.domains() == {}
