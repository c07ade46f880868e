"""Every flow with a volume of Cinder: it fails at each step, its conductor is killed after each commit, Cinder is away
at each step, refuses, or does what it is asked for and does not say so. Whatever comes of it, Cinder's attachments are
those of our records."""
from __future__ import annotations

import dataclasses
import uuid as uuidlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from minicompute.compute.api import volumes as volumes_api
from minicompute.conductor import debts
from minicompute.conductor.flow import Asked, Flow, StepFailed
from minicompute.conductor.flows import connections
from minicompute.db import session
from minicompute.db.api import block_devices, owed, stuck
from minicompute.objects import Volume
from minicompute.virt.fake import FakeDriver
from tests.functional.beginnings import READY, last_way_back, run, to_rebuild
from tests.functional.bench import Bench
from tests.functional.cinder_server import CinderServer, always, once
from tests.functional.test_flows import change, named, step_of

NAMES = ('attach_volume', 'branch_volume', 'build', 'confirm-resize', 'delete', 'detach_volume', 'evacuate',
         'extend_volume', 'live-migration', 'merge_volume', 'rebuild_volume', 'resize', 'revert-resize',
         'shelve_offload', 'swap_volume', 'unshelve')
STEPS = [(name, step.name) for name in NAMES for step in Flow.registry[name].steps]
#: what flows ask of Cinder
ASKED = ('show', 'attachments', 'reserve', 'connect', 'complete', 'give_back', 'snapshot_action', 'volume_action')


@pytest.fixture
def cinder(database: str) -> Iterator[CinderServer]:
    with CinderServer('p') as made:
        yield made


@pytest.fixture
def bench(cinder: CinderServer, monkeypatch: Any) -> Iterator[Bench]:
    monkeypatch.setattr(Bench, '_check_devices', lambda *_: None)
    made = Bench(monkeypatch)
    yield made
    made.close()


def mapping(cinder: CinderServer, uuid: str, state: str, name: str = '/dev/vdb') -> str:
    """What the API writes. -> the uuid of the block device"""
    made = Volume(id=cinder.volume(), project_id='p', size=1)
    device = volumes_api.mapping(made, state=state, instance_uuid=uuid, device_name=name)
    session.write(block_devices.insert, device)
    return str(device.uuid)


def with_volume(bench: Bench, cinder: CinderServer) -> tuple[str, str]:
    """-> (a server that runs and has a volume, its block device)"""
    uuid = bench.built()
    bdm = mapping(cinder, uuid, 'attaching')
    run(bench, uuid, 'attach_volume', bdm=bdm)
    return uuid, bdm


def volume_of(bdm: str) -> str:
    with session.read() as conn:
        device = block_devices.get(conn, bdm)
        assert device is not None
        return str(device.volume_id)


def begin(bench: Bench, cinder: CinderServer, name: str) -> tuple[str, int]:
    if name == 'build':
        action_id = bench.new_server()[0]
        uuid = bench.action(action_id).instance_uuid
        mapping(cinder, uuid, 'attaching')
        return uuid, action_id
    if name == 'attach_volume':
        uuid = bench.built()
        return uuid, bench.new_action(uuid, name, bdm=mapping(cinder, uuid, 'attaching'))
    uuid, bdm = with_volume(bench, cinder)
    if name in ('detach_volume', 'swap_volume'):
        with session.read() as conn:
            device = block_devices.get(conn, bdm)
        assert device is not None
        session.write(block_devices.set_state, device, 'detaching')
    data: dict[str, Any] = {}
    if name == 'detach_volume':
        data = {'bdm': bdm}
    elif name == 'swap_volume':
        new = mapping(cinder, uuid, 'swapping')
        data = {'bdm': bdm, 'new': new, 'volume_id': volume_of(bdm), 'new_volume_id': volume_of(new)}
    elif name == 'extend_volume':
        cinder.volumes[volume_of(bdm)]['size'] = 2
        data = {'volume_id': volume_of(bdm)}
    elif name == 'rebuild_volume':
        data = {**to_rebuild(bench, uuid), 'bdm': bdm, 'reimage': True}
    elif name in ('branch_volume', 'merge_volume'):
        snapshot = str(uuidlib.uuid4())
        cinder.snapshots[snapshot] = {'id': snapshot, 'volume_id': '', 'status': 'creating', 'pending': 0}
        data = {'volume_id': volume_of(bdm), 'snapshot_id': snapshot, 'new_file': 'volume.1', 'top': 'volume'}
    elif name in READY:
        data = READY[name](bench, uuid)
    return uuid, bench.new_action(uuid, name, **data)


