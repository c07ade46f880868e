from __future__ import annotations

import threading
import uuid

import pytest

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Instance, PowerState
from minicompute.virt.driver import SpawnRequest
from minicompute.virt.fake import FakeDriver


@pytest.fixture(autouse=True)
def state(tmp_path):
    CONF.set_override('state_path', str(tmp_path))
    yield
    FakeDriver.reset()
    CONF.clear_override('state_path')


def server(number: int = 1) -> Instance:
    return Instance(uuid=str(uuid.uuid4()), project_id='p', user_id='u', id=number)


def test_domains_outlive_the_daemon():
    instance = server(7)
    FakeDriver('h1').spawn(SpawnRequest(instance))
    again = FakeDriver('h1')
    assert [(d.uuid, d.name, d.power_state) for d in again.domains()] == [
        (instance.uuid, 'instance-00000007', PowerState.RUNNING)]
    assert FakeDriver('h2').domains() == []


def test_verbs_make_it_so():
    driver, instance = FakeDriver('h1'), server()
    driver.spawn(SpawnRequest(instance))
    driver.spawn(SpawnRequest(instance))
    driver.power_off(instance)
    assert driver.power_state(instance.uuid) == PowerState.SHUTDOWN
    driver.power_on(instance)
    driver.reboot(instance, hard=True)
    assert driver.power_state(instance.uuid) == PowerState.RUNNING
    driver.destroy(instance)
    driver.destroy(instance)
    with pytest.raises(exception.DomainNotFound):
        driver.power_state(instance.uuid)
    with pytest.raises(exception.DomainNotFound):
        driver.power_off(instance)


def test_fault_before_and_after():
    driver, instance = FakeDriver('h1'), server()

    def fail(driver, uuid):
        raise exception.DiskFull(what=uuid)
    FakeDriver.faults['spawn'] = fail
    with pytest.raises(exception.DiskFull):
        driver.spawn(SpawnRequest(instance))
    assert driver.domains() == []
    FakeDriver.faults = {'spawn.after': fail}
    with pytest.raises(exception.DiskFull):
        driver.spawn(SpawnRequest(instance))
    assert len(driver.domains()) == 1


def test_fault_may_block():
    driver, instance, gate, entered = FakeDriver('h1'), server(), threading.Event(), threading.Event()
    FakeDriver.faults['spawn'] = lambda d, u: entered.set() or gate.wait(60)
    thread = threading.Thread(target=driver.spawn, args=(SpawnRequest(instance),))
    thread.start()
    assert entered.wait(60)
    assert driver.domains() == []
    gate.set()
    thread.join(60)
    assert len(driver.domains()) == 1


def test_slow_spawn_is_half_made_first(monkeypatch):
    CONF.set_override('spawn_seconds', 5.0, 'fake')
    driver, instance = FakeDriver('h1'), server()

    class Killed(BaseException):
        pass

    def kill(seconds):
        raise Killed
    monkeypatch.setattr('minicompute.virt.fake.driver.time.sleep', kill)
    try:
        with pytest.raises(Killed):
            driver.spawn(SpawnRequest(instance))
    finally:
        CONF.clear_override('spawn_seconds', 'fake')
    assert FakeDriver('h1').power_state(instance.uuid) == PowerState.NOSTATE


def test_listener_hears_what_nobody_asked_for():
    driver, instance, heard = FakeDriver('h1'), server(), []
    driver.start(lambda uuid, state: heard.append((uuid, state)))
    driver.spawn(SpawnRequest(instance))
    driver.change_by_itself(instance.uuid, PowerState.CRASHED)
    assert heard == [(instance.uuid, PowerState.CRASHED)]
    assert driver.power_state(instance.uuid) == PowerState.CRASHED


def test_node_uuid_is_steady_and_per_host():
    one, again, other = (FakeDriver(h).inventory() for h in ('h1', 'h1', 'h2'))
    assert one.uuid == again.uuid != other.uuid
    assert one.supported_instances == [['x86_64', 'fake', 'hvm']]
    assert one.memory_mb == CONF.fake.memory_mb


def test_console_and_sweep():
    driver, kept, left = FakeDriver('h1'), server(1), server(2)
    for instance in (kept, left):
        driver.spawn(SpawnRequest(instance))
    assert driver.console_output(kept, None).startswith('fake console of instance-00000001')
    assert driver.console_output(kept, 1) == 'the domain is running'
    assert driver.console_output(kept, 0) == ''
    assert driver.sweep({kept.uuid}, 0) == [f'domain {left.uuid}']
    assert [d.uuid for d in driver.domains()] == [kept.uuid]


def test_many_threads():
    driver, servers = FakeDriver('h1'), [server(n) for n in range(40)]
    threads = [threading.Thread(target=driver.spawn, args=(SpawnRequest(s),)) for s in servers * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(driver.domains()) == 40
