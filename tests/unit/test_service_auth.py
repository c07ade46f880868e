"""Requests to neighbours, over real sockets: who asks, what a refusal becomes, and silence."""
from __future__ import annotations

import copy
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute import exception, service_auth
from minicompute.context import RequestContext
from minicompute.objects import Instance
from tests.neighbour import Neighbour, forget

SILENT = exception.NeighbourUnavailable


@pytest.fixture
def neighbour(conf: Any) -> Iterator[Neighbour]:
    found = Neighbour(lambda method, path, headers, body: (200, {'path': path}))
    for group in ('glance', 'neutron', 'cinder'):
        found.configure(conf, group)
    yield found
    found.stop()
    forget(conf)


def of_user(neighbour: Neighbour, conf: Any, *, catalog: bool = True) -> RequestContext:
    conf.set_override('auth_strategy', 'keystone', 'api')
    context = RequestContext(user_id='u', project_id='p', auth_token='users-token', overwrite=False)
    if catalog:
        context.service_catalog = json.dumps([
            {'type': kind, 'name': kind, 'endpoints': [{'region': 'R', 'internalURL': url, 'publicURL': url}]}
            for kind, url in neighbour.catalog().items()])
    return context


def test_service_user_logs_in_once(neighbour: Neighbour) -> None:
    assert service_auth.adapter('glance').get('/images').json() == {'path': '/v2/images'}
    assert service_auth.adapter('glance').get('/images/a').json() == {'path': '/v2/images/a'}
    assert neighbour.log_ins == 1
    assert {seen[2]['X-Auth-Token'] for seen in neighbour.seen} == set(neighbour.tokens)


@pytest.mark.parametrize(('group', 'url', 'path'), [
    ('neutron', '', '/v2.0/ports'), ('cinder', '/v3', '/v3/ports'), ('cinder', '/v/v3/abc', '/v/v3/abc/ports'),
    ('glance', '/image', '/image/v2/ports'), ('glance', '/image/v2/', '/image/v2/ports')])
def test_paths_begin_below_the_version(neighbour: Neighbour, conf: Any, group: str, url: str, path: str) -> None:
    conf.set_override('endpoint_override', neighbour.url + url, group)
    assert service_auth.adapter(group).get('/ports').json() == {'path': path}


@pytest.mark.parametrize('catalog', [True, False])
def test_the_token_of_the_user_is_passed_on(neighbour: Neighbour, conf: Any, catalog: bool) -> None:
    context = of_user(neighbour, conf, catalog=catalog)
    service_auth.adapter('neutron', context).get('/networks')
    headers = neighbour.seen[0][2]
    assert headers['X-Auth-Token'] == 'users-token' and 'X-Service-Token' not in headers
    assert headers['X-Openstack-Request-Id'] == context.global_id
    assert neighbour.log_ins == (0 if catalog else 1)      # a token without a catalog: ours knows the way


def test_cinder_is_told_that_a_service_asks(neighbour: Neighbour) -> None:
    """It gives an attachment back to nobody else (bug 2004555)."""
    service_auth.adapter('cinder').delete('/attachments/a')
    headers = neighbour.seen[0][2]
    assert headers['X-Auth-Token'] == headers['X-Service-Token'] == neighbour.tokens[0]


def test_service_token(neighbour: Neighbour, conf: Any) -> None:
    neighbour.configure(conf, 'service_user')
    conf.set_override('send_service_user_token', True, 'service_user')
    service_auth.adapter('cinder', of_user(neighbour, conf)).get('/volumes')
    headers = neighbour.seen[0][2]
    assert headers['X-Auth-Token'] == 'users-token' and headers['X-Service-Token'] == neighbour.tokens[0]


def test_noauth2_passes_no_token_on(neighbour: Neighbour, conf: Any) -> None:
    conf.set_override('auth_strategy', 'noauth2', 'api')
    context = RequestContext(user_id='u', project_id='p', auth_token='u:p', overwrite=False)
    service_auth.adapter('glance', context).get('/images')
    assert neighbour.seen[0][2]['X-Auth-Token'] == neighbour.tokens[0]


