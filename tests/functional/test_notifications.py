"""Notifications: what has begun ends, nothing is told that is not so, and nobody waits for the broker."""
from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
import uuid as uuidlib
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute import notifications
from minicompute.conductor import flows  # noqa: F401
from minicompute.conductor.flow import Flow, StepFailed
from minicompute.conf import CONF
from minicompute.db import session, watch
from minicompute.db.api import keypairs
from minicompute.notifications import sender, stories
from minicompute.notifications.listener import Message
from minicompute.notifications.payloads import Asker
from minicompute.objects import KeyPair
from tests.functional.beginnings import begin
from tests.functional.bench import Bench
from tests.functional.cloud import Cloud
from tests.functional.notified import Notified, check, data, notified  # noqa: F401
from tests.functional.test_flows import change, named

#: what each flow is heard of, from its beginning to its end (those that are not here: X.start and X.end)
HEARD = {
    'build': ['create.start', 'create.end'],
    'delete': ['delete.start', 'shutdown.start', 'shutdown.end', 'delete.end'],
    'rebuild': ['rebuild_scheduled', 'rebuild.start', 'rebuild.end'],
    'rebuild_volume': ['rebuild_scheduled', 'rebuild.start', 'rebuild.end'],
    'evacuate': ['evacuate', 'rebuild_scheduled', 'rebuild.start', 'rebuild.end'],
    'resize': ['resize_prep.start', 'resize_prep.end', 'resize.start', 'resize.end', 'resize_finish.start',
               'resize_finish.end'],
    'live-migration': ['live_migration_pre.start', 'live_migration_pre.end', 'live_migration_post.start',
                       'live_migration_post_dest.start', 'live_migration_post_dest.end', 'live_migration_post.end'],
    'shelve': ['shelve.start', 'shelve.end', 'shelve_offload.start', 'shelve_offload.end'],
}


@pytest.fixture
def bench(notified: Notified, monkeypatch: Any) -> Iterator[Bench]:  # noqa: F811
    made = Bench(monkeypatch)
    yield made
    made.close()


def heard(messages: list[dict[str, Any]]) -> list[str]:
    return [one['event_type'].removeprefix('instance.') for one in messages]


def test_every_flow_has_its_story() -> None:
    assert set(stories.STORIES) | stories.SILENT == set(Flow.registry)
    for name, story in stories.STORIES.items():
        steps = {step.name for step in Flow.registry[name].steps}
        assert {step.removesuffix('_undo') for step in story.steps} <= steps, name


@pytest.mark.parametrize('name', sorted(stories.STORIES))
def test_each_flow_is_told(bench: Bench, notified: Notified, name: str) -> None:  # noqa: F811
    uuid, action_id = begin(bench, name)
    told = notified.all()
    before = len(told) - len(stories.STORIES[name].begin)      # what was told of how the server came there
    bench.engine().ring([action_id])
    assert bench.finish([action_id]) == ['done']
    bench.rest()
    mine = [one for one in notified.all()[before:] if data(one)['uuid'] == uuid]
    short = stories.plain(stories.STORIES[name].done[0].split('.')[0]) if stories.STORIES[name].done else None
    assert heard(mine) == HEARD.get(name, [*short.begin, *short.done] if short else None)
    for one in mine:
        check(one)
        assert one['publisher_id'].split(':')[1] in ('host1', 'host2', CONF.host)
    if name == 'delete':
        last = data(mine[-1])
        assert last['state'] == 'deleted' and last['deleted_at'] and last['terminated_at']


