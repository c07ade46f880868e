"""The Image v2 application under noauth2, through the filters of api-paste.ini, and with the real SDK."""
from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import openstack
import pytest
from openstack import exceptions as sdk_exceptions

from minicompute import conf as conf_module
from minicompute.wsgi import paste
from tests.functional.small import Caller, Server

RAW = b'\x01' * 70000
PATCH = 'application/openstack-images-v2.1-json-patch'


@pytest.fixture
def app(database: str, conf: Any, tmp_path: pathlib.Path) -> Any:
    conf_module.setup([], 'tests', [])
    conf.set_override('auth_strategy', 'noauth2', 'api')
    conf.set_override('path', str(tmp_path / 'images'), 'local_images')
    return paste.load('osapi_compute')


@pytest.fixture
def operator(app: Any) -> Caller:
    return Caller(app, '/image/v2')


@pytest.fixture
def alice(app: Any) -> Caller:
    return Caller(app, '/image/v2', token='alice:demo')


def make(caller: Caller, data: bytes | None = RAW, **values: Any) -> dict[str, Any]:
    body = {'name': 'i', 'disk_format': 'raw', 'container_format': 'bare', **values}
    image = caller('POST', '/images', body, status=201)
    if data is not None:
        caller('PUT', f'/images/{image["id"]}/file', data, status=204, content_type='application/octet-stream')
    return image


def test_an_image_through_its_life(operator: Caller) -> None:
    image = make(operator, os_distro='debian', hw_cpu_cores=2, tags=['b', 'a'])
    url = f'/images/{image["id"]}'
    assert (image['status'], image['visibility'], image['tags']) == ('queued', 'shared', ['a', 'b'])
    assert (image['os_distro'], image['hw_cpu_cores']) == ('debian', '2')
    assert image['file'] == f'/v2{url}/file' and image['self'] == f'/v2{url}'
    shown = operator('GET', url)
    assert (shown['status'], shown['size'], shown['os_hash_algo']) == ('active', 70000, 'sha512')
    assert operator('GET', f'{url}/file').body == RAW
    changed = operator('PATCH', url, [
        {'op': 'replace', 'path': '/name', 'value': 'new'}, {'op': 'add', 'path': '/a~1b', 'value': 'x'},
        {'op': 'remove', 'path': '/os_distro'}, {'op': 'add', 'path': '/tags/-', 'value': 'c'}], content_type=PATCH)
    assert (changed['name'], changed['a/b'], changed['tags']) == ('new', 'x', ['a', 'b', 'c'])
    assert 'os_distro' not in changed
    operator('PUT', f'{url}/tags/d', status=204)
    operator('DELETE', f'{url}/tags/a', status=204)
    operator('DELETE', f'{url}/tags/a', status=404)
    assert operator('GET', url)['tags'] == ['b', 'c', 'd']
    operator('DELETE', url, status=204)
    operator('GET', url, status=404)


def test_data_that_is_not_there_yet(operator: Caller) -> None:
    image = make(operator, data=None)
    assert operator('GET', f'/images/{image["id"]}/file', status=204).body == b''


def test_pages(operator: Caller) -> None:
    for number in range(5):
        make(operator, data=None, name=f'n{number}')
    first = operator('GET', '/images?limit=2&sort=name:asc')
    assert [image['name'] for image in first['images']] == ['n0', 'n1']
    assert first['first'] == '/v2/images?limit=2&sort=name%3Aasc' and first['schema'] == '/v2/schemas/images'
    second = operator('GET', first['next'].removeprefix('/v2'))
    last = operator('GET', second['next'].removeprefix('/v2'))
    assert [image['name'] for image in last['images']] == ['n4'] and 'next' not in last


def test_filters_of_the_query(operator: Caller) -> None:
    one, two = make(operator, name='a,b', os_distro='debian'), make(operator, data=None, name='c', tags=['t'])
    for query, ids in (('name=c', [two]), ('name=in:"a,b",d', [one]), (f'id=in:{one["id"]},x', [one]),
                       ('os_distro=debian', [one]), ('tag=t', [two]), ('status=active', [one]),
                       ('size_min=1&size_max=70000', [one]), ('owner=admin&sort_key=name&sort_dir=desc', [two, one]),
                       ('created_at=gt:2000-01-01T00:00:00Z&sort=name:asc', [one, two]), ('limit=0', [])):
        found = operator('GET', f'/images?{query}')['images']
        assert [image['id'] for image in found] == [image['id'] for image in ids], query


