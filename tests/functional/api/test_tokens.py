"""The `keystone` pipeline with a stub of Keystone on loopback: no route answers without a token that it knows."""
from __future__ import annotations

import datetime
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import webob

from minicompute import conf as conf_module
from minicompute import policy
from minicompute.api.openstack import router
from minicompute.wsgi import paste

pytestmark = pytest.mark.generic     # long, and the same on every database
LATER = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).strftime('%Y-%m-%dT%H:%M:%S.000000Z')
CONFIG = """
[api]
auth_strategy = keystone
[keystone_authtoken]
www_authenticate_uri = {url}
auth_type = password
auth_url = {url}
username = minicompute
password = secret
user_domain_name = Default
project_name = service
project_domain_name = Default
"""


class Keystone(BaseHTTPRequestHandler):
    """Version document, tokens for the service's user, and what it knows of others': `tokens` {id: roles}."""

    protocol_version = 'HTTP/1.1'
    tokens: ClassVar[dict[str, list[str]]] = {'of-a-member': ['member', 'reader'], 'of-an-admin': ['admin']}
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        if self.path.rstrip('/').endswith('/auth/tokens'):
            subject = self.headers['X-Subject-Token']
            self.asked.append(subject)
            if subject in self.tokens:
                return self.answer(200, self.token(self.tokens[subject]))
            return self.answer(404, {'error': {'code': 404, 'message': 'no such token', 'title': 'Not Found'}})
        url = f'http://127.0.0.1:{self.server.server_port}/v3/'
        return self.answer(200, {'version': {'id': 'v3.14', 'status': 'stable', 'media-types': [],
                                             'links': [{'rel': 'self', 'href': url}]}})

    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.answer(201, self.token(['service']), {'X-Subject-Token': 'of-the-service'})

    def answer(self, code, body, headers=None):
        raw = json.dumps(body).encode()
        self.send_response(code)
        for name, value in {'Content-Type': 'application/json', 'Content-Length': len(raw), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(raw)

    def token(self, roles):
        domain = {'id': 'default', 'name': 'Default'}
        url = f'http://127.0.0.1:{self.server.server_port}/v3'
        return {'token': {
            'methods': ['password'], 'expires_at': LATER, 'issued_at': LATER, 'audit_ids': ['a'],
            'user': {'id': 'alice', 'name': 'alice', 'domain': domain},
            'project': {'id': 'demo', 'name': 'demo', 'domain': domain},
            'roles': [{'id': role, 'name': role} for role in roles],
            'catalog': [{'type': 'identity', 'name': 'keystone', 'id': 'k', 'endpoints': [
                {'id': 'e', 'interface': kind, 'region': 'RegionOne', 'region_id': 'RegionOne', 'url': url}
                for kind in ('internal', 'admin', 'public')]}]}}

    def log_message(self, *_args):
        """Nobody reads it."""


@pytest.fixture
def keystone():
    server = ThreadingHTTPServer(('127.0.0.1', 0), Keystone)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    Keystone.asked.clear()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def app(database, conf, keystone, tmp_path):
    file = tmp_path / 'keystone.conf'
    file.write_text(CONFIG.format(url=f'http://127.0.0.1:{keystone.server_port}/v3'))
    conf_module.setup([], 'tests', [str(file)])
    policy.reset()
    router.the_router.cache_clear()
    yield paste.load()
    router.the_router.cache_clear()
    conf.reset()
    section = conf._groups['keystone_authtoken']
    for known in [found['opt'] for found in section._opts.values() if found['opt'].required]:
        conf.unregister_opt(known, section.name)    # else no other test could be without Keystone


def call(app, method, path, headers=None, body=None):
    request = webob.Request.blank(f'/v2.1{path}', method=method, headers=headers or {})
    if body is not None:
        request.body, request.content_type = body, 'application/json'
    return request.get_response(app)


def every_path():
    table = router.Router(row for module in router.load_modules() for row in module.ROUTES)
    for key in table.resources:
        method, path = key.split()
        for name in ('{id}', '{server_id}', '{flavor_id}', '{image_id}', '{domain_id}'):
            path = path.replace(name, 'some')
        yield method, path


FORGED = {'X-User-Id': 'admin', 'X-Project-Id': 'demo', 'X-Roles': 'admin', 'X-Identity-Status': 'Confirmed',
          'X-Is-Admin-Project': 'True', 'X-Service-Roles': 'service', 'X-Service-Identity-Status': 'Confirmed'}


@pytest.mark.parametrize('headers', [{}, {'X-Auth-Token': 'unknown'}, FORGED, {**FORGED, 'X-Auth-Token': 'unknown'},
                                     {'X-Auth-Token': ''}], ids=['none', 'unknown', 'forged', 'both', 'empty'])
def test_no_route_without_a_token(app, headers):
    """Neither without one nor with one that Keystone does not know, nor by the headers that it would set."""
    for method, path in every_path():
        answer = call(app, method, path, headers, b'{}' if method in ('POST', 'PUT') else None)
        assert answer.status_int == 401, f'{method} {path}: {answer.status}'
        assert answer.headers['WWW-Authenticate'].startswith('Keystone uri=')
    for version in ('/v2', '/v2.1/demo'):
        assert webob.Request.blank(f'{version}/servers', headers=headers).get_response(app).status_int == 401


def test_with_a_token_the_rules_decide(app):
    member, admin = {'X-Auth-Token': 'of-a-member'}, {'X-Auth-Token': 'of-an-admin'}
    assert call(app, 'GET', '/servers', member).json == {'servers': []}
    assert call(app, 'GET', '/os-services', member).status_int == 403
    assert call(app, 'GET', '/os-services', {**FORGED, **member}).status_int == 403
    assert call(app, 'GET', '/os-services', admin).json == {'services': []}
    assert 'of-a-member' in Keystone.asked


def test_versions_need_none(app):
    for path in ('/', '/v2.1/', '/v2/'):
        assert webob.Request.blank(path).get_response(app).status_int == 200
