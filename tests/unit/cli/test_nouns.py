"""Flavors, key pairs, images, networks, services, hypervisors and the rest."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from minicompute.cli import errors
from minicompute.cli.misc import limit_rows
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake

ID = '22222222-2222-2222-2222-222222222222'


def test_flavors(run: Run, fake: Fake) -> None:
    fake.flavor('a/b', 'odd one')
    assert run('flavor-list', '-f', 'value', '-c', 'ID').out == '1\na/b\n'
    assert json.loads(run('flavor-show', 'odd one', '--json').out)['id'] == 'a/b'
    assert run('flavor-list', '--all', '--min-ram', '5', '--limit', '1', '--sort-key', 'name').code == 0
    assert fake.requests[-1].query == {
        'minRam': ['5'], 'is_public': ['None'], 'limit': ['1'], 'sort_key': ['name']}
    assert run('flavor-show', 'nope').code == errors.FAILED


def test_flavor_create(run: Run, fake: Fake) -> None:
    fake.canned['POST', '/v2.1/flavors'] = (200, {'flavor': fake.flavors['1']})
    assert run('flavor-create', 'f', 'auto', '64', '1', '2', '--is-public', 'false', '--swap', '3').code == 0
    assert fake.requests[-1].body == {'flavor': {
        'name': 'f', 'id': None, 'ram': 64, 'disk': 1, 'vcpus': 2, 'swap': 3, 'OS-FLV-EXT-DATA:ephemeral': 0,
        'os-flavor-access:is_public': False}}


def test_flavor_changes(run: Run, fake: Fake) -> None:
    fake.canned.update({
        ('POST', '/v2.1/flavors/1/os-extra_specs'): (200, {}),
        ('DELETE', '/v2.1/flavors/1/os-extra_specs/a:b'): (200, None),
        ('PUT', '/v2.1/flavors/1'): (200, {'flavor': fake.flavors['1']}),
        ('DELETE', '/v2.1/flavors/1'): (202, None),
        ('POST', '/v2.1/flavors/1/action'): (200, {'flavor_access': [{'flavor_id': '1', 'tenant_id': 't'}]}),
        ('GET', '/v2.1/flavors/1/os-flavor-access'): (200, {'flavor_access': []})})
    assert run('flavor-key', 'm1.tiny', 'set', 'a:b=1').code == 0
    assert fake.requests[-1].body == {'extra_specs': {'a:b': '1'}}
    assert run('flavor-key', 'm1.tiny', 'unset', 'a:b').code == 0
    assert run('flavor-update', 'm1.tiny', '').code == 0
    assert fake.requests[-1].body == {'flavor': {'description': None}}
    assert run('flavor-access-add', 'm1.tiny', 't', '-f', 'value').out == '1 t\n'
    assert fake.requests[-1].body == {'addTenantAccess': {'tenant': 't'}}
    assert run('flavor-access-remove', 'm1.tiny', 't').code == 0
    assert fake.requests[-1].body == {'removeTenantAccess': {'tenant': 't'}}
    assert run('flavor-access-list', '--flavor', 'm1.tiny').code == 0
    assert run('flavor-delete', 'm1.tiny').code == 0


def test_keypairs(run: Run, fake: Fake, tmp_path: Path) -> None:
    (tmp_path / 'key.pub').write_text('ssh-rsa AAA me\n')
    assert run('keypair-add', '--pub-key', 'key.pub', 'k').out == ''
    assert fake.requests[-1].body == {'keypair': {'name': 'k', 'public_key': 'ssh-rsa AAA me'}}
    assert run('keypair-list', '-f', 'value', '-c', 'Name').out == 'k\n'
    assert run('keypair-add', 'made').code == errors.USAGE
    assert '-----BEGIN' in run('--microversion', '2.91', 'keypair-add', 'made').out
    fake.canned['DELETE', '/v2.1/os-keypairs/me@x'] = (204, None)
    assert run('keypair-delete', 'me@x', '--user', 'u').code == 0
    assert fake.requests[-1].query == {'user_id': ['u']}


def test_images(run: Run, fake: Fake, tmp_path: Path) -> None:
    (tmp_path / 'disk').write_bytes(b'x' * 100)
    kernel = fake.image('kernel')
    out = run('image-create', 'new', '--file', 'disk', '--disk-format', 'raw', '--property',
              'os_distro=debian',
              '--kernel', 'kernel', '--json').out
    image = json.loads(out)
    assert image['status'] == 'active' and fake.uploads[image['id']] == b'x' * 100
    assert fake.sent('POST', '/image/v2/images')[0].body == {
        'name': 'new', 'disk_format': 'raw', 'container_format': 'bare', 'os_distro': 'debian',
        'kernel_id': kernel['id']}
    assert set(run('image-list', '-f', 'value', '-c', 'Name').out.split()) == {'kernel', 'new'}
    assert json.loads(run('image-show', 'new', '--json').out)['os_distro'] == 'debian'
    fake.image('kernel')
    assert 'Several images' in run('image-delete', 'kernel').err
    assert run('image-delete', 'new').code == 0
    assert run('image-show', 'new').code == errors.FAILED
    assert run('image-show', ID).code == errors.FAILED


def test_image_whose_upload_fails_is_taken_back(run: Run, fake: Fake, tmp_path: Path) -> None:
    (tmp_path / 'disk').write_bytes(b'x')
    fake.upload = lambda *args: (500, {})  # type: ignore[method-assign]
    fixed = str(uuid.uuid4())
    fake.images[fixed] = {'id': fixed, 'name': 'n'}
    fake.canned['POST', '/image/v2/images'] = (201, {'id': fixed})
    fake.canned['PUT', f'/image/v2/images/{fixed}/file'] = (500, {})
    assert run('image-create', 'n', '--file', 'disk').code == errors.FAILED
    assert fixed not in fake.images
    assert run('image-create', 'n', '--file', 'nowhere').code == errors.USAGE


def test_snapshot(run: Run, fake: Fake) -> None:
    server, image = fake.server('a'), fake.image('snap')
    fake.canned['POST', f"/v2.1/servers/{server['id']}/action"] = (202, {'image_id': image['id']})
    assert json.loads(run('image-create', 'a', 'snap', '--metadata', 'k=v', '--poll',
                          '--json').out)['id'] == image['id']
    sent = fake.sent('POST', '/v2.1/servers/.*')[0].body
    assert sent == {'createImage': {'name': 'snap', 'metadata': {'k': 'v'}}}
    for status in ('killed', 'queued'):
        image['status'] = status
        assert run('image-create', 'a', 'snap', '--poll').code == errors.SERVER_ERROR


def test_networks(run: Run, fake: Fake) -> None:
    assert run('network-create', 'lan', '--cidr', '10.0.0.0/24', '--gateway', '10.0.0.1').code == 0
    subnet = fake.sent('POST', '/network/v2.0/subnets')[0].body['subnet']
    assert (subnet['cidr'], subnet['gateway_ip'], subnet['ip_version']) == ('10.0.0.0/24', '10.0.0.1', 4)
    assert run('network-list', '-f', 'value', '-c', 'Name').out == 'lan\n'
    assert json.loads(run('network-show', 'lan', '--json').out)['name'] == 'lan'
    assert run('network-delete', 'lan').code == 0
    assert run('network-delete', 'lan').code == errors.FAILED


def test_network_whose_subnet_fails_is_taken_back(run: Run, fake: Fake) -> None:
    fake.canned['POST', '/network/v2.0/subnets'] = (400,
                                                    {'NeutronError': {'message': 'bad cidr', 'type': 'X'}})
    result = run('network-create', 'lan', '--cidr', 'nonsense')
    assert (result.code, fake.networks) == (errors.FAILED, {}) and 'bad cidr' in result.err


def test_services(run: Run, fake: Fake) -> None:
    service = {'id': ID, 'binary': 'nova-compute', 'host': 'h', 'zone': 'nova', 'status': 'enabled',
               'state': 'up',
               'updated_at': 't', 'disabled_reason': None, 'forced_down': False}
    fake.canned['GET', '/v2.1/os-services'] = (200,
                                               {'services': [service, {**service, 'id': 'x', 'host': 'g'}]})
    fake.canned['PUT', f'/v2.1/os-services/{ID}'] = (200, {'service': service})
    fake.canned['DELETE', f'/v2.1/os-services/{ID}'] = (204, None)
    assert run('service-list', '-f', 'value', '-c', 'Host').out == 'h\ng\n'
    for argv, body in ((['service-disable', ID, '--reason', 'r'],
                        {'status': 'disabled', 'disabled_reason': 'r'}),
                       (['service-enable', 'h'], {'status': 'enabled'}),
                       (['service-force-down', 'h:nova-compute'], {'forced_down': True}),
                       (['service-force-down', 'h', '--unset'], {'forced_down': False})):
        assert run(*argv).code == 0
        assert fake.requests[-1].body == body
    assert run('service-delete', 'h').code == 0
    assert run('service-enable', 'nowhere').code == errors.FAILED
    fake.canned['PUT', '/v2.1/os-services/disable-log-reason'] = (200, {'service': {'status': 'disabled'}})
    assert run('--microversion', '2.52', 'service-disable', 'h', '--reason', 'r').code == 0
    assert fake.requests[-1].body == {'host': 'h', 'binary': 'nova-compute', 'disabled_reason': 'r'}


def test_hypervisors(run: Run, fake: Fake) -> None:
    one = {'id': ID, 'hypervisor_hostname': 'h', 'state': 'up', 'status': 'enabled', 'uptime': 'long',
           'service': {'host': 'h'}, 'servers': [{'uuid': 'u', 'name': 'vm'}]}
    fake.canned['GET', '/v2.1/os-hypervisors'] = (200, {'hypervisors': [one]})
    both = [one, {**one, 'hypervisor_hostname': 'hh'}]
    fake.canned['GET', '/v2.1/os-hypervisors/detail'] = (200, {'hypervisors': both})
    fake.canned['GET', f'/v2.1/os-hypervisors/{ID}'] = (200, {'hypervisor': one})
    fake.canned['GET', '/v2.1/os-hypervisors/statistics'] = (200, {'hypervisor_statistics': {'count': 1}})
    assert run('hypervisor-list', '-f', 'value', '-c', 'ID').out == f'{ID}\n'
    assert len(run('hypervisor-list', '--matching', 'h', '-f', 'value').out.splitlines()) == 2
    assert json.loads(run('hypervisor-show', 'h', '--json').out)['service_host'] == 'h'
    assert json.loads(run('hypervisor-uptime', ID, '--json').out)['uptime'] == 'long'
    assert 'u vm' in run('hypervisor-servers', 'h', '-f', 'value').out
    assert run('hypervisor-stats').code == 0 and fake.requests[-1].microversion == 'compute 2.87'


def test_zones(run: Run, fake: Fake) -> None:
    fake.canned['GET', '/v2.1/os-availability-zone/detail'] = (403,
                                                               {'forbidden': {'code': 403, 'message': 'no'}})
    fake.canned['GET', '/v2.1/os-availability-zone'] = (
        200, {'availabilityZoneInfo': [{'zoneName': 'nova', 'zoneState': {'available': True},
                                        'hosts': None}]})
    assert run('availability-zone-list', '-f', 'value').out == 'nova available\n'


def test_limits(run: Run, fake: Fake) -> None:
    fake.canned['GET', '/v2.1/limits'] = (200, {'limits': {'rate': [], 'absolute': {
        'maxTotalCores': 20, 'totalCoresUsed': 3, 'maxServerMeta': 128}}})
    assert run('limits', '-f', 'value').out == 'Cores 3 20\nServerMeta None 128\n'
    assert run('limits', '--tenant', 't', '--reserved').code == 0
    assert fake.requests[-1].query == {'tenant_id': ['t']}
    assert run('--microversion', '2.74', 'limits', '--tenant', 't', '--reserved').code == 0
    assert fake.requests[-1].query == {'tenant_id': ['t'], 'reserved': ['1']}


def test_limit_rows_pair_up() -> None:
    absolute = {'maxTotalRAMSize': 9, 'totalRAMUsed': 1, 'maxTotalInstances': 2, 'totalInstancesUsed': 1,
                'maxTotalKeypairs': 100, 'maxServerGroups': 10, 'totalServerGroupsUsed': 0, 'maxImageMeta': 3}
    assert [row[0] for row in limit_rows(absolute)] == [
        'ImageMeta', 'Instances', 'Keypairs', 'RAM', 'ServerGroups']


def test_versions(run: Run, fake: Fake) -> None:
    assert run('version-list', '-f', 'value', '-c', 'Version').out == '2.104\n'
