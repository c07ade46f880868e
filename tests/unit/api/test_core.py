"""Version negotiation, headers, faults, bodies: what every resource gets."""
from __future__ import annotations

import pytest

from minicompute.api.openstack import api_version_request as versions

NEW, OLD = 'OpenStack-API-Version', 'X-OpenStack-Nova-API-Version'


@pytest.mark.parametrize(('headers', 'expected'), [
    ({}, '2.1'), ({NEW: 'compute 2.53'}, '2.53'), ({OLD: '2.10'}, '2.10'), ({NEW: 'compute latest'}, '2.104'),
    ({OLD: 'latest'}, '2.104'), ({NEW: 'compute 2.53', OLD: '2.10'}, '2.53'),
    ({NEW: 'identity 3.1', OLD: '2.10'}, '2.10'),
    ({NEW: 'volume 3.1, Compute 2.7, identity 9'}, '2.7'), ({NEW: 'volume 3.1'}, '2.1'), ({OLD: ' 2.9 '}, '2.9')])
def test_versions(call, headers, expected):
    answer = call('/v2.1/echo', **headers)
    assert answer.json['version'] == expected
    assert answer.headers[NEW] == f'compute {expected}' and answer.headers[OLD] == expected
    assert answer.headers.getall('Vary') == [NEW, OLD]
    assert answer.headers['x-openstack-request-id'] == answer.headers['x-compute-request-id']


@pytest.mark.parametrize(('text', 'code', 'name'), [
    ('2.105', 406, 'computeFault'), ('3.0', 406, 'computeFault'), ('1.1', 406, 'computeFault'),
    ('2.0', 406, 'computeFault'), ('2', 400, 'badRequest'), ('2.01', 400, 'badRequest'), ('2.x', 400, 'badRequest'),
    ('', 400, 'badRequest'), ('2.1.1', 400, 'badRequest'), ('-2.1', 400, 'badRequest'),
    ('2.1\u0661', 400, 'badRequest'),
    ('2.9999999999', 400, 'badRequest')])
def test_bad_versions(call, text, code, name):
    for headers in ({NEW: f'compute {text}'.encode().decode('latin-1')}, {OLD: text.encode().decode('latin-1')}):
        answer = call('/v2.1/echo', **headers)
        assert answer.status_int == code and answer.json[name]['code'] == code
        if code == 406:
            assert '2.1 ' in answer.json[name]['message'] and '2.104' in answer.json[name]['message']


def test_methods_have_versions(call):
    assert call('/v2.1/echo/1', **{OLD: '2.20'}).json == {'old': '1'}
    assert call('/v2.1/echo/1', **{OLD: '2.21'}).json == {'new': '1'}
    answer = call('/v2.1/echo/1', **{OLD: '2.9'})
    assert answer.status_int == 404 and answer.json['itemNotFound']['code'] == 404 and answer.headers[OLD] == '2.9'


def test_success_codes_have_versions(call):
    assert call('/v2.1/echo', 'POST', b'{"n": 1}').status_int == 202
    answer = call('/v2.1/echo', 'POST', b'{"n": 1}', **{OLD: '2.5'})
    assert answer.status_int == 204 and answer.body == b'' and 'Content-Type' not in answer.headers


def test_unknown_paths_and_methods(call):
    for path, method in (('/v2.1/nope', 'GET'), ('/v2.1/echo', 'DELETE'), ('/v2.1/echo/1/2/3', 'GET')):
        answer = call(path, method)
        assert answer.status_int == 404
        assert answer.json == {'message': 'The resource could not be found.', 'code': '404 Not Found',
                               'title': 'Not Found'}


def test_projects_in_the_path(call):
    assert call('/v2.1/admin/echo').status_int == 200
    answer = call('/v2.1/other/echo')
    assert answer.status_int == 400
    assert "URL's project_id 'other' doesn't match Context's project_id 'admin'" in answer.json['badRequest']['message']


@pytest.mark.parametrize('body', [b'', b'{', b'[]', b'"x"', b'{"n": NaN}', b'{"n": "x"}', b'{"n": 1.0}', b'{"n": true}',
                                  b'{"n": 99999999999999999999}', b'\xff', b'{"n": 1, "m": 2}', b'null', b'{"n": 1'])
def test_bad_bodies(call, body):
    answer = call('/v2.1/echo', 'POST', body)
    assert answer.status_int == 400 and answer.json['badRequest']['message']


def test_bad_bodies_name_the_field(call):
    answer = call('/v2.1/echo', 'POST', b'{"n": "x"}')
    assert answer.json['badRequest']['message'] == (
        "Invalid input for field/attribute n. Value: x. 'x' is not of type 'integer'")


