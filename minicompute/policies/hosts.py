"""Hosts, hypervisors, services, aggregates, zones."""
from minicompute.policies.base import ADMIN, ANYONE, table

RULES = [
    *table('os-aggregates', [
        ('index', ADMIN, 'List aggregates.', 'GET /os-aggregates'),
        ('show', ADMIN, 'Show an aggregate.', 'GET /os-aggregates/{id}'),
        ('create', ADMIN, 'Create an aggregate.', 'POST /os-aggregates'),
        ('update', ADMIN, 'Change the name or zone of an aggregate.', 'PUT /os-aggregates/{id}'),
        ('delete', ADMIN, 'Delete an aggregate.', 'DELETE /os-aggregates/{id}'),
        ('add_host', ADMIN, 'Add a host to an aggregate.', 'POST /os-aggregates/{id}/action (add_host)'),
        ('remove_host', ADMIN, 'Remove a host from an aggregate.',
         'POST /os-aggregates/{id}/action (remove_host)'),
        ('set_metadata', ADMIN, 'Set or unset metadata of an aggregate.',
         'POST /os-aggregates/{id}/action (set_metadata)'),
    ]),
    *table('compute', [
        ('aggregates:images', ADMIN, 'Ask the hosts of an aggregate to cache images.',
         'POST /os-aggregates/{id}/images'),
    ], prefix=''),
    *table('os-availability-zone', [
        ('list', ANYONE, 'List zones.', 'GET /os-availability-zone'),
        ('detail', ADMIN, 'List zones with their hosts and services.', 'GET /os-availability-zone/detail'),
    ]),
    *table('os-hosts', [
        ('list', ADMIN, 'List hosts.', 'GET /os-hosts'),
        ('show', ADMIN, 'Show a host.', 'GET /os-hosts/{id}'),
        ('update', ADMIN, 'Enable or disable a host.', 'PUT /os-hosts/{id}'),
        ('reboot', ADMIN, 'Reboot a host.', 'GET /os-hosts/{id}/reboot'),
        ('shutdown', ADMIN, 'Shut a host down.', 'GET /os-hosts/{id}/shutdown'),
        ('start', ADMIN, 'Start a host.', 'GET /os-hosts/{id}/startup'),
    ]),
    *table('os-hypervisors', [
        ('list', ADMIN, 'List hypervisors.', 'GET /os-hypervisors'),
        ('list-detail', ADMIN, 'List hypervisors in full.', 'GET /os-hypervisors/detail'),
        ('show', ADMIN, 'Show a hypervisor.', 'GET /os-hypervisors/{id}'),
        ('statistics', ADMIN, 'Show the sums over all hypervisors.', 'GET /os-hypervisors/statistics'),
        ('uptime', ADMIN, 'Show how long a hypervisor has been up.', 'GET /os-hypervisors/{id}/uptime'),
        ('search', ADMIN, 'Find hypervisors by a part of their names.', 'GET /os-hypervisors/{id}/search'),
        ('servers', ADMIN, 'List the servers on hypervisors.', 'GET /os-hypervisors/{id}/servers'),
    ]),
    *table('os-services', [
        ('list', ADMIN, 'List services.', 'GET /os-services'),
        ('update', ADMIN, 'Enable, disable or force down a service.', 'PUT /os-services/{id}'),
        ('delete', ADMIN, 'Delete a service.', 'DELETE /os-services/{id}'),
    ]),
]
