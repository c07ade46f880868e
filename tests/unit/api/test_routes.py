"""The route table as a whole."""
from __future__ import annotations

import os
import pathlib

import pytest

from minicompute import exception
from minicompute.api.openapi import document as documents
from minicompute.api.openstack import api_version_request as versions
from minicompute.api.openstack import router, wsgi

GOLDEN = pathlib.Path(__file__).with_name('routes.golden')


@pytest.fixture(scope='module')
def routes():
    return router.Router(row for module in router.load_modules() for row in module.ROUTES)


def test_golden(routes):
    """A route that comes, goes or changes its versions is seen in review."""
    table = '\n'.join(routes.table()) + '\n'
    if os.environ.get('UPDATE_GOLDEN'):
        GOLDEN.write_text(table)
    assert table == GOLDEN.read_text(), 'look at the difference, then run with UPDATE_GOLDEN=1'


def test_every_operation_is_whole(routes):
    """Bodies have schemas, versions do not overlap, decorators are four at most (they are one promise)."""
    for key, resource in routes.resources.items():
        method, path = key.split()
        groups = resource.by_name.values() if isinstance(resource, wsgi.ActionResource) else [resource.operations]
        for operations in groups:
            spans = sorted((one.promise.first, one.promise.last) for one in operations)
            assert all(first[1] < second[0] for first, second in zip(spans, spans[1:], strict=False)), key
        for one in resource.operations:
            removed = one.promise.errors & {410} or one.label.startswith('removed.')
            if method in ('POST', 'PUT') and not removed:
                assert one.promise.body is not None, f'{one.label} has no schema for its body'
            if method == 'GET' and not removed:
                assert one.promise.query is not None, f'{one.label} has no schema for its query'
            silent = {*one.promise.code.values, *one.promise.also} <= {202, 204}    # what it answers is its code
            if not removed and not silent:
                assert one.promise.answer is not None, f'{one.label} has no schema for its answer'


@pytest.mark.parametrize('version', [str(version) for version in documents.microversions()])
def test_every_operation_has_schemas_at_each_of_its_versions(routes, version):
    """Those of a resource that came later begin with it, not at 2.1 alone."""
    asked = versions.parse(version)
    for entry in documents.entries(routes, asked):
        promise = entry.operation.promise
        for schemas in (promise.body, promise.query, promise.answer):
            if schemas is not None:
                schemas.at(asked)


def test_each_route_finds_itself(routes):
    for key in routes.resources:
        method, path = key.split()
        for prefix in ('', '/0123abc'):
            concrete = prefix + path.replace('{', 'x-').replace('}', '')
            found = routes.match(wsgi.Request.blank(concrete, method=method))
            assert found is not None and found[0] is routes.resources[key], key


def test_static_before_variable(routes):
    found = routes.match(wsgi.Request.blank('/flavors/detail'))
    assert found[1] == {} and routes.match(wsgi.Request.blank('/flavors/1'))[1] == {'id': '1'}


def test_project_in_front(routes):
    req = wsgi.Request.blank('/demo/flavors/1')
    assert routes.match(req)[1] == {'id': '1'} and req.project_in_url == 'demo'


def test_what_is_not_there(routes):
    for method, path in (('GET', '/nope'), ('PATCH', '/flavors'), ('GET', '/flavors/1/2/3/4'), ('HEAD', '/flavors'),
                         ('GET', '/flavors/%00'), ('GET', ''), ('GET', '/a/b/c'), ('GET', '//flavors')):
        assert routes.match(wsgi.Request.blank(path, method=method)) is None, path


def test_two_rows_for_one_path_are_a_mistake():
    class Some(wsgi.Controller):
        def index(self, req):
            """Nothing."""

    with pytest.raises(ValueError, match='two rows'):
        router.Router([('GET', '/x', Some, 'index'), ('GET', '/x', Some, 'index')])


def test_a_module_that_does_not_load_stops_the_start(monkeypatch):
    class Manager:
        def __init__(self, namespace, on_load_failure_callback):
            on_load_failure_callback(self, type('EntryPoint', (), {'name': 'bad', 'value': 'x:y'}), ImportError('no x'))

    monkeypatch.setattr(router, 'ExtensionManager', Manager)
    with pytest.raises(exception.ConfigurationError, match='bad .* does not load: no x'):
        router.load_modules()
