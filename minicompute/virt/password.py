"""The administrator's password of a guest, sealed so that only the owner of the server's key can read it.

It is kept as Nova keeps it, so that its clients can open it: RSA with PKCS #1 v1.5, base64, in pieces of 255 characters
with the names `password_0`, `password_1`, ...
"""
from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

PREFIX = 'password_'
PIECE = 255
#: pieces that a key of 8192 bits fills; one that has more is not sealed to
PIECES = 6


def seal(public_key: str | None, password: str) -> str | None:
    """`password` for the owner of an `ssh-rsa` key; None where there is no such key, or it cannot hold it."""
    if not public_key or not public_key.startswith('ssh-rsa '):
        return None
    try:
        key = serialization.load_ssh_public_key(public_key.encode())
        assert isinstance(key, rsa.RSAPublicKey)
        sealed = base64.b64encode(key.encrypt(password.encode(), padding.PKCS1v15())).decode()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return sealed if len(sealed) <= PIECE * PIECES else None


def to_metadata(sealed: str | None) -> dict[str, str | None]:
    """The pieces for system_metadata; None in the place of those that there are not, or of all."""
    text = sealed or ''
    return {f'{PREFIX}{place}': text[place * PIECE:(place + 1) * PIECE] or None for place in range(PIECES)}


def from_metadata(kept: Mapping[str, Any]) -> str:
    """'' when there is none."""
    return ''.join(str(kept.get(f'{PREFIX}{place}') or '') for place in range(PIECES))
