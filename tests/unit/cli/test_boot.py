from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from minicompute.cli import errors
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake

IMAGE = '11111111-1111-1111-1111-111111111111'


def body(run: Run, fake: Fake, *argv: str) -> dict[str, Any]:
    """What `boot` posts."""
    result = run('boot', '--flavor', 'm1.tiny', *argv, 'vm')
    assert result.code == 0, result.err
    return fake.sent('POST', '/v2.1/servers')[-1].body


def test_least(run: Run, fake: Fake) -> None:
    assert body(run, fake, '--image', IMAGE) == {'server': {
        'name': 'vm', 'flavorRef': '1', 'imageRef': IMAGE, 'min_count': 1, 'max_count': 1,
        'networks': 'auto'}}


def test_most(run: Run, fake: Fake, tmp_path: Path) -> None:
    image, network = fake.image('cirros'), fake.network('lan')
    (tmp_path / 'ud').write_bytes(b'#!/bin/sh')
    sent = body(run, fake, '--image', 'cirros', '--meta', 'a=1', '--meta', 'b=c=d', '--key-name', 'k',
                '--user-data', 'ud', '--availability-zone', 'az', '--security-groups', 's1, s2', '--hint',
                'group=g',
                '--hint', 'x=1', '--hint', 'x=2', '--nic', 'net-name=lan,v4-fixed-ip=10.0.0.9,tag=t',
                '--nic', 'port-id=p', '--config-drive', 'true', '--admin-pass', 'pw', '--access-ip-v4',
                '1.2.3.4',
                '--access-ip-v6', '::1', '--description', 'd', '--tags', 'x,y', '--host', 'h',
                '--hypervisor-hostname', 'hh', '--hostname', 'hn', '--trusted-image-certificate-id', 'c1')
    assert sent == {
        'server': {
            'name': 'vm', 'flavorRef': '1', 'imageRef': image['id'], 'min_count': 1, 'max_count': 1,
            'metadata': {'a': '1', 'b': 'c=d'}, 'key_name': 'k', 'availability_zone': 'az',
            'user_data': base64.b64encode(b'#!/bin/sh').decode(), 'config_drive': True, 'adminPass': 'pw',
            'security_groups': [{'name': 's1'}, {'name': 's2'}], 'accessIPv4': '1.2.3.4', 'accessIPv6': '::1',
            'description': 'd', 'tags': ['x', 'y'], 'host': 'h', 'hypervisor_hostname': 'hh',
            'hostname': 'hn',
            'trusted_image_certificates': ['c1'],
            'networks': [{'uuid': network['id'], 'fixed_ip': '10.0.0.9', 'tag': 't'}, {'port': 'p'}]},
        'os:scheduler_hints': {'group': 'g', 'x': ['1', '2']}}


@pytest.mark.parametrize('argv, devices', [
    (['--boot-volume', 'v'], [{'uuid': 'v', 'source_type': 'volume', 'destination_type': 'volume',
                               'boot_index': 0,
                               'delete_on_termination': False}]),
    (['--snapshot', 's'], [{'uuid': 's', 'source_type': 'snapshot', 'destination_type': 'volume',
                            'boot_index': 0,
                            'delete_on_termination': False}]),
    (['--block-device',
      f'source=image,id={IMAGE},dest=volume,size=2,bootindex=0,shutdown=remove,volume_type=fast'],
     [{'uuid': IMAGE, 'source_type': 'image', 'destination_type': 'volume', 'boot_index': 0, 'volume_size': 2,
       'delete_on_termination': True, 'volume_type': 'fast'}]),
    (['--block-device', 'source=blank,dest=local,size=1,format=swap', '--boot-volume', 'v'],
     [{'uuid': 'v', 'source_type': 'volume', 'destination_type': 'volume', 'boot_index': 0,
       'delete_on_termination': False},
      {'source_type': 'blank', 'destination_type': 'local', 'volume_size': 1, 'guest_format': 'swap',
       'delete_on_termination': True}]),
    (['--block-device-mapping', 'vda=v:::1'],
     [{'uuid': 'v', 'device_name': 'vda', 'source_type': 'volume', 'destination_type': 'volume',
       'boot_index': 0,
       'delete_on_termination': True}]),
])
def test_devices(run: Run, fake: Fake, argv: list[str], devices: list[dict[str, Any]]) -> None:
    server = body(run, fake, *argv)['server']
    assert server['block_device_mapping_v2'] == devices
    assert server['imageRef'] == ''


def test_swap_and_ephemeral_keep_the_image_first(run: Run, fake: Fake) -> None:
    devices = body(run, fake, '--image', IMAGE, '--swap', '64', '--ephemeral',
                   'size=2,format=ext4')['server']['block_device_mapping_v2']
    assert devices[0] == {'uuid': IMAGE, 'source_type': 'image', 'destination_type': 'local', 'boot_index': 0,
                          'delete_on_termination': True}
    assert [(d['guest_format'], d['volume_size']) for d in devices[1:]] == [('ext4', 2), ('swap', 64)]