def check(bench: Bench, cinder: CinderServer) -> None:
    """What Cinder has is what the records say; nothing is owed once it answers."""
    cinder.faults.clear()
    for one in cinder.volumes.values():     # what it was at work with it has done
        cinder._view(one)
    debts.pay()
    with session.read() as conn:
        assert not owed.of_neighbours(conn, 10)
        servers = [bench.server(uuid) for uuid in bench._uuids(conn)]
    wanted = {}
    for server in servers:
        for device in server.block_devices:
            if device.destination_type != 'volume':
                continue
            if server.vm_state == 'error' and device.connection_info['state'] == 'attaching':
                continue    # its build failed: it holds nothing at Cinder
            assert device.connection_info['state'] == 'attached', device
            where = device.connection_info['connection'].get('for_host')
            assert where == server.host, (server, device)
            wanted[device.attachment_id] = (server.uuid, device.volume_id, 'attached' if server.host else 'reserved')
    assert {key: (one['instance'], one['volume_id'], one['status'])
            for key, one in cinder.attachments.items()} == wanted
    held = {one['volume_id'] for one in cinder.attachments.values()}
    assert {one['status'] for key, one in cinder.volumes.items() if key not in held} <= {'available'}


@pytest.mark.every_case
@pytest.mark.parametrize('name', NAMES)
def test_it_works(bench: Bench, cinder: CinderServer, name: str) -> None:
    uuid, action_id = begin(bench, cinder, name)
    bench.engine().ring([action_id])
    assert bench.finish([action_id]) == ['done'], bench.action(action_id)
    check(bench, cinder)
    bench.check()


def end(bench: Bench, uuid: str, name: str, action_id: int) -> None:
    """What is stuck the operator gives up."""
    if bench.action(action_id).state == 'stuck':
        session.write(stuck.abandon, action_id, '')


def delete(bench: Bench, cinder: CinderServer, uuid: str) -> None:
    cinder.faults.clear()
    if bench.server(uuid).deleted:
        return
    again = bench.new_action(uuid, 'delete')
    bench.engines[-1].ring([again])
    assert bench.finish([again]) == ['done'], bench.action(again)
    debts.pay()
    assert not cinder.of_server(uuid)


@pytest.mark.generic
@pytest.mark.parametrize(('name', 'step'), STEPS)
@pytest.mark.parametrize('when', ['before', 'after'])
def test_fail_at_each_step(bench: Bench, cinder: CinderServer, monkeypatch: Any, name: str, step: str,
                           when: str) -> None:
    real = step_of(name, step)
    uuid, action_id = begin(bench, cinder, name)
    refused: list[str] = []

    def fails(task: Any) -> Any:
        if refused:
            return real.run(task)
        outcome = real.run(task) if when == 'after' else None
        if isinstance(outcome, Asked):
            refused.append(outcome.verb)

            def refuse(driver: Any, _uuid: str) -> None:
                FakeDriver.faults.pop(f'{refused[0]}.after', None)
                raise RuntimeError('planned, after all was done')
            FakeDriver.faults[outcome.verb + '.after'] = refuse
            return outcome
        refused.append('')
        raise StepFailed('planned')
    change(monkeypatch, name, step, run=named(fails, step), many=None)
    bench.engine().ring([action_id])
    assert bench.finish([action_id])[0] in ('failed', 'done', 'stuck')
    end(bench, uuid, name, action_id)
    delete(bench, cinder, uuid)
    check(bench, cinder)


