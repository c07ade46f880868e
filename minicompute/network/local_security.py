"""Security groups of the local networks: rows in the database, filters of libvirt's on the hosts.

    change: rows of groups, rules and ports, and the records of the servers, in one transaction; then the hosts are told
    host: asks what holds for its cards (`ConductorAPI.firewalls`) when told, when it starts, and now and then while it
    filters anything; so what a lost message would have said is there within a minute

A server that starts, or moves, takes its filter from its record, and so is never without.
"""
from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import sqlalchemy as sa

from minicompute import exception
from minicompute.compute import rpcapi as compute
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import networks
from minicompute.db.api import security_groups as db
from minicompute.network.security import SecurityGroups
from minicompute.objects import Instance, Port, SecurityGroup, SecurityGroupRule

T = TypeVar('T')


class LocalSecurityGroups(SecurityGroups):

    def list_security_groups(self, context: RequestContext, *, all_projects: bool = False, limit: int = 1000,
                             offset: int = 0) -> list[SecurityGroup]:
        project = context.project_id or ''
        with session.read() as conn:
            if all_projects and context.is_admin:
                return db.of_all(conn, project, limit=limit, offset=offset)
            return db.of_project(conn, project)[offset:offset + limit]

    def show_security_group(self, context: RequestContext, group_id: str) -> SecurityGroup:
        with session.read() as conn:
            found = db.get(conn, group_id, context.project_id or '')
        if found is None or not (context.is_admin or found.project_id == context.project_id):
            raise exception.SecurityGroupNotFound(security_group_id=group_id[:64])
        return found

    def create_security_group(self, context: RequestContext, group: SecurityGroup) -> SecurityGroup:
        if group.name == db.DEFAULT:
            raise exception.Conflict('Default security group already exists.')
        group.rules = [SecurityGroupRule(id=str(uuid.uuid4()), security_group_id=group.id, direction='egress',
                                         ethertype=kind) for kind in ('IPv4', 'IPv6')]
        session.write(db.insert, group)
        return self.show_security_group(context, group.id)

    def update_security_group(self, context: RequestContext, group_id: str, *, name: str | None = None,
                              description: str | None = None) -> SecurityGroup:
        group = self.show_security_group(context, group_id)
        changes = {key: value for key, value in (('name', name), ('description', description)) if value is not None}
        if changes.get('name', group.name) != group.name and db.DEFAULT in (changes['name'], group.name):
            raise exception.Conflict('Updating default security group not allowed.'
                                     if group.name == db.DEFAULT else 'Default security group already exists.')

        def write(conn: sa.Connection) -> list[str]:
            db.touch(conn, db.hold(conn, group).id, **changes)
            return db.rewrite(conn, db.members_of(conn, group)) if 'name' in changes else []
        if changes:
            session.write(write)
        return self.show_security_group(context, group_id)

    def delete_security_group(self, context: RequestContext, group_id: str) -> None:
        group = self.show_security_group(context, group_id)
        if group.id == db.default_id(group.project_id):
            raise exception.Conflict('Removing default security group not allowed.')
        session.write(lambda conn: db.remove(conn, db.hold(conn, group)))

    def show_security_group_rule(self, context: RequestContext, rule_id: str) -> SecurityGroupRule:
        return self._rule(context, rule_id)[1]

    def _rule(self, context: RequestContext, rule_id: str) -> tuple[SecurityGroup, SecurityGroupRule]:
        with session.read() as conn:
            found = db.get_rule(conn, rule_id, context.project_id or '')
        if found is None or not (context.is_admin or found[0].project_id == context.project_id):
            raise exception.SecurityGroupRuleNotFound(rule_id=rule_id[:64])
        return found

    def create_security_group_rule(self, context: RequestContext, rule: SecurityGroupRule) -> SecurityGroupRule:
        group = self.show_security_group(context, rule.security_group_id)
        if rule.remote_group_id is not None:
            other = self.show_security_group(context, rule.remote_group_id)
            if other.project_id != group.project_id:
                raise exception.SecurityGroupNotFound(security_group_id=rule.remote_group_id)

        def write(conn: sa.Connection) -> list[str]:
            if rule.remote_group_id not in (None, group.id):
                db.hold(conn, other)
            db.add_rule(conn, db.hold(conn, group), rule)
            return db.rewrite(conn, db.members_of(conn, group), strict=True)
        _tell(session.write(write))
        return rule

    def delete_security_group_rule(self, context: RequestContext, rule_id: str) -> None:
        group, rule = self._rule(context, rule_id)

        def write(conn: sa.Connection) -> list[str]:
            now = db.hold(conn, group)
            if not any(one.id == rule.id for one in now.rules):
                raise exception.SecurityGroupRuleNotFound(rule_id=rule_id)
            db.remove_rule(conn, rule)
            return db.rewrite(conn, db.members_of(conn, group))
        _tell(session.write(write))

    # -- of servers --------------------------------------------------------------

    def find_groups(self, context: RequestContext, names: Sequence[str]) -> list[str]:
        try:
            return self._find(context, names)
        except exception.SecurityGroupNotFound as error:
            raise exception.Invalid(error.message) from None

    def _find(self, context: RequestContext, names: Sequence[str]) -> list[str]:
        if not names or list(names) == [db.DEFAULT]:
            return [db.default_id(context.project_id or '')] if names else []
        with session.read() as conn:
            found = db.of_project(conn, context.project_id or '')
        return list(dict.fromkeys(_one(found, name) for name in names))

    def server_groups(self, context: RequestContext, instance: Instance) -> list[SecurityGroup]:
        with session.read() as conn:
            cards = networks.list_ports(conn, {'instance_uuid': [instance.uuid]})
            groups = db.of_ports(conn, cards) if cards else {}
        return [group for card in cards for group in groups[card.id]]

    def add_group(self, context: RequestContext, instance: Instance, name: str) -> None:
        self._change_ports(context, instance, name, lambda ids, one: ids if one in ids else [*ids, one])

    def remove_group(self, context: RequestContext, instance: Instance, name: str) -> None:
        self._change_ports(context, instance, name, lambda ids, one: [each for each in ids if each != one],
                           must_be_in=True)

    def _change_ports(self, context: RequestContext, instance: Instance, name: str,
                      change: Callable[[list[str], str], list[str]], *, must_be_in: bool = False) -> None:
        try:
            group_id = self._find(context, [name])[0]
            group = self.show_security_group(context, group_id)
        except exception.SecurityGroupNotFound:
            raise exception.NotFound(
                f'Security group {name[:64]} is not found for project {context.project_id}') from None

        def write(conn: sa.Connection) -> list[str]:
            now = db.hold(conn, group)
            cards = networks.list_ports(conn, {'instance_uuid': [instance.uuid]})
            if not cards:
                raise exception.NotFound(f'Instance {instance.uuid} has no port that could be in a security group')
            if any(card.project_id != now.project_id for card in cards):
                raise exception.SecurityGroupNotFound(
                    f'Security group {name[:64]} is not of the project of instance {instance.uuid}')
            if must_be_in and not any(group_id in _ids(card) for card in cards):
                raise exception.NotFound(f'Security group {now.name} not associated with the instance {instance.uuid}')
            for card in cards:
                card.security_groups = change(_ids(card), group_id)
                db.set_groups(conn, card.id, card.security_groups)
            return db.rewrite(conn, _with(cards, db.concerned(conn, group)), strict=not must_be_in)
        _tell(session.write(write))

    def set_port_groups(self, context: RequestContext, port: Port, wanted: Sequence[str]) -> None:
        """The groups that a port is in from now on, by id. Raises SecurityGroupNotFound."""
        def write(conn: sa.Connection) -> list[str]:
            groups = checked(conn, port.project_id or '', wanted, before=_ids(port))
            port.security_groups = list(dict.fromkeys(wanted))
            db.set_groups(conn, port.id, port.security_groups)
            others = [card for group in groups for card in db.concerned(conn, group)]
            return db.rewrite(conn, _with([port], others), strict=bool(wanted))
        _tell(session.write(write))

    def came(self, ports: Iterable[Port]) -> None:
        """Cards of a server that is being built: hosts of others whose rules name one of their groups learn of it."""
        named = [port for port in ports if port.security_groups]
        if not named:
            return
        with session.read() as conn:
            groups = {group.id: group for many in db.of_ports(conn, named).values() for group in many}
            cards = [card for group in groups.values() for card in db.concerned(conn, group)]
        mine = {port.id for port in named}
        if any(card.id not in mine for card in cards):
            _tell(session.write(lambda conn: db.rewrite(conn, _with([], cards))))


