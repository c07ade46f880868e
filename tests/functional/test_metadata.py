"""The metadata API: who is answered, with what; and the computes, which ask it for their guests."""
from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from webob import Request

from minicompute.api.metadata import app as app_module
from minicompute.compute.manager import metadata as proxy_module
from minicompute.compute.manager.metadata import Listener, MetadataProxy
from minicompute.virt import guest_data, link_local
from minicompute.virt.interface.metadata import Asker
from minicompute.virt.signature import sign
from minicompute.virt.vendordata import VendorDataFailed
from minicompute.wsgi import paste

SECRET = 'a secret'
PATIENCE = 30
OPENSTACK = ['2012-08-10', '2013-04-04', '2013-10-17', '2015-10-15', '2016-06-30', '2016-10-06', '2017-02-22',
             '2018-08-27', '2020-10-14', '2025-04-04', 'latest']
EC2 = ['1.0', '2007-01-19', '2007-03-01', '2007-08-29', '2007-10-10', '2007-12-15', '2008-02-01', '2008-09-01',
       '2009-04-04', 'latest']


@pytest.fixture
def secret(conf) -> None:
    conf.set_override('service_metadata_proxy', True, 'neutron')
    conf.set_override('metadata_proxy_shared_secret', SECRET, 'neutron')


@pytest.fixture
def app(cloud, secret) -> Any:
    return paste.load('metadata')


@pytest.fixture
def server(cloud) -> str:
    cloud.api('POST', '/os-keypairs', {'keypair': {'name': 'mine', 'type': 'ssh', 'public_key': KEY}})
    made = cloud.boot('web 1', key_name='mine', user_data=base64.b64encode(b'#!/bin/sh\n').decode(),
                      metadata={'role': 'db'}, hostname='web-1', version='2.94')
    cloud.wait(made['id'])
    return str(made['id'])


KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMrR5v1hEvMGJpVHFdRKyCtEFqJRjBeIbyPNX1dKM8rE mine'


def ask(app: Any, path: str, uuid: str, method: str = 'GET', body: bytes = b'', project: str = 'demo',
        signature: str | None = None, **headers: str) -> Any:
    request = Request.blank(path, method=method, body=body)
    request.headers.update({'X-Instance-ID': uuid, 'X-Tenant-ID': project,
                            'X-Instance-ID-Signature': signature or sign(SECRET, uuid), **headers})
    return request.get_response(app)


def test_the_tree_of_openstack(app, server):
    assert ask(app, '/openstack', server).text.split('\n') == OPENSTACK
    listed = ask(app, '/openstack/latest/', server).text.split('\n')
    assert listed == ['meta_data.json', 'user_data', 'password', 'vendor_data.json', 'network_data.json',
                      'vendor_data2.json']
    for version in OPENSTACK:
        body = ask(app, f'/openstack/{version}/meta_data.json', server).json
        assert (body['uuid'], body['name'], body['hostname']) == (server, 'web 1', 'web-1.novalocal')
        assert body['meta'] == {'role': 'db'} and body['public_keys'] == {'mine': KEY}
        assert ('random_seed' in body) == (version >= '2013-04-04')
        assert ('project_id' in body) == (version >= '2015-10-15')
        assert 'admin_pass' not in body, 'whoever is in the guest can ask here'
        assert (ask(app, f'/openstack/{version}/vendor_data.json', server).status_int == 200) == (
            version >= '2013-10-17')
    assert ask(app, '/openstack/latest/user_data', server).body == b'#!/bin/sh\n'
    assert ask(app, '/openstack/latest/network_data.json', server).json['networks'] == []
    assert ask(app, '/openstack/latest/meta_data.json', server).content_type == 'application/json'


def test_the_tree_of_ec2(app, server):
    assert Request.blank('/').get_response(app).text.split('\n') == EC2
    assert ask(app, '/latest', server).text == 'meta-data/\nuser-data'
    assert ask(app, '/2009-04-04/user-data', server).body == b'#!/bin/sh\n'
    names = ask(app, '/latest/meta-data/', server).text.split('\n')
    assert {'instance-id', 'placement/', 'public-keys/', 'hostname'} <= set(names)
    for path, text in {'hostname': 'web-1.novalocal', 'placement/availability-zone': 'nova', 'public-keys/': '0=mine',
                       'public-keys/0/openssh-key': KEY, 'public-keys/0': 'openssh-key', 'instance-action': 'none',
                       'placement': 'availability-zone'}.items():
        answer = ask(app, f'/2009-04-04/meta-data/{path}', server)
        assert answer.text == text and answer.content_type == 'text/plain'
    assert ask(app, '/1.0/meta-data/instance-id', server).text.startswith('i-')
    for version, name in (('1.0', 'local-hostname'), ('2007-03-01', 'instance-type'), ('2007-12-15', 'placement/')):
        assert ask(app, f'/{version}/meta-data/{name}', server).status_int == 404


