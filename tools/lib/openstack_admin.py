"""Records of Keystone, made as its administrator; each may be made again.

    OS_ADMIN_PASSWORD=... USER_PASSWORD=... openstack_admin.py AUTH_URL user NAME PROJECT ROLE...
    OS_ADMIN_PASSWORD=... openstack_admin.py AUTH_URL endpoint TYPE NAME URL

Beside it stands the `openstack` command, which takes two seconds for each of the six requests that this is.
"""
from __future__ import annotations

import os
import sys
from typing import Any

from keystoneauth1 import adapter, session
from keystoneauth1.identity import v3

REGION = 'RegionOne'


def main(url: str, verb: str, *words: str) -> None:
    auth = v3.Password(url, username='admin', password=os.environ['OS_ADMIN_PASSWORD'], user_domain_id='default',
                       project_name='admin', project_domain_id='default')
    keystone = adapter.Adapter(session.Session(auth, timeout=60), endpoint_override=url, connect_retries=2)
    {'user': user, 'endpoint': endpoint}[verb](keystone, *words)


def ensure(keystone: Any, kind: str, query: dict[str, str], more: dict[str, Any] | None = None) -> dict[str, Any]:
    """-> the one of this name, made if need be. `kind`: a plural of Keystone's."""
    found = keystone.get(f'/{kind}', params=query).json()[kind]
    if found:
        one: dict[str, Any] = found[0]
        return one
    single = kind.removesuffix('s')
    made: dict[str, Any] = keystone.post(f'/{kind}', json={single: {**query, **(more or {})}}).json()[single]
    return made


def user(keystone: Any, name: str, project: str, *roles: str) -> None:
    password = os.environ['USER_PASSWORD']
    where = ensure(keystone, 'projects', {'name': project, 'domain_id': 'default'})
    who = ensure(keystone, 'users', {'name': name, 'domain_id': 'default'}, {'password': password})
    keystone.patch(f'/users/{who["id"]}', json={'user': {'password': password}})
    for role in roles:
        what = ensure(keystone, 'roles', {'name': role})
        keystone.put(f'/projects/{where["id"]}/users/{who["id"]}/roles/{what["id"]}')


def endpoint(keystone: Any, kind: str, name: str, url: str) -> None:
    service = ensure(keystone, 'services', {'type': kind, 'name': name})
    for interface in ('public', 'internal', 'admin'):
        found = keystone.get('/endpoints', params={'service_id': service['id'], 'interface': interface}).json()
        if not found['endpoints']:
            keystone.post('/endpoints', json={'endpoint': {
                'service_id': service['id'], 'interface': interface, 'region_id': REGION, 'url': url}})
        elif found['endpoints'][0]['url'] != url:
            keystone.patch(f'/endpoints/{found["endpoints"][0]["id"]}', json={'endpoint': {'url': url}})


if __name__ == '__main__':
    main(*sys.argv[1:])
