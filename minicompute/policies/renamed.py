"""What rules and words were called in older releases of Nova, for the policy files that still say so.

A file that overrides the old name and not the new one decides the new rule, too.
"""
from __future__ import annotations

from typing import NamedTuple

PREFIX = 'os_compute_api:'

#: word -> what it stood for
WORDS = {'admin_or_owner': 'is_admin:True or project_id:%(project_id)s', 'admin_api': 'is_admin:True'}
_OWNER, _ADMIN, _NOW_ADMIN = 'rule:admin_or_owner', 'rule:admin_api', 'rule:context_is_admin'


class Before(NamedTuple):
    """A rule's older name, its default then, and the release that gave the new one."""

    name: str
    check: str
    since: str | None


# resource -> its default, the release, and the names that its one rule became
_SPLIT: dict[str, tuple[str, str, str]] = {
    'os-attach-interfaces': (_OWNER, '21.0.0', 'list show create delete'),
    'os-baremetal-nodes': (_ADMIN, '22.0.0', 'list show'),
    'os-deferred-delete': (_OWNER, '21.0.0', 'restore force'),
    'os-floating-ips': (_OWNER, '22.0.0', 'add remove list create show delete'),
    'os-hosts': (_ADMIN, '22.0.0', 'list show update reboot shutdown start'),
    'os-hypervisors': (_ADMIN, '21.0.0', 'list list-detail statistics show uptime search servers'),
    'os-instance-actions': (_OWNER, '21.0.0', 'list show'),
    'os-instance-usage-audit-log': (_ADMIN, '21.0.0', 'list show'),
    'os-multinic': (_OWNER, '22.0.0', 'add remove'),
    'os-security-groups': (_OWNER, '22.0.0', 'get show create update delete rule:create rule:delete list add remove'),
    'os-server-password': (_OWNER, '21.0.0', 'show clear'),
    'os-services': (_ADMIN, '21.0.0', 'list update delete'),
    'os-tenant-networks': (_OWNER, '22.0.0', 'list show'),
    'os-volumes': (_OWNER, '22.0.0', 'list create detail show delete snapshots:list snapshots:create '
                                     'snapshots:detail snapshots:show snapshots:delete'),
}
_ONE_BY_ONE: dict[str, tuple[str, str, str | None]] = {
    'os-flavor-access': ('os-flavor-access', _OWNER, '21.0.0'),
    'limits:other_project': ('os-used-limits', _ADMIN, '21.0.0'),
    'os-migrate-server:migrate_live:host': ('os-migrate-server:migrate_live', _NOW_ADMIN, '32.0.0'),
    'os-migrations:index:all_projects': ('os-migrations:index', _NOW_ADMIN, '32.0.0'),
    'os-migrations:index:host': ('os-migrations:index', _NOW_ADMIN, '32.0.0'),
    'os-networks:list': ('os-networks:view', _OWNER, '22.0.0'),
    'os-networks:show': ('os-networks:view', _OWNER, '22.0.0'),
    'os-unrescue': ('os-rescue', _OWNER, '21.0.0'),
    'servers:show:flavor-extra-specs': ('os-flavor-extra-specs:index', _OWNER, '25.0.0'),
    'servers:migrations:index:host': ('servers:migrations:index', _NOW_ADMIN, '32.0.0'),
}

#: rule -> what it was
RULES: dict[str, Before] = {
    **{f'{PREFIX}{resource}:{name}': Before(PREFIX + resource, check, since)
       for resource, (check, since, names) in _SPLIT.items() for name in names.split()},
    **{PREFIX + name: Before(PREFIX + before, check, since)
       for name, (before, check, since) in _ONE_BY_ONE.items()},
}
