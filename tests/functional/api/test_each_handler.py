"""Each handler of the inventory at the edges of its microversions, and under /v2."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from minicompute.api.openstack import api_version_request as versions
from minicompute.api.openstack.api_version_request import APIVersionRequest
from tests.functional.api.client import Client
from tests.unit.api.inventory import ROOT, Handler, handlers

NOBODY = '00000000-0000-4000-8000-000000000000'
HANDLERS = [one for one in handlers() if one.operation != ROOT]


def request(client: Client, handler: Handler, version: APIVersionRequest | None = None, prefix: str = '/v2.1'):
    method, path, *action = handler.operation.split()
    for name in ('{id}', '{server_id}', '{flavor_id}', '{image_id}', '{domain_id}'):
        path = path.replace(name, NOBODY)
    body = {action[0]: None} if action else {} if method in ('POST', 'PUT') else None
    return client.call(method, prefix + path, body, version=str(version) if version else None)


def ended(answer) -> bool:
    """The version is not one of the handler's: a fault, unlike the 404 of an unknown path."""
    if answer.status_int != 404 or 'is not supported on this method' not in answer.text:
        return False
    return answer.json['itemNotFound']['code'] == 404


def outside(handler: Handler) -> Iterator[APIVersionRequest]:
    """The versions next to those of the handler."""
    if handler.first > versions.MIN:
        yield APIVersionRequest(2, handler.first.minor - 1)
    if handler.last < versions.MAX:
        yield APIVersionRequest(2, handler.last.minor + 1)


def test_each_handler_begins_and_ends_at_its_microversion(api):
    wrong = []
    for handler in HANDLERS:
        wrong += [f'{handler.operation} at {version}: {answer.status}' for version in outside(handler)
                  if not ended(answer := request(api, handler, version))]
        wrong += [f'{handler.operation} at {version}: {answer.status} {answer.text[:200]}'
                  for version in {handler.first, handler.last}
                  if ended(answer := request(api, handler, version)) or answer.status_int == 500]
    assert wrong == []


@pytest.mark.parametrize('version', ['2.1', '2.35', '2.36', '2.104'])
def test_what_was_removed_stays_removed(api, version):
    asked = versions.parse(version)
    wrong = {handler.operation: answer.status for handler in HANDLERS
             if not handler.codes and handler.first <= asked <= handler.last
             and (answer := request(api, handler, asked)).status_int not in handler.errors}
    assert wrong == {}


def test_v2_is_2_1_whatever_version_is_asked_for(api):
    """No microversions: neither asked for nor told."""
    wrong = []
    for handler in HANDLERS:
        for asked in (None, versions.MAX):
            answer = request(api, handler, asked, prefix='/v2')
            if ended(answer) != (handler.first > versions.MIN) or answer.status_int == 500:
                wrong.append(f'{handler.operation} asked for {asked}: {answer.status} {answer.text[:200]}')
            told = {'OpenStack-API-Version', 'X-OpenStack-Nova-API-Version'} & set(answer.headers)
            if told:
                wrong.append(f'{handler.operation}: {told}')
    assert wrong == []


def test_each_answer_tells_its_version(api):
    for handler in HANDLERS:
        for version in (handler.first, handler.last):
            answer = request(api, handler, version)
            assert answer.headers['OpenStack-API-Version'] == f'compute {version}', handler.operation
            assert answer.headers['X-OpenStack-Nova-API-Version'] == str(version)
            assert answer.headers.getall('Vary')[:2] == ['OpenStack-API-Version', 'X-OpenStack-Nova-API-Version']
            assert answer.headers['x-openstack-request-id'] == answer.headers['x-compute-request-id']


def test_other_methods_and_paths_are_not_faults(api):
    """There is no 405, and what the router does not know has a form of its own."""
    for handler in HANDLERS:
        path = handler.operation.split()[1].replace('{', 'x-').replace('}', '')
        for method, tail in (('PATCH', ''), ('GET', '/a/b/c/d/e')):
            answer = api.call(method, path + tail, version='2.50')
            assert answer.status_int == 404 and answer.json == {
                'message': 'The resource could not be found.', 'code': '404 Not Found', 'title': 'Not Found'}
