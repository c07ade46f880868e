from __future__ import annotations

import pytest

from minicompute import conf as conf_module
from minicompute import exception, policy
from minicompute.api import auth
from minicompute.cmd import api as cmd
from minicompute.context import RequestContext

ALL = ['admin', 'manager', 'member', 'reader']


@pytest.mark.parametrize(('headers', 'user', 'project', 'roles'), [
    ({}, 'admin', 'admin', ALL),
    ({'X-Auth-Token': 'notused'}, 'admin', 'admin', ALL),
    ({'X-Auth-Token': 'alice:demo'}, 'alice', 'demo', ['member', 'reader']),
    ({'X-Auth-Token': 'alice'}, 'alice', 'alice', ['member', 'reader']),
    ({'X-Auth-Token': 'admin:demo'}, 'admin', 'demo', ALL),
    ({'X-User-Id': 'bob', 'X-Project-Id': 'p'}, 'bob', 'p', ['member', 'reader']),
    ({'X-User-Id': 'bob', 'X-Project-Id': 'p', 'X-Roles': 'reader'}, 'bob', 'p', ['reader']),
    ({'X-User-Id': 'bob', 'X-Project-Id': 'p', 'X-Roles': 'Admin'}, 'bob', 'p', ALL),
    ({'X-User-Id': 'bob', 'X-Project-Id': 'p', 'X-Roles': 'service'}, 'bob', 'p', ['service']),
    ({'X-User-Id': 'bob', 'X-Auth-Token': 'admin:admin'}, 'bob', 'bob', ['member', 'reader'])])
def test_noauth2(call, headers, user, project, roles):
    seen = call('/v2.1/echo', **headers).json
    assert (seen['user'], seen['project'], seen['roles'], seen['admin']) == (user, project, roles, 'admin' in roles)


@pytest.fixture
def parsed(conf):
    """The rules say who is an administrator."""
    policy.reset()


def identify(**headers):
    return auth.keystone_context({f'HTTP_{name}': value for name, value in headers.items()})


@pytest.mark.usefixtures('parsed')
def test_keystone_context():
    context = identify(X_USER_ID='u', X_PROJECT_ID='p', X_ROLES='Member,reader', X_IDENTITY_STATUS='Confirmed',
                       X_AUTH_TOKEN='t', X_SERVICE_ROLES='service')
    assert (context.user_id, context.project_id, context.roles) == ('u', 'p', ['member', 'reader'])
    assert not context.is_admin and context.service_roles == ['service'] and context.auth_token == 't'
    assert identify(X_USER_ID='u', X_PROJECT_ID='p', X_ROLES='admin').is_admin
    assert identify() is None
    assert identify(X_USER_ID='u', X_IDENTITY_STATUS='Invalid') is None


def test_without_identity_401(app):
    answer = auth.keystone_context_factory({})(app)
    seen = []
    body = answer({'REQUEST_METHOD': 'GET', 'PATH_INFO': '/'}, lambda status, headers, exc=None: seen.append(status))
    assert seen == ['401 Unauthorized'] and b'"unauthorized"' in b''.join(body)


@pytest.mark.parametrize(('listen', 'refused'), [
    ('127.0.0.1', False), ('::1', False), ('localhost', False), ('127.8.8.8', False), ('0.0.0.0', True), ('::', True),
    ('10.0.0.1', True), ('cloud.example', True)])
def test_noauth2_stays_on_loopback(conf, listen, refused):
    conf.set_override('auth_strategy', 'noauth2', 'api')
    conf.set_override('osapi_compute_listen', listen)
    if refused:
        with pytest.raises(exception.ConfigurationError, match='noauth2'):
            cmd.refuse_open_noauth()
        conf.set_override('allow_noauth2_anywhere', True, 'api')
    cmd.refuse_open_noauth()
    for name, group in (('auth_strategy', 'api'), ('allow_noauth2_anywhere', 'api'), ('osapi_compute_listen', None)):
        conf.clear_override(name, group)


# -- policy ------------------------------------------------------------------------

def who(project='p', roles=('member', 'reader'), user='u', **more):
    return RequestContext(user_id=user, project_id=project, roles=list(roles), overwrite=False, **more)


@pytest.fixture
def rules(app):
    policy.reset()
    yield
    policy.reset()


def test_own_and_foreign_projects(rules):
    show = 'os_compute_api:servers:show'
    for _again in range(2):    # the second time from memory
        assert policy.allowed(who(), show, {'project_id': 'p'})
        assert not policy.allowed(who(), show, {'project_id': 'q'})
        assert not policy.allowed(who(roles=()), show, {'project_id': 'p'})
        assert policy.allowed(who(roles=('admin',)), show, {'project_id': 'q'})
        assert not policy.allowed(who(), show, {})


