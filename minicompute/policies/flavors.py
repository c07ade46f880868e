"""Flavors, their extra specs and who may use them."""
from minicompute.policies.base import ADMIN, READER, table

RULES = [
    *table('os-flavor-manage', [
        ('create', ADMIN, 'Create a flavor.', 'POST /flavors'),
        ('update', ADMIN, 'Change the description of a flavor.', 'PUT /flavors/{id}'),
        ('delete', ADMIN, 'Delete a flavor.', 'DELETE /flavors/{id}'),
    ]),
    *table('os-flavor-access', [
        ('', ADMIN, 'List the projects that may use a flavor.', 'GET /flavors/{flavor_id}/os-flavor-access'),
        ('add_tenant_access', ADMIN, 'Let a project use a flavor.',
         'POST /flavors/{id}/action (addTenantAccess)'),
        ('remove_tenant_access', ADMIN, 'Stop a project from using a flavor.',
         'POST /flavors/{id}/action (removeTenantAccess)'),
    ]),
    *table('os-flavor-extra-specs', [
        ('index', READER, 'List the extra specs of a flavor.',
         'POST /flavors', 'GET /flavors/detail', 'GET /flavors/{id}', 'PUT /flavors/{id}',
         'GET /flavors/{flavor_id}/os-extra_specs'),
        ('show', READER, 'Show an extra spec of a flavor.', 'GET /flavors/{flavor_id}/os-extra_specs/{id}'),
        ('create', ADMIN, 'Add extra specs to a flavor.', 'POST /flavors/{flavor_id}/os-extra_specs'),
        ('update', ADMIN, 'Set an extra spec of a flavor.', 'PUT /flavors/{flavor_id}/os-extra_specs/{id}'),
        ('delete', ADMIN, 'Delete an extra spec of a flavor.',
         'DELETE /flavors/{flavor_id}/os-extra_specs/{id}'),
    ]),
]