def test_secrets_are_not_repeated(call):
    answer = call('/v2.1/echo', 'POST', b'{"n": 1, "adminPass": "hunter2"}')
    assert answer.status_int == 400 and 'adminPass' in answer.text and 'hunter2' not in answer.text


def test_content_type(call):
    answer = call('/v2.1/echo', 'POST', b'<n/>', **{'Content-Type': 'application/xml'})
    assert answer.status_int == 415 and answer.json['badMediaType']['code'] == 415


def test_size_limit(call, conf):
    answer = call('/v2.1/echo', 'POST', b'{"n": 1, "x": "' + b'x' * 120_000 + b'"}')
    assert answer.status_int == 413 and answer.json['overLimit']['retryAfter'] == '0'
    assert answer.headers['Retry-After'] == '0'


def test_chunked_bodies_are_limited_too(app):
    import io

    from minicompute.api.openstack.wsgi import Request
    req = Request.blank('/v2.1/echo', method='POST', content_type='application/json')
    req.environ.update({'wsgi.input': io.BytesIO(b'{' * 200_000), 'wsgi.input_terminated': True,
                        'HTTP_TRANSFER_ENCODING': 'chunked'})
    req.environ.pop('CONTENT_LENGTH', None)
    assert req.get_response(app).status_int == 413


def test_actions(call):
    assert call('/v2.1/echo/1/action', 'POST', b'{"shout": "hi"}').json == {'shouted': 'hi'}
    for body in (b'{"whisper": null}', b'{}', b'{"shout": 1, "x": 2}', b'', b'[]'):
        assert call('/v2.1/echo/1/action', 'POST', body).status_int == 400


def test_queries(call):
    assert call('/v2.1/echo?a=1&a=2&b=3').json['query'] == {'a': ['1', '2']}
    answer = call('/v2.1/echo?b=3', **{OLD: '2.75'})
    assert answer.status_int == 400
    assert "Additional properties are not allowed ('b' was unexpected)" in answer.json['badRequest']['message']
    for query in ('a=%ff', 'a=%00'):
        assert call(f'/v2.1/echo?{query}').status_int == 400


def test_legacy(call):
    answer = call('/v2/echo', **{NEW: 'compute 2.50', OLD: 'nonsense'})
    assert answer.json['version'] == '2.1' and answer.json['legacy'] is True
    assert NEW not in answer.headers and OLD not in answer.headers and 'Vary' not in answer.headers
    assert call('/v2/echo', 'POST', b'{"n": 1, "m": 2}').json == {'got': {'n': 1}}


def test_global_request_id(call):
    own = 'req-01234567-89ab-cdef-0123-456789abcdef'
    answer = call('/v2.1/echo', **{'X-OpenStack-Request-ID': own})
    assert answer.json['global'] == own and answer.headers['x-openstack-request-id'] != own
    assert call('/v2.1/echo', **{'X-OpenStack-Request-ID': 'evil\tid'}).json['global'] is None


def test_version_documents(call):
    found = call('/').json['versions']
    assert [(one['id'], one['status'], one['min_version'], one['version']) for one in found] == [
        ('v2.0', 'DEPRECATED', '', ''), ('v2.1', 'CURRENT', '2.1', '2.104')]
    for path, name in (('/v2.1/', 'v2.1'), ('/v2.1', 'v2.1'), ('/v2/', 'v2.0'), ('/v2', 'v2.0')):
        document = call(path).json['version']
        assert document['id'] == name and document['links'][0]['href'] == f'http://localhost/{path.strip("/")}/'
    answer = call('/v3/x')
    assert answer.status_int == 300 and answer.json['choices'][1]['links'][0]['href'] == 'http://localhost/v2.1/v3/x'
    assert call('/', 'POST', b'{}').status_int == 404


def test_since():
    table = versions.Since({'2.1': 'a', '2.53': 'b', '2.9': 'c'})
    assert [table.at(versions.parse(text)) for text in ('2.0', '2.1', '2.8', '2.9', '2.52', '2.53', '2.104')] == [
        None, 'a', 'a', 'c', 'c', 'b', 'b']


def test_proxy_and_link_prefix(call, conf):
    conf.set_override('compute_link_prefix', 'https://cloud.example/compute/', 'api')
    assert call('/').json['versions'][1]['links'][0]['href'] == 'https://cloud.example/compute/v2.1/'
    conf.clear_override('compute_link_prefix', 'api')


def test_cors_answers_only_allowed_origins(call):
    assert 'Access-Control-Allow-Origin' not in call('/v2.1/echo', Origin='http://evil.example').headers
