"""Who asks: one pipeline factory, and the filters that put a RequestContext into the environment.

`noauth2` believes the caller, which is why the daemon serves it on loopback only; `keystone` believes
what keystonemiddleware has checked.
"""
from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from oslo_log import log as logging

from minicompute import exception, policy
from minicompute.api.filters import ENV_GLOBAL_REQUEST_ID, ENV_REQUEST_ID
from minicompute.api.openstack import faults
from minicompute.api.openstack.wsgi import ENV_CONTEXT
from minicompute.conf import CONF
from minicompute.context import RequestContext

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)

Filter = Callable[['WSGIApplication'], 'WSGIApplication']

OPERATOR = ('admin', 'admin')
KEYSTONE_TIMEOUT = 10       # seconds that Keystone may take to answer, unless [keystone_authtoken] says otherwise
NOT_USED = 'notused'                                # the token of keystoneauth's plugin `none`
IMPLIED = {'admin': ('admin', 'manager', 'member', 'reader'), 'manager': ('manager', 'member', 'reader'),
           'member': ('member', 'reader')}          # as Keystone's bootstrap sets it up


def pipeline_factory(loader: Any, global_conf: dict[str, Any], **pipelines: str) -> WSGIApplication:
    """Paste composite: the pipeline that [api] auth_strategy names; only its filters are loaded."""
    strategy = CONF.api.auth_strategy
    names = pipelines.get(strategy)
    if not names:
        raise exception.ConfigurationError(reason=f'api-paste.ini has no pipeline for auth_strategy {strategy}')
    return (_keystone_pipeline if strategy == 'keystone' else _pipeline)(loader, global_conf, names)


def _pipeline(loader: Any, global_conf: dict[str, Any], names: str) -> WSGIApplication:
    *filters, last = names.split()
    application: WSGIApplication = loader.get_app(last, global_conf=global_conf)
    for name in reversed(filters):
        application = loader.get_filter(name, global_conf=global_conf)(application)
        if name == 'authtoken':
            application = _keystone_faults(application)
    return application


def _keystone_pipeline(loader: Any, global_conf: dict[str, Any], names: str) -> WSGIApplication:
    from keystoneauth1 import exceptions as keystone_errors  # 6 MB that noauth2 needs not

    _bound_keystone()
    try:
        application = _pipeline(loader, global_conf, names)
    except keystone_errors.ClientException as error:
        raise exception.ConfigurationError(reason=f'[keystone_authtoken]: {error}') from error
    _require_keystone()
    return application


def _bound_keystone() -> None:
    """Without a limit of its own a Keystone that hangs holds every thread of ours, one request each, for ever."""
    from keystonemiddleware import auth_token  # noqa: F401    registers the section
    CONF.set_default('http_connect_timeout', KEYSTONE_TIMEOUT, 'keystone_authtoken')


def _keystone_faults(app: WSGIApplication) -> WSGIApplication:
    """keystonemiddleware answers 503 when it cannot connect, but lets a timeout and a broken handshake through."""
    from keystoneauth1 import exceptions as keystone_errors

    def filtered(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return app(environ, start_response)
        except keystone_errors.ClientException as error:
            LOG.error('Keystone cannot check a token: %s', error)
            return faults.fault(503, 'The Keystone service is temporarily unavailable.')(environ, start_response)
    return filtered


def _require_keystone() -> None:
    """keystonemiddleware would find out at the first request, and answer 500."""
    section = CONF.keystone_authtoken
    if not section.auth_type or not section.www_authenticate_uri:
        raise exception.ConfigurationError(
            reason='[api] auth_strategy is keystone, and [keystone_authtoken] lacks auth_type or www_authenticate_uri: '
                   'say where Keystone is and as whom to ask it, or use noauth2')
    if section.memcached_servers and importlib.util.find_spec('memcache') is None:
        raise exception.ConfigurationError(
            reason='[keystone_authtoken] memcached_servers needs the Python package python-memcached: install it, or '
                   'leave the option out, and each process remembers tokens by itself')


def noauth2_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Filter:
    return _context_filter(noauth2_context)


def keystone_context_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Filter:
    return _context_filter(keystone_context)


def _context_filter(identify: Callable[[WSGIEnvironment], RequestContext | None]) -> Filter:
    def wrap(app: WSGIApplication) -> WSGIApplication:
        def filtered(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            context = identify(environ)
            if context is None:
                return faults.fault(401, 'The request you have made requires authentication.')(
                    environ, start_response)
            environ[ENV_CONTEXT] = context
            return app(environ, start_response)
        return filtered
    return wrap


def _common(environ: WSGIEnvironment) -> dict[str, Any]:
    return {'request_id': environ.get(ENV_REQUEST_ID), 'global_request_id': environ.get(ENV_GLOBAL_REQUEST_ID),
            'remote_address': environ.get('REMOTE_ADDR')}


def noauth2_context(environ: WSGIEnvironment) -> RequestContext | None:
    """X-User-Id, X-Project-Id and X-Roles, or X-Auth-Token `user:project`; nothing at all is the operator,
    but for a browser: any page that it shows could send that here."""
    user, project = environ.get('HTTP_X_USER_ID'), environ.get('HTTP_X_PROJECT_ID')
    token = environ.get('HTTP_X_AUTH_TOKEN', '')
    if not user and not project:
        if token and token != NOT_USED:
            user, _, project = token.partition(':')
        elif 'HTTP_ORIGIN' in environ and not token:
            return None
        else:
            user, project = OPERATOR
    user = user or project or ''
    named = environ.get('HTTP_X_ROLES')
    roles = expand_roles(named.split(',') if named else ['admin' if user == 'admin' else 'member'])
    return _judged(RequestContext(user_id=user, project_id=project or user, roles=roles, auth_token=token or None,
                                  **_common(environ)))


def keystone_context(environ: WSGIEnvironment) -> RequestContext | None:
    """From the headers that keystonemiddleware set after it removed the caller's. None: nobody is there.

    The rules are about projects: roles on a domain, or on the system, are none here.
    """
    user = environ.get('HTTP_X_USER_ID')
    if not user or environ.get('HTTP_X_IDENTITY_STATUS', 'Confirmed') != 'Confirmed':
        return None
    project = environ.get('HTTP_X_PROJECT_ID')
    roles = [role.strip().lower() for role in environ.get('HTTP_X_ROLES', '').split(',') if role.strip() and project]
    service_roles = [role.strip().lower() for role in environ.get('HTTP_X_SERVICE_ROLES', '').split(',')
                     if role.strip()]
    context = RequestContext(
        user_id=user, project_id=project, roles=roles,
        service_roles=service_roles, auth_token=environ.get('HTTP_X_AUTH_TOKEN'),
        user_domain_id=environ.get('HTTP_X_USER_DOMAIN_ID'),
        project_domain_id=environ.get('HTTP_X_PROJECT_DOMAIN_ID'),
        system_scope='all' if environ.get('HTTP_OPENSTACK_SYSTEM_SCOPE') else None, **_common(environ))
    context.service_catalog = environ.get('HTTP_X_SERVICE_CATALOG')
    return _judged(context)


def _judged(context: RequestContext) -> RequestContext:
    """With whether the caller is an administrator, which the policy says."""
    context.is_admin = policy.is_admin(context)
    return context


def expand_roles(names: Iterable[str]) -> list[str]:
    """['Admin'] -> ['admin', 'manager', 'member', 'reader']: a token of Keystone lists them all."""
    found: dict[str, None] = {}
    for name in names:
        role = name.strip().lower()
        if role:
            found.update(dict.fromkeys(IMPLIED.get(role, (role,))))
    return list(found)
