"""What is read of a cloud with a bit of everything: at each microversion the very fields that Nova shows."""
from __future__ import annotations

from typing import Any

import pytest

from minicompute.api.openstack.api_version_request import APIVersionRequest
from tests.functional.beginnings import lan
from tests.functional.cloud import Cloud
from tests.functional.small import Caller
from tests.unit.api.inventory import Handler, handlers
from tests.unit.api.test_fields import NOVA

#: what this cloud has no reason to show: handler -> the beginnings of fields
NO_MORE_PAGES = {'flavors_links', 'servers_links', 'keypairs_links', 'hypervisors_links', 'migrations_links',
                 'images_links', 'tenant_usages_links', 'tenant_usage_links', 'links'}
NOT_HERE: dict[str, tuple[str, ...]] = {
    'GET /images/detail': ('images[].OS-DCF', 'images[].server'),               # of images of servers
    'GET /images/{id}': ('image.OS-DCF', 'image.server'),
    'GET /os-floating-ip-pools': ('floating_ip_pools[]',),                      # the local networks have none
    'GET /os-floating-ips': ('floating_ips[]',),
    'GET /os-hypervisors/detail': ('hypervisors[].disk_available_least',),      # tests/unit/api/test_fields.py
    'GET /os-hypervisors/{id}': ('hypervisor.disk_available_least',),
    'GET /os-hypervisors/{id}/uptime': ('hypervisor.servers',),                 # named by Nova, and never shown
    'GET /os-migrations': ('migrations[].links',),                              # of live ones that run
    'GET /os-security-groups': ('security_groups[].rules[].group.',),           # of rules for a group
    'GET /os-security-groups/{id}': ('security_group.rules[].group.',),
    'GET /os-server-groups': ('server_groups[].rules.',),                       # of the policy anti-affinity
    'GET /os-server-groups/{id}': ('server_group.rules.',),
    'GET /os-simple-tenant-usage': ('tenant_usages[].server_usages',),          # tests/functional/api has them
    'GET /os-snapshots': ('snapshots[]',),
    'GET /os-snapshots/detail': ('snapshots[]',),
    'GET /servers': ('servers[].status',),                                      # of cells that are away
    'GET /servers/detail': ('servers[].fault', 'servers[].scheduler_hints.'),
    'GET /servers/{id}': ('server.fault', 'server.scheduler_hints.'),
    'GET /servers/{server_id}/migrations': ('migrations[]',),                   # of live ones that run
    'GET /servers/{server_id}/os-security-groups': ('security_groups[].rules[].group.',),
    'GET /servers/{server_id}/shares': ('shares[]',),
    'GET /servers/{server_id}/topology': ('nodes[]',),                          # of servers with NUMA nodes
}
#: each driver has its own up to 2.47
FREE = {'GET /servers/{server_id}/diagnostics'}
#: what can be read of something else only, or of nothing here
SILENT = {
    'GET /os-baremetal-nodes', 'GET /os-baremetal-nodes/{id}', 'GET /os-console-auth-tokens/{id}',
    'GET /os-floating-ips/{id}', 'GET /os-hosts/{id}/reboot', 'GET /os-hosts/{id}/shutdown',
    'GET /os-hosts/{id}/startup', 'GET /os-snapshots/{id}', 'GET /servers/{server_id}/migrations/{id}',
    'GET /servers/{server_id}/shares/{id}'}