@pytest.mark.generic
@pytest.mark.parametrize('broken', [False, True], ids=['forward', 'unwinding'])
@pytest.mark.parametrize('name', NAMES)
def test_kill_after_each_commit(bench: Bench, cinder: CinderServer, monkeypatch: Any, name: str, broken: bool) -> None:
    last, real = last_way_back(name), Flow.registry[name].steps

    def fails(task: Any) -> Any:
        raise StepFailed('planned')
    for commits in range(len(real) + 3):
        monkeypatch.setattr(Flow.registry[name], 'steps', real)
        uuid, action_id = begin(bench, cinder, name)
        if broken:
            change(monkeypatch, name, last, run=named(fails, last), many=None, when=None)
        mortal = bench.engine(f'mortal{commits}', commits=commits)
        mortal.ring([action_id])
        while not mortal.dead.wait(0.02):
            if bench.action(action_id).state in ('done', 'failed'):
                break
        mortal.dead.set()
        bench.expire_leases()
        heir = bench.engine(f'heir{commits}')
        heir.sweep()
        assert bench.finish([action_id]) == ['failed' if broken else 'done'], bench.action(action_id)
        monkeypatch.setattr(Flow.registry[name], 'steps', real)
        delete(bench, cinder, uuid)
        heir.dead.set()
    check(bench, cinder)


@pytest.mark.generic
@pytest.mark.parametrize('how', ['refuses', 'lost', 'conflict'])
@pytest.mark.parametrize('asked', ASKED)
@pytest.mark.parametrize('name', NAMES)
def test_one_answer_is_bad(bench: Bench, cinder: CinderServer, name: str, asked: str, how: str) -> None:
    uuid, action_id = begin(bench, cinder, name)
    cinder.faults[asked] = {'refuses': once(503), 'lost': once(500, after=True), 'conflict': once(409)}[how]
    bench.engine().ring([action_id])
    state = bench.finish([action_id])[0]
    if how != 'conflict':
        assert state == 'done', bench.action(action_id)
        check(bench, cinder)
    end(bench, uuid, name, action_id)
    delete(bench, cinder, uuid)
    check(bench, cinder)


@pytest.mark.generic
@pytest.mark.parametrize('asked', ['attachments', 'connect', 'complete', 'give_back'])
@pytest.mark.parametrize('name', NAMES)
def test_it_stays_away(bench: Bench, cinder: CinderServer, monkeypatch: Any, name: str, asked: str) -> None:
    """It falls silent when it is asked for this, and comes back long after the action has ended."""
    uuid, action_id = begin(bench, cinder, name)
    short = tuple(dataclasses.replace(step, deadline=lambda: 2) for step in Flow.registry[name].steps)
    monkeypatch.setattr(Flow.registry[name], 'steps', short)

    def away(_name: str, _done: bool) -> int | None:
        cinder.faults['*'] = always(503)
        return 503
    cinder.faults[asked] = away
    bench.engine().ring([action_id])
    assert bench.finish([action_id])[0] in ('done', 'failed', 'stuck')
    cinder.faults.clear()
    end(bench, uuid, name, action_id)
    debts.pay()
    delete(bench, cinder, uuid)
    check(bench, cinder)


def test_what_is_owed_waits_for_who_is_at_work(bench: Bench, cinder: CinderServer) -> None:
    uuid, bdm = with_volume(bench, cinder)
    stray = cinder.attachments[str(uuidlib.uuid4())] = {
        'id': 'stray', 'volume_id': volume_of(bdm), 'instance': uuid, 'status': 'attaching', 'connector': {},
        'connection_info': {'driver_volume_type': 'fake'}}
    cinder.attachments = {one['id']: one for one in cinder.attachments.values()}
    session.write(owed.add_debt, 'cinder', uuid, f'volume {volume_of(bdm)}', {'instance': uuid}, 'it was away')
    action_id = bench.new_action(uuid, 'stop')
    assert debts.pay() == 0 and stray['id'] in cinder.attachments
    bench.engine().ring([action_id])
    bench.finish([action_id])
    assert debts.pay() == 1
    check(bench, cinder)


