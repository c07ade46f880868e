from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from minicompute.virt import password


def line(key) -> str:
    return key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


@pytest.fixture(scope='module')
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=4096)


def test_only_the_owner_of_the_key_reads_it(key):
    sealed = password.seal(f'{line(key)} me@here', 'pässword')
    assert sealed is not None and len(sealed) > 2 * password.PIECE
    pieces = password.to_metadata(sealed)
    assert [name for name, piece in pieces.items() if piece] == ['password_0', 'password_1', 'password_2']
    kept = {'other': 'x', **{name: piece for name, piece in pieces.items() if piece}}
    again = password.from_metadata(kept)
    assert key.decrypt(base64.b64decode(again), padding.PKCS1v15()).decode() == 'pässword'


def test_what_cannot_be_sealed(key):
    for public in (None, '', 'ssh-rsa', 'ssh-rsa AAAA', line(ed25519.Ed25519PrivateKey.generate())):
        assert password.seal(public, 'x') is None
    assert password.seal(line(key), 'x' * 600) is None


def test_none_clears_every_piece():
    cleared = password.to_metadata(None)
    assert len(cleared) == password.PIECES and set(cleared.values()) == {None}
    assert password.from_metadata({}) == ''
