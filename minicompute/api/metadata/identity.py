"""Whose metadata is asked for. Only who knows the shared secret may say it: Neutron's proxy, and the computes, which
know it from the network that a request came from. What a guest itself sends counts for nothing."""
from __future__ import annotations

import hmac
from collections.abc import Mapping

from minicompute import exception
from minicompute.conf import CONF
from minicompute.virt.signature import INSTANCE, PROJECT, SIGNATURE, sign


class BadSignature(exception.Forbidden):
    msg_fmt = 'Invalid proxy request signature.'


def asked_for(headers: Mapping[str, str]) -> tuple[str, str]:
    """-> (server, its project). Raises Invalid, Forbidden."""
    secret = CONF.neutron.metadata_proxy_shared_secret
    if not CONF.neutron.service_metadata_proxy or not secret:
        raise exception.Forbidden('This metadata service answers nobody: [neutron] service_metadata_proxy and '
                                  'metadata_proxy_shared_secret are not set.')
    for name in (INSTANCE, SIGNATURE, PROJECT):
        if name not in headers:
            raise exception.Invalid(f'{name} header is missing from request.')
    uuid, signature = headers[INSTANCE], headers[SIGNATURE]
    if not hmac.compare_digest(sign(secret, uuid).encode(), signature.encode('utf-8', 'surrogatepass')):
        raise BadSignature
    return uuid, headers[PROJECT]
