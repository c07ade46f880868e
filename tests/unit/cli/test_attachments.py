from __future__ import annotations

import uuid

from minicompute.cli import errors
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake

VOLUME = str(uuid.uuid4())
SHOWN = {'id': VOLUME, 'name': 'data', 'status': 'available', 'size': 1, 'bootable': 'false', 'attachments': []}


def test_volume_attach(run: Run, fake: Fake) -> None:
    path = f"/v2.1/servers/{fake.server('web')['id']}/os-volume_attachments"
    fake.canned['POST', path] = 202, None
    fake.canned['GET', f'{path}/{VOLUME}'] = 200, {'volumeAttachment': {'device': '/dev/vdb', 'volumeId': VOLUME}}
    result = run('volume-attach', 'web', VOLUME, 'auto', '--tag', 'blue', '--delete-on-termination')
    assert result.code == 0 and '/dev/vdb' in result.out
    assert fake.sent('POST', path)[0].body == {'volumeAttachment': {
        'volumeId': VOLUME, 'tag': 'blue', 'delete_on_termination': True}}
    fake.canned['POST', path] = 200, {'volumeAttachment': {'device': '/dev/vdc', 'volumeId': VOLUME}}
    assert '/dev/vdc' in run('--microversion', '2.60', 'volume-attach', 'web', VOLUME, '/dev/vdc').out
    assert fake.sent('POST', path)[1].body['volumeAttachment']['device'] == '/dev/vdc'
    assert run('--microversion', '2.48', 'volume-attach', 'web', VOLUME, '--tag', 'x').code == errors.USAGE


def test_volume_detach_by_name(run: Run, fake: Fake) -> None:
    path = f"/v2.1/servers/{fake.server('web')['id']}/os-volume_attachments/{VOLUME}"
    fake.canned['DELETE', path] = 202, None
    fake.canned['GET', '/v2.1/v3/volumes/detail'] = 200, {'volumes': [SHOWN]}
    assert run('volume-detach', 'web', 'data').code == 0
    assert len(fake.sent('DELETE', path)) == 1


def test_volume_attachments_and_update(run: Run, fake: Fake) -> None:
    path = f"/v2.1/servers/{fake.server('web')['id']}/os-volume_attachments"
    fake.canned['GET', path] = 200, {'volumeAttachments': [{'device': '/dev/vdb', 'volumeId': VOLUME, 'tag': 'blue'}]}
    out = run('volume-attachments', 'web').out
    assert 'blue' in out and 'BDM UUID' in out
    assert 'TAG' not in run('--microversion', '2.1', 'volume-attachments', 'web').out
    fake.canned['PUT', f'{path}/{VOLUME}'] = 202, None
    assert run('volume-update', 'web', VOLUME, VOLUME, '--no-delete-on-termination').code == 0
    assert fake.sent('PUT', f'{path}/{VOLUME}')[0].body == {'volumeAttachment': {
        'volumeId': VOLUME, 'delete_on_termination': False}}


def test_interfaces(run: Run, fake: Fake) -> None:
    path = f"/v2.1/servers/{fake.server('web')['id']}/os-interface"
    card = {'port_id': 'p1', 'net_id': 'n1', 'port_state': 'ACTIVE', 'mac_addr': 'fa:16:3e:00:00:01',
            'fixed_ips': [{'ip_address': '10.0.0.9', 'subnet_id': 's'}], 'tag': None}
    fake.canned['POST', path] = 200, {'interfaceAttachment': card}
    fake.canned['GET', path] = 200, {'interfaceAttachments': [card]}
    fake.canned['DELETE', f'{path}/p1'] = 202, None
    assert '10.0.0.9' in run('interface-attach', 'web', '--net-id', 'n1', '--fixed-ip', '10.0.0.9').out
    assert fake.sent('POST', path)[0].body == {'interfaceAttachment': {
        'net_id': 'n1', 'fixed_ips': [{'ip_address': '10.0.0.9'}]}}
    assert '10.0.0.9' in run('interface-list', 'web').out
    assert run('interface-detach', 'web', 'p1').code == 0


def test_refresh_network(run: Run, fake: Fake) -> None:
    uuid_of, path = fake.server('web')['id'], '/v2.1/os-server-external-events'
    event = {'name': 'network-changed', 'server_uuid': uuid_of}
    fake.canned['POST', path] = 200, {'events': [{**event, 'status': 'completed', 'code': 200}]}
    assert run('refresh-network', 'web').code == 0
    assert fake.sent('POST', path)[0].body == {'events': [event]}
    fake.canned['POST', path] = 207, {'events': [{**event, 'status': 'failed', 'code': 422}]}
    result = run('refresh-network', 'web')
    assert result.code == errors.FAILED and 'on no host' in result.err


def test_volumes(run: Run, fake: Fake) -> None:
    fake.canned['GET', '/v2.1/v3/volumes/detail'] = 200, {'volumes': [SHOWN]}
    fake.canned['GET', f'/v2.1/v3/volumes/{VOLUME}'] = 200, {'volume': SHOWN}
    fake.canned['POST', '/v2.1/v3/volumes'] = 202, {'volume': SHOWN}
    fake.canned['POST', f'/v2.1/v3/volumes/{VOLUME}/action'] = 202, None
    fake.canned['DELETE', f'/v2.1/v3/volumes/{VOLUME}'] = 202, None
    assert 'data' in run('volume-list', '--status', 'available').out
    assert fake.requests[-1].query == {'status': ['available']}
    assert 'data' in run('volume-show', VOLUME).out and 'data' in run('volume-create', '1', '--name', 'data').out
    assert fake.sent('POST', '/v2.1/v3/volumes')[0].body['volume']['size'] == 1
    assert run('volume-extend', 'data', '5').code == 0
    assert fake.requests[-1].body == {'os-extend': {'new_size': 5}}
    assert run('volume-delete', 'data', 'none').code == errors.FAILED
    assert len(fake.sent('DELETE', f'/v2.1/v3/volumes/{VOLUME}')) == 1