def test_a_token_that_ended_is_renewed(neighbour: Neighbour) -> None:
    gone: set[str] = set()
    neighbour.answer = lambda method, path, headers, body: (401 if headers['X-Auth-Token'] in gone else 200, {})
    client = service_auth.adapter('neutron')
    client.get('/ports')
    gone.update(neighbour.tokens)
    client.post('/ports', json={})
    assert neighbour.log_ins == 2


REFUSALS = [
    (400, exception.InvalidInput), (403, exception.Forbidden), (404, exception.NotFound), (409, exception.Conflict),
    (410, exception.NotFound), (413, exception.Forbidden), (401, SILENT), (406, SILENT), (429, SILENT),
    (500, SILENT), (503, SILENT)]


@pytest.mark.parametrize(('status', 'error'), REFUSALS)
def test_refusals(neighbour: Neighbour, status: int, error: type[Exception]) -> None:
    neighbour.answer = lambda *asked: (status, {'NeutronError': {'type': 'Why', 'message': 'so it is'}})
    with pytest.raises(error) as caught:
        service_auth.adapter('neutron').get('/ports/a')
    assert type(caught.value) is error
    assert ('so it is' in str(caught.value)) == (error is not SILENT)


def test_the_callers_own_errors(neighbour: Neighbour) -> None:
    neighbour.answer = lambda *asked: (409, {'NeutronError': {'type': 'IpAddressInUse', 'message': '10.0.0.3'}})
    with pytest.raises(exception.FixedIpInUse, match=r'10\.0\.0\.3 is already in use on network IpAddressInUse'):
        service_auth.adapter('neutron').post('/ports', json={}, errors={
            409: lambda said: exception.FixedIpInUse(address=said.message, network_id=said.kind)})
    assert service_auth.adapter('neutron').get('/ports', raise_exc=False).status_code == 409


def test_user_whose_token_is_refused(neighbour: Neighbour, conf: Any) -> None:
    neighbour.answer = lambda *asked: (401, b'<html><head><title>401</title></head><body><h1>401</h1>Log in.</body>')
    with pytest.raises(exception.Unauthorized, match=r'^Log in\.$') as caught:
        service_auth.adapter('glance', of_user(neighbour, conf)).get('/images/a')
    assert caught.value.code == 401


def test_reads_are_repeated_and_writes_are_not(neighbour: Neighbour) -> None:
    answers = [503, 200]
    neighbour.answer = lambda *asked: (answers.pop(0), {})
    service_auth.adapter('cinder').get('/volumes')
    assert len(neighbour.seen) == 2
    answers += [503, 200]
    with pytest.raises(SILENT, match='Block Storage service is not available: it answers 503'):
        service_auth.adapter('cinder').post('/volumes', json={})
    assert len(neighbour.seen) == 3


def test_nobody_listens(neighbour: Neighbour, conf: Any) -> None:
    client = service_auth.adapter('glance')
    client.get('/images')
    neighbour.stop()
    try:
        with pytest.raises(SILENT, match='The Image service is not available: it cannot be reached') as caught:
            client.get('/images')
        assert str(neighbour.port) not in str(caught.value)      # users need no addresses of ours
    finally:
        neighbour.start()
    client.get('/images')


def test_who_hangs_is_left(neighbour: Neighbour, conf: Any) -> None:
    import threading
    enough = threading.Event()
    conf.set_override('timeout', 0.2, 'neutron')
    conf.set_override('connect_retries', 0, 'neutron')
    neighbour.answer = lambda *asked: (enough.wait(60), (200, {}))[1]
    try:
        with pytest.raises(SILENT, match='it does not answer in time'):
            service_auth.adapter('neutron').get('/ports')
    finally:
        enough.set()


def test_keystone_refuses_or_is_away(neighbour: Neighbour, conf: Any) -> None:
    neighbour.password = 'changed'
    with pytest.raises(SILENT, match=r'The Identity service is not available: it refuses the service user \(401\)'):
        service_auth.adapter('glance').get('/images')
    neighbour.stop()
    try:
        service_auth.reset()
        with pytest.raises(SILENT, match='The Identity service is not available: it cannot be reached'):
            service_auth.adapter('glance').get('/images')
    finally:
        neighbour.start()
    assert not neighbour.seen


