"""The words that the rules are made of. A rule's defaults and names are Nova's.

Policy files that were written for older names and defaults go on working: `renamed` says what a rule was called,
and with `[oslo_policy] enforce_new_defaults = false` the words also allow what they did before the roles reader
and member were known.
"""
from __future__ import annotations

from collections.abc import Iterable

from oslo_policy.policy import DeprecatedRule, DocumentedRuleDefault, RuleDefault

from minicompute.policies import renamed

ADMIN = 'rule:context_is_admin'
ANYONE = '@'
NOBODY = '!'
READER = 'rule:project_reader_or_admin'
MEMBER = 'rule:project_member_or_admin'
MANAGER = 'rule:project_manager_or_admin'
SERVICE = 'rule:service_or_admin'
OWNER = '(rule:context_is_admin) or user_id:%(user_id)s'     # of what belongs to a user and not to a project

PREFIX = 'os_compute_api:'

_REASON = 'It knows no roles but admin.'


def _word(name: str, check: str, description: str, before: str) -> RuleDefault:
    """`before`: admin_api or admin_or_owner, the word that stood for it."""
    return RuleDefault(name, check, description, deprecated_rule=DeprecatedRule(
        f'rule:{before}', renamed.WORDS[before], deprecated_reason=_REASON, deprecated_since='21.0.0'))


WORDS = [
    _word('context_is_admin', 'role:admin', 'Who is an administrator.', 'admin_api'),
    *(RuleDefault(name, check, 'A word of older policy files.', deprecated_for_removal=True,
                  deprecated_reason=_REASON, deprecated_since='21.0.0') for name, check in renamed.WORDS.items()),
    _word('project_manager_api', 'role:manager and project_id:%(project_id)s', 'Manages its own project.', 'admin_api'),
    _word('project_member_api', 'role:member and project_id:%(project_id)s', 'Works in its own project.',
          'admin_or_owner'),
    _word('project_reader_api', 'role:reader and project_id:%(project_id)s', 'Reads its own project.',
          'admin_or_owner'),
    _word('service_api', 'role:service', 'Another service.', 'admin_api'),
    _word('project_manager_or_admin', 'rule:project_manager_api or rule:context_is_admin',
          'Default of what a manager of a project may do.', 'admin_api'),
    _word('project_member_or_admin', 'rule:project_member_api or rule:context_is_admin',
          'Default of what changes a project.', 'admin_or_owner'),
    _word('project_reader_or_admin', 'rule:project_reader_api or rule:context_is_admin',
          'Default of what reads a project.', 'admin_or_owner'),
    _word('service_or_admin', 'rule:service_api or rule:context_is_admin', 'Default of what other services call.',
          'admin_api'),
]

# (name, default, what it allows, 'METHOD /path [(action)]' ...)
Row = tuple[str, str, str, *tuple[str, ...]]


def table(resource: str, rows: Iterable[Row], prefix: str = PREFIX) -> list[DocumentedRuleDefault]:
    """Rules `prefix``resource`:`name`; a row with the name '' is the resource's only rule."""
    made = []
    for name, default, description, *operations in rows:
        whole = f'{prefix}{resource}:{name}' if name else f'{prefix}{resource}'
        made.append(DocumentedRuleDefault(
            name=whole, check_str=default, description=description, scope_types=['project'],
            deprecated_rule=_before(whole),
            operations=[{'method': method, 'path': path}
                        for method, _, path in (operation.partition(' ') for operation in operations)]))
    return made


def _before(name: str) -> DeprecatedRule | None:
    """What a policy file may still call the rule `name`."""
    found = renamed.RULES.get(name)
    return None if found is None else DeprecatedRule(
        found.name, found.check, deprecated_since=found.since,
        deprecated_reason='One rule became several, so that each operation may have its own.')