@pytest.mark.parametrize('query', [
    'limit=-1', 'limit=x', 'sort=nothing', 'sort_key=name&sort_dir=up', 'size_min=big', 'visibility=odd',
    'protected=perhaps', 'created_at=gt:yesterday', 'marker=00000000-0000-0000-0000-000000000000', 'name=%ff',
    'sort_key=name&sort_dir=asc&sort_dir=desc&sort_dir=asc', 'sort=name&sort_key=name'])
def test_wrong_queries_name_the_parameter(operator: Caller, query: str) -> None:
    answer = operator('GET', f'/images?{query}', status=400)
    assert answer['code'] == '400 Bad Request' and answer['message']
    if query != 'name=%ff':
        assert query.partition('=')[0].partition('_')[0].lower() in answer['message'].lower()


@pytest.mark.parametrize(('body', 'status', 'word'), [
    ({'min_disk': -1}, 400, 'min_disk'), ({'min_ram': 'x'}, 400, 'min_ram'), ({'name': 5}, 400, 'name'),
    ({'name': 'x' * 256}, 400, 'name'), ({'visibility': 'odd'}, 400, 'visibility'), ({'tags': [1]}, 400, 'tags'),
    ({'disk_format': 'ploop'}, 400, 'disk_format'), ({'container_format': 'ova'}, 400, 'container_format'),
    ({'id': 'x'}, 400, 'id'), ({'protected': 'no'}, 400, 'protected'), ({'p': {}}, 400, 'p'),
    ({'x' * 256: 'v'}, 400, 'properties'), ({f'p{n}': 'v' for n in range(129)}, 400, 'properties'),
    ({'status': 'active'}, 403, 'status'), ({'size': 5}, 403, 'size'), ([], 400, 'object'), ('x', 400, 'object')])
def test_wrong_bodies_name_the_field(operator: Caller, body: Any, status: int, word: str) -> None:
    assert word in operator('POST', '/images', json.dumps(body).encode(), status=status)['message']
    assert operator('GET', '/images')['images'] == []


@pytest.mark.parametrize(('operation', 'status'), [
    ({'op': 'replace', 'path': '/status', 'value': 'queued'}, 403), ({'op': 'remove', 'path': '/name'}, 403),
    ({'op': 'replace', 'path': '/nothing', 'value': 'x'}, 409), ({'op': 'remove', 'path': '/tags/4'}, 409),
    ({'op': 'add', 'path': '/name/x', 'value': 'x'}, 400), ({'op': 'add', 'path': '/x'}, 400),
    ({'op': 'move', 'path': '/x'}, 400), ({'op': 'add', 'path': 'x', 'value': 'x'}, 400), ('x', 400),
    ({'op': 'add', 'path': '/id', 'value': '00000000-0000-0000-0000-000000000000'}, 403),
    ({'op': 'test', 'path': '/name', 'value': 'other'}, 409),
    ({'op': 'add', 'path': '/min_ram', 'value': 'x'}, 400),
    ({'op': 'replace', 'path': '/disk_format', 'value': 'qcow2'}, 403)])
def test_wrong_patches(operator: Caller, operation: Any, status: int) -> None:
    image = make(operator)
    operator('PATCH', f'/images/{image["id"]}', [operation], status=status, content_type=PATCH)
    operator('PATCH', f'/images/{image["id"]}', [operation], status=415)


def test_refused_data(operator: Caller, tmp_path: pathlib.Path) -> None:
    image = make(operator, data=None)
    url = f'/images/{image["id"]}/file'
    answer = operator('PUT', url, b'QFI\xfb' + b'\0' * 600, status=400, content_type='application/octet-stream')
    assert 'qcow2' in answer['message']
    operator('PUT', url, RAW, status=415, content_type='application/json')
    assert operator('GET', f'/images/{image["id"]}')['status'] == 'queued'
    assert os.listdir(tmp_path / 'images') == []
    formless = operator('POST', '/images', {}, status=201)
    answer = operator('PUT', f'/images/{formless["id"]}/file', RAW, status=400,
                      content_type='application/octet-stream')
    assert 'disk_format' in answer['message']


