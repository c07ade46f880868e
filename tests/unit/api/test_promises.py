"""[api] response_validation: what becomes of an answer, or a code, that nobody promised."""
from __future__ import annotations

import logging

import pytest

from minicompute import conf as conf_module
from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import router, wsgi
from minicompute.api.openstack.answer import Answer
from minicompute.wsgi import paste

QUERY = validation.Schemas({'2.1': {'type': 'object'}})
NUMBER = validation.Schemas({'2.1': {'type': 'integer'}, '2.50': {'type': 'string'}})


class Promising(wsgi.Controller):
    """Each method keeps or breaks one promise."""

    @validation.schema(query=QUERY, answer=NUMBER)
    def kept(self, req):
        return 'text' if req.since('2.50') else 1

    @validation.schema(query=QUERY, answer=NUMBER)
    def answer(self, req):
        return {'not': 'a number'}

    @wsgi.response(202)
    @validation.schema(query=QUERY)
    def silent(self, req):
        return {'not': 'nothing'}

    @wsgi.response(201, also=(204,))
    @validation.schema(query=QUERY, answer=validation.EMPTY)
    def either(self, req):
        return Answer(code=204)

    @wsgi.response(201)
    @validation.schema(query=QUERY, answer=validation.EMPTY)
    def code(self, req):
        return Answer(code=204)

    @wsgi.expected_errors(404)
    @validation.schema(query=QUERY, answer=NUMBER)
    def error(self, req):
        raise exception.Conflict('nobody said so')


class Module:
    ROUTES = tuple(('GET', f'/{name}', Promising, name) for name in (
        'kept', 'answer', 'silent', 'either', 'code', 'error'))


@pytest.fixture
def ask(conf, monkeypatch):
    def load(mode):
        conf.set_override('response_validation', mode, 'api')
        app = paste.load()
        return lambda path, version='2.1': wsgi.Request.blank(
            f'/v2.1{path}', headers={'OpenStack-API-Version': f'compute {version}'}).get_response(app)

    conf_module.setup([], 'tests', [])
    conf.set_override('auth_strategy', 'noauth2', 'api')
    policy.reset()
    monkeypatch.setattr(router, 'load_modules', lambda: [Module])
    monkeypatch.setattr(wsgi.Operation, 'validation', 'ignore')     # as it was, when this ends
    router.the_router.cache_clear()
    yield load
    router.the_router.cache_clear()


@pytest.mark.parametrize('mode', ['error', 'warn', 'ignore'])
def test_what_is_promised_is_sent(ask, mode, caplog):
    api = ask(mode)
    assert api('/kept').json == 1 and api('/kept', '2.50').json == 'text' and api('/either').status_int == 204
    assert 'promise' not in caplog.text


@pytest.mark.parametrize('path', ['/answer', '/silent', '/code', '/error'])
def test_what_is_not_fails_where_that_is_asked_for(ask, path, caplog):
    answer = ask('error')(path)
    assert answer.status_int == 500 and 'BrokenPromise' in answer.json['computeFault']['message']
    assert f'Promising{path.replace("/", ".")}' in caplog.text


@pytest.mark.parametrize(('path', 'code'), [('/answer', 200), ('/silent', 202), ('/code', 204), ('/error', 409)])
def test_else_it_is_sent_and_told(ask, path, code, caplog):
    caplog.set_level(logging.WARNING, 'minicompute.api')
    assert ask('warn')(path).status_int == code
    assert f'Promising{path.replace("/", ".")} breaks its promise' in caplog.text


@pytest.mark.parametrize(('path', 'code', 'told'), [('/answer', 200, False), ('/silent', 202, False),
                                                    ('/code', 204, False), ('/error', 409, True)])
def test_or_sent_alone(ask, path, code, told, caplog):
    """A fault that nobody declared costs nothing to notice."""
    caplog.set_level(logging.WARNING, 'minicompute.api')
    assert ask('ignore')(path).status_int == code
    assert ('breaks its promise' in caplog.text) is told
