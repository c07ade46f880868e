"""Quotas and access are given to projects that Keystone knows: asked with the caller's own token."""
from __future__ import annotations

import uuid

from tests.integration.test_keystone import FLAVORS, World, keystone, new_flavor, world

__all__ = ['keystone', 'world']

QUOTAS = '/v2.1/os-quota-sets'
NOBODY = uuid.uuid4().hex


def test_quotas(world: World) -> None:
    admin, blue, api = world.token('admin'), world.projects['blue'], world.api
    assert api.get(f'{QUOTAS}/{blue}', admin)['quota_set']['id'] == blue
    for path in (NOBODY, f'{NOBODY}/detail', f'{NOBODY}/defaults', 'a%20b', 'a%3Fb'):
        assert 'is not a valid project' in api.get(f'{QUOTAS}/{path}', admin, 400)['badRequest']['message'], path
    changed = api.call('PUT', f'{QUOTAS}/{blue}', admin, {'quota_set': {'cores': 3}})
    assert changed.status_code == 200 and changed.json()['quota_set']['cores'] == 3
    assert api.call('PUT', f'{QUOTAS}/{NOBODY}', admin, {'quota_set': {'cores': 3}}).status_code == 400
    assert api.call('DELETE', f'{QUOTAS}/{blue}', admin).status_code == 202
    assert api.call('DELETE', f'{QUOTAS}/{NOBODY}', admin).status_code == 202


def test_who_may_not_ask_keystone_is_believed(world: World) -> None:
    """A user may read the own quotas, though Keystone may not tell users of projects."""
    blue = world.projects['blue']
    assert world.api.get(f'{QUOTAS}/{blue}', world.token('blue'))['quota_set']['cores'] == 20
    assert world.api.get(f'{QUOTAS}/{blue}', world.token('viewer'))['quota_set']['cores'] == 20
    world.api.get(f'{QUOTAS}/{blue}', world.token('green'), 403)


def test_access_to_flavors(world: World) -> None:
    admin, api = world.token('admin'), world.api
    body = new_flavor('closed')
    body['flavor']['os-flavor-access:is_public'] = False
    flavor = api.post(FLAVORS, admin, body)['flavor']['id']
    action = f'{FLAVORS}/{flavor}/action'
    assert 'not a valid project' in str(api.post(action, admin, {'addTenantAccess': {'tenant': NOBODY}}, 400))
    given = api.post(action, admin, {'addTenantAccess': {'tenant': world.projects['blue']}})
    assert given['flavor_access'] == [{'flavor_id': flavor, 'tenant_id': world.projects['blue']}]
    api.post(action, admin, {'removeTenantAccess': {'tenant': NOBODY}}, 404)     # no such access, whoever it was
    assert api.post(action, admin, {'removeTenantAccess': {'tenant': world.projects['blue']}}) == {'flavor_access': []}
