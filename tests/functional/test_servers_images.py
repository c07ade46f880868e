"""The proxy to the image service, which ends at 2.35 (its metadata at 2.38)."""
from __future__ import annotations

import uuid

from tests.functional.api.client import fault
from tests.functional.servers_fixtures import *  # noqa: F403
from tests.functional.servers_fixtures import make_image


def names(client, query=''):
    return sorted(image['name'] for image in client.get(f'/images?{query}')['images'])


def test_show_and_list(member, api, image):
    server = str(uuid.uuid4())
    make_image(name='small', min_ram=64, properties={'instance_uuid': server, 'auto_disk_config': 'True'})
    make_image(name='queued', data=None)
    make_image(name='foreign', visibility='private')
    shown = member.get(f'/images/{image}')['image']
    assert shown['status'] == 'ACTIVE' and shown['progress'] == 100 and shown['OS-EXT-IMG-SIZE:size'] == 65536
    assert [link['rel'] for link in shown['links']] == ['self', 'bookmark', 'alternate']
    assert names(member) == ['queued', 'small', 'tiny'] and 'foreign' in names(api)
    assert names(member, 'status=ACTIVE') == ['small', 'tiny'] and names(member, 'status=saving') == ['queued']
    assert names(member, 'name=tiny') == ['tiny'] and names(member, 'minRam=64') == ['small']
    assert names(member, f'server={server}') == ['small']
    assert names(member, 'property-auto_disk_config=True') == ['small']
    detail = {one['name']: one for one in member.get('/images/detail')['images']}
    assert detail['small']['server']['id'] == server and detail['small']['OS-DCF:diskConfig'] == 'AUTO'
    assert detail['queued']['progress'] == 25


def test_pages(member, image):
    for number in range(3):
        make_image(name=f'i{number}', data=None)
    page = member.get('/images?limit=2')
    assert [one['name'] for one in page['images']] == ['i2', 'i1'] and 'images_links' in page
    rest = member.get(f'/images?limit=2&marker={page["images"][-1]["id"]}')
    assert [one['name'] for one in rest['images']] == ['i0', 'tiny']
    member.get('/images?marker=x', code=400)
    member.get('/images?limit=x', code=400)


def test_delete(member, api, image):
    member.delete(f'/images/{image}', code=403)
    api.delete(f'/images/{image}')
    assert fault(api.get(f'/images/{image}', code=404))[2] == 'Image not found.'
    api.delete(f'/images/{image}', code=404)


def test_metadata(member, api, image):
    path = f'/images/{image}/metadata'
    assert api.post(path, {'metadata': {'a': '1'}}) == {'metadata': {'a': '1'}}
    assert api.put(f'{path}/b', {'meta': {'b': '2'}}) == {'meta': {'b': '2'}}
    assert member.get(path) == {'metadata': {'a': '1', 'b': '2'}} and member.get(f'{path}/b') == {'meta': {'b': '2'}}
    api.delete(f'{path}/a')
    api.delete(f'{path}/a', code=404)
    assert api.put(path, {'metadata': {}}) == {'metadata': {}}
    api.put(f'{path}/b', {'meta': {'c': '2'}}, code=400)
    member.put(path, {'metadata': {}}, code=403)


def test_they_end(api, image):
    api.get('/images', version='2.35')
    api.get('/images', code=404, version='2.36')
    api.get(f'/images/{image}/metadata', version='2.38')
    api.get(f'/images/{image}/metadata', code=404, version='2.39')