def test_what_is_owed_leaves_what_begins_meanwhile(bench: Bench, cinder: CinderServer) -> None:
    uuid, bdm = with_volume(bench, cinder)
    begun: list[int] = []

    def begins(_name: str, done: bool) -> None:
        if not done and not begun:
            begun.append(bench.new_action(uuid, 'stop'))
            cinder.attachments['young'] = {
                'id': 'young', 'volume_id': volume_of(bdm), 'instance': uuid, 'status': 'reserved', 'connector': {},
                'connection_info': {}}
    cinder.faults['attachments'] = begins
    session.write(owed.add_debt, 'cinder', uuid, f'volume {volume_of(bdm)}', {'instance': uuid}, 'it was away')
    assert debts.pay() == 0 and 'young' in cinder.attachments and begun


def test_what_another_host_may_have_is_not_given_to_this_one(bench: Bench, cinder: CinderServer) -> None:
    """An attachment that was kept while nobody could ask its host: that host's part of it has to end."""
    uuid = bench.built()
    bdm = mapping(cinder, uuid, 'attaching')
    cinder.attachments['kept'] = {
        'id': 'kept', 'volume_id': volume_of(bdm), 'instance': uuid, 'status': 'attached', 'connector': {'host': 'far'},
        'connection_info': {'driver_volume_type': 'fake', 'for_host': 'far'}}
    cinder.volumes[volume_of(bdm)]['status'] = 'in-use'
    run(bench, uuid, 'attach_volume', bdm=bdm)
    assert 'kept' not in cinder.attachments and cinder.count('give_back') == 1
    check(bench, cinder)


@pytest.mark.parametrize(('unreached', 'connector', 'doubt'), [
    ([], 'a', False), (['a'], 'a', True), (['a', 'b'], 'b', True), (['a'], 'b', False), ([None], 'b', True),
    (['a'], None, True)])
def test_doubt_is_about_the_host_that_has_them(unreached: Any, connector: Any, doubt: bool) -> None:
    task: Any = SimpleNamespace(data={'unreached': unreached, 'connector': {'host': connector}})
    assert connections.in_doubt(task) is doubt


def test_a_debt_that_becomes_more_is_all_owed(bench: Bench, cinder: CinderServer) -> None:
    uuid, gone = str(uuidlib.uuid4()), cinder.volume()
    session.write(owed.add_debt, 'cinder', uuid, f'volume {gone}',
                  {'instance': uuid, 'not_before': '2999-01-01', 'refused': 9}, 'it was away')
    session.write(owed.add_debt, 'cinder', uuid, f'volume {gone}', {'instance': uuid, 'delete': True}, 'it was away')
    for error in (True, False):
        session.write(owed.add_debt, 'cinder', uuid, f'migration {gone}', {'new': str(error), 'error': error}, 'away')
    with session.read() as conn:
        said = {row.verb.split()[0]: row.data for row in owed.of_neighbours(conn, 10)}
    assert said == {'volume': {'instance': uuid, 'delete': True}, 'migration': {'new': 'False', 'error': False}}


def test_what_is_owed_while_the_rest_is_paid(bench: Bench, cinder: CinderServer) -> None:
    uuid, gone = str(uuidlib.uuid4()), cinder.volume()

    def more(_name: str, done: bool) -> None:
        cinder.faults.clear()
        session.write(owed.add_debt, 'cinder', uuid, f'volume {gone}', {'delete': True}, 'it was away')
    session.write(owed.add_debt, 'cinder', uuid, f'volume {gone}', {'instance': uuid}, 'it was away')
    cinder.faults['attachments'] = more
    debts.pay()
    assert gone in cinder.volumes
    debts.pay()
    assert gone not in cinder.volumes
    check(bench, cinder)


def test_nobody_is_asked_for_whom_we_are_at_work(bench: Bench, cinder: CinderServer) -> None:
    uuid, bdm = with_volume(bench, cinder)
    bench.new_action(uuid, 'stop')
    session.write(owed.add_debt, 'cinder', uuid, f'volume {volume_of(bdm)}', {'instance': uuid}, 'it was away')
    cinder.asked.clear()
    assert debts.pay() == 0 and cinder.asked == []
