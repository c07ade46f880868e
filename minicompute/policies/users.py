"""Keypairs, limits, quotas, usage, extensions."""
from minicompute.policies.base import ADMIN, ANYONE, OWNER, READER, table

RULES = [
    *table('extensions', [
        ('', ANYONE, 'List extensions.', 'GET /extensions', 'GET /extensions/{id}'),
    ]),
    *table('limits', [
        ('', ANYONE, 'Show the limits of the own project.', 'GET /limits'),
        ('other_project', ADMIN, 'Show the limits of another project.', 'GET /limits'),
    ]),
    *table('os-keypairs', [
        ('index', OWNER, 'List the keypairs of a user.', 'GET /os-keypairs'),
        ('show', OWNER, 'Show a keypair of a user.', 'GET /os-keypairs/{id}'),
        ('create', OWNER, 'Create or import a keypair.', 'POST /os-keypairs'),
        ('delete', OWNER, 'Delete a keypair of a user.', 'DELETE /os-keypairs/{id}'),
    ]),
    *table('os-quota-sets', [
        ('show', READER, 'Show the quotas of a project.', 'GET /os-quota-sets/{id}'),
        ('detail', READER, 'Show the quotas of a project and what it uses.',
         'GET /os-quota-sets/{id}/detail'),
        ('defaults', ANYONE, 'Show the default quotas.', 'GET /os-quota-sets/{id}/defaults'),
        ('update', ADMIN, 'Change the quotas of a project.', 'PUT /os-quota-sets/{id}'),
        ('delete', ADMIN, 'Return the quotas of a project to the defaults.', 'DELETE /os-quota-sets/{id}'),
    ]),
    *table('os-quota-class-sets', [
        ('show', ADMIN, 'Show the quotas of a class.', 'GET /os-quota-class-sets/{id}'),
        ('update', ADMIN, 'Change the quotas of a class.', 'PUT /os-quota-class-sets/{id}'),
    ]),
    *table('os-simple-tenant-usage', [
        ('list', ADMIN, 'List what all projects have used.', 'GET /os-simple-tenant-usage'),
        ('show', READER, 'Show what a project has used.', 'GET /os-simple-tenant-usage/{id}'),
    ]),
    *table('os-instance-usage-audit-log', [
        ('list', ADMIN, 'List the usage audits.', 'GET /os-instance_usage_audit_log'),
        ('show', ADMIN, 'Show the usage audit of a time.', 'GET /os-instance_usage_audit_log/{id}'),
    ]),
]
