"""Security groups of the local networks, their rules, and what follows for a card. Functions take an open connection.

A project's `default` lets all IPv4 pass and costs nothing: it has a row only once somebody has changed it, and a port
that names no groups is in it. Changes of a project's groups are made under the lock of its row.
"""
from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import instances as servers
from minicompute.db.models import instances, ports, security_group_rules, security_groups
from minicompute.objects import Port, SecurityGroup, SecurityGroupRule, from_primitive

LOG = logging.getLogger(__name__)

DEFAULT = 'default'
#: rules of a card's filter at most, once those that name groups are written out
MOST_ENTRIES = 4000
#: what a card's filter is called on its host begins so
PREFIX = 'minicompute-sg-'
_IDS = uuid.UUID('3b7a6c1e-52c0-5d3c-8f43-6d696e696370')
_RULE = tuple(field.name for field in dataclasses.fields(SecurityGroupRule))
_GROUP = ('id', 'name', 'project_id', 'description', 'created_at', 'updated_at')
_PORT = tuple(field.name for field in dataclasses.fields(Port))

#: what a card may be sent and may send: {'name' of the filter, 'rules': [[direction, protocol, least port, greatest
#: port, prefix], ...]}; None: everything
Firewall = dict[str, Any]


def default_id(project_id: str) -> str:
    return str(uuid.uuid5(_IDS, project_id))


def untouched_default(project_id: str) -> SecurityGroup:
    group_id = default_id(project_id)
    rules = [SecurityGroupRule(id=str(uuid.uuid5(_IDS, f'{project_id}/{direction}')), security_group_id=group_id,
                               direction=direction, remote_ip_prefix='0.0.0.0/0')
             for direction in ('egress', 'ingress')]
    return SecurityGroup(id=group_id, name=DEFAULT, project_id=project_id, rules=rules,
                         description='Permits all IPv4 traffic until its rules are changed')


# -- reading -------------------------------------------------------------------

def of_project(conn: sa.Connection, project_id: str) -> list[SecurityGroup]:
    """With their rules, by name. Always with a `default`."""
    found = _read(conn, security_groups.c.project_id == project_id)
    if not any(group.id == default_id(project_id) for group in found):
        found.append(untouched_default(project_id))
    return sorted(found, key=lambda group: (group.name, group.id))


def of_all(conn: sa.Connection, project_id: str, *, limit: int, offset: int = 0) -> list[SecurityGroup]:
    """Of all projects a page, by project and name. A `default` that nobody has changed is there for `project_id` only,
    at the end."""
    query = sa.select(security_groups.c.id).order_by(
        security_groups.c.project_id, security_groups.c.name, security_groups.c.id).limit(limit).offset(offset)
    ids = list(conn.scalars(query))
    found = {group.id: group for group in _read(conn, security_groups.c.id.in_(ids))} if ids else {}
    page = [found[one] for one in ids if one in found]
    if len(page) < limit and not conn.scalar(
            sa.select(security_groups.c.id).where(security_groups.c.id == default_id(project_id))):
        total = int(conn.scalar(sa.select(sa.func.count()).select_from(security_groups)) or 0)
        if offset <= total:
            page.append(untouched_default(project_id))
    return page


def get(conn: sa.Connection, group_id: str, project_id: str) -> SecurityGroup | None:
    """`project_id` has the `default` that is found though nobody has changed it."""
    found = _read(conn, security_groups.c.id == group_id)
    if found:
        return found[0]
    return untouched_default(project_id) if group_id == default_id(project_id) else None


def get_rule(conn: sa.Connection, rule_id: str, project_id: str) -> tuple[SecurityGroup, SecurityGroupRule] | None:
    group_id = conn.scalar(sa.select(security_group_rules.c.security_group_id).where(
        security_group_rules.c.id == rule_id))
    group = get(conn, group_id or default_id(project_id), project_id)
    for rule in group.rules if group is not None else ():
        if group is not None and rule.id == rule_id:
            return group, rule
    return None


def _read(conn: sa.Connection, *where: Any) -> list[SecurityGroup]:
    query = sa.select(*(security_groups.c[name] for name in _GROUP)).where(*where)
    found = {row.id: SecurityGroup(**row._mapping) for row in conn.execute(query)}
    if found:
        rules = sa.select(*(security_group_rules.c[name] for name in _RULE)).where(
            security_group_rules.c.security_group_id.in_(list(found))).order_by(
            security_group_rules.c.created_at, security_group_rules.c.id)
        for row in conn.execute(rules):
            found[row.security_group_id].rules.append(SecurityGroupRule(**row._mapping))
    return list(found.values())


# -- what a card may do --------------------------------------------------------

def of_ports(conn: sa.Connection, cards: Iterable[Port]) -> dict[str, list[SecurityGroup]]:
    """{id of a port: its groups}. A group that is gone is not among them."""
    cards = list(cards)
    wanted = {card.id: _ids(card) for card in cards}
    ids = sorted({one for many in wanted.values() for one in many})
    found = {group.id: group for group in _read(conn, security_groups.c.id.in_(ids))} if ids else {}
    for card in cards:
        default = default_id(card.project_id or '')
        if default in wanted[card.id] and default not in found:
            found[default] = untouched_default(card.project_id or '')
    return {port: [found[one] for one in many if one in found] for port, many in wanted.items()}


