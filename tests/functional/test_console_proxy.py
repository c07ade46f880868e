"""The console proxies, from a WebSocket to what stands for a guest."""
from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockify.websocket import WebSocket, WebSocketWantReadError

from minicompute.console import proxy as proxy_module
from minicompute.console import rfb
from minicompute.console.gate import Gate, Refused, check_origin, token_of
from minicompute.console.proxy import ProxyServer
from minicompute.db.api import console_tokens
from minicompute.virt.fake.consoles import FakeConsoles

PATIENCE = 30


class Guest:
    """Listens where the fake driver says that the guest does; greets, and echoes."""

    def __init__(self) -> None:
        self._socket = socket.create_server(('127.0.0.1', 0))
        self.port = self._socket.getsockname()[1]
        self.visitors = 0
        self.closed = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.visitors += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b'RFB 003.008\n')
            while data := connection.recv(65536):
                connection.sendall(data)
        self.closed.set()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def guest(monkeypatch) -> Iterator[Guest]:
    made = Guest()
    monkeypatch.setitem(FakeConsoles.listeners, 'vnc', made.port)
    yield made
    made.close()


@contextlib.contextmanager
def serving(*args, **kwargs) -> Iterator[ProxyServer]:
    server = ProxyServer(('127.0.0.1', 0), *args, **kwargs)
    threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def proxy(cloud, tmp_path) -> Iterator[ProxyServer]:
    (tmp_path / 'page').mkdir()
    (tmp_path / 'page' / 'vnc_lite.html').write_text('<p>a page')
    with serving(Gate('vnc', 'novnc'), str(tmp_path / 'page')) as server:
        yield server


@pytest.fixture
def server(cloud) -> str:
    uuid = str(cloud.boot('vm')['id'])
    cloud.wait(uuid)
    return uuid


def path_of(cloud, uuid: str, protocol: str = 'vnc', kind: str = 'novnc') -> str:
    url = cloud.api('POST', f'/servers/{uuid}/remote-consoles',
                    {'remote_console': {'protocol': protocol, 'type': kind}})['remote_console']['url']
    return '/' + parse_qs(urlsplit(url).query)['path'][0]


class Viewer(WebSocket):
    """websockify's own client forgets what is behind the question mark, and what came with the end of the handshake."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._whole_path = path

    def send_request(self, type: str, path: str) -> None:
        super().send_request(type, self._whole_path)

    def connect(self, *args: Any, **kwargs: Any) -> None:
        super().connect(*args, **kwargs)
        while frame := self._decode_hybi(self._recv_buffer):
            self._recv_buffer = self._recv_buffer[frame['length']:]
            self._recv_queue.append(frame)


def connect(proxy: ProxyServer, path: str, origin: str | None = None) -> WebSocket:
    made = Viewer(path)
    made.connect(f'ws://127.0.0.1:{proxy.server_port}/', origin=origin, protocols=['binary'])
    made.socket.settimeout(PATIENCE)
    return made


def read(client: WebSocket, size: int) -> bytes:
    data = b''
    while len(data) < size:
        with contextlib.suppress(WebSocketWantReadError):
            piece = client.recv()
            if piece is None:
                break
            data += piece
    return data


def status(proxy: ProxyServer, path: str, **headers: str) -> int:
    """Of a request to open a socket that is not granted."""
    request = urllib.request.Request(f'http://127.0.0.1:{proxy.server_port}{path}', headers={
        'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', **headers})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=PATIENCE)
    return caught.value.code


def test_a_viewer_sees_and_types(cloud, proxy, guest, server):
    client = connect(proxy, path_of(cloud, server))
    assert read(client, 12) == b'RFB 003.008\n'
    for size in (1, 125, 126, 70000):
        client.send(b'x' * size)
        assert read(client, size) == b'x' * size
    client.close()
    assert guest.closed.wait(PATIENCE), 'the guest notices that the viewer has left'


def test_a_token_opens_one_console_once(cloud, proxy, guest, server):
    path = path_of(cloud, server)
    client = connect(proxy, path)
    assert read(client, 12)
    assert status(proxy, path) == 403
    assert guest.visitors == 1
    client.close()


def test_without_a_good_token_nobody_gets_in(cloud, proxy, guest, server):
    for path in ('/', '/?token=', '/?token=nonsense', '/?token=a&token=b', '/?token=' + 'x' * 5000, '/?token=%ff%00'):
        assert status(proxy, path) == 403
    assert guest.visitors == 0


def test_a_token_of_another_kind_does_not_open_it(cloud, proxy, guest, server, conf):
    conf.set_override('enabled', True, 'serial_console')
    url = cloud.api('POST', f'/servers/{server}/remote-consoles', {
        'remote_console': {'protocol': 'serial', 'type': 'serial'}})['remote_console']['url']
    assert status(proxy, '/?' + urlsplit(url).query) == 403
    assert guest.visitors == 0


def test_the_page_of_another_may_not_and_uses_nothing_up(cloud, proxy, guest, server):
    path = path_of(cloud, server)
    for origin in ('http://evil.example', 'https://127.0.0.1:6080', 'null', 'http://', 'http://[', 'javascript:1'):
        assert status(proxy, path, Origin=origin) == 403
    assert guest.visitors == 0
    client = connect(proxy, path, origin='http://127.0.0.1:6080')
    assert read(client, 12)
    client.close()


def test_the_place_in_a_token_is_not_believed(cloud, proxy, guest, server, monkeypatch):
    """The guest listens elsewhere now: what listens at the old port is another's."""
    path = path_of(cloud, server)
    monkeypatch.setitem(FakeConsoles.listeners, 'vnc', guest.port + 1)
    assert status(proxy, path) == 403
    assert guest.visitors == 0


