"""Names or ids, wherever novaclient takes either."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from minicompute.cli import errors
from minicompute.cli.client import Client, is_uuid

# What a regular expression gives a meaning, in MySQL as in PostgreSQL; re.escape would also escape blanks
# and dashes,
# which PostgreSQL refuses.
_MEANING = re.compile(r'([][.^$*+?(){}|\\])')


def segment(text: str) -> str:
    """`text` as one segment of a path."""
    return quote(text, safe='')


def only(kind: str, wanted: str, found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The one record that was found; raises CliError on none or several."""
    records = list(found)
    if not records:
        raise errors.CliError(f"No {kind} with a name or ID of '{wanted}' exists.")
    if len(records) > 1:
        ids = ', '.join(str(r.get('id')) for r in records[:5]) + (', ...' if len(records) > 5 else '')
        raise errors.CliError(f"Several {kind}s are named '{wanted}', use an ID: {ids}")
    return records[0]


def _get_or_none(client: Client, path: str, key: str) -> dict[str, Any] | None:
    from keystoneauth1 import exceptions as ks

    try:
        return client.get(path)[key]
    except (ks.NotFound, ks.BadRequest):
        return None


def server(client: Client, wanted: str, all_tenants: bool = False) -> dict[str, Any]:
    """The server as GET /servers/{id} or /servers/detail shows it."""
    if is_uuid(wanted):
        found = _get_or_none(client, f'/servers/{wanted}', 'server')
        if found:
            return found
    params: dict[str, Any] = {'name': '^' + _MEANING.sub(r'\\\1', wanted) + '$'}
    if all_tenants:
        params['all_tenants'] = '1'
    records = client.pages('/servers/detail', 'servers', params)
    return only('server', wanted, (r for r in records if r.get('name') == wanted))


def soft_deleted_server(client: Client, wanted: str) -> dict[str, Any]:
    """One whose delete may be taken back: lists show it by its name to administrators alone, as in Nova; its owner
    must give the id."""
    if is_uuid(wanted):
        return server(client, wanted)
    params = {'name': '^' + _MEANING.sub(r'\\\1', wanted) + '$', 'status': 'SOFT_DELETED', 'soft_deleted': 'True'}
    records = client.pages('/servers/detail', 'servers', params)
    return only('soft-deleted server', wanted, (r for r in records if r.get('name') == wanted))


def server_id(client: Client, wanted: str) -> str:
    """Like `server`, but an id is taken at its word: it may be a deleted server's."""
    return wanted if is_uuid(wanted) else server(client, wanted)['id']


def flavor(client: Client, wanted: str) -> dict[str, Any]:
    found = _get_or_none(client, f'/flavors/{segment(wanted)}', 'flavor')
    if found:
        return found
    records = client.pages('/flavors/detail', 'flavors', {'is_public': 'None'})
    return only('flavor', wanted, (r for r in records if r['name'] == wanted))


def images(client: Client, **filters: Any) -> list[dict[str, Any]]:
    """Images by the image service; without one, by compute's old proxy, which ends with 2.35."""
    if client.has('image'):
        return [i.to_dict() for i in client.image.images(**filters)]
    body = client.get('/images/detail', filters, microversion='2.35')
    return body['images']


def image(client: Client, wanted: str) -> dict[str, Any]:
    if is_uuid(wanted):
        if not client.has('image'):
            return client.get(f'/images/{wanted}', microversion='2.35')['image']
        found = client.image.find_image(wanted, ignore_missing=True)
        return only('image', wanted, [found.to_dict()] if found else [])
    return only('image', wanted, (i for i in images(client, name=wanted) if i['name'] == wanted))


def image_id(client: Client, wanted: str) -> str:
    """An id is not looked up: compute does that itself, and its answer names it."""
    return wanted if is_uuid(wanted) else image(client, wanted)['id']


def network(client: Client, wanted: str) -> dict[str, Any]:
    if is_uuid(wanted):
        found = client.network.find_network(wanted, ignore_missing=True)
        if found:
            return found.to_dict()
    records = (n.to_dict() for n in client.network.networks(name=wanted))
    return only('network', wanted, records)


def volumes(client: Client, **filters: str) -> list[dict[str, Any]]:
    """All pages, in full."""
    found: list[dict[str, Any]] = []
    while True:
        page = client.volume.get('/volumes/detail', params=filters).json()
        found += page['volumes']
        if not page.get('volumes_links') or not page['volumes']:
            return found
        filters = {**filters, 'marker': page['volumes'][-1]['id']}


def volume(client: Client, wanted: str) -> dict[str, Any]:
    from keystoneauth1 import exceptions as ks

    if is_uuid(wanted):
        try:
            return client.volume.get(f'/volumes/{wanted}').json()['volume']
        except ks.NotFound:
            pass
    return only('volume', wanted, (one for one in volumes(client, name=wanted) if one['name'] == wanted))


def volume_id(client: Client, wanted: str) -> str:
    """An id is not looked up: the service that is asked next does that itself."""
    return wanted if is_uuid(wanted) else volume(client, wanted)['id']


def hypervisor(client: Client, wanted: str) -> dict[str, Any]:
    if is_uuid(wanted) or (wanted.isdigit() and not client.at_least(53)):
        found = _get_or_none(client, f'/os-hypervisors/{wanted}', 'hypervisor')
        if found:
            return found
    return only('hypervisor', wanted,
                (h for h in hypervisors(client, wanted) if h['hypervisor_hostname'] == wanted))


def hypervisors(client: Client, pattern: str, **params: Any) -> list[dict[str, Any]]:
    """Hypervisors whose host name contains `pattern`; an empty list where compute says 404."""
    from keystoneauth1 import exceptions as ks

    try:
        if client.at_least(53):
            return client.get('/os-hypervisors/detail',
                              {'hypervisor_hostname_pattern': pattern, **params})['hypervisors']
        return client.get(f'/os-hypervisors/{segment(pattern)}/search')['hypervisors']
    except ks.NotFound:
        return []


def service(client: Client, wanted: str) -> dict[str, Any]:
    """By id, or (our addition) by `host` or `host:binary`."""
    records = client.get('/os-services')['services']
    by_id = [s for s in records if str(s['id']) == wanted]
    if by_id:
        return by_id[0]
    host, _colon, binary = wanted.partition(':')
    return only('service', wanted,
                (s for s in records if s['host'] == host and (not binary or s['binary'] == binary)))
