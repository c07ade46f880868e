"""The `keystone` pipeline behind a real Keystone: who gets in, as whom, and what happens when Keystone is away.

Everything is real: Keystone from PyPI, the api daemon as a process, the unmodified openstackclient.
"""
from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import functools
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from cryptography.fernet import Fernet

from minicompute.db.models import services
from tests.integration.keystone import PATIENCE, Api, Keystone, document, flipped, install, run, script, wait_for

FLAVORS = '/v2.1/flavors'
SERVERS = '/v2.1/servers'
PUBLIC_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO3MlUvkFZkQ7nZqAxu1mC5Hl1JvdrpY9kKYhEcYBqHf someone'


@dataclasses.dataclass
class World:
    """Projects blue and green, each with a user of its name (member, reader); `viewer` only reads blue;
    `warden` is admin of the domain and of nothing in it."""

    keystone: Keystone
    api: Api
    projects: dict[str, str] = dataclasses.field(default_factory=dict)
    users: dict[str, str] = dataclasses.field(default_factory=dict)

    def populate(self) -> None:
        keystone = self.keystone
        self.projects = {name: keystone.create_project(name) for name in ('blue', 'green', 'service')}
        for name, project, *roles in (('blue', 'blue', 'member', 'reader'), ('green', 'green', 'member', 'reader'),
                                      ('viewer', 'blue', 'reader'), ('minicompute', 'service', 'service'),
                                      ('warden', '')):
            self.users[name] = keystone.create_user(name, self.projects.get(project, ''), *roles)
        keystone.grant(f'/domains/default/users/{self.users["warden"]}', 'admin')
        keystone.create_endpoints('compute', 'minicompute', f'{self.api.base}/v2.1')
        keystone.create_endpoints('image', 'images', f'{self.api.base}/image')

    @functools.cache  # noqa: B019
    def token(self, user: str) -> str:
        """Of the user's own project, the same one each time."""
        return self.fresh(user)

    def fresh(self, user: str) -> str:
        """A token that our api has never seen."""
        return self.keystone.token(user, project={'viewer': 'blue', 'minicompute': 'service'}.get(user, user))

    __hash__ = object.__hash__


@pytest.fixture(scope='module')
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    made = Keystone(tmp_path_factory.mktemp('keystone') / 'work', install())
    made.bootstrap()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope='module')
