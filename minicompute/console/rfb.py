"""Encryption between a proxy and the VNC servers of guests: VeNCrypt with X.509, as QEMU speaks it.

The viewer is past the gate and needs no password, so it is offered none; on the other side the proxy proves who it is
by its certificate and QEMU by its own. RFB 3.8 on both sides; behind the handshakes nothing is looked at any more.
"""
from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable

from minicompute import exception
from minicompute.conf import CONF

VERSION = b'RFB 003.008\n'
NONE, VENCRYPT = 1, 19
X509_NONE = 260

Read = Callable[[int], bytes]
Write = Callable[[bytes], None]


class HandshakeFailed(OSError):
    """One side speaks another language, or does not prove who it is."""


def wanted() -> bool:
    return 'vencrypt' in CONF.vnc.auth_schemes


def context() -> ssl.SSLContext:
    """Raises ConfigurationError."""
    options = CONF.vnc
    if not options.vencrypt_ca_certs:
        raise exception.ConfigurationError(reason='[vnc] auth_schemes = vencrypt needs vencrypt_ca_certs')
    try:
        made = ssl.create_default_context(cafile=options.vencrypt_ca_certs)
        # QEMU's certificates name hosts by the names that libvirt knows, and we come by an address: the authority,
        # which signs nothing but hypervisors, is what is checked.
        made.check_hostname = False
        if options.vencrypt_client_cert:
            made.load_cert_chain(options.vencrypt_client_cert, options.vencrypt_client_key or None)
    except (OSError, ssl.SSLError) as error:
        raise exception.ConfigurationError(reason=f'[vnc] vencrypt_*: {error}') from None
    return made


def secure(target: socket.socket, tls: ssl.SSLContext) -> socket.socket:
    """Greet the server of a guest and agree on encryption, or on none where [vnc] auth_schemes allows it.
    -> the socket to go on with, behind the handshake. Raises HandshakeFailed, OSError."""
    read = _reader(target)
    if read(12)[:8] != VERSION[:8]:
        raise HandshakeFailed('The VNC server speaks no RFB 3')
    target.sendall(VERSION)
    kinds = read(read(1)[0])
    if VENCRYPT in kinds:
        target.sendall(bytes([VENCRYPT]))
        target = _encrypt(target, read, tls)
        read = _reader(target)
    elif NONE in kinds and 'none' in CONF.vnc.auth_schemes:
        target.sendall(bytes([NONE]))
    else:
        raise HandshakeFailed('The VNC server offers none of the [vnc] auth_schemes')
    if struct.unpack('>I', read(4))[0] != 0:
        raise HandshakeFailed('The VNC server refuses the proxy')
    return target


def _encrypt(target: socket.socket, read: Read, tls: ssl.SSLContext) -> socket.socket:
    if read(2) < b'\0\2':
        raise HandshakeFailed('The VNC server speaks an old VeNCrypt')
    target.sendall(b'\0\2')
    if read(1) != b'\0':
        raise HandshakeFailed('The VNC server speaks another VeNCrypt')
    count = read(1)[0]
    if X509_NONE not in struct.unpack(f'>{count}I', read(4 * count)):
        raise HandshakeFailed('The VNC server has no X.509 certificate')
    target.sendall(struct.pack('>I', X509_NONE))
    if read(1) != b'\1':
        raise HandshakeFailed('The VNC server refuses X.509')
    return tls.wrap_socket(target)


def welcome(read: Read, write: Write) -> None:
    """Greet the viewer, who needs no password. Raises HandshakeFailed, OSError."""
    write(VERSION)
    if read(12)[:8] != VERSION[:8]:
        raise HandshakeFailed('The viewer speaks no RFB 3')
    write(bytes([1, NONE]))
    if read(1)[0] != NONE:
        raise HandshakeFailed('The viewer wants a password')
    write(struct.pack('>I', 0))


def _reader(source: socket.socket) -> Read:
    def read(size: int) -> bytes:
        data = b''
        while len(data) < size:
            piece = source.recv(size - len(data))
            if not piece:
                raise HandshakeFailed('The VNC server has gone')
            data += piece
        return data
    return read