@pytest.mark.parametrize('argv', [
    ['--nic', 'auto', '--nic', 'none'], ['--nic', 'net-id=a,port-id=b'], ['--nic', 'color=red'],
    ['--nic', 'net-id=a,v4-fixed-ip=1,v6-fixed-ip=2'], ['--block-device', 'source=volume'],
    ['--block-device', 'source=blank,id=x'], ['--block-device', 'source=blank,size=x'],
    ['--ephemeral', 'format=ext4'],
    ['--block-device', 'shutdown=explode'], ['--hint', 'x'], ['--min-count', '0'],
    ['--boot-volume', 'v', '--snapshot', 's']])
def test_refused(run: Run, fake: Fake, argv: list[str]) -> None:
    result = run('boot', '--flavor', '1', '--image', IMAGE, *argv, 'vm')
    assert result.code == errors.USAGE and result.err.count('\n') == 1
    assert not fake.sent('POST', '.*')


@pytest.mark.parametrize('argv, minor', [
    (['--description', 'd'], 18), (['--nic', 'none'], 36), (['--tags', 'x'], 51), (['--hostname', 'h'], 89)])
def test_options_newer_than_the_microversion(run: Run, argv: list[str], minor: int) -> None:
    result = run('--microversion', f'2.{minor}', 'boot', '--flavor', '1', '--image', IMAGE, *argv, 'vm')
    assert result.code == errors.USAGE and f'2.{minor + 1}' in result.err


def test_no_networks_before_2_37(run: Run, fake: Fake) -> None:
    run('--microversion', '2.36', 'boot', '--flavor', '1', '--image', IMAGE, 'vm')
    assert 'networks' not in fake.sent('POST', '/v2.1/servers')[0].body['server']


def test_image_with(run: Run, fake: Fake) -> None:
    fake.image('a')
    wanted = fake.image('b')
    wanted['os_distro'] = 'debian'
    assert body(run, fake, '--image-with', 'os_distro=debian')['server']['imageRef'] == wanted['id']


def test_images_by_computes_proxy_where_there_is_no_image_service(
        run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('OS_IMAGE_ENDPOINT_OVERRIDE')
    fake.canned['GET', '/v2.1/images/detail'] = (200, {'images': [{'id': IMAGE, 'name': 'cirros'}]})
    assert body(run, fake, '--image', 'cirros')['server']['imageRef'] == IMAGE
    assert fake.sent('GET', '/v2.1/images/detail')[0].microversion == 'compute 2.35'


def test_shows_the_server_and_its_password(run: Run, fake: Fake) -> None:
    shown = json.loads(run('--json', 'boot', '--flavor', '1', '--image', IMAGE, 'vm').out)
    assert (shown['name'], shown['adminPass'], shown['status']) == ('vm', 'secret', 'BUILD')


def test_poll(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    class Scripts(dict[str, list[dict[str, Any]]]):
        def get(self, key: str, default: Any = None) -> Any:
            return self.setdefault(key, [{'OS-EXT-STS:task_state': t} for t in ('scheduling', 'spawning')]
                                   + [{'status': 'ACTIVE', 'OS-EXT-STS:task_state': None}])
    fake.scripts = Scripts()
    result = run('--json', 'boot', '--flavor', '1', '--image', IMAGE, '--poll', 'vm')
    assert result.code == 0 and json.loads(result.out)['status'] == 'ACTIVE'
    assert result.err == 'vm: BUILD (spawning)\nvm: ACTIVE\n'


def test_poll_error(run: Run, fake: Fake) -> None:
    class Scripts(dict[str, list[dict[str, Any]]]):
        def get(self, key: str, default: Any = None) -> Any:
            return [{'status': 'ERROR', 'fault': {'message': 'No valid host\nwas found.'}}]
    fake.scripts = Scripts()
    result = run('boot', '--flavor', '1', '--image', IMAGE, '--poll', 'vm')
    assert result.code == errors.SERVER_ERROR and not result.out
    assert result.err.splitlines()[-1].endswith('is in ERROR: No valid host was found.')


def test_several(run: Run, fake: Fake) -> None:
    result = run('--json', 'boot', '--flavor', '1', '--image', IMAGE, '--min-count', '2', 'vm')
    sent = fake.sent('POST', '/v2.1/servers')[0].body['server']
    assert (sent['min_count'], sent['max_count'], sent['return_reservation_id']) == (2, 2, True)
    assert fake.requests[-1].query['reservation_id'] == ['r-1']
    assert json.loads(result.out)['reservation_id'] == 'r-1'