def test_a_guest_that_does_not_answer_is_502(cloud, proxy, guest, server):
    path = path_of(cloud, server)
    guest.close()
    with contextlib.suppress(OSError):    # what waits in the queue of the socket that was closed
        socket.create_connection(('127.0.0.1', guest.port), 1).close()
    assert status(proxy, path) == 502


def test_records_that_cannot_be_asked_are_503(cloud, proxy, guest, server, monkeypatch):
    path = path_of(cloud, server)

    def away(*_args: Any) -> None:
        raise RuntimeError('the database is away')
    with monkeypatch.context() as patch:
        patch.setattr(console_tokens, 'find', away)
        assert status(proxy, path) == 503
    client = connect(proxy, path)
    assert read(client, 12)
    client.close()


def test_a_guest_that_goes_ends_the_session(cloud, proxy, server, monkeypatch):
    with socket.create_server(('127.0.0.1', 0)) as listener:
        monkeypatch.setitem(FakeConsoles.listeners, 'vnc', listener.getsockname()[1])
        client = connect(proxy, path_of(cloud, server))
        connection, _ = listener.accept()
        connection.close()
        assert read(client, 1) == b''
        assert client.close_code == 1000


def test_a_guest_that_never_stops_writing_waits_for_its_viewer(cloud, proxy, server, monkeypatch):
    with socket.create_server(('127.0.0.1', 0)) as listener:
        monkeypatch.setitem(FakeConsoles.listeners, 'vnc', listener.getsockname()[1])
        client = connect(proxy, path_of(cloud, server))
        connection, _ = listener.accept()
        connection.settimeout(2)
        sent = 0
        with connection, contextlib.suppress(TimeoutError):
            while sent < 200 * 1024 * 1024:
                sent += connection.send(b'y' * 65536)
        assert sent < 100 * 1024 * 1024, 'what nobody reads is not read for'
        client.socket.close()


def open_to(proxy: ProxyServer) -> socket.socket:
    return socket.create_connection(('127.0.0.1', proxy.server_port), PATIENCE)


