"""Our schemas against the fields of Nova 34's: what a body, a query and an answer may hold, at each microversion."""
from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.api.openstack import api_version_request as versions
from minicompute.api.openstack import wsgi
from tests.unit.api import inventory

TABLE = pathlib.Path(__file__).with_name('fields.txt')
#: what we have otherwise and why: (operation, what) -> fields that differ
OTHERWISE = {
    # An action's body has the action's name as its only key; there Nova's schemas do not say it.
    ('POST /os-baremetal-nodes/{id}/action add_interface', 'body'): {'add_interface'},
    ('POST /os-baremetal-nodes/{id}/action remove_interface', 'body'): {'remove_interface'},
    ('POST /servers/{id}/action unlock', 'body'): {'unlock'},
    ('POST /servers/{id}/action migrate', 'body'): {'migrate'},
    # No host of ours can do it: nothing is ever answered but 501.
    ('PUT /os-hosts/{id}', 'answer'): {'maintenance_mode'},
    **{(f'GET /os-hosts/{{id}}/{verb}', 'answer'): {'host', 'power_action'}
       for verb in ('reboot', 'shutdown', 'startup')},
    # Nova's schema kept what its view leaves out from 2.88 on.
    ('GET /os-hypervisors/detail', 'answer'): {'hypervisors[].disk_available_least'},
    ('GET /os-hypervisors/{id}', 'answer'): {'hypervisor.disk_available_least'},
    ('GET /os-hypervisors/{id}/search', 'answer'): {'hypervisors_links'},
    # Taken by Nova without its schema knowing, and given where there is a next page.
    ('GET /os-migrations', 'query'): {'node', 'project_id', 'user_id'},
    ('GET /servers/{server_id}/os-instance-actions', 'answer'): {'links'},
    # Only of servers in a cell that cannot be reached, and there are no cells.
    ('GET /servers', 'answer'): {'servers[].status'},
    # Free-form: what was asked for is shown.
    **{(operation, 'answer'): {f'{prefix}.scheduler_hints.{hint}' for hint in (
        'build_near_host_ip', 'cidr', 'different_cell', 'different_host', 'group', 'query', 'same_host',
        'target_cell')}
       for operation, prefix in (('GET /servers/detail', 'servers[]'), ('GET /servers/{id}', 'server'),
                                 ('PUT /servers/{id}', 'server'), ('POST /servers/{id}/action rebuild', 'server'))},
    **{(f'{method} /os-server-groups{path}', 'answer'): {f'{prefix}.rules.max_server_per_host'}
       for method, path, prefix in (('GET', '', 'server_groups[]'), ('POST', '', 'server_group'),
                                    ('GET', '/{id}', 'server_group'))},
    ('GET /os-baremetal-nodes', 'answer'): {'nodes[].interfaces[].address'},
    ('GET /os-baremetal-nodes/{id}', 'answer'): {'node.interfaces[].address'},
}


def read() -> dict[tuple[str, str], dict[int, set[str]]]:
    """{(operation, what): {minor version: its fields}}, for each version at which something changes."""
    found = {}
    for line in TABLE.read_text().splitlines():
        if line.startswith('#'):
            continue
        operation, what, first, *changes = line.split(' | ')
        since, _, fields = first.partition(':')
        now = set(fields.split())
        table = {versions.parse(since).minor: now}
        for change in changes:
            since, _, fields = change.partition(':')
            signs = fields.split()
            now = (now | {one[1:] for one in signs if one[0] == '+'}) - {one[1:] for one in signs if one[0] == '-'}
            table[versions.parse(since).minor] = now
        found[operation, what] = table
    return found


def fields(schema: Any, path: str = '') -> Iterator[str]:
    """'server', 'server.name', 'servers[].id': the keys that a schema names, without the insides of links."""
    if not isinstance(schema, dict) or path.endswith('links[]'):
        return
    for name, inner in schema.get('properties', {}).items():
        here = f'{path}.{name}' if path else name
        yield here
        yield from fields(inner, here)
    yield from fields(schema.get('items'), f'{path}[]')
    for word in ('oneOf', 'anyOf', 'allOf'):
        for inner in schema.get(word, ()):
            yield from fields(inner, path)


NOVA = read()
HANDLERS = {one.operation: one for one in inventory.handlers()}


@pytest.fixture(scope='module')
def ours() -> dict[str, list[wsgi.Operation]]:
    return inventory.operations()


@pytest.mark.parametrize(('operation', 'what'), [*NOVA], ids=lambda part: part)
def test_each_schema_names_what_nova_names(ours: dict[str, list[wsgi.Operation]], operation: str, what: str) -> None:
    table, handler, wrong = NOVA[operation, what], HANDLERS[operation], []
    seen: dict[int, set[str]] = {}
    for version in inventory.EVERY_VERSION:
        if not handler.first <= version <= handler.last:
            continue
        one = next(one for one in ours.get(operation, ()) if one.covers(version))
        schemas = getattr(one.promise, what)
        schema = schemas.at(version).schema if schemas is not None else {}
        if id(schema) not in seen:
            seen[id(schema)] = {field for field in fields(schema) if what != 'query' or '[]' not in field}
        named = seen[id(schema)]
        known = table[max(minor for minor in table if minor <= version.minor)]
        different = (named ^ known) - OTHERWISE.get((operation, what), set())
        if different:
            wrong.append(f'{version}: ' + ' '.join(
                ('+' if field in named else '-') + field for field in sorted(different)))
    assert wrong[:3] == []


def test_what_is_otherwise_is_still_so(ours: dict[str, list[wsgi.Operation]]) -> None:
    """An exception that nothing needs any more goes."""
    assert OTHERWISE.keys() <= NOVA.keys() | {
        ('POST /os-baremetal-nodes/{id}/action add_interface', 'body'),
        ('POST /os-baremetal-nodes/{id}/action remove_interface', 'body'),
        ('POST /servers/{id}/action unlock', 'body'), ('POST /servers/{id}/action migrate', 'body')}


def test_volumes_boot_is_another_name_of_servers(ours: dict[str, list[wsgi.Operation]]) -> None:
    for operation, some in ours.items():
        if 'os-volumes_boot' in operation:
            other = ours[operation.replace('/os-volumes_boot', '/servers')]
            for one, like in zip(some, other, strict=True):
                for what in ('body', 'query', 'answer', 'action', 'first'):
                    assert getattr(one.promise, what) == getattr(like.promise, what), f'{operation} {what}'
                assert str(one.promise.last) == '2.102'