def test_other_paths_are_404(app, server):
    for path in ('/nothing', '/openstack/2011-01-01', '/openstack/latest/nothing', '/latest/nothing', '/%ff',
                 '/openstack/latest/meta_data.json/x', '/2000-01-01/meta-data', '/openstack/content',
                 '/openstack/../../etc/passwd', '/openstack/content/0000', '/openstack/2012-08-10/password',
                 '/latest/meta-data/a/b/c'):
        assert ask(app, path, server).status_int == 404, path


def test_only_who_knows_the_secret_is_answered(app, server):
    good = sign(SECRET, server)
    assert ask(app, '/latest', server, signature=good).status_int == 200
    for bad in ('x', good[:-1], good.upper(), sign('another secret', server), f'{good},{good}', 'é'):
        answer = ask(app, '/latest', server, signature=bad)
        assert answer.status_int == 403 and server not in answer.text
    assert ask(app, '/latest', server, project='other').status_int == 404
    nobody = '00000000-0000-4000-8000-000000000000'
    assert ask(app, '/latest', nobody).status_int == 404
    for missing in ('X-Instance-ID', 'X-Tenant-ID', 'X-Instance-ID-Signature'):
        request = Request.blank('/latest')
        request.headers.update({'X-Instance-ID': server, 'X-Tenant-ID': 'demo', 'X-Instance-ID-Signature': good})
        del request.headers[missing]
        answer = request.get_response(app)
        assert answer.status_int == 400 and missing in answer.text


def test_without_a_secret_nobody_is_answered(app, server, conf):
    conf.set_override('metadata_proxy_shared_secret', '', 'neutron')
    assert ask(app, '/latest', server, signature=sign('', server)).status_int == 403
    conf.set_override('metadata_proxy_shared_secret', SECRET, 'neutron')
    conf.set_override('service_metadata_proxy', False, 'neutron')
    assert ask(app, '/latest', server).status_int == 403


def test_a_password_is_left_once(app, cloud, server):
    path = '/openstack/latest/password'
    assert (ask(app, path, server).status_int, ask(app, path, server).text) == (200, '')
    for bad in (b'', b'x' * 1021, b'\xff', b'a\0b'):
        assert ask(app, path, server, 'POST', bad).status_int == 400
    sealed = b'c2VhbGVk' * 100
    assert ask(app, path, server, 'POST', sealed).status_int == 200
    assert ask(app, path, server, 'POST', b'another').status_int == 409
    assert ask(app, path, server).body == sealed
    assert cloud.api('GET', f'/servers/{server}/os-server-password')['password'] == sealed.decode()
    cloud.api('DELETE', f'/servers/{server}/os-server-password')
    assert ask(app, path, server, 'POST', b'another').status_int == 200
    assert ask(app, path, server, 'PUT').status_int == 405
    assert ask(app, '/openstack/latest/meta_data.json', server, 'POST', b'x').status_int == 405


def test_who_asks_too_often_waits(app, server, conf):
    conf.set_override('metadata_rate_limit', 1.0, 'api')
    answers = [ask(app, '/latest', server) for _ in range(40)]
    assert answers[0].status_int == 200 and answers[-1].status_int == 429
    assert int(answers[-1].headers['Retry-After']) >= 1
    assert ask(app, '/latest', '00000000-0000-4000-8000-000000000000').status_int == 404, 'others are not kept waiting'


def test_documents_are_kept_for_a_while(app, cloud, server, conf):
    def role() -> Any:
        return ask(app, '/openstack/latest/meta_data.json', server).json.get('meta')
    conf.set_override('metadata_cache_expiration', 0, 'api')
    assert role() == {'role': 'db'}
    cloud.api('POST', f'/servers/{server}/metadata', {'metadata': {'role': 'web'}})
    assert role() == {'role': 'web'}
    conf.set_override('metadata_cache_expiration', 3600, 'api')
    role()
    cloud.api('POST', f'/servers/{server}/metadata', {'metadata': {'role': 'none'}})
    assert role() == {'role': 'web'}