def test_no_endpoint(neighbour: Neighbour, conf: Any) -> None:
    conf.set_override('region_name', 'elsewhere', 'neutron')
    with pytest.raises(SILENT, match='no network endpoint of these interfaces: internal, public .region elsewhere'):
        service_auth.adapter('neutron').get('/ports')


@pytest.mark.parametrize('who', ['service', 'user'])
def test_an_endpoint_that_is_registered_later(neighbour: Neighbour, conf: Any, who: str) -> None:
    """The token that we have is good for hours, and its catalog is as old as it is."""
    context = of_user(neighbour, conf, catalog=False) if who == 'user' else None
    whole, neighbour.catalog = neighbour.catalog, dict      # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(SILENT, match='the catalog has no network endpoint'):
            service_auth.adapter('neutron', context).get('/ports')
    assert neighbour.log_ins == 2, 'not a token for each request'
    neighbour.catalog = whole                               # type: ignore[method-assign]
    service_auth._forgotten['network'] -= service_auth.ANEW
    assert service_auth.adapter('neutron', context).get('/ports').json() == {'path': '/v2.0/ports'}
    assert neighbour.log_ins == 3


def test_configuration_is_checked(neighbour: Neighbour, conf: Any) -> None:
    service_auth.require('glance')
    conf.set_override('auth_type', None, 'glance')
    service_auth.reset()
    with pytest.raises(exception.ConfigurationError, match=r'\[glance\] auth_type is not set'):
        service_auth.require('glance')
    conf.set_override('auth_type', 'pasword', 'glance')
    service_auth.reset()
    with pytest.raises(exception.ConfigurationError, match=r'\[glance\].*pasword'):
        service_auth.require('glance')


def test_another_section_may_say_who_asks(neighbour: Neighbour, conf: Any) -> None:
    neighbour.configure(conf, 'service_user')
    conf.set_override('auth_type', None, 'cinder')
    conf.set_override('auth_section', 'service_user', 'cinder')
    service_auth.reset()
    service_auth.adapter('cinder').get('/volumes')
    assert neighbour.log_ins == 1


def test_the_token_does_not_travel(neighbour: Neighbour, conf: Any) -> None:
    context = of_user(neighbour, conf)
    for what in (context.to_dict(), context.get_logging_values()):
        assert 'users-token' not in str(what) and '127.0.0.1' not in str(what)


def test_who_has_no_neighbours_does_not_load_keystoneauth() -> None:
    program = ('import sys, minicompute.cmd.conductor, minicompute.cmd.compute, minicompute.cmd.scheduler, '
               'minicompute.cmd.api; print([m for m in sys.modules if m.startswith("keystoneauth1")])')
    assert subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                          check=True).stdout.strip() == '[]'


@pytest.mark.parametrize('body', [b'<html>', b'{"ports": [', b'[]', b'7', b'"x"', b'\xff\xfe{'])
def test_an_answer_that_is_none(neighbour: Neighbour, body: bytes) -> None:
    """200, and a page of the proxy in between."""
    neighbour.answer = lambda *_asked: (200, body)
    client = service_auth.adapter('neutron')
    with pytest.raises(SILENT, match='Network service is not available: its answer is no JSON object'):
        client.document(client.get('/ports'))


def test_an_answer_without_what_it_has_to_have(neighbour: Neighbour) -> None:
    neighbour.answer = lambda *_asked: (200, {'ports': [{'name': 'n'}]})
    client = service_auth.adapter('neutron')
    found = client.document(client.get('/ports'))
    assert found == {'ports': [{'name': 'n'}]} and found['ports'][0].get('id') is None
    for ask in (lambda: found['networks'], lambda: found['ports'][0]['id'], lambda: copy.deepcopy(found)['networks']):
        with pytest.raises(SILENT, match='Network service is not available: its answer has no'):
            ask()
    assert dataclasses.asdict(Instance(uuid='u', project_id='p', user_id='u', metadata=found))['metadata'] == found
    neighbour.answer = lambda *_asked: (204, None)
    assert client.document(client.get('/ports')) == {}