def test_a_broken_off_upload(operator: Caller) -> None:
    image = make(operator, data=None)
    answer = operator('PUT', f'/images/{image["id"]}/file', RAW, status=400, length=80000,
                      content_type='application/octet-stream')
    assert 'broken off' in answer['message']
    assert operator('GET', f'/images/{image["id"]}')['status'] == 'queued'


def test_others(operator: Caller, alice: Caller) -> None:
    public, private = make(operator, visibility='public'), make(operator)
    assert [image['id'] for image in alice('GET', '/images')['images']] == [public['id']]
    alice('DELETE', f'/images/{public["id"]}', status=403)
    for method, path, status in (('GET', '', 404), ('DELETE', '', 404), ('GET', '/file', 404),
                                 ('PUT', '/tags/x', 404), ('GET', '/members', 404)):
        alice(method, f'/images/{private["id"]}{path}', status=status)
    alice('POST', '/images', {'visibility': 'public'}, status=403)
    alice('POST', '/images', {'owner': 'other'}, status=403)
    alice('POST', f'/images/{public["id"]}/actions/deactivate', status=403)
    operator('POST', f'/images/{public["id"]}/actions/deactivate', status=204)
    alice('GET', f'/images/{public["id"]}/file', status=403)
    operator('POST', f'/images/{public["id"]}/actions/reactivate', status=204)
    assert alice('GET', f'/images/{public["id"]}/file').body == RAW


def test_documents(app: Any, operator: Caller) -> None:
    for path in ('/image', '/image/', '/image/v2'):
        versions = Caller(app, '')('GET', path)['versions']
        assert versions[0]['links'][0]['href'].endswith('/image/v2/')
    assert operator('GET', '/schemas/image')['name'] == 'image'
    assert operator('GET', '/info/import')['import-methods']['value'] == []
    operator('GET', '/nothing', status=404)
    operator('DELETE', '/images', status=405)
    assert operator('POST', '/images', b'{', status=400)['message'].startswith('Malformed')


def test_below_the_compute_endpoint(app: Any, operator: Caller) -> None:
    """Where novaclient looks when it has OS_ENDPOINT_OVERRIDE only."""
    image = make(operator, name='cirros')
    for prefix in ('/v2.1', '/v2.1/admin'):
        nova = Caller(app, prefix)
        assert nova('GET', '/v2/images?name=cirros')['images'][0]['id'] == image['id']
        assert nova('GET', f'/v2/images/{image["id"]}')['name'] == 'cirros'
    answer = Caller(app, '/v2.1')('GET', '/flavors/v2', status=404)
    assert 'itemNotFound' in answer      # a flavor's id, not the Image API


def test_another_backend_is_not_served(app: Any, operator: Caller, conf: Any) -> None:
    conf.set_override('image_backend', 'glance')
    try:
        operator('GET', '/images', status=501)
    finally:
        conf.clear_override('image_backend')


@pytest.fixture
def cloud(app: Any) -> Iterator[Any]:
    with Server(app) as url, openstack.connect(
            auth_type='none', auth={}, image_endpoint_override=f'{url}/image',
            identity_endpoint_override=f'{url}/identity') as connection:
        yield connection


def test_the_sdk(cloud: Any, tmp_path: pathlib.Path) -> None:
    source = tmp_path / 'source'
    source.write_bytes(RAW)
    image = cloud.image.create_image('one', filename=str(source), disk_format='raw', container_format='bare',
                                     allow_duplicates=True, hw_disk_bus='virtio', tags=['t'])
    assert cloud.image.find_image('one').status == 'active'
    image = cloud.image.update_image(image, name='two', tags=['t', 'u'], os_distro='debian')
    assert (image.name, sorted(image.tags), image.os_distro) == ('two', ['t', 'u'], 'debian')
    cloud.image.download_image(image, output=str(tmp_path / 'copy'))
    assert (tmp_path / 'copy').read_bytes() == RAW
    assert [found.id for found in cloud.image.images(limit=1, tag='u')] == [image.id]
    with pytest.raises(sdk_exceptions.BadRequestException, match='qcow2'):
        cloud.image.create_image('bad', filename=str(source), disk_format='qcow2', allow_duplicates=True)
    cloud.image.delete_image(image)
    assert list(cloud.image.images()) == []