@pytest.mark.parametrize('fails', [False, True])
def test_of_many_who_ask_at_once_one_reads(app, server, monkeypatch, fails):
    """A vendor data service is not asked by each of them, and one that is down not by each that comes after."""
    monkeypatch.setattr(app_module, 'FAILURE', 3600.0)
    known, calls = guest_data.describe, []

    def slow(instance: Any) -> Any:
        calls.append(instance.uuid)
        time.sleep(1)
        if fails:
            raise VendorDataFailed(name='acme')
        return known(instance)
    monkeypatch.setattr(guest_data, 'describe', slow)
    with ThreadPoolExecutor(8) as pool:
        answers = [one.result() for one in [pool.submit(ask, app, '/latest', server) for _ in range(8)]]
    answers.append(ask(app, '/latest', server))
    assert {one.status_int for one in answers} == {500 if fails else 200} and calls == [server]
    if fails:
        monkeypatch.setattr(app_module, 'time', SimpleNamespace(monotonic=lambda: time.monotonic() + 3600))
        ask(app, '/latest', server)
        assert len(calls) == 2, 'it is not kept for good'


# -- vendor data -------------------------------------------------------------------

class Vendor(BaseHTTPRequestHandler):
    asked: list[Any] = []
    answer = b'{"license": 7}'

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
        self.send_response(200)
        self.send_header('Content-Length', str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def vendor(monkeypatch) -> Iterator[str]:
    monkeypatch.setattr(Vendor, 'asked', [])
    service = ThreadingHTTPServer(('127.0.0.1', 0), Vendor)
    threading.Thread(target=service.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()
    yield f'http://127.0.0.1:{service.server_port}/'
    service.shutdown()
    service.server_close()


def test_vendor_data_of_a_file_and_of_services(app, server, conf, tmp_path, vendor, monkeypatch):
    (tmp_path / 'vendor.json').write_text('{"cloud": "ours"}')
    conf.set_override('vendordata_providers', ['StaticJSON', 'DynamicJSON'], 'api')
    conf.set_override('vendordata_jsonfile_path', str(tmp_path / 'vendor.json'), 'api')
    conf.set_override('vendordata_dynamic_targets', [f'acme@{vendor}', 'nameless', f'acme@{vendor}twice'], 'api')
    conf.set_override('metadata_cache_expiration', 0, 'api')
    assert ask(app, '/openstack/latest/vendor_data.json', server).json == {'cloud': 'ours'}
    Vendor.asked.clear()
    assert ask(app, '/openstack/latest/vendor_data2.json', server).json == {
        'static': {'cloud': 'ours'}, 'acme': {'license': 7}}
    assert len(Vendor.asked) == 1
    assert Vendor.asked[0]['instance-id'] == server and Vendor.asked[0]['metadata'] == {'role': 'db'}
    monkeypatch.setattr(Vendor, 'answer', b'no json')
    assert ask(app, '/openstack/latest/vendor_data2.json', server).json['acme'] == {}
    conf.set_override('vendordata_dynamic_failure_fatal', True, 'api')
    monkeypatch.setattr(app_module, 'FAILURE', 0.0)
    assert ask(app, '/openstack/latest/vendor_data2.json', server).status_int == 500
    (tmp_path / 'vendor.json').write_text('[1]')
    conf.set_override('vendordata_dynamic_failure_fatal', False, 'api')
    assert ask(app, '/openstack/latest/vendor_data.json', server).json == {}


# -- the computes ------------------------------------------------------------------

class Network:
    """Stands for a driver: who has which address."""

    def __init__(self, uuid: str) -> None:
        self.asker: Asker | None = Asker(uuid, 'demo', 'fa:16:3e:00:00:01')
        self.asked: list[tuple[str, str]] = []

    def who_asks(self, bridge: str, address: str) -> Asker | None:
        self.asked.append((bridge, address))
        return self.asker


@pytest.fixture
def network(server, monkeypatch) -> Network:
    monkeypatch.setattr(link_local, 'mac_of', lambda _bridge, _address: 'fa:16:3e:00:00:01')
    return Network(server)


@pytest.fixture
def api(app, conf) -> Iterator[None]:
    """The metadata API on a socket."""
    class Quiet(WSGIRequestHandler):
        def log_message(self, *_args: Any) -> None:
            pass
    service = make_server('127.0.0.1', 0, app, handler_class=Quiet)
    threading.Thread(target=service.serve_forever, args=(0.02,), daemon=True).start()
    conf.set_override('metadata_url', f'http://127.0.0.1:{service.server_port}', 'local_networks')
    yield
    service.shutdown()
    service.server_close()


@pytest.fixture
def listener(network) -> Iterator[str]:
    listening = socket.create_server(('127.0.0.1', 0))
    made = Listener('bridge0', listening, network)   # type: ignore[arg-type]
    yield f'http://127.0.0.1:{listening.getsockname()[1]}'
    made.close()


def get(url: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data, {name.replace('_', '-'): text for name, text in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize('backend', ['local', 'neutron'])
def test_only_a_host_of_local_networks_listens_on_their_bridges(conf, network, backend):
    conf.set_override('metadata_url', 'http://127.0.0.1:1', 'local_networks')
    conf.set_override('metadata_proxy_shared_secret', 'secret', 'neutron')
    conf.set_override('network_backend', backend)
    assert bool(MetadataProxy(network).periodics()) == (backend == 'local')


def test_a_guest_is_known_by_its_network_and_not_by_what_it_says(api, listener, network, server, cloud):
    other = str(cloud.boot('other')['id'])
    status, body = get(f'{listener}/openstack/latest/meta_data.json', X_Instance_ID=other, X_Tenant_ID='demo',
                       X_Instance_ID_Signature=sign(SECRET, other), X_Forwarded_For='10.0.0.9')
    assert status == 200 and json.loads(body)['uuid'] == server
    assert network.asked == [('bridge0', '127.0.0.1')]
    assert get(f'{listener}/latest/nothing')[0] == 404
    assert get(f'{listener}/openstack/latest/password', b'sealed')[0] == 200
    assert get(f'{listener}/openstack/latest/password') == (200, b'sealed')


def test_strangers_learn_nothing(api, listener, network, monkeypatch):
    network.asker = None
    assert get(f'{listener}/latest')[0] == 404
    network.asker = Asker('u', 'demo', 'fa:16:3e:00:00:01')
    monkeypatch.setattr(link_local, 'mac_of', lambda _bridge, _address: 'fa:16:3e:00:00:02')
    assert get(f'{listener}/latest')[0] == 404, 'another card has taken the address'


def test_an_api_that_is_away_is_503(listener, network, conf, secret):
    with socket.create_server(('127.0.0.1', 0)) as gone:
        port = gone.getsockname()[1]
    conf.set_override('metadata_url', f'http://127.0.0.1:{port}', 'local_networks')
    assert get(f'{listener}/latest')[0] == 503


def test_bad_requests_end_here(api, listener):
    host, _, port = listener.removeprefix('http://').partition(':')
    for text, status in ((b'GET http://evil/ HTTP/1.0\r\n\r\n', b'400'), (b'nonsense\r\n\r\n', b'400'),
                         (b'POST / HTTP/1.0\r\nContent-Length: 99999999\r\n\r\n', b'413'),
                         (b'POST / HTTP/1.0\r\nContent-Length: -1\r\n\r\n', b'413'),
                         (b'POST / HTTP/1.0\r\nContent-Length: \xb2\r\n\r\n', b'413'),
                         (b'POST / HTTP/1.0\r\nContent-Length: ' + b'0' * 5000 + b'\r\n\r\n', b'413'),
                         (b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n', b'400'),
                         (b'GET /\xff\x01 HTTP/1.0\r\n\r\n', b'400')):
        with socket.create_connection((host, int(port)), PATIENCE) as client:
            client.sendall(text)
            answer = b''
            while piece := client.recv(4096):
                answer += piece
        assert status in answer, text


def test_one_guest_does_not_keep_all_threads(api, listener, server):
    host, _, port = listener.removeprefix('http://').partition(':')
    with contextlib.ExitStack() as stack:
        for _ in range(proxy_module.MOST_OF_ONE):
            idle = stack.enter_context(socket.create_connection((host, int(port)), PATIENCE))
            idle.sendall(b'GET /latest HTTP/1.0\r\n')
        with socket.create_connection((host, int(port)), PATIENCE) as client, contextlib.suppress(ConnectionError):
            client.sendall(b'GET /latest HTTP/1.0\r\n\r\n')
            assert client.recv(4096) == b''


@pytest.mark.parametrize('beginning', [
    b'GET /', b'GET /latest HTTP/1.0\r\nX: ',
    b'POST /openstack/latest/password HTTP/1.0\r\nContent-Length: 1000\r\n\r\n'])
def test_a_guest_has_so_much_time_in_all(api, listener, app, server, monkeypatch, beginning):
    """However it spreads its bytes; and half of what it meant to say is not passed on."""
    monkeypatch.setattr(proxy_module, 'WHOLE', 1.0)
    host, _, port = listener.removeprefix('http://').partition(':')
    end = time.monotonic() + PATIENCE
    with socket.create_connection((host, int(port)), PATIENCE) as client, contextlib.suppress(OSError):
        client.sendall(beginning)
        while time.monotonic() < end:
            client.sendall(b'x')
            time.sleep(0.1)
    assert time.monotonic() < end
    assert ask(app, '/openstack/latest/password', server).body == b''


def test_a_slow_api_is_not_the_guests_fault(api, listener, server, app, monkeypatch):
    monkeypatch.setattr(proxy_module, 'WHOLE', 0.5)
    known = guest_data.describe

    def slow(instance: Any) -> Any:
        time.sleep(1.5)
        return known(instance)
    monkeypatch.setattr(guest_data, 'describe', slow)
    assert get(f'{listener}/latest')[0] == 200


def test_a_thread_that_cannot_start_is_not_counted(network, monkeypatch):
    with socket.create_server(('127.0.0.1', 0)) as listening:
        listener = Listener('bridge0', listening, network)   # type: ignore[arg-type]
        start = threading.Thread.start

        def refuse(thread: Any) -> None:
            if thread._target == listener.process_request_thread:
                raise RuntimeError("can't start new thread")
            start(thread)
        monkeypatch.setattr(threading.Thread, 'start', refuse)
        with socket.create_connection(listening.getsockname(), PATIENCE) as client:
            with contextlib.suppress(ConnectionError):
                assert client.recv(1) == b''
        assert not listener._under_way
        listener.close()


def test_there_is_a_listener_where_there_is_a_bridge(network, monkeypatch):
    """A bridge that goes and comes again is another one."""
    there = {'b1': 7, 'b2': 8}
    ruled, forgotten = {'b1', 'b2', 'old'}, []
    network.metadata_bridges = lambda: list(there)   # type: ignore[attr-defined]
    monkeypatch.setattr(link_local, 'index', there.get)
    monkeypatch.setattr(link_local, 'rules', lambda: set(ruled))
    monkeypatch.setattr(link_local, 'forget', forgotten.append)
    monkeypatch.setattr(link_local, 'listen', lambda _bridge: socket.create_server(('127.0.0.1', 0)))
    proxy = proxy_module.MetadataProxy(network)
    proxy.listen()
    first = dict(proxy._listeners)
    assert set(first) == {'b1', 'b2'} and forgotten == ['old']
    proxy.listen()
    assert proxy._listeners == first
    there['b1'] = 9
    del there['b2']
    proxy.listen()
    assert set(proxy._listeners) == {'b1'} and proxy._listeners['b1'] is not first['b1']
    assert set(forgotten) == {'old', 'b2'}
    proxy.stop()


def test_a_bridge_that_cannot_be_listened_on_keeps_no_other_from_it(network, monkeypatch):
    def listen(bridge: str) -> socket.socket:
        if bridge == 'b1':
            raise PermissionError('no right')
        return socket.create_server(('127.0.0.1', 0))
    network.metadata_bridges = lambda: ['b1', 'b2']   # type: ignore[attr-defined]
    monkeypatch.setattr(link_local, 'index', {'b1': 7, 'b2': 8}.get)
    monkeypatch.setattr(link_local, 'rules', set)
    monkeypatch.setattr(link_local, 'listen', listen)
    proxy = proxy_module.MetadataProxy(network)
    proxy.listen()
    assert set(proxy._listeners) == {'b2'}
    proxy.stop()
