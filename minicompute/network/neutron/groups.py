"""Security groups: those that the ports of servers are in, and what older versions do with groups and rules."""
from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from minicompute import exception
from minicompute.context import RequestContext
from minicompute.network.neutron import ports
from minicompute.network.neutron.client import Client, Document
from minicompute.network.security import SecurityGroups, group_of
from minicompute.objects import Instance, SecurityGroup, SecurityGroupRule
from minicompute.service_auth import path


def find(client: Client, project_id: str, names: Sequence[str]) -> list[str]:
    """-> their ids. One call for all. Raises NotFound, NoUniqueMatch."""
    if not names:
        return []
    own = client.every('security-groups', tenant_id=project_id, fields=['id', 'name'])
    strange = [name for name in names if not any(name in (one['id'], one['name']) for one in own)]
    # One that is shared with the project is named by its id.
    own += client.among('security-groups', 'id', strange, fields=['id', 'name']) if strange else []
    return list(dict.fromkeys(_one(own, name) for name in names))


def _one(groups: Sequence[Document], name: str) -> str:
    by_id = [one['id'] for one in groups if one['id'] == name]
    found = by_id or [one['id'] for one in groups if one['name'] == name]
    if not found:
        raise exception.NotFound(f"Unable to find security_group with name or id '{name[:64]}'")
    if len(found) > 1:
        raise exception.NoUniqueMatch(
            f"Multiple security groups found matching '{name[:64]}'. Use an ID to be more specific.")
    return str(found[0])


def of_server(client: Client, uuid: str, project_id: str) -> list[Document]:
    """With their rules, one a port."""
    ids = [one for port in ports.of_server(client, uuid, project_id) for one in port.get('security_groups') or ()]
    found = {one['id']: one for one in client.among('security-groups', 'id', ids)}
    return [found[one] for one in ids if one in found]


def add(client: Client, uuid: str, project_id: str, name: str) -> None:
    group = find(client, project_id, [name])[0]
    changed = 0
    for port in ports.of_server(client, uuid, project_id):
        if not port.get('port_security_enabled', True) or not port.get('fixed_ips'):
            continue    # Neutron would refuse it
        changed += 1
        has = list(port.get('security_groups') or ())
        if group not in has:
            client.update(f"/ports/{port['id']}", {'port': {'security_groups': [*has, group]}})
    if not changed:
        raise exception.NotFound(f'Instance {uuid} has no port that could be in a security group')


def remove(client: Client, uuid: str, project_id: str, name: str) -> None:
    group = find(client, project_id, [name])[0]
    found = [port for port in ports.of_server(client, uuid, project_id)
             if group in (port.get('security_groups') or ())]
    if not found:
        raise exception.NotFound(f'Security group {name[:64]} not associated with the instance {uuid}')
    for port in found:
        left = [one for one in port['security_groups'] if one != group]
        client.update(f"/ports/{port['id']}", {'port': {'security_groups': left}})


class NeutronSecurityGroups(SecurityGroups):
    """As the user: Neutron says what he may see."""

    def list_security_groups(self, context: RequestContext, *, all_projects: bool = False, limit: int = 1000,
                             offset: int = 0) -> list[SecurityGroup]:
        own = {} if all_projects and context.is_admin else {'tenant_id': context.project_id}
        found = Client(context).every('security-groups', **own)
        return [group_of(one) for one in sorted(
            found, key=lambda one: (one['tenant_id'], one['name'], one['id']))[offset:offset + limit]]

    def security_groups_by_id(self, context: RequestContext, ids: Collection[str]) -> list[SecurityGroup]:
        client = Client(context)
        own = {} if client.of_user or context.is_admin else {'tenant_id': context.project_id}
        return [group_of(one) for one in client.among('security-groups', 'id', ids, fields=['id', 'name', 'tenant_id'],
                                                      **own)]

    def show_security_group(self, context: RequestContext, group_id: str) -> SecurityGroup:
        return group_of(Client(context).get(path('security-groups', group_id))['security_group'])

    def create_security_group(self, context: RequestContext, group: SecurityGroup) -> SecurityGroup:
        return group_of(Client(context).create('/security-groups', {
            'security_group': {'name': group.name, 'description': group.description}})['security_group'])

    def update_security_group(self, context: RequestContext, group_id: str, *, name: str | None = None,
                              description: str | None = None) -> SecurityGroup:
        said = {key: value for key, value in (('name', name), ('description', description)) if value is not None}
        return group_of(Client(context).update(path('security-groups', group_id), {
            'security_group': said})['security_group'])

    def delete_security_group(self, context: RequestContext, group_id: str) -> None:
        if not Client(context).delete(path('security-groups', group_id)):
            raise exception.NotFound(f'Security group {group_id} could not be found.')

    def create_security_group_rule(self, context: RequestContext, rule: SecurityGroupRule) -> SecurityGroupRule:
        said = {name: value for name, value in dataclasses.asdict(rule).items()
                if value is not None and name not in ('id', 'created_at')}
        made = Client(context).create('/security-group-rules', {'security_group_rule': said})['security_group_rule']
        return group_of({'id': rule.security_group_id, 'security_group_rules': [made]}).rules[0]

    def delete_security_group_rule(self, context: RequestContext, rule_id: str) -> None:
        if not Client(context).delete(path('security-group-rules', rule_id)):
            raise exception.NotFound(f'Security group rule {rule_id} could not be found.')

    # -- of servers

    def find_groups(self, context: RequestContext, names: Sequence[str]) -> list[str]:
        """`default` alone is what Neutron does by itself."""
        if not [name for name in names if name != 'default']:
            return []
        try:
            return find(Client(context), str(context.project_id), names)
        except exception.NotFound as error:
            raise exception.Invalid(error.message) from None

    def server_groups(self, context: RequestContext, instance: Instance) -> list[SecurityGroup]:
        return [group_of(one) for one in of_server(Client(context), instance.uuid, instance.project_id)]

    def add_group(self, context: RequestContext, instance: Instance, name: str) -> None:
        add(Client(context), instance.uuid, instance.project_id, name)

    def remove_group(self, context: RequestContext, instance: Instance, name: str) -> None:
        remove(Client(context), instance.uuid, instance.project_id, name)