def test_memory_keeps_callers_apart(rules):
    rule = 'os_compute_api:os-server-external-events:create'
    assert policy.allowed(who(roles=('service',)), rule)
    assert not policy.allowed(who(roles=(), service_roles=['service']), rule)
    keys = 'os_compute_api:os-keypairs:show'
    assert policy.allowed(who(user='u'), keys, {'user_id': 'u'})
    assert not policy.allowed(who(user='v'), keys, {'user_id': 'u'})
    assert not policy.allowed(who(user='u', project=None), 'os_compute_api:servers:show', {'project_id': 'p'})


def test_default_target_is_the_caller(rules):
    policy.authorize(who(), 'os_compute_api:servers:create')
    with pytest.raises(exception.PolicyNotAuthorized, match="Policy doesn't allow os_compute_api:os-services:list"):
        policy.authorize(who(), 'os_compute_api:os-services:list')


def test_a_policy_file_counts(app, conf, tmp_path):
    path = tmp_path / 'policy.yaml'
    path.write_text('"os_compute_api:os-services:list": "rule:project_reader_api"\n'
                    '"os_compute_api:servers:show": "project_id:%(project_id)s and \'blue\':%(colour)s"\n')
    conf.set_override('policy_file', str(path), 'oslo_policy')
    policy.reset()
    assert policy.allowed(who(), 'os_compute_api:os-services:list')
    target = {'project_id': 'p', 'colour': 'blue'}
    assert policy.allowed(who(), 'os_compute_api:servers:show', target)
    assert not policy.allowed(who(), 'os_compute_api:servers:show', {**target, 'colour': 'red'})
    conf.clear_override('policy_file', 'oslo_policy')
    policy.reset()


# -- the keystone pipeline without a Keystone -----------------------------------------

@pytest.fixture
def keystone_call(app, conf, tmp_path):
    from minicompute.api.openstack.wsgi import Request
    from minicompute.wsgi import paste
    path = tmp_path / 'minicompute.conf'
    path.write_text('[keystone_authtoken]\nauth_type = none\nwww_authenticate_uri = http://keystone.example\n')
    conf_module.setup(['--config-file', str(path)], 'tests', [])
    conf.set_override('auth_strategy', 'keystone', 'api')
    stack = paste.load()
    yield lambda path, **headers: Request.blank(path, headers=headers).get_response(stack)
    conf.set_override('auth_strategy', 'noauth2', 'api')


def test_keystone_refuses_who_brings_no_token(keystone_call):
    answer = keystone_call('/v2.1/echo')
    assert answer.status_int == 401 and 'WWW-Authenticate' in answer.headers
    assert 'x-openstack-request-id' in answer.headers


def test_identity_headers_are_not_believed(keystone_call):
    answer = keystone_call('/v2.1/echo', **{'X-User-Id': 'admin', 'X-Project-Id': 'admin', 'X-Roles': 'admin',
                                            'X-Identity-Status': 'Confirmed'})
    assert answer.status_int == 401


def test_versions_need_no_token(keystone_call):
    for path in ('/', '/v2.1/', '/v2.1', '/v2/'):
        assert keystone_call(path).status_int == 200
    assert keystone_call('/nope').status_int == 300


def test_keystone_must_be_configured(app, conf):
    from minicompute.wsgi import paste
    conf.set_override('auth_strategy', 'keystone', 'api')
    with pytest.raises(exception.ConfigurationError, match='keystone_authtoken'):
        paste.load()
    conf.set_override('auth_strategy', 'noauth2', 'api')


@pytest.mark.usefixtures('parsed')
def test_a_page_in_a_browser_is_not_the_operator() -> None:
    assert auth.noauth2_context({'HTTP_ORIGIN': 'http://elsewhere'}) is None
    named = auth.noauth2_context({'HTTP_ORIGIN': 'http://elsewhere', 'HTTP_X_AUTH_TOKEN': 'alice:demo'})
    assert named is not None and not named.is_admin


def test_a_policy_file_that_cannot_be_read_is_one_line(conf, tmp_path):
    """Before the fork: an API that refuses every request does not start."""
    path = tmp_path / 'policy.yaml'
    path.write_text('"a": "b\n  - [')
    conf.set_override('policy_file', str(path), 'oslo_policy')
    policy.reset()
    try:
        with pytest.raises(exception.ConfigurationError) as caught:
            policy.preload()
        assert str(path) in str(caught.value) and '\n' not in str(caught.value)
    finally:
        policy.reset()
