"""The words that the rules are made of. A rule's defaults and names are Nova's."""
from __future__ import annotations

from collections.abc import Iterable

from oslo_policy.policy import DocumentedRuleDefault, RuleDefault

ADMIN = 'rule:context_is_admin'
ANYONE = '@'
NOBODY = '!'
READER = 'rule:project_reader_or_admin'
MEMBER = 'rule:project_member_or_admin'
MANAGER = 'rule:project_manager_or_admin'
SERVICE = 'rule:service_or_admin'
OWNER = 'rule:owner_or_admin'           # of what belongs to a user and not to a project

PREFIX = 'os_compute_api:'

WORDS = [
    RuleDefault('context_is_admin', 'role:admin', 'Who is an administrator.'),
    RuleDefault('project_reader_api', 'role:reader and project_id:%(project_id)s', 'Reads its own project.'),
    RuleDefault('project_member_api', 'role:member and project_id:%(project_id)s', 'Works in its own project.'),
    RuleDefault('project_manager_api', 'role:manager and project_id:%(project_id)s', 'Manages its own project.'),
    RuleDefault('project_reader_or_admin', 'rule:project_reader_api or rule:context_is_admin',
                'Default of what reads a project.'),
    RuleDefault('project_member_or_admin', 'rule:project_member_api or rule:context_is_admin',
                'Default of what changes a project.'),
    RuleDefault('project_manager_or_admin', 'rule:project_manager_api or rule:context_is_admin',
                'Default of what a manager of a project may do.'),
    RuleDefault('service_or_admin', 'role:service or rule:context_is_admin', 'Default of what other services call.'),
    RuleDefault('owner_or_admin', 'rule:context_is_admin or user_id:%(user_id)s', 'Default of what a user owns.'),
]

# (name, default, what it allows, 'METHOD /path [(action)]' ...)
Row = tuple[str, str, str, *tuple[str, ...]]


def table(resource: str, rows: Iterable[Row], prefix: str = PREFIX) -> list[DocumentedRuleDefault]:
    """Rules `prefix``resource`:`name`; a row with the name '' is the resource's only rule."""
    made = []
    for name, default, description, *operations in rows:
        made.append(DocumentedRuleDefault(
            name=f'{prefix}{resource}:{name}' if name else f'{prefix}{resource}', check_str=default,
            description=description, scope_types=['project'],
            operations=[{'method': method, 'path': path}
                        for method, _, path in (operation.partition(' ') for operation in operations)]))
    return made