def checked(conn: sa.Connection, project_id: str, wanted: Sequence[str],
            before: Sequence[str] = ()) -> list[SecurityGroup]:
    """These groups, and those of `before`, held until the transaction ends. Raises SecurityGroupNotFound."""
    found = {group.id: group for group in db.of_project(conn, project_id)}
    for group_id in wanted:
        if group_id not in found:
            raise exception.SecurityGroupNotFound(security_group_id=group_id[:64])
    return [db.hold(conn, found[one]) for one in dict.fromkeys([*wanted, *before]) if one in found]


def _ids(card: Port) -> list[str]:
    return [db.default_id(card.project_id or '')] if card.security_groups is None else card.security_groups


def _with(changed: Sequence[Port], others: Iterable[Port]) -> list[Port]:
    return list({card.id: card for card in [*others, *changed]}.values())


def _one(found: Sequence[SecurityGroup], name: str) -> str:
    """An id before a name. Raises SecurityGroupNotFound, NoUniqueMatch."""
    for group in found:
        if group.id == name:
            return group.id
    named = [group.id for group in found if group.name == name]
    if not named:
        raise exception.SecurityGroupNotFound(f"Unable to find security_group with name or id '{name[:64]}'")
    if len(named) > 1:
        raise exception.NoUniqueMatch(
            f"Multiple security_group matches found for name '{name[:64]}', use an ID to be more specific.")
    return named[0]


def _tell(hosts: Iterable[str]) -> None:
    for host in hosts:
        compute.refresh_security_rules(host)
