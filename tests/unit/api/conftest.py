from __future__ import annotations

import pytest

from minicompute import conf as conf_module
from minicompute import policy
from minicompute.api import validation
from minicompute.api.openstack import router, wsgi
from minicompute.wsgi import paste


class Echo(wsgi.Controller):
    """A resource for the tests of the core."""

    query = validation.Schemas({'2.1': {'type': 'object', 'properties': {'a': {'type': 'array'}}},
                                '2.75': {'type': 'object', 'properties': {}, 'additionalProperties': False}})
    body = validation.Schemas({'2.1': {'type': 'object', 'required': ['n'], 'additionalProperties': False,
                                       'properties': {'n': {'type': 'integer'}, 'adminPass': {'maxLength': 3}}}})

    @validation.schema(query=query)
    def index(self, req):
        context = req.context
        return {'version': str(req.api_version), 'user': context.user_id, 'project': context.project_id,
                'roles': context.roles, 'admin': context.is_admin, 'query': req.query,
                'global': context.global_request_id, 'legacy': req.legacy}

    @wsgi.response(202, {'2.5': 204})
    @validation.schema(body)
    def create(self, req, body):
        return None if req.since('2.5') else {'got': body}

    @wsgi.api_version('2.10', '2.20')
    @validation.schema(query=query)
    def old(self, req, id):
        return {'old': id}

    @wsgi.api_version('2.21')
    @validation.schema(query=query)
    def new(self, req, id):
        return {'new': id}

    @wsgi.action('shout')
    @validation.schema(validation.Schemas({'2.1': {'type': 'object'}}))
    def shout(self, req, id, body):
        return {'shouted': body['shout']}


ROUTES = (('GET', '/echo', Echo, 'index'), ('POST', '/echo', Echo, 'create'),
          ('GET', '/echo/{id}', Echo, ('old', 'new')), ('POST', '/echo/{id}/action', Echo, wsgi.ACTIONS))


class Module:
    ROUTES = ROUTES


@pytest.fixture
def app(conf, monkeypatch):
    """The stack of api-paste.ini over one resource that says what it saw."""
    conf_module.setup([], 'tests', [])
    conf.set_override('auth_strategy', 'noauth2', 'api')
    policy.reset()
    monkeypatch.setattr(router, 'load_modules', lambda: [Module])
    router.the_router.cache_clear()
    yield paste.load()
    conf.clear_override('auth_strategy', 'api')
    router.the_router.cache_clear()


@pytest.fixture
def call(app):
    def send(path, method='GET', body=None, **headers):
        req = wsgi.Request.blank(path, method=method, headers={k.replace('_', '-'): v for k, v in headers.items()})
        if body is not None:
            req.body = body
            req.content_type = req.headers.get('Content-Type') or 'application/json'
        return req.get_response(app)
    return send