@pytest.mark.every_case
@pytest.mark.parametrize('name', sorted(stories.STORIES))
def test_each_failure_is_told(bench: Bench, notified: Notified, monkeypatch: Any, name: str) -> None:  # noqa: F811
    uuid, action_id = begin(bench, name)
    told = len(notified.all())

    def fails(task: Any) -> Any:
        raise StepFailed('planned to fail')
    change(monkeypatch, name, Flow.registry[name].first, run=named(fails, Flow.registry[name].first), many=None)
    bench.engine().ring([action_id])
    state = bench.finish([action_id])[0]
    bench.rest()
    mine = [one for one in notified.all()[told:] if data(one).get('uuid', data(one).get('instance_uuid')) == uuid]
    if state == 'stuck':
        assert not mine and Flow.registry[name].steps[0].pivot     # it has not ended: an operator decides
        return
    story = stories.STORIES[name]
    assert heard(mine)[-1:] == list(story.homeless or story.failed)
    for one in mine:
        check(one)
    error = data(mine[-1]).get('fault') or data(mine[-1]).get('reason')
    if name != 'live-migration' or story.homeless:
        assert error['nova_object.data']['exception_message'] == 'planned to fail', mine[-1]


def test_a_build_tries_another_host(bench: Bench, notified: Notified) -> None:  # noqa: F811
    from minicompute.virt.fake import FakeDriver

    def refuse(*_: Any) -> None:
        FakeDriver.faults.pop('spawn')
        raise RuntimeError('no')
    FakeDriver.faults['spawn'] = refuse
    ids = bench.new_server()
    bench.engine().ring(ids)
    assert bench.finish(ids) == ['done']
    bench.rest()
    mine = notified.of(bench.action(ids[0]).instance_uuid)
    assert heard(mine) == ['create.start', 'create.error', 'create.start', 'create.end']
    assert len({one['publisher_id'] for one in mine}) == 2


def test_a_group_is_told_one_by_one(bench: Bench, notified: Notified) -> None:  # noqa: F811
    ids = bench.new_server(3)
    bench.engine().ring(ids[:1])
    assert bench.finish(ids) == ['done'] * 3
    bench.rest()
    for action_id in ids:
        mine = notified.of(bench.action(action_id).instance_uuid)
        assert heard(mine) == ['create.start', 'create.end']
        assert data(mine[0])['host'] and data(mine[1])['state'] == 'active'


def test_a_group_without_room(bench: Bench, notified: Notified, monkeypatch: Any) -> None:  # noqa: F811
    def fails(task: Any) -> Any:
        raise StepFailed('no room')
    change(monkeypatch, 'build', 'schedule', run=named(fails, 'schedule'), many=None)
    ids = bench.new_server(3)
    bench.engine().ring(ids[:1])
    assert bench.finish(ids) == ['failed'] * 3
    bench.rest()
    for action_id in ids:
        mine = notified.of(bench.action(action_id).instance_uuid)
        assert heard(mine) == ['compute_task.build_instances.error']
        check(mine[0])
        assert data(mine[0])['request_spec']['nova_object.data']['num_instances'] == 3


def keypair(name: str) -> KeyPair:
    return KeyPair(name=name, user_id='u', public_key='ssh-rsa A', fingerprint='a')


def test_only_what_is_committed(notified: Notified) -> None:  # noqa: F811
    """Also when the transaction ran twice."""
    tries = []

    def write(conn: sa.Connection) -> None:
        keypairs.create(conn, keypair('one'))
        tries.append(1)
        if len(tries) == 1:
            from oslo_db import exception as db_exc
            raise db_exc.DBDeadlock
    session.write(write)

    def broken(conn: sa.Connection) -> None:
        keypairs.create(conn, keypair('two'))
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        session.write(broken)
    told = notified.all()
    assert [(one['event_type'], data(one)['name']) for one in told] == [
        ('keypair.import.start', 'one'), ('keypair.import.end', 'one')]
    assert len(tries) == 2


def test_what_cannot_be_told_costs_no_transaction(notified: Notified, monkeypatch: Any) -> None:  # noqa: F811
    assert watch.listener is not None
    monkeypatch.setattr('minicompute.notifications.listener._changed', lambda *_: 1 / 0)
    session.write(keypairs.create, keypair('one'))
    with session.read() as conn:
        assert keypairs.get(conn, 'u', 'one')
    assert notified.all() == []


