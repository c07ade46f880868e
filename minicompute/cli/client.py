"""What the verbs talk through: compute's raw verbs, a microversion, openstacksdk's proxies for the rest."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from minicompute.cli import connection, errors

OUR_MAX = (2, 104)
_VERSION = re.compile(r'^2\.(0|[1-9]\d*)$')
_UUID = re.compile(r'^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$', re.IGNORECASE)


def parse_version(text: str) -> tuple[int, int] | None:
    """`X.Y` as numbers, None for `latest`; raises UsageError."""
    if text in ('latest', '2', '2.latest'):
        return None
    if not _VERSION.match(text):
        raise errors.UsageError(f"--microversion takes 2.Y or latest, not '{text}'")
    return 2, int(text.partition('.')[2])


def is_uuid(text: str) -> bool:
    return bool(_UUID.match(text))


class Client:
    """Connects when first asked for something."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._wanted = parse_version(options.microversion or 'latest')

    @cached_property
    def target(self) -> connection.Target:
        return connection.connect(self._options)

    @cached_property
    def compute(self) -> Any:
        return connection.compute_adapter(self.target)

    @cached_property
    def image(self) -> Any:
        """openstacksdk's Image v2 proxy."""
        self._need('image')
        return connection.image_proxy(self.target)

    @cached_property
    def network(self) -> Any:
        """openstacksdk's Network v2 proxy."""
        self._need('network')
        return connection.network_proxy(self.target)

    @cached_property
    def volume(self) -> Any:
        """An adapter at the Block Storage API v3."""
        return connection.volume_adapter(self.target)

    def has(self, service: str) -> bool:
        """Whether there is anywhere to look for that service; without Keystone there is no catalog."""
        return not self.target.noauth or service in self.target.overrides

    def _need(self, service: str) -> None:
        if not self.has(service):
            raise errors.EndpointError(
                f'No {service} endpoint: without Keystone, OS_{service.upper()}_ENDPOINT_OVERRIDE'
                f' (or {service}_endpoint_override in clouds.yaml) must name it')

    @cached_property
    def version(self) -> tuple[int, int]:
        """The microversion in use: the one asked for, else the newest that both sides know."""
        if self._wanted is not None:
            return self._wanted
        from keystoneauth1 import exceptions as ks

        try:
            data = self.compute.get_endpoint_data()
        except ks.DiscoveryFailure:
            # keystoneauth says the same whether nobody listens or somebody else does
            url = self.compute.get_endpoint()
            raise errors.EndpointError(f'No compute service answers at {url}') from None
        newest = getattr(data, 'max_microversion', None)
        if not newest:
            return 2, 1
        return min(OUR_MAX, (int(newest[0]), int(newest[1])))

    @property
    def microversion(self) -> str:
        return '{}.{}'.format(*self.version)

    def at_least(self, minor: int) -> bool:
        return self.version >= (2, minor)

    def require(self, minor: int, what: str) -> None:
        if not self.at_least(minor):
            raise errors.UsageError(f'{what} needs microversion 2.{minor}; {self.microversion} is in use')

    # -- compute's raw verbs ---------------------------------------------------------------------------------

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        """One request; the decoded body, or None. Raises keystoneauth's HttpError."""
        microversion = kwargs.pop('microversion', None) or self.microversion
        response = self.compute.request(path, method, microversion=microversion, **kwargs)
        return response.json() if response.content else None

    def get(self, path: str, params: Any = None, microversion: str | None = None) -> Any:
        return self.call('GET', path, params=params, microversion=microversion)

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        return self.call('POST', path, json=body, **({'headers': headers} if headers else {}))

    def beyond(self, path: str) -> str:
        """The URL of something that minicompute has beside Nova's API."""
        found = self.compute.get_endpoint_data()
        return f'{root(found.url if found else self.compute.get_endpoint())}minicompute/v1{path}'

    def stream(self, url: str, params: dict[str, str], headers: dict[str, str]) -> Any:
        """An answer (of requests) whose body is read as it comes."""
        return self.compute.request(url, 'GET', params=params, headers=headers, stream=True,
                                    microversion=self.microversion)

    def put(self, path: str, body: Any = None) -> Any:
        return self.call('PUT', path, json=body) if body is not None else self.call('PUT', path)

    def delete(self, path: str, params: Any = None) -> Any:
        return self.call('DELETE', path, params=params)

    def action(self, server_id: str, name: str, argument: Any = None) -> Any:
        return self.post(f'/servers/{server_id}/action', {name: argument})

    def pages(self, path: str, key: str, params: dict[str, Any] | None = None,
              limit: int | None = None, mark: str = 'id') -> Iterator[dict[str, Any]]:
        """Every record of a paged list, or the first `limit` (None and negative: no limit)."""
        left = limit if limit is not None and limit >= 0 else None
        params = dict(params or {})
        while left is None or left > 0:
            if left is not None:
                params['limit'] = left
            body = self.get(path, params)
            records = body[key]
            yield from records if left is None else records[:left]
            more = any(link.get('rel') == 'next' for link in body.get(f'{key}_links') or body.get('links')
                       or ())
            if not records or not more:
                return
            if left is not None:
                left -= len(records)
            params['marker'] = _dig(records[-1], mark)


def root(url: str) -> str:
    """The document above `/v2.1` or `/v2.1/{project}`."""
    head, _slash, tail = url.rstrip('/').rpartition('/')
    while head and not tail.startswith('v2'):
        head, _slash, tail = head.rpartition('/')
        if head.endswith('/') or '//' not in head:
            return url
    return head + '/'


def _dig(record: dict[str, Any], path: str) -> Any:
    value: Any = record
    for part in path.split('.'):
        value = value[part]
    return value
