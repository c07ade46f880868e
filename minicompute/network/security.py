"""What we ask of a network service about security groups, Neutron or the local networks.

A caller sees the groups of its project, an administrator all; SecurityGroupNotFound is raised for the rest.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from minicompute import exception
from minicompute.context import RequestContext
from minicompute.objects import Instance, SecurityGroup, SecurityGroupRule

_RULE = tuple(field.name for field in dataclasses.fields(SecurityGroupRule) if field.name != 'created_at')
_NOT_HERE = 'The network service has no security groups.'


class SecurityGroups:
    """The part of a `NetworkBackend` that knows them. Not every network service does."""

    def list_security_groups(self, context: RequestContext, *, all_projects: bool = False, limit: int = 1000,
                             offset: int = 0) -> list[SecurityGroup]:
        """By project and name. `all_projects` is for administrators."""
        raise exception.NotImplementedHere(_NOT_HERE)

    def security_groups_by_id(self, context: RequestContext, ids: Collection[str]) -> list[SecurityGroup]:
        """Those of them that the caller sees, perhaps without their rules."""
        found = self.list_security_groups(context, all_projects=bool(context.is_admin))
        return [group for group in found if group.id in ids]

    def show_security_group(self, context: RequestContext, group_id: str) -> SecurityGroup:
        raise exception.NotImplementedHere(_NOT_HERE)

    def create_security_group(self, context: RequestContext, group: SecurityGroup) -> SecurityGroup:
        """`group` with its id, name, project and description; it lets everything out. Raises Conflict, QuotaError."""
        raise exception.NotImplementedHere(_NOT_HERE)

    def update_security_group(self, context: RequestContext, group_id: str, *, name: str | None = None,
                              description: str | None = None) -> SecurityGroup:
        """Raises Conflict for another name of `default`."""
        raise exception.NotImplementedHere(_NOT_HERE)

    def delete_security_group(self, context: RequestContext, group_id: str) -> None:
        """Raises Conflict for one that is in use, and for `default`."""
        raise exception.NotImplementedHere(_NOT_HERE)

    def show_security_group_rule(self, context: RequestContext, rule_id: str) -> SecurityGroupRule:
        """Raises SecurityGroupRuleNotFound."""
        raise exception.NotImplementedHere(_NOT_HERE)

    def create_security_group_rule(self, context: RequestContext, rule: SecurityGroupRule) -> SecurityGroupRule:
        """`rule` with its id. Raises Conflict for one that is there, QuotaError, Invalid."""
        raise exception.NotImplementedHere(_NOT_HERE)

    def delete_security_group_rule(self, context: RequestContext, rule_id: str) -> None:
        raise exception.NotImplementedHere(_NOT_HERE)

    # -- of servers

    def find_groups(self, context: RequestContext, names: Sequence[str]) -> list[str]:
        """Security groups of the caller's project by name or id, for `allocate`. Raises Invalid for one that is not
        there, NoUniqueMatch."""
        raise exception.NotImplementedHere(_NOT_HERE)

    def server_groups(self, context: RequestContext, instance: Instance) -> list[SecurityGroup]:
        """Of each of its cards in turn, so that a group may be there twice."""
        raise exception.NotImplementedHere(_NOT_HERE)

    def add_group(self, context: RequestContext, instance: Instance, name: str) -> None:
        """Put all cards of a server into a group, named by name or id. Raises NotFound, NoUniqueMatch."""
        raise exception.NotImplementedHere(_NOT_HERE)

    def remove_group(self, context: RequestContext, instance: Instance, name: str) -> None:
        """Raises NotFound also for a group that no card is in."""
        raise exception.NotImplementedHere(_NOT_HERE)


def group_of(document: dict[str, Any]) -> SecurityGroup:
    """A group as the Network API shows it -> the record."""
    rules = [SecurityGroupRule(**{**{name: rule.get(name) for name in _RULE},
                                  'description': rule.get('description') or ''})
             for rule in document.get('security_group_rules') or ()]
    return SecurityGroup(id=document['id'], name=document.get('name') or '', rules=rules,
                         project_id=document.get('project_id') or document.get('tenant_id') or '',
                         description=document.get('description') or '')