def test_nobody_waits_for_the_broker(notified: Notified, monkeypatch: Any) -> None:  # noqa: F811
    """One that is away holds the sender; what does not fit into the queue is dropped and counted."""
    let_go, counted = threading.Event(), []
    monkeypatch.setattr(sender, 'send', lambda *_: let_go.wait(60))
    monkeypatch.setattr(sender.metrics, 'count', lambda name, by, result: counted.append((name, by, result)))
    made = sender.Sender(bound=3)
    message = Message('keypair.create.start', 'nova-api:here', Asker(), lambda: {})
    made.put([message])
    while not made._sending:
        threading.Event().wait(0.01)
    made.put([message] * 5)
    assert counted == [('notifications', 2, 'dropped')]
    made.close(timeout=0.05)      # a daemon that leaves does not wait either
    assert not let_go.is_set()
    let_go.set()
    assert made._thread is not None
    made._thread.join(60)    # what it has left would be sent to the next test


def test_without_a_driver_nothing_is_loaded() -> None:
    """The default: no listener, no thread, none of the modules."""
    code = ('from minicompute import conf; conf.setup([], "x", config_files=[])\n'
            'import oslo_messaging, sys, threading\n'
            'from minicompute import notifications, rpc\n'
            'from minicompute.db import watch\n'
            'notifications.start()\n'
            'assert watch.listener is None and threading.active_count() == 1\n'
            'assert not [name for name in sys.modules if name.startswith("minicompute.notifications.")]\n')
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(('driver', 'kind', 'listens'), [
    (['noop'], 'versioned', False), ([], 'both', False), (['test'], 'unversioned', False), (['test'], 'both', True)])
def test_who_listens(notified: Notified, driver: list[str], kind: str, listens: bool) -> None:  # noqa: F811
    notifications.stop()
    CONF.set_override('driver', driver, 'oslo_messaging_notifications')
    CONF.set_override('notification_format', kind, 'notifications')
    notifications.start()
    assert (watch.listener is not None) == listens


def test_no_secret_is_told(notified: Notified, make_cloud: Any) -> None:  # noqa: F811
    CONF.set_override('notify_on_state_change', 'vm_and_task_state', 'notifications')
    CONF.set_override('bdms_in_notifications', True, 'notifications')
    notifications.stop()
    notifications.start()
    cloud: Cloud = make_cloud()
    secret = uuidlib.uuid4().hex
    one = cloud.boot(user_data=secret, adminPass=secret)
    cloud.wait(one['id'])
    cloud.api('POST', f'/servers/{one["id"]}/action', {'changePassword': {'adminPass': secret}})
    cloud.api('POST', f'/servers/{one["id"]}/action', {'rescue': {'adminPass': secret}})
    cloud.wait(one['id'], 'RESCUE')
    cloud.api('DELETE', f'/servers/{one["id"]}')
    cloud.wait_gone(one['id'])
    cloud.stop()
    told = notified.all()
    assert 'instance.update' in {one['event_type'] for one in told} and len(told) > 12
    text = json.dumps([told, notified.contexts()], default=str)
    assert secret not in text and 'connection_info' not in text and 'token' not in text
    for each in told:
        check(each)


def states(message: dict[str, Any]) -> tuple[Any, ...]:
    inner = data(message)['state_update']['nova_object.data']
    return inner['old_state'], inner['state'], inner['old_task_state'], inner['new_task_state']


@pytest.mark.parametrize('which', ['vm_state', 'vm_and_task_state'])
def test_updates(notified: Notified, make_cloud: Any, which: str) -> None:  # noqa: F811
    CONF.set_override('notify_on_state_change', which, 'notifications')
    notifications.stop()
    notifications.start()
    cloud: Cloud = make_cloud(computes=1)
    one = cloud.boot('first')
    cloud.wait(one['id'])
    cloud.api('PUT', f'/servers/{one["id"]}', {'server': {'name': 'second'}})
    cloud.api('POST', f'/servers/{one["id"]}/action', {'pause': None})
    cloud.wait(one['id'], 'PAUSED')
    cloud.api('DELETE', f'/servers/{one["id"]}')
    cloud.wait_gone(one['id'])
    cloud.stop()
    mine = [m for m in notified.of(one['id']) if m['event_type'] == 'instance.update']
    for each in mine:
        check(each)
    changes = [states(m) for m in mine]
    vm = [(old, new) for old, new, _, _ in changes if old != new]
    assert vm == [(None, 'building'), ('building', 'active'), ('active', 'paused'), ('paused', 'deleted')]
    tasks = [(old, new) for _, _, old, new in changes if old != new]
    assert (('paused', 'paused', None, 'deleting') in changes) == (which == 'vm_and_task_state')
    assert len(tasks) >= 2
    renamed = [m for m in mine if data(m)['old_display_name']]
    assert [(data(m)['old_display_name'], data(m)['display_name']) for m in renamed] == [('first', 'second')]
    assert data(renamed[0])['action_initiator_user'] == 'admin'