def _ids(card: Port) -> list[str]:
    return [default_id(card.project_id or '')] if card.security_groups is None else card.security_groups


def firewalls(conn: sa.Connection, groups: dict[str, list[SecurityGroup]], *,
              strict: bool = False) -> dict[str, Firewall | None]:
    """{id of a port: what its groups come to}. Beyond MOST_ENTRIES nothing more is let through, or, `strict`, it raises
    OverQuota."""
    remote = {rule.remote_group_id for many in groups.values() for group in many for rule in group.rules
              if rule.remote_group_id}
    projects = {group.project_id for many in groups.values() for group in many}
    members = _members(conn, projects, remote) if remote else {}
    # Many cards are in few sets of groups.
    known: dict[tuple[str, ...], Firewall | None] = {}
    found = {}
    for port, many in groups.items():
        key = tuple(group.id for group in many)
        if key not in known:
            known[key] = _firewall(many, members, strict)
        found[port] = known[key]
    return found


def _members(conn: sa.Connection, projects: Collection[str], wanted: Collection[str | None]) -> dict[str, list[str]]:
    """{group: the fewest prefixes that hold the addresses of the cards in it, and no others}"""
    found: dict[str, list[ipaddress.IPv4Network]] = {}
    for card in _cards(conn, ports.c.project_id.in_(sorted(projects))):
        for group_id in set(_ids(card)).intersection(wanted):
            found.setdefault(str(group_id), []).append(ipaddress.IPv4Network(card.address))
    return {group_id: [str(prefix) for prefix in ipaddress.collapse_addresses(many)]
            for group_id, many in found.items()}


def _cards(conn: sa.Connection, *where: Any) -> list[Port]:
    query = sa.select(*(ports.c[name] for name in _PORT)).where(*where).order_by(ports.c.created_at, ports.c.id)
    return [Port(**row._mapping) for row in conn.execute(query)]


def _firewall(groups: Sequence[SecurityGroup], members: dict[str, list[str]], strict: bool = False) -> Firewall | None:
    rules: dict[tuple[Any, ...], None] = {}
    # Those that name a group last: what they come to depends on who is in it, and only they can be too many.
    for rule in sorted((rule for group in groups for rule in group.rules if rule.ethertype == 'IPv4'),
                       key=lambda rule: bool(rule.remote_group_id)):
        prefixes: Sequence[str | None] = [rule.remote_ip_prefix]
        if rule.remote_group_id:
            prefixes = members.get(rule.remote_group_id, [])
            if len(rules) + len(prefixes) > MOST_ENTRIES:
                if strict:
                    raise exception.OverQuota(overs="['security_group_rule']: rules that name groups come to more than "
                                                    f'{MOST_ENTRIES} addresses')
                LOG.warning('Rule %s of security group %s lets nobody in: with it more than %d addresses would have '
                            'to be kept for a card', rule.id, rule.security_group_id, MOST_ENTRIES)
                continue
        for prefix in prefixes:
            everywhere = prefix is None or ipaddress.ip_network(prefix, strict=False).prefixlen == 0
            rules[rule.direction, rule.protocol, rule.port_range_min, rule.port_range_max,
                  None if everywhere else prefix] = None
    if all((way, None, None, None, None) in rules for way in ('ingress', 'egress')):
        return None
    name = hashlib.sha256(' '.join(sorted(group.id for group in groups)).encode()).hexdigest()[:20]
    return {'name': PREFIX + name, 'rules': [list(one) for one in rules]}


def on_host(conn: sa.Connection, host: str) -> dict[str, dict[str, Firewall | None]]:
    """{server: {MAC address: what this card may do}} of the cards of a host."""
    cards = _cards(conn, ports.c.host == host, ports.c.instance_uuid.is_not(None))
    walls = firewalls(conn, of_ports(conn, cards)) if cards else {}
    found: dict[str, dict[str, Firewall | None]] = {}
    for card in cards:
        found.setdefault(str(card.instance_uuid), {})[card.mac_address] = walls[card.id]
    return found


# -- writing -------------------------------------------------------------------

def insert(conn: sa.Connection, group: SecurityGroup) -> None:
    """With its rules. Raises OverQuota."""
    servers.lock_project(conn, group.project_id)
    most = CONF.local_networks.max_security_groups
    if 0 <= most <= len(of_project(conn, group.project_id)):
        raise exception.OverQuota(overs="['security_group']")
    _insert(conn, group)


def _insert(conn: sa.Connection, group: SecurityGroup) -> None:
    now = session.utcnow()
    group.created_at = group.updated_at = now
    conn.execute(security_groups.insert(), {name: getattr(group, name) for name in _GROUP})
    for rule in group.rules:
        rule.created_at = now
    if group.rules:
        conn.execute(security_group_rules.insert(),
                     [{name: getattr(rule, name) for name in _RULE} for rule in group.rules])