def world(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp('api')
    made = World(keystone, Api(folder / 'work', keystone, f'sqlite:///{folder}/db.sqlite'))
    run([script('minicompute-manage'), '--config-file', str(made.api.config), 'db', 'sync'], folder / 'sync.log')
    made.populate()
    try:
        made.api.start()
        yield made
    finally:
        made.api.stop()


@pytest.fixture(scope='module')
def api(world: World) -> Api:
    return world.api


@pytest.fixture(scope='module')
def flavor(world: World) -> str:
    world.api.post(FLAVORS, world.token('admin'), new_flavor('small'))
    return 'small'


@pytest.fixture(scope='module')
def image(world: World) -> str:
    """The Image API is behind Keystone, too."""
    made = world.api.post('/image/v2/images', world.token('admin'), {
        'name': 'empty', 'disk_format': 'raw', 'container_format': 'bare', 'visibility': 'public'}, 201)
    sent = requests.put(f'{world.api.base}/image/v2/images/{made["id"]}/file', data=bytes(1 << 20), timeout=60,
                        headers={'X-Auth-Token': world.token('admin'), 'Content-Type': 'application/octet-stream'})
    document(sent, 204)
    return str(made['id'])


def new_flavor(name: str) -> dict[str, Any]:
    return {'flavor': {'name': name, 'id': name, 'ram': 64, 'vcpus': 1, 'disk': 1}}


def assert_refused(answer: requests.Response) -> None:
    """401 as Nova's: a document, and where to get a token."""
    assert answer.status_code == 401, answer.text
    assert answer.headers['WWW-Authenticate'].startswith('Keystone uri="http://127.0.0.1:')
    assert answer.headers['x-openstack-request-id'].startswith('req-')
    assert answer.json()['error'] == {'code': 401, 'title': 'Unauthorized',
                                      'message': 'The request you have made requires authentication.'}


def fault(answer: requests.Response, code: int) -> str:
    """-> the message"""
    (inner,) = document(answer, code).values()
    assert inner['code'] == code
    return str(inner['message'])


# -- who may what ----------------------------------------------------------------------

@pytest.mark.parametrize('user', ['admin', 'blue', 'green', 'viewer'])
def test_everybody_lists_flavors(world: World, flavor: str, user: str) -> None:
    assert flavor in [row['id'] for row in world.api.get(FLAVORS, world.token(user))['flavors']]


@pytest.mark.parametrize('user', ['blue', 'viewer', 'minicompute'])
def test_only_admin_creates_flavors(world: World, user: str) -> None:
    body = new_flavor(f'by-{user}')
    assert "Policy doesn't allow" in fault(world.api.call('POST', FLAVORS, world.token(user), body), 403)
    world.api.post(FLAVORS, world.token('admin'), body)


def test_only_admin_lists_services(world: World) -> None:
    fault(world.api.call('GET', '/v2.1/os-services', world.token('blue')), 403)
    world.api.get('/v2.1/os-services', world.token('admin'))


def test_keypairs_are_the_users_own(world: World) -> None:
    api, keypairs = world.api, '/v2.1/os-keypairs'
    made = api.post(keypairs, world.token('blue'), {'keypair': {
        'name': 'mine', 'type': 'ssh', 'public_key': PUBLIC_KEY}}, 201)
    assert made['keypair']['user_id'] == world.users['blue']
    assert len(api.get(keypairs, world.token('blue'))['keypairs']) == 1
    assert api.get(keypairs, world.token('green'))['keypairs'] == []
    api.get(f'{keypairs}/mine', world.token('green'), 404)
    whose = f'?user_id={world.users["blue"]}'
    assert len(api.get(keypairs + whose, world.token('admin'))['keypairs']) == 1
    fault(api.call('GET', keypairs + whose, world.token('green')), 403)


def boot(world: World, user: str, image: str, flavor: str) -> str:
    """A server whose build nobody will do: its record is what these tests need."""
    body = {'server': {'name': f'of-{user}', 'imageRef': image, 'flavorRef': flavor, 'networks': 'none'}}
    return str(world.api.post(SERVERS, world.token(user), body, 202)['server']['id'])


@pytest.fixture(scope='module')
def servers(world: World, image: str, flavor: str) -> dict[str, str]:
    return {user: boot(world, user, image, flavor) for user in ('blue', 'green')}


@pytest.mark.parametrize(('user', 'sees'), [('blue', 'blue'), ('viewer', 'blue'), ('green', 'green')])
@pytest.mark.parametrize('view', ['', '/detail'])
def test_projects_see_their_own_servers(world: World, servers: dict[str, str], user: str, sees: str,
                                        view: str) -> None:
    for query in ('', f'?project_id={world.projects["service"]}', f'?tenant_id={world.projects["service"]}'):
        found = world.api.get(f'{SERVERS}{view}{query}', world.token(user))['servers']
        assert [row['id'] for row in found] == [servers[sees]]


def test_server_belongs_to_who_made_it(world: World, servers: dict[str, str]) -> None:
    shown = world.api.get(f'{SERVERS}/{servers["blue"]}', world.token('viewer'))['server']
    assert (shown['tenant_id'], shown['user_id']) == (world.projects['blue'], world.users['blue'])


@pytest.mark.parametrize(('method', 'below', 'body'), [
    ('GET', '', None), ('DELETE', '', None), ('PUT', '', {'server': {'name': 'taken'}}),
    ('GET', '/ips', None), ('GET', '/metadata', None), ('GET', '/os-instance-actions', None),
    ('POST', '/action', {'os-stop': None}), ('POST', '/action', {'forceDelete': None}),
    ('POST', '/metadata', {'metadata': {'a': 'b'}})])
def test_foreign_server_is_not_there(world: World, servers: dict[str, str], method: str, below: str,
                                     body: Any) -> None:
    answer = world.api.call(method, f'{SERVERS}/{servers["green"]}{below}', world.token('blue'), body)
    assert 'could not be found' in fault(answer, 404)


def test_reader_changes_nothing(world: World, servers: dict[str, str], image: str, flavor: str) -> None:
    body = {'server': {'name': 'x', 'imageRef': image, 'flavorRef': flavor, 'networks': 'none'}}
    fault(world.api.call('POST', SERVERS, world.token('viewer'), body), 403)
    fault(world.api.call('DELETE', f'{SERVERS}/{servers["blue"]}', world.token('viewer')), 403)


@pytest.mark.parametrize('view', ['', '/detail'])
def test_all_tenants_is_for_admin(world: World, servers: dict[str, str], view: str) -> None:
    for user in ('blue', 'viewer'):
        fault(world.api.call('GET', f'{SERVERS}{view}?all_tenants=1', world.token(user)), 403)
    found = world.api.get(f'{SERVERS}{view}?all_tenants=1', world.token('admin'))['servers']
    assert {row['id'] for row in found} == set(servers.values())
    assert world.api.get(SERVERS + view, world.token('admin'))['servers'] == []


def test_project_in_the_path_is_the_tokens(world: World, servers: dict[str, str]) -> None:
    own, other = world.projects['blue'], world.projects['green']
    found = world.api.get(f'/v2.1/{own}/servers', world.token('blue'))['servers']
    assert [row['id'] for row in found] == [servers['blue']]
    fault(world.api.call('GET', f'/v2.1/{other}/servers', world.token('blue')), 400)


# -- tokens without a project --------------------------------------------------------------

@pytest.mark.parametrize('scope', ['unscoped', 'domain', 'system'])
def test_token_without_project_has_no_role(world: World, servers: dict[str, str], scope: str) -> None:
    """All rules are about projects: the admin of a domain, or of the system, is not the cloud's here."""
    keystone, api = world.keystone, world.api
    token = {'unscoped': lambda: keystone.token('warden'),
             'domain': lambda: keystone.token('warden', domain='default'),
             'system': lambda: keystone.token('admin', system=True)}[scope]()
    api.get(FLAVORS, token)
    for path in (SERVERS, f'{SERVERS}/detail', f'{SERVERS}?all_tenants=1', '/v2.1/os-services',
                 '/v2.1/os-hypervisors'):
        fault(api.call('GET', path, token), 403)
    fault(api.call('POST', FLAVORS, token, new_flavor(f'by-{scope}')), 403)
    for method in ('GET', 'DELETE'):
        assert api.call(method, f'{SERVERS}/{servers["blue"]}', token).status_code in (403, 404)


# -- tokens that are none ------------------------------------------------------------------

@pytest.mark.parametrize('path', [FLAVORS, SERVERS, '/v2.1/nothing/here', '/v2/flavors', '/image/v2/images',
                                  '/network/v2.0/networks', '/v2.1/v2/images'])
def test_no_token(api: Api, path: str) -> None:
    for method in ('GET', 'POST', 'DELETE'):
        assert_refused(api.call(method, path))


@pytest.mark.parametrize('token', ['x', 'admin:admin', 'notused', '8d3f5d3c-0c0b-4b39-9c07-1f1b2a6f7f10',
                                   'gAAAAAB' + 'A' * 200, 'x' * 6000, '../../v3/users', '%00', "' or 1=1 --",
                                   'tökén', 'gAAAAA=='])
def test_invented_token(api: Api, token: str) -> None:
    """Also what `noauth2` would believe."""
    sent = {'X-Auth-Token': token.encode()}     # as bytes: any octet may be in a header
    assert_refused(requests.get(api.base + FLAVORS, headers=sent, timeout=PATIENCE))    # type: ignore[arg-type]


def test_forged_tokens(world: World) -> None:
    """One bit changed; cut; right but for the key; and, so that we know it is the key, the same with the right one."""
    keystone, api, real = world.keystone, world.api, world.fresh('admin')
    alien = keystone.forge(real, key=Fernet.generate_key())
    for forged in (flipped(real), real[:-4], real[4:], real.swapcase(), alien):
        assert_refused(api.call('GET', FLAVORS, forged))
    api.get(FLAVORS, keystone.forge(real))


def test_expired_token(world: World) -> None:
    old = world.keystone.forge(world.fresh('blue'), expires=time.time() - 5)
    assert_refused(world.api.call('GET', FLAVORS, old))


def test_token_expires_while_it_is_remembered(world: World) -> None:
    """What was learned of a token is kept for a while, but never past the token's end."""
    for life in (4, 30, 120):       # long enough to be used at all, whatever the machine does beside it
        end = time.time() + life
        short = world.keystone.forge(world.fresh('blue'), expires=end)
        answer = world.api.call('GET', FLAVORS, short)
        if answer.status_code == 200 or time.time() < end:
            break
    document(answer, 200)
    wait_for(lambda: time.time() > end + 1, 'end of the token', life + PATIENCE)
    assert_refused(world.api.call('GET', FLAVORS, short))


def test_revoked_token(world: World) -> None:
    """At once when it is new here, and within `token_cache_time` when it was in use."""
    new, used = world.fresh('green'), world.fresh('green')
    world.api.get(FLAVORS, used)
    world.keystone.revoke(new)
    world.keystone.revoke(used)
    assert_refused(world.api.call('GET', FLAVORS, new))
    wait_for(lambda: world.api.call('GET', FLAVORS, used).status_code == 401, 'refusal of a revoked token')
    world.api.get(FLAVORS, world.token('green'))


def test_disabled_user(world: World) -> None:
    name = 'leaver'
    user = world.keystone.create_user(name, world.projects['blue'], 'member', 'reader')
    token = world.keystone.token(name, project='blue')
    world.keystone.api('PATCH', f'/users/{user}', {'user': {'enabled': False}})
    assert_refused(world.api.call('GET', FLAVORS, token))


# -- headers that a client may not say -------------------------------------------------------

def claims(world: World) -> dict[str, str]:
    """What keystonemiddleware tells the daemon, told by the client."""
    return {'X-Roles': 'admin,member,reader', 'X-Role': 'admin', 'X-Identity-Status': 'Confirmed',
            'X-User-Id': world.users['green'], 'X-Project-Id': world.projects['green'],
            'X-Tenant-Id': world.projects['green'], 'X-Is-Admin-Project': 'True', 'OpenStack-System-Scope': 'all',
            'X-Service-Roles': 'service', 'X-Service-Identity-Status': 'Confirmed', 'X-Domain-Id': 'default',
            'X-User-Domain-Id': 'default', 'X-Service-User-Id': world.users['minicompute']}


def test_claims_are_not_believed(world: World, servers: dict[str, str]) -> None:
    api, token, said = world.api, world.token('blue'), claims(world)
    fault(api.call('POST', FLAVORS, token, new_flavor('spoofed'), headers=said), 403)
    found = api.get(SERVERS, token, headers=said)['servers']
    assert [row['id'] for row in found] == [servers['blue']]
    api.get(f'{SERVERS}/{servers["green"]}', token, 404, headers=said)
    fault(api.call('GET', f'{SERVERS}?all_tenants=1', token, headers=said), 403)


@pytest.mark.parametrize('token', [None, 'invented'])
def test_claims_without_a_token(world: World, token: str | None) -> None:
    assert_refused(world.api.call('GET', FLAVORS, token, headers=claims(world)))


def test_claims_spelled_otherwise(world: World) -> None:
    """X_Roles and X-Roles are one variable to WSGI; sent twice they are one with a comma."""
    host, port = world.api.base.removeprefix('http://').split(':')
    for spelling in ('X_Roles', 'X-ROLES', 'x_roles', 'HTTP_X_ROLES'):
        lines = ['GET /v2.1/os-services HTTP/1.1', f'Host: {host}', 'Connection: close',
                 f'X-Auth-Token: {world.token("blue")}', f'{spelling}: admin', f'{spelling}: admin']
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            connection.sendall('\r\n'.join([*lines, '', '']).encode())
            status = connection.makefile('rb').readline().split()[1]
        assert status in (b'403', b'400'), spelling


def test_expired_token_with_a_service(world: World) -> None:
    """A service may finish what a user began before the token ended; a user may not, with whatever token."""
    api, old = world.api, world.keystone.forge(world.fresh('blue'), expires=time.time() - 5)
    api.get(SERVERS, old, headers={'X-Service-Token': world.token('minicompute')})
    for service in (world.token('green'), world.token('admin'), 'invented'):
        again = world.keystone.forge(world.fresh('blue'), expires=time.time() - 5)
        assert_refused(api.call('GET', SERVERS, again, headers={'X-Service-Token': service}))


# -- application credentials -------------------------------------------------------------------

def application_token(world: World, name: str, **rules: Any) -> str:
    """A token of a new application credential of `blue`."""
    keystone, user = world.keystone, world.users['blue']
    made = keystone.api('POST', f'/users/{user}/application_credentials', token=world.token('blue'), body={
        'application_credential': {'name': name, 'roles': [{'name': 'reader'}], **rules}})['application_credential']
    return keystone.authenticate({'methods': ['application_credential'],
                                  'application_credential': {'id': made['id'], 'secret': made['secret']}})


def test_application_credential(world: World, servers: dict[str, str]) -> None:
    """It has the roles that it was given, and not its owner's."""
    token = application_token(world, 'watcher')
    assert [row['id'] for row in world.api.get(SERVERS, token)['servers']] == [servers['blue']]
    fault(world.api.call('DELETE', f'{SERVERS}/{servers["blue"]}', token), 403)


def test_access_rules_of_an_application_credential(world: World) -> None:
    """[keystone_authtoken] service_type makes them count."""
    token = application_token(world, 'narrow', access_rules=[
        {'service': 'compute', 'method': 'GET', 'path': FLAVORS}])
    world.api.get(FLAVORS, token)
    assert_refused(world.api.call('GET', SERVERS, token))


# -- what needs no token --------------------------------------------------------------------------

@pytest.mark.parametrize(('path', 'code'), [('/', 200), ('/v2', 200), ('/v2/', 200), ('/v2.1', 200), ('/v2.1/', 200),
                                            ('/image', 200), ('/network', 200), ('/v3', 300)])
@pytest.mark.parametrize('token', [None, 'invented'])
def test_version_documents_need_no_token(api: Api, path: str, code: int, token: str | None) -> None:
    document(api.call('GET', path, token), code)


# -- Keystone is away --------------------------------------------------------------------------------

def assert_unavailable(answer: requests.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert 'The Keystone service is temporarily unavailable.' in answer.text
    assert answer.headers['x-openstack-request-id'].startswith('req-')


def test_keystone_goes_and_comes_back(world: World) -> None:
    keystone, api, (first, second) = world.keystone, world.api, (world.fresh('blue'), world.fresh('blue'))
    keystone.stop()
    try:
        assert_unavailable(api.call('GET', FLAVORS, first))
        assert 'message' in api.call('GET', FLAVORS, first, headers={'Accept': 'application/json'}).json()
        assert_refused(api.call('GET', FLAVORS))
        api.get('/v2.1/')
    finally:
        keystone.start()
    for token in (first, second):
        api.get(FLAVORS, token)


def test_frozen_keystone_does_not_freeze_us(world: World, tmp_path: pathlib.Path) -> None:
    """More requests than threads wait for an answer that does not come; each ends, and the next is served.

    The worst case, on purpose: a daemon that has not logged in itself does so under keystoneauth's lock, and
    its requests wait one after the other, each for the whole `http_connect_timeout`.
    """
    keystone, requested, limit = world.keystone, 24, 1
    daemon = Api(tmp_path / 'work', keystone, world.api.database, timeout=limit)
    tokens = [world.fresh('blue') for _ in range(4)]
    try:
        daemon.start()
        keystone.signal(signal.SIGSTOP)
        try:
            with concurrent.futures.ThreadPoolExecutor(requested) as pool:
                for answer in pool.map(lambda number: daemon.call('GET', FLAVORS, tokens[number % 4]),
                                       range(requested)):
                    assert_unavailable(answer)
        finally:
            keystone.signal(signal.SIGCONT)
        wait_for(lambda: daemon.call('GET', FLAVORS, tokens[0]).status_code == 200, 'answer after the frost')
    finally:
        daemon.stop()


# -- the unmodified client -----------------------------------------------------------------------------

@pytest.fixture(scope='module')
def clouds(world: World, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp('client') / 'clouds.yaml'
    path.write_text(json.dumps({'clouds': {user: {
        'region_name': 'RegionOne', 'identity_api_version': '3',
        'auth': {'auth_url': world.keystone.base, 'username': user, 'password': world.keystone.password,
                 'project_name': user, 'user_domain_id': 'default', 'project_domain_id': 'default'},
    } for user in ('admin', 'blue')}}))     # JSON is YAML
    return path


def openstack(clouds: pathlib.Path, user: str, *words: str, code: int = 0) -> str:
    """-> what it printed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith('OS_')}
    done = subprocess.run([script('openstack'), '--os-cloud', user, *words], capture_output=True, text=True,
                          timeout=600, stdin=subprocess.DEVNULL, cwd=clouds.parent,
                          env={**environ, 'OS_CLIENT_CONFIG_FILE': str(clouds), 'HOME': str(clouds.parent)})
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_openstackclient_finds_us_in_the_catalog(world: World, clouds: pathlib.Path, flavor: str,
                                                 servers: dict[str, str]) -> None:
    assert flavor in openstack(clouds, 'blue', 'flavor', 'list', '-f', 'value', '-c', 'Name').split()
    found = json.loads(openstack(clouds, 'blue', 'server', 'list', '--no-name-lookup', '-f', 'json'))
    assert [row['ID'] for row in found] == [servers['blue']]


def test_openstackclient_lists_services(world: World, clouds: pathlib.Path) -> None:
    engine = sa.create_engine(world.api.database)
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    seen = now + datetime.timedelta(hours=1)    # alive for as long as the client may take
    with engine.begin() as connection:
        connection.execute(services.insert().values(uuid=str(uuid.uuid4()), host='node1', binary='nova-compute',
                                                    topic='compute', created_at=now, updated_at=now, last_seen_up=seen))
    engine.dispose()
    found = json.loads(openstack(clouds, 'admin', 'compute', 'service', 'list', '-f', 'json'))
    assert [(row['Binary'], row['Host'], row['Status'], row['State']) for row in found] == [
        ('nova-compute', 'node1', 'enabled', 'up')]
    assert "Policy doesn't allow" in openstack(clouds, 'blue', 'compute', 'service', 'list', code=1)


# -- daemons of their own ---------------------------------------------------------------------------------

def test_under_eventlet(world: World, tmp_path: pathlib.Path) -> None:
    """The other backend: tokens, roles, many at once, and a Keystone that is away."""
    daemon = Api(tmp_path / 'work', world.keystone, world.api.database, concurrency='eventlet', cache=-1,
                 timeout=10)
    try:
        daemon.start()
        assert_refused(daemon.call('GET', FLAVORS, flipped(world.token('blue'))))
        fault(daemon.call('GET', '/v2.1/os-services', world.token('blue')), 403)
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = pool.map(lambda user: daemon.call('GET', '/v2.1/os-services', world.token(user)),
                               ['admin', 'green'] * 12)
            assert [answer.status_code for answer in answers] == [200, 403] * 12
        world.keystone.signal(signal.SIGSTOP)
        try:
            assert_unavailable(daemon.call('GET', FLAVORS, world.token('blue')))
        finally:
            world.keystone.signal(signal.SIGCONT)
        wait_for(lambda: daemon.call('GET', FLAVORS, world.token('blue')).status_code == 200, 'answer')
    finally:
        daemon.stop()


def test_wrong_password_of_the_service(world: World, tmp_path: pathlib.Path) -> None:
    """Nobody's token can be checked then, which is not the users' fault: 503, and the log says why."""
    daemon = Api(tmp_path / 'work', world.keystone, world.api.database, password='not-the-password')
    try:
        daemon.start()
        assert_unavailable(daemon.call('GET', FLAVORS, world.fresh('blue')))
        assert 'Identity server rejected authorization' in daemon.text()
    finally:
        daemon.stop()


def test_secrets_are_not_in_the_log(world: World) -> None:
    """Neither a token nor a password, though all of the above was logged; and nothing was a surprise."""
    forged = flipped(world.fresh('blue'))
    assert_refused(world.api.call('GET', FLAVORS, forged))
    world.api.get(FLAVORS, world.token('blue'))
    text = world.api.text()
    assert 'status: 401' in text and 'status: 200' in text
    for secret in (world.keystone.password, forged, *(world.token(user) for user in ('admin', 'blue', 'green'))):
        assert secret not in text
    assert 'Unexpected exception' not in text and 'status: 500' not in text