class World:
    """A cloud, and what its paths hold."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        flavor, hidden = cloud.flavor(disk=1), cloud.flavor(**{'os-flavor-access:is_public': False})
        cloud.api('POST', f'/flavors/{hidden}/action', {'addTenantAccess': {'tenant': 'demo'}})
        aggregate = cloud.api('POST', '/os-aggregates', {'aggregate': {'name': 'rack', 'availability_zone': 'nova'}})
        number = aggregate['aggregate']['id']
        cloud.api('POST', f'/os-aggregates/{number}/action', {'add_host': {'host': 'compute1'}})
        cloud.api('POST', f'/flavors/{hidden}/os-extra_specs', {'extra_specs': {'a': 'b'}}, version='2.1')
        cloud.api('POST', f'/images/{cloud.image()}/metadata', {'metadata': {'a': 'b'}}, version='2.38')
        group = cloud.api('POST', '/os-server-groups', {'server_group': {
            'name': 'apart', 'policy': 'soft-anti-affinity'}})['server_group']['id']
        cloud.api('POST', '/os-keypairs', {'keypair': {'name': 'key'}}, version='2.2')
        self.server = str(cloud.wait(cloud.boot(
            flavorRef=flavor, key_name='key', metadata={'a': 'b'}, tags=['blue'], description='d',
            networks=[{'uuid': lan()}], hints={'group': group})['id'])['id'])
        blocks = Caller(cloud.app, '/volume/v3', token='admin:demo')
        self.volume = str(blocks('POST', '/volumes', {'volume': {'size': 1}}, status=202)['volume']['id'])
        cloud.api('POST', f'/servers/{self.server}/os-volume_attachments', {'volumeAttachment': {
            'volumeId': self.volume}})
        cloud.until(lambda: 'locks' not in cloud.leaks(), 'the volume')
        cloud.api('POST', f'/servers/{self.server}/action', {'migrate': None}, expect=202)
        cloud.wait(self.server, 'VERIFY_RESIZE')
        cloud.api('POST', f'/servers/{self.server}/action', {'confirmResize': None}, expect=204)
        cloud.wait(self.server)
        port = cloud.api('GET', f'/servers/{self.server}/os-interface')['interfaceAttachments'][0]['port_id']
        action = cloud.api('GET', f'/servers/{self.server}/os-instance-actions')['instanceActions'][0]['request_id']
        groups = cloud.api('GET', '/os-security-groups', version='2.35')['security_groups']
        self.ids = {
            '/flavors/{flavor_id}/os-flavor-access': hidden,
            '/os-security-groups/{id}': groups[0]['id'], '/os-instance_usage_audit_log/{id}': '2026-01-01 00:00:00',
            '/flavors/{id}': flavor, '/flavors/{flavor_id}': hidden, '/os-server-groups/{id}': group,
            '/os-aggregates/{id}': number, '/os-keypairs/{id}': 'key', '/servers/{id}': self.server,
            '/os-networks/{id}': lan(), '/os-tenant-networks/{id}': lan(), '/os-volumes/{id}': self.volume,
            '/images/{id}': cloud.image(), '/images/{image_id}': cloud.image(),
            '/os-quota-sets/{id}': 'demo', '/os-quota-class-sets/{id}': 'default', '/versions/{id}': 'v2.1',
            '/os-simple-tenant-usage/{id}': 'demo', '/extensions/{id}': 'os-keypairs', '/os-hosts/{id}': 'compute1',
            '/servers/{server_id}/os-interface/{id}': port, '/servers/{server_id}/os-instance-actions/{id}': action,
            '/servers/{server_id}/os-volume_attachments/{id}': self.volume,
            '/servers/{server_id}/ips/{id}': 'lan'}

    def path(self, handler: Handler, version: APIVersionRequest) -> str | None:
        """None: there is nothing of it here."""
        path = handler.operation.split()[1]
        with_servers = '?with_servers=true' if version >= (2, 53) and path.endswith(('rs', '/detail', '/{id}')) else ''
        if path.startswith('/os-hypervisors/{id}'):
            own = self.cloud.show(self.server)['OS-EXT-SRV-ATTR:hypervisor_hostname']
            nodes = self.cloud.api('GET', '/os-hypervisors', version=str(version))['hypervisors']
            node = next(one for one in nodes if one['hypervisor_hostname'] == own)
            identity = 'compute' if path.endswith(('search', 'servers')) else node['id']
            return path.replace('{id}', str(identity)) + with_servers
        if path.startswith('/os-hypervisors'):
            return path + with_servers
        for pattern, identity in self.ids.items():
            if path == pattern or path.startswith(f'{pattern}/'):
                first = pattern.rindex('{')
                path = pattern[:first] + str(identity) + path[path.index('}', first) + 1:]
        path = path.replace('{server_id}', self.server)
        for part in ('metadata', 'os-extra_specs', 'tags'):
            path = path.replace(f'/{part}/{{id}}', f'/{part}/a')
        return None if '{' in path else path


@pytest.fixture
def world(cloud: Cloud) -> World:
    return World(cloud)


def shown(value: Any, known: set[str], path: str = '') -> set[str]:
    """The fields of an answer, as the table writes them; what has no fields in the table is free to have any."""
    found: set[str] = set()
    if isinstance(value, list):
        return found.union(*(shown(item, known, f'{path}[]') for item in value))
    if not isinstance(value, dict) or path and not any(field.startswith(f'{path}.') for field in known):
        return found
    for name, inner in value.items():
        here = f'{path}.{name}' if path else name
        found |= {here} | shown(inner, known, here)
    return found


def reads() -> list[Handler]:
    return [one for one in handlers() if one.operation.startswith('GET /') and one.codes
            and (one.operation, 'answer') in NOVA and 'os-volumes_boot' not in one.operation]


def moments(handler: Handler) -> list[APIVersionRequest]:
    """The microversions at which its answer changes, those before, the first and the last."""
    minors = {handler.first.minor, handler.last.minor}
    for minor in NOVA[handler.operation, 'answer']:
        minors |= {minor, minor - 1}
    found = [APIVersionRequest(2, minor) for minor in sorted(minors)]
    return [version for version in found if handler.first <= version <= handler.last]


def test_each_field_is_shown_from_its_microversion_on(world: World) -> None:
    wrong, silent = [], set()
    for handler in reads():
        for version in moments(handler):
            path = world.path(handler, version)
            answer = world.cloud.request('GET', path, version=str(version)) if path else None
            if answer is None or answer.status_int in (404, 501):
                silent.add(handler.operation)
                continue
            assert answer.status_int == 200, f'{path} {version}: {answer.status} {answer.text}'
            table = NOVA[handler.operation, 'answer']
            known = table[max(minor for minor in table if minor <= version.minor)]
            seen = shown(answer.json, known)
            missing = {field for field in known - seen if not field.startswith(NOT_HERE.get(handler.operation, ()))}
            more = seen - known if handler.operation not in FREE else set()
            if missing - NO_MORE_PAGES or more:
                wrong.append(f'{handler.operation} {version}: lacks {sorted(missing)}, has {sorted(more)}')
    assert wrong == []
    assert silent == SILENT