def hold(conn: sa.Connection, group: SecurityGroup) -> SecurityGroup:
    """Nobody else changes the groups of its project until the transaction ends; a `default` has its row now.
    Raises SecurityGroupNotFound when it has gone meanwhile."""
    servers.lock_project(conn, group.project_id)
    now = get(conn, group.id, group.project_id)
    if now is None:
        raise exception.SecurityGroupNotFound(security_group_id=group.id)
    if now.created_at is None:
        _insert(conn, now)
    return now


def touch(conn: sa.Connection, group_id: str, **values: Any) -> None:
    conn.execute(security_groups.update().where(security_groups.c.id == group_id).values(
        updated_at=session.utcnow(), **values))


def add_rule(conn: sa.Connection, group: SecurityGroup, rule: SecurityGroupRule) -> None:
    """Of a group that is held. Raises OverQuota, SecurityGroupRuleExists."""
    for other in group.rules:
        if _means(other) == _means(rule):
            raise exception.SecurityGroupRuleExists(rule_id=other.id)
    most = CONF.local_networks.max_security_group_rules
    if 0 <= most <= sum(len(one.rules) for one in of_project(conn, group.project_id)):
        raise exception.OverQuota(overs="['security_group_rule']")
    rule.created_at = session.utcnow()
    conn.execute(security_group_rules.insert(), {name: getattr(rule, name) for name in _RULE})
    touch(conn, group.id)


def _means(rule: SecurityGroupRule) -> tuple[Any, ...]:
    return (rule.direction, rule.ethertype, rule.protocol, rule.port_range_min, rule.port_range_max,
            rule.remote_ip_prefix, rule.remote_group_id)


def remove_rule(conn: sa.Connection, rule: SecurityGroupRule) -> None:
    conn.execute(security_group_rules.delete().where(security_group_rules.c.id == rule.id))
    touch(conn, rule.security_group_id)


def remove(conn: sa.Connection, group: SecurityGroup) -> None:
    """Of a group that is held. Raises SecurityGroupInUse while a port or a rule of another group names it."""
    named = conn.scalar(sa.select(security_group_rules.c.id).where(
        security_group_rules.c.remote_group_id == group.id,
        security_group_rules.c.security_group_id != group.id).limit(1))
    if named is not None or members_of(conn, group):
        raise exception.SecurityGroupInUse(security_group_id=group.id)
    conn.execute(security_group_rules.delete().where(security_group_rules.c.security_group_id == group.id))
    conn.execute(security_groups.delete().where(security_groups.c.id == group.id))


def members_of(conn: sa.Connection, group: SecurityGroup) -> list[Port]:
    return [card for card in _cards(conn, ports.c.project_id == group.project_id) if group.id in _ids(card)]


def concerned(conn: sa.Connection, group: SecurityGroup) -> list[Port]:
    """The cards whose firewall a change of the group, or of who is in it, may change."""
    naming = set(conn.scalars(sa.select(security_group_rules.c.security_group_id).where(
        security_group_rules.c.remote_group_id == group.id)))
    wanted = naming | {group.id}
    return [card for card in _cards(conn, ports.c.project_id == group.project_id)
            if not wanted.isdisjoint(_ids(card))]


def set_groups(conn: sa.Connection, port_id: str, groups: list[str] | None) -> None:
    conn.execute(ports.update().where(ports.c.id == port_id).values(security_groups=groups))


def rewrite(conn: sa.Connection, cards: Sequence[Port], *, strict: bool = False) -> list[str]:
    """Let the records of the servers that have these cards say what holds now. -> the hosts that must be told.
    `strict` as in `firewalls`."""
    groups = of_ports(conn, cards)
    walls = firewalls(conn, groups, strict=strict) if cards else {}
    uuids = sorted({card.instance_uuid for card in cards if card.instance_uuid})
    rows = conn.execute(sa.select(instances.c.uuid, instances.c.network_info).where(
        instances.c.uuid.in_(uuids), instances.c.deleted == 0).with_for_update()).all() if uuids else ()
    names = {card.id: card.security_groups for card in cards}
    for row in rows:
        vifs = from_primitive(row.network_info or [])
        for vif in vifs:
            if vif.id in groups:
                describe(vif.details, names[vif.id], groups[vif.id], walls[vif.id])
        servers.update(conn, row.uuid, {'network_info': vifs})
    return sorted({card.host for card in cards if card.host and card.instance_uuid})


def describe(details: dict[str, Any], named: list[str] | None, groups: Sequence[SecurityGroup],
             wall: Firewall | None) -> None:
    """What a card's record says of its groups; nothing of an untouched `default`."""
    for key in ('security_groups', 'firewall'):
        details.pop(key, None)
    if named is not None and [group.name for group in groups] != [DEFAULT]:
        details['security_groups'] = [group.name or group.id for group in groups]
    if wall is not None:
        details['firewall'] = wall
