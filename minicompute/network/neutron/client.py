"""Neutron's API, as far as we need it: lists by ids in few calls, and its refusals as our exceptions."""
from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from minicompute import exception, service_auth
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.service_auth import Said

#: ids of one request: their URL stays below what proxies take
MOST_IDS = 100

Document = dict[str, Any]


class PortLimitExceeded(exception.QuotaError):
    msg_fmt = 'Maximum number of ports exceeded'


class Changed(exception.Conflict):
    """Somebody has changed it since it was read."""


class PortInUse(exception.Conflict):
    msg_fmt = 'Port %(port_id)s is still in use.'


class PortUnusable(exception.Invalid):
    msg_fmt = 'Port %(port_id)s is not usable: %(reason)s.'


class NetworkWithQoS(exception.Invalid):
    msg_fmt = ('Using networks with QoS policies that guarantee something is not supported (network %(network_id)s): '
               'no host here accounts for bandwidth.')


class PortRequiresFixedIP(exception.Invalid):
    msg_fmt = 'Port %(port_id)s requires a FixedIP in order to be used.'


class ExternalNetworkAttachForbidden(exception.Forbidden):
    msg_fmt = 'It is not allowed to create an interface on external network %(network_id)s'


class Client:
    """As the user of `context`, if it has a token, or as the service user."""

    def __init__(self, context: RequestContext | None = None) -> None:
        self._adapter = service_auth.adapter('neutron', context)
        #: whether it is the user himself who asks
        self.of_user = self._adapter.of_user

    def get(self, path: str, **params: Any) -> Document:
        return self._adapter.document(self._adapter.get(path, params=params, errors=_REFUSALS))

    def there(self, path: str) -> bool:
        try:
            self.get(path)
        except exception.NotFound:
            return False
        return True

    def create(self, path: str, body: Document) -> Document:
        return self._adapter.document(self._adapter.post(path, json=body, errors=_REFUSALS))

    def update(self, path: str, body: Document | None = None, revision: int | None = None) -> Document:
        """`revision`: only if nobody has changed it since. Raises Changed."""
        headers = {} if revision is None else {'If-Match': f'revision_number={revision}'}
        return self._adapter.document(self._adapter.put(path, json=body, headers=headers, errors=_REFUSALS))

    def delete(self, path: str) -> bool:
        """-> whether it was there."""
        try:
            self._adapter.delete(path, errors=_REFUSALS)
        except exception.NotFound:
            return False
        return True

    def every(self, what: str, **filters: Any) -> list[Document]:
        """All of them, however many Neutron gives at once ([DEFAULT] pagination_max_limit there). `what` as in the
        path: 'ports', 'security-groups'."""
        name = what.replace('-', '_')
        found: list[Document] = []
        more: Document | None = {}
        while more is not None:
            answer = self.get('/' + what, **filters, **more)
            found += answer[name]
            following = _next(answer.get(f'{name}_links') or ()) if answer[name] else None
            more = following if following != more else None
        return found

    def among(self, what: str, key: str, values: Iterable[str], **filters: Any) -> list[Document]:
        """Those whose `key` is one of `values`."""
        wanted = sorted(set(values))
        return [one for start in range(0, len(wanted), MOST_IDS)
                for one in self.every(what, **{key: wanted[start:start + MOST_IDS]}, **filters)]

    def extended(self, alias: str) -> bool:
        """Whether Neutron has an extension. Asked once in [neutron] extension_sync_interval seconds a process."""
        global _extensions
        until, known = _extensions
        if until <= time.monotonic():
            known = frozenset(one['alias'] for one in self.every('extensions', fields='alias'))
            _extensions = (time.monotonic() + CONF.neutron.extension_sync_interval, known)
        return alias in known


def _next(links: Iterable[Document]) -> Document | None:
    """Where the next page begins, by this page's link to it."""
    for link in links:
        if link.get('rel') == 'next':
            asked = parse_qs(urlsplit(str(link.get('href'))).query)
            found: Document = {key: asked[key][-1] for key in ('limit', 'marker', 'page_reverse') if key in asked}
            return found if 'marker' in found else None
    return None


_extensions: tuple[float, frozenset[str]] = (0.0, frozenset())


def forget_extensions() -> None:
    """For tests, and for who points us to another Neutron."""
    global _extensions
    _extensions = (0.0, frozenset())


def _said(kinds: Mapping[str, Any], otherwise: Any) -> Any:
    def error(said: Said) -> Exception:
        made: Exception = kinds.get(said.kind, otherwise)(said)
        return made
    return error


#: Neutron's names of what it refuses, by status
_REFUSALS = {
    400: _said({
        'InvalidIpForNetwork': lambda said: _bad_address(said), 'InvalidIpForSubnet': lambda said: _bad_address(said),
    }, lambda said: exception.InvalidInput(reason=said.message)),
    404: _said({}, lambda said: exception.NotFound(said.message)),
    409: _said({
        'OverQuota': lambda said: PortLimitExceeded(said.message),
        'IpAddressGenerationFailure': lambda said: exception.NoMoreFixedIps(said.message),
        'IpAddressAlreadyAllocated': lambda said: exception.FixedIpInUse(said.message),
        'IpAddressInUse': lambda said: exception.FixedIpInUse(said.message),
    }, lambda said: exception.Conflict(said.message)),
    412: _said({}, lambda said: Changed(said.message)),
    # What no agent can bind it calls an error of its own.
    500: _said({
        'PortBindingError': lambda said: exception.PortBindingFailed(said.message),
    }, lambda said: exception.NeighbourUnavailable(service='Network', reason='it answers 500')),
}


def _bad_address(said: Said) -> Exception:
    return exception.FixedIpInvalid(said.message)
