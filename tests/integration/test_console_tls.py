"""The VNC proxy and a real QEMU that lets nobody in without TLS and certificates."""
from __future__ import annotations

import contextlib
import datetime
import pathlib
import struct
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from minicompute import exception
from minicompute.console import rfb
from minicompute.console.gate import Admission
from minicompute.console.proxy import ProxyServer
from minicompute.objects import Console, ConsoleToken
from tests.functional.test_console_proxy import Viewer, read
from tests.integration.stack import PATIENCE, free_port, port_open, wait_for

DAY = datetime.timedelta(days=1)


class Authority:
    """Signs what QEMU and the proxy show each other."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        directory.mkdir()
        self._key, self._name = ec.generate_private_key(ec.SECP256R1()), _name('authority')
        self.cert = self._sign('authority', self._key, ca=True)
        (directory / 'ca-cert.pem').write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))

    def issue(self, kind: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._sign(kind, key, ca=False)
        (self.directory / f'{kind}-cert.pem').write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        (self.directory / f'{kind}-key.pem').write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def _sign(self, name: str, key: Any, *, ca: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        usage = x509.KeyUsage(digital_signature=True, key_cert_sign=ca, crl_sign=ca, content_commitment=False,
                              key_encipherment=not ca, data_encipherment=False, key_agreement=False,
                              encipher_only=False, decipher_only=False)
        return (x509.CertificateBuilder().subject_name(_name(name)).issuer_name(self._name)
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - DAY).not_valid_after(now + DAY)
                .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
                .add_extension(usage, critical=True).sign(self._key, hashes.SHA256()))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


@pytest.fixture(scope='module')
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp('tls') / 'pki')
    for kind in ('server', 'client'):
        made.issue(kind)
    return made


@contextlib.contextmanager
def qemu(options: str, *words: str) -> Iterator[int]:
    """A machine that does not run, with a screen. -> the port of its VNC server"""
    port = free_port()
    process = subprocess.Popen(['qemu-system-x86_64', '-S', '-nodefaults', '-vga', 'std', '-display', 'none', *words,
                                '-vnc', f'127.0.0.1:{port - 5900}{options}'], stderr=subprocess.PIPE)
    try:
        def ready() -> bool:
            assert process.poll() is None, process.stderr and process.stderr.read()
            return port_open(port)
        wait_for(ready, PATIENCE, 'QEMU')
        yield port
    finally:
        process.kill()
        process.wait(10)


@contextlib.contextmanager
def proxy(port: int) -> Iterator[int]:
    class Open:
        """Lets everybody in."""

        def admit(self, _path: str, _headers: Any) -> Admission:
            token = ConsoleToken(token_hash='', console_type='novnc', instance_uuid='u', compute_host='h',
                                 host='127.0.0.1', port=port, access_url_base='')
            return Admission(Console(host='127.0.0.1', port=port), token)
    server = ProxyServer(('127.0.0.1', 0), Open(), target_tls=rfb.context())   # type: ignore[arg-type]
    threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def tls(conf: Any, authority: Authority) -> Any:
    conf.set_override('auth_schemes', ['vencrypt'], 'vnc')
    conf.set_override('vencrypt_ca_certs', str(authority.directory / 'ca-cert.pem'), 'vnc')
    conf.set_override('vencrypt_client_cert', str(authority.directory / 'client-cert.pem'), 'vnc')
    conf.set_override('vencrypt_client_key', str(authority.directory / 'client-key.pem'), 'vnc')
    return conf


def creds(authority: Authority) -> tuple[str, ...]:
    return '-object', f'tls-creds-x509,id=tls,dir={authority.directory},endpoint=server,verify-peer=yes'


def look(port: int) -> tuple[int, int]:
    """What a viewer does. -> the size of the screen, (0, 0) when there is none to be seen"""
    viewer = Viewer('/')
    viewer.connect(f'ws://127.0.0.1:{port}/', protocols=['binary'])
    viewer.socket.settimeout(PATIENCE)
    if read(viewer, 12) != rfb.VERSION:
        return 0, 0
    viewer.send(rfb.VERSION)
    assert read(viewer, 2) == b'\1\1'
    viewer.send(b'\1')
    assert read(viewer, 4) == b'\0\0\0\0'
    viewer.send(b'\1')      # others may look on
    width, height = struct.unpack('>HH', read(viewer, 24)[:4])
    viewer.close()
    return width, height


def test_encrypted_to_the_guest_and_plain_to_the_viewer(tls: Any, authority: Authority) -> None:
    with qemu(',tls-creds=tls', *creds(authority)) as screen, proxy(screen) as port:
        width, height = look(port)
    assert width >= 640 and height >= 400


def test_a_server_of_another_authority_is_not_shown(tls: Any, authority: Authority, tmp_path: pathlib.Path) -> None:
    other = Authority(tmp_path / 'other')
    other.issue('server')
    with qemu(',tls-creds=tls', *creds(other)) as screen, proxy(screen) as port:
        assert look(port) == (0, 0)


def test_without_encryption_only_where_that_is_allowed(tls: Any) -> None:
    with qemu('') as screen:
        with proxy(screen) as port:
            assert look(port) == (0, 0)
        tls.set_override('auth_schemes', ['vencrypt', 'none'], 'vnc')
        with proxy(screen) as port:
            assert look(port) != (0, 0)


def test_what_is_missing_is_named(conf: Any) -> None:
    with pytest.raises(exception.ConfigurationError, match='vencrypt_ca_certs'):
        rfb.context()
    conf.set_override('vencrypt_ca_certs', '/nonexistent', 'vnc')
    with pytest.raises(exception.ConfigurationError, match='vencrypt'):
        rfb.context()