def test_who_asked(notified: Notified, make_cloud: Any) -> None:  # noqa: F811
    cloud: Cloud = make_cloud(computes=1)
    one = cloud.boot(user='jane', project='pr')
    cloud.wait(one['id'])
    cloud.stop()
    for message in notified.of(one['id']):
        assert data(message)['action_initiator_user'] == 'jane'
        assert data(message)['action_initiator_project'] == 'pr'
        assert str(data(message)['request_id']).startswith('req-')
    assert {c['user_id'] for c in notified.contexts() if c.get('project_id') == 'pr'} == {'jane'}


def test_usage_audit(notified: Notified, make_cloud: Any, monkeypatch: Any) -> None:  # noqa: F811
    """instance.exists, once a period and server, whichever conductor does it."""
    import datetime

    from minicompute.conductor import usage_audits
    from minicompute.utils import utcnow

    cloud: Cloud = make_cloud(computes=1)
    one = cloud.boot()
    cloud.wait(one['id'])
    CONF.set_override('instance_usage_audit', True)
    now = utcnow() + datetime.timedelta(minutes=1)
    monkeypatch.setattr(usage_audits, 'audit_period', lambda *_: (now - datetime.timedelta(days=30), now))
    assert usage_audits.sweep() == 1
    assert usage_audits.sweep() == 0
    mine = [m for m in notified.of(one['id']) if m['event_type'] == 'instance.exists']
    assert len(mine) == 1
    check(mine[0])
    assert mine[0]['publisher_id'] == 'nova-compute:compute1'


def test_an_audit_of_many(notified: Notified, make_cloud: Any, monkeypatch: Any) -> None:  # noqa: F811
    """More servers than messages may wait; and a read of the listener's that fails does not cost the audit."""
    import datetime

    from oslo_db import exception as db_exc

    from minicompute.conductor import usage_audits
    from minicompute.db.api import instances, services
    from minicompute.utils import utcnow

    cloud: Cloud = make_cloud(computes=1)
    uuids = {cloud.boot(f'one{number}')['id'] for number in range(4)}
    for uuid in uuids:
        cloud.wait(uuid)
    CONF.set_override('instance_usage_audit', True)
    ends = [utcnow() + datetime.timedelta(minutes=1)]
    monkeypatch.setattr(usage_audits, 'audit_period', lambda *_: (ends[-1] - datetime.timedelta(days=30), ends[-1]))
    real, every = usage_audits._audit, services.every
    hosts: list[int] = []
    monkeypatch.setattr(usage_audits, '_audit', lambda *args: hosts.append(real(*args)) or hosts[-1])
    monkeypatch.setattr(usage_audits.services, 'every', lambda conn, **_: [
        *every(conn, binary=services.COMPUTE), *(Host(f'node{number}') for number in range(119))])
    notified.clear()
    monkeypatch.setattr(notifications._sender, '_bound', 2)
    assert usage_audits.sweep() == 120 and hosts == [50, 50, 20]
    told = [data(one)['uuid'] for one in notified.all() if one['event_type'] == 'instance.exists']
    assert sorted(told) == sorted(uuids)

    def away(*_: Any, **__: Any) -> Any:
        raise db_exc.DBConnectionError
    ends.append(ends[-1] + datetime.timedelta(days=30))
    with monkeypatch.context() as broken:
        broken.setattr(instances, 'get_many', away)
        assert usage_audits.sweep() == 120
        notified.clear()


@dataclasses.dataclass
class Host:
    host: str
