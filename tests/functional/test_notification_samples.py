"""The samples of the documents are what is sent. SAMPLES_WRITE=1 writes them anew."""
from __future__ import annotations

import json
import os
import pathlib
import re
from typing import Any

import pytest

from minicompute import notifications
from minicompute.conductor.flow import StepFailed
from minicompute.conf import CONF
from minicompute.notifications import stories
from tests.functional.beginnings import begin
from tests.functional.bench import Bench
from tests.functional.notified import Notified, check, data, notified  # noqa: F401
from tests.functional.test_flows import change, named

SAMPLES = pathlib.Path(__file__).parents[2] / 'docs' / 'notification_samples'
UUID = 'd5e6a7b7-80e5-4166-85a3-cd6115201082'
EQUAL = [(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', UUID),
         (r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', '2026-11-23T10:00:00Z'),
         (r'^r-\w{8}$', 'r-6w6ruqaz'), (r'^(nova-compute:)?(host|compute)[12]$', r'\1compute'),
         (r'^([0-9a-f]{2}:){5}[0-9a-f]{2}$', 'fa:16:3e:4c:2c:30'), (r'^tap[0-9a-f-]{11}$', 'tapd5e6a7b7-80'),
         (r'^10\.3\.0\.\d+$', '10.3.0.3'), (r'^nova-(\w+):(?!compute$)\S+$', r'nova-\1:controller'),
         (r'instance-[0-9a-f]{8}', 'instance-00000001'), (r'^vol-\w+$', 'vol')]


def equal(value: Any, name: str = '') -> Any:
    """What differs from run to run, made equal."""
    if isinstance(value, dict):
        return {key: equal(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [equal(one, name) for one in value]
    if name in ('id', 'report_count') and isinstance(value, int):
        return 1
    for pattern, same in EQUAL if isinstance(value, str) else ():
        value = re.sub(pattern, same, value)
    return value


def sample(message: dict[str, Any]) -> dict[str, Any]:
    return equal({name: message[name] for name in ('event_type', 'payload', 'priority', 'publisher_id')})


#: event -> the flow whose message is its sample
OWNERS: dict[str, str] = {}
for _name in sorted(stories.STORIES, key=lambda one: (one in ('evacuate', 'shelve', 'snapshot_volumes'), one)):
    for _events in (stories.STORIES[_name].begin, stories.STORIES[_name].done, *stories.STORIES[_name].steps.values()):
        for _event in _events:
            OWNERS.setdefault(f'instance.{_event}', _name)


def compare(message: dict[str, Any]) -> None:
    check(message)
    event, told = message['event_type'], sample(message)
    path = SAMPLES / f'{event.replace(".", "-")}.json'
    text = json.dumps(told, indent=2, sort_keys=True) + '\n'
    if os.environ.get('SAMPLES_WRITE'):
        path.write_text(text)
    assert path.exists(), f'there is no sample of {event}: SAMPLES_WRITE=1'
    assert json.loads(path.read_text()) == told, event


@pytest.mark.parametrize('name', sorted(stories.STORIES))
def test_of_servers(notified: Notified, monkeypatch: Any, name: str) -> None:  # noqa: F811
    bench = Bench(monkeypatch)
    try:
        uuid, good = begin(bench, name)
        before = len(notified.all()) - len(stories.STORIES[name].begin)
        bench.engine().ring([good])
        assert bench.finish([good]) == ['done']
        bench.rest()
        for message in notified.all()[before:]:
            if OWNERS.get(message['event_type']) == name and data(message)['uuid'] == uuid:
                compare(message)
    finally:
        bench.close()


@pytest.mark.parametrize(('name', 'step', 'event'), [
    ('build', 'schedule', 'compute_task.build_instances.error'), ('build', 'spawn', 'instance.create.error'),
    ('resize', 'claim_destination', 'compute_task.migrate_server.error'),
    ('evacuate', 'claim_destination', 'compute_task.rebuild_server.error'),
    ('resize', 'finish_destination', 'instance.resize.error'), ('rebuild', 'rebuild', 'instance.rebuild.error'),
    ('live-migration', 'prepare_destination', 'instance.live_migration_rollback.start'),
    ('live-migration', 'prepare_destination', 'instance.live_migration_rollback.end'),
    ('live-migration', 'prepare_destination', 'instance.live_migration_rollback_dest.start'),
    ('live-migration', 'prepare_destination', 'instance.live_migration_rollback_dest.end'),
    ('attach_volume', 'plug_volume', 'instance.volume_attach.error'),
    ('swap_volume', 'copy_volume', 'instance.volume_swap.error'),
    ('attach_interface', 'plug_interface', 'instance.interface_attach.error'),
    ('reboot', 'reboot', 'instance.reboot.error')])
def test_of_failures(notified: Notified, monkeypatch: Any, name: str, step: str, event: str) -> None:  # noqa: F811
    def fails(task: Any) -> Any:
        raise StepFailed('There is no room for it.')
    bench = Bench(monkeypatch)
    try:
        _, bad = begin(bench, name)
        before = len(notified.all())
        change(monkeypatch, name, step, run=named(fails, step), many=None)
        bench.engine().ring([bad])
        assert bench.finish([bad]) == ['failed']
        bench.rest()
        told = [message for message in notified.all()[before:] if message['event_type'] == event]
        compare(told[0])
    finally:
        bench.close()


def test_of_nouns(notified: Notified, make_cloud: Any) -> None:  # noqa: F811
    CONF.set_override('notify_on_state_change', 'vm_and_task_state', 'notifications')
    notifications.stop()
    notifications.start()
    cloud = make_cloud(computes=1)
    api = cloud.api
    flavor = api('POST', '/flavors', {'flavor': {'name': 'gold', 'id': 'gold', 'ram': 64, 'vcpus': 1, 'disk': 1,
                                                 'os-flavor-access:is_public': False}})['flavor']['id']
    api('POST', f'/flavors/{flavor}/action', {'addTenantAccess': {'tenant': 'demo'}})
    api('POST', f'/flavors/{flavor}/os-extra_specs', {'extra_specs': {'hw:watchdog_action': 'reset'}})
    api('POST', '/os-keypairs', {'keypair': {'name': 'made', 'user_id': 'admin', 'type': 'ssh', 'public_key': KEY}})
    api('DELETE', '/os-keypairs/made')
    made = api('POST', '/os-aggregates', {'aggregate': {'name': 'rack'}})
    number = made['aggregate']['id']
    api('PUT', f'/os-aggregates/{number}', {'aggregate': {'name': 'rack1'}})
    api('POST', f'/os-aggregates/{number}/action', {'add_host': {'host': 'compute1'}})
    api('POST', f'/os-aggregates/{number}/action', {'set_metadata': {'metadata': {'ssd': 'true'}}})
    group = api('POST', '/os-server-groups', {'server_group': {'name': 'apart', 'policy': 'anti-affinity'}})
    server = cloud.boot('web-1', flavorRef=flavor, hints={'group': group['server_group']['id']})
    cloud.wait(server['id'])
    api('POST', f'/servers/{server["id"]}/action', {'lock': {'locked_reason': 'do not touch'}})
    api('POST', f'/servers/{server["id"]}/action', {'unlock': None})
    api('DELETE', f'/servers/{server["id"]}')
    cloud.wait_gone(server['id'])
    api('DELETE', f'/os-server-groups/{group["server_group"]["id"]}')
    api('POST', f'/os-aggregates/{number}/action', {'remove_host': {'host': 'compute1'}})
    api('DELETE', f'/os-aggregates/{number}')
    api('DELETE', f'/flavors/{flavor}')
    service = api('GET', '/os-services?binary=nova-compute')['services'][0]['id']
    api('PUT', f'/os-services/{service}', {'status': 'disabled', 'disabled_reason': 'memory is being exchanged'})
    cloud.stop('compute1')
    api('DELETE', f'/os-services/{service}')
    cloud.stop()
    last = {message['event_type']: message for message in notified.all()}
    for noun, verbs in NOUNS.items():
        for verb in verbs:
            compare(last[f'{noun}.{verb}'])


KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJmyOkrCqDzKZJ8JqS0NwPSGKGz0Z4m0HWUyGgkYcqsX'
BOTH = ('start', 'end')
NOUNS = {
    'flavor': ('create', 'update', 'delete'), 'service': ('create', 'update', 'delete'),
    'server_group': ('create', 'add_member', 'delete'),
    'keypair': [f'{verb}.{phase}' for verb in ('import', 'delete') for phase in BOTH],
    'aggregate': [f'{verb}.{phase}' for verb in ('create', 'update_prop', 'update_metadata', 'add_host', 'remove_host',
                                                 'delete') for phase in BOTH],
    'instance': ('lock', 'unlock', 'update')}


def test_each_event_of_the_table_has_a_sample() -> None:
    """And none is there of what is not sent any more."""
    files = {path.stem for path in SAMPLES.glob('*.json')}
    assert {event.replace('.', '-') for event in OWNERS} <= files
    assert not [name for name in files if name.split('-')[0] not in (*NOUNS, 'compute_task')]