def has_gone(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b''
    except ConnectionError:
        return True


def test_strangers_do_not_take_the_place_of_sessions(cloud, guest, server, conf, monkeypatch):
    conf.set_override('max_sessions', 1, 'console')
    monkeypatch.setattr(proxy_module, 'FETCHING', 2)
    with serving(Gate('vnc', 'novnc')) as proxy, contextlib.ExitStack() as stack:
        client = connect(proxy, path_of(cloud, server))
        assert read(client, 12)
        assert status(proxy, path_of(cloud, server)) == 503, 'one session is as many as may be'
        strangers = [stack.enter_context(open_to(proxy)) for _ in range(2)]
        assert has_gone(stack.enter_context(open_to(proxy)))
        client.send(b'x')
        assert read(client, 1) == b'x'
        client.close()
        assert guest.closed.wait(PATIENCE)
        strangers.pop().close()
        cloud.until(lambda: proxy._sessions._value == 1 and proxy._fetching._value == 1, 'the places to be given back')
        client = connect(proxy, path_of(cloud, server))
        assert read(client, 12)
        client.close()


def test_one_address_does_not_take_all_places(cloud, guest, server, conf, monkeypatch):
    conf.set_override('max_connections_per_address', 2, 'console')
    with serving(Gate('vnc', 'novnc')) as proxy, contextlib.ExitStack() as stack:
        client = connect(proxy, path_of(cloud, server))
        assert read(client, 12)     # a session is none of them
        for _ in range(2):
            stack.enter_context(open_to(proxy))
        assert has_gone(stack.enter_context(open_to(proxy)))
        # others come from elsewhere
        with monkeypatch.context() as patch:
            patch.setattr(proxy_module, 'origin_of', lambda address: 'elsewhere')
            assert status(proxy, '/') == 404 or status(proxy, '/') in (403, 405)
        stack.close()
        cloud.until(lambda: not proxy._strangers, 'the places to be given back')
        client.close()


@pytest.mark.parametrize(('address', 'whose'), [
    ('10.0.0.7', '10.0.0.7'), ('::ffff:10.0.0.7', '10.0.0.7'), ('2001:db8::1', '2001:db8::/64'),
    ('2001:db8::ffff', '2001:db8::/64'), ('fe80::1%eth0', 'fe80::/64')])
def test_whose_connections_they_are(address, whose):
    assert proxy_module.origin_of(address) == whose


def test_the_head_of_a_request_comes_soon(cloud, guest, server, monkeypatch):
    monkeypatch.setattr(proxy_module, 'HEAD', 0.5)
    with serving(Gate('vnc', 'novnc')) as proxy, open_to(proxy) as stranger:
        viewer = connect(proxy, path_of(cloud, server))
        stranger.sendall(b'GET / HTTP/1.1\r\n')
        stranger.settimeout(PATIENCE)
        assert not stranger.recv(1)
        cloud.until(lambda: proxy._fetching._value == proxy_module.FETCHING, 'the place to be given back')
        assert read(viewer, 12)
        viewer.close()


@pytest.mark.parametrize('tls', [False, True])
def test_a_stranger_has_a_minute_in_all(cloud, guest, server, monkeypatch, tls, tmp_path):
    """However it spreads its bytes; and whoever was admitted has all the time in the world."""
    monkeypatch.setattr(proxy_module, 'DEADLINE', 3.0)
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate(tmp_path))
    with serving(Gate('vnc', 'novnc'), None, context) as proxy, open_to(proxy) as stranger:
        viewer = None if tls else connect(proxy, path_of(cloud, server))
        end = time.monotonic() + PATIENCE
        with contextlib.suppress(OSError):
            stranger.sendall(b'\x16\x03\x01\x40\x00' if tls else b'GET /')
            while time.monotonic() < end:
                stranger.sendall(b'x')
                time.sleep(0.1)
        assert time.monotonic() < end
        cloud.until(lambda: proxy._fetching._value == proxy_module.FETCHING, 'the place to be given back')
        if viewer is not None:
            assert read(viewer, 12)
            viewer.send(b'x')
            assert read(viewer, 1) == b'x'
            viewer.close()


def test_a_thread_that_cannot_start_keeps_no_place(cloud, proxy, monkeypatch):
    start = threading.Thread.start

    def refuse(thread: Any) -> None:
        if thread._target == proxy.process_request_thread:
            raise RuntimeError("can't start new thread")
        start(thread)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', refuse)
        with open_to(proxy) as client:
            assert has_gone(client)
    assert proxy._fetching._value == proxy_module.FETCHING
    assert urllib.request.urlopen(f'http://127.0.0.1:{proxy.server_port}/vnc_lite.html', timeout=PATIENCE).status == 200


