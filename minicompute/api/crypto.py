"""Keys of users: what a public key is, its fingerprint, and (below 2.92) making one."""
from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import struct

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from minicompute import exception

SSH, X509 = 'ssh', 'x509'
BITS = 3072
VALID = datetime.timedelta(days=3650)
UPN = ObjectIdentifier('1.3.6.1.4.1.311.20.2.3')      # the user's name as Windows reads it
# Hardware keys, which cryptography cannot read but sshd can.
SECURITY_KEYS = ('sk-ssh-ed25519@openssh.com', 'sk-ecdsa-sha2-nistp256@openssh.com')


def check(kind: str, public_key: str) -> tuple[str, str]:
    """-> (the key as it is kept, its fingerprint). Raises KeypairInvalid."""
    text = public_key.strip()
    return (text, _ssh_fingerprint(text)) if kind == SSH else (text, _x509_fingerprint(text))


def _ssh_fingerprint(text: str) -> str:
    """One line of authorized_keys without options -> 'aa:bb:...' of MD5, as ssh-keygen -E md5 prints."""
    words = text.split(None, 2)
    if len(words) < 2 or '\n' in text or '\r' in text:
        raise exception.KeypairInvalid(reason='it must be one line: type, key and comment')
    algorithm = words[0]
    try:
        blob = base64.b64decode(words[1], validate=True)
        length = struct.unpack('>I', blob[:4])[0]
        if blob[4:4 + length].decode('ascii') != algorithm:
            raise exception.KeypairInvalid(reason='the type named is not the type of the key')
        if algorithm not in SECURITY_KEYS:
            serialization.load_ssh_public_key(f'{algorithm} {words[1]}'.encode())
    except (binascii.Error, ValueError, struct.error, UnsupportedAlgorithm):
        raise exception.KeypairInvalid(reason='failed to read it as an SSH public key') from None
    return _colons(hashlib.md5(blob, usedforsecurity=False).hexdigest())


def _x509_fingerprint(text: str) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise exception.KeypairInvalid(reason='failed to read it as a PEM X.509 certificate') from None
    return _colons(certificate.fingerprint(hashes.SHA1()).hex())


def _colons(digest: str) -> str:
    return ':'.join(digest[place:place + 2] for place in range(0, len(digest), 2))


def generate(kind: str, user_id: str) -> tuple[str, str]:
    """-> (public key or certificate, private key), both as text. We keep no copy of the second."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    if kind == SSH:
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        return f'{public.decode()} Generated-by-minicompute', _pem(key, serialization.PrivateFormat.TraditionalOpenSSL)
    certificate = _client_certificate(key, user_id)
    return (certificate.public_bytes(serialization.Encoding.PEM).decode(),
            _pem(key, serialization.PrivateFormat.PKCS8))


def _pem(key: rsa.RSAPrivateKey, form: serialization.PrivateFormat) -> str:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _client_certificate(key: rsa.RSAPrivateKey, user_id: str) -> x509.Certificate:
    """Self-signed, for logging in to WinRM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64])])
    now = datetime.datetime.now(datetime.UTC)
    principal = f'{user_id[:64]}@localhost'.encode()
    encoded = bytes((0x0c, len(principal))) + principal if len(principal) < 128 else b'\x0c\x00'
    return (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + VALID)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.OtherName(UPN, encoded)]), critical=False)
            .sign(key, hashes.SHA256()))