#: a piece of a message, neither its first nor its last
FRAGMENT = bytes([0x00, 0xff]) + struct.pack('>Q', 60000) + bytes(4 + 60000)


@pytest.mark.parametrize('encrypted', [False, True])
def test_a_message_that_never_ends_is_not_kept(cloud, proxy, guest, server, encrypted, monkeypatch):
    """Neither before nor after the greetings."""
    if encrypted:
        proxy.target_tls = ssl.create_default_context()
        monkeypatch.setattr(rfb, 'secure', lambda target, _tls: target)
    client = connect(proxy, path_of(cloud, server))
    assert read(client, 12)
    sent = 0
    with contextlib.suppress(OSError):
        client.socket.sendall(bytes([0x02]) + FRAGMENT[1:])
        while sent < 100 * 1024 * 1024:
            client.socket.sendall(FRAGMENT)
            sent += len(FRAGMENT)
    assert sent < 50 * 1024 * 1024
    client.socket.close()


def test_the_page_is_served_and_nothing_else(proxy, tmp_path):
    (tmp_path / 'secret').write_text('secret')
    base = f'http://127.0.0.1:{proxy.server_port}'
    for path in ('/vnc_lite.html', '/vnc_auto.html?path=x'):
        assert urllib.request.urlopen(base + path, timeout=PATIENCE).read() == b'<p>a page'
    for path in ('/', '/../secret', '/%2e%2e/secret', '/..%2fsecret', '/nothing'):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(base + path, timeout=PATIENCE)
        assert caught.value.code == 404


def test_over_tls(cloud, guest, server, tmp_path):
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    with serving(Gate('vnc', 'novnc'), None, context) as proxy:
        client_context = ssl.create_default_context(cafile=cert)
        with client_context.wrap_socket(socket.create_connection(('127.0.0.1', proxy.server_port), PATIENCE),
                                        server_hostname='localhost') as raw:
            raw.sendall(f'GET {path_of(cloud, server)} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n'
                        'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n'
                        'Sec-WebSocket-Protocol: binary\r\n\r\n'.encode())
            answer = b''
            while b'RFB 003.008' not in answer:
                piece = raw.recv(4096)
                assert piece, answer
                answer += piece
    assert answer.startswith(b'HTTP/1.1 101')


def certificate(directory) -> tuple[str, str]:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'localhost')])
    now = datetime.datetime.now(datetime.UTC)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName('localhost')]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256()))
    cert, secret = directory / 'cert.pem', directory / 'key.pem'
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         serialization.NoEncryption()))
    return str(cert), str(secret)


@pytest.mark.parametrize(('origin', 'host', 'url', 'good'), [
    (None, 'x', 'http://x/', True),
    ('http://console.example', 'console.example', 'http://other/', True),
    ('http://console.example:80', 'console.example', 'http://other/', True),
    ('http://console.example:81', 'console.example', 'http://other/', False),
    ('https://console.example', 'inner:6080', 'https://console.example/vnc.html', True),
    ('http://console.example', 'inner:6080', 'https://console.example/vnc.html', False),
    ('http://console.example', 'console.example', 'wss://console.example/', False),
    ('https://friend.example', 'x', 'wss://x/', True),
    ('https://friend.example:8443', 'x', 'wss://x/', True),
    ('https://port.example', 'x', 'wss://x/', False),
    ('https://port.example:8443', 'x', 'wss://x/', True),
    ('https://x.evil', 'x', 'wss://x/', False),
    ('file://', 'x', 'http://x/', False),
])
def test_origins(conf, origin, host, url, good):
    conf.set_override('allowed_origins', ['friend.example', 'port.example:8443'], 'console')
    if good:
        check_origin(origin, host, url)
    else:
        with pytest.raises(Refused):
            check_origin(origin, host, url)


def test_tokens_in_paths():
    assert token_of('/?token=a-b') == token_of('/websockify?x=1&token=a-b') == 'a-b'
    assert token_of('/websockify') is None and token_of('/?token=a&token=b') is None
