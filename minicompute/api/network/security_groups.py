"""Security groups and their rules: list, show, create, change, delete."""
from __future__ import annotations

import ipaddress
import uuid
from typing import Any

from minicompute import exception
from minicompute.api.image.table import Request
from minicompute.api.network import common
from minicompute.api.openstack.answer import Answer
from minicompute.objects import SecurityGroup, SecurityGroupRule

_TEXT = {'type': 'string', 'maxLength': 255, 'format': 'text'}
_CHANGEABLE = {'name': common.NAME, 'description': _TEXT, 'stateful': {'enum': [True]}}
_NEW = {**_CHANGEABLE, 'project_id': common.PROJECT, 'tenant_id': common.PROJECT}
PROTOCOLS = ('tcp', 'udp', 'icmp', 'igmp', 'esp', 'ah', 'sctp', 'udplite')
MOST_PORT = 65535
NUMBERS = {'tcp': '6', 'udp': '17', 'icmp': '1', 'igmp': '2', 'esp': '50', 'ah': '51', 'sctp': '132', 'udplite': '136'}
_PORT = {'type': ['integer', 'string', 'null'], 'minimum': 0, 'maximum': 65535, 'pattern': '^[0-9]{1,5}$(?!\n)'}
_NEW_RULE = {
    'security_group_id': common.UUID, 'direction': {'enum': ['ingress', 'egress']},
    'ethertype': {'enum': ['IPv4', 'IPv6', 'ipv4', 'ipv6']}, 'protocol': {'type': ['string', 'integer', 'null']},
    'port_range_min': _PORT, 'port_range_max': _PORT,
    'remote_ip_prefix': {'type': ['string', 'null'], 'maxLength': 64},
    'remote_group_id': {'type': ['string', 'null'], 'format': 'uuid', 'maxLength': 36},
    'remote_address_group_id': {'type': 'null'}, 'description': _TEXT, 'project_id': common.PROJECT,
    'tenant_id': common.PROJECT}


def rule_view(rule: SecurityGroupRule, project_id: str) -> dict[str, Any]:
    return {'id': rule.id, 'security_group_id': rule.security_group_id, 'direction': rule.direction,
            'ethertype': rule.ethertype, 'protocol': rule.protocol, 'port_range_min': rule.port_range_min,
            'port_range_max': rule.port_range_max, 'remote_ip_prefix': rule.remote_ip_prefix,
            'remote_group_id': rule.remote_group_id, 'remote_address_group_id': None,
            'description': rule.description, 'project_id': project_id, 'tenant_id': project_id, 'tags': [],
            'revision_number': 0, 'normalized_cidr': rule.remote_ip_prefix, 'belongs_to_default_sg': False,
            'created_at': common.time(rule.created_at), 'updated_at': common.time(rule.created_at)}


def view(group: SecurityGroup) -> dict[str, Any]:
    return {'id': group.id, 'name': group.name, 'description': group.description, 'project_id': group.project_id,
            'tenant_id': group.project_id, 'stateful': True, 'shared': False, 'tags': [], 'revision_number': 0,
            'security_group_rules': [rule_view(rule, group.project_id) for rule in group.rules],
            'created_at': common.time(group.created_at), 'updated_at': common.time(group.updated_at)}


def _seen(req: Request) -> list[SecurityGroup]:
    """An administrator sees those of all projects."""
    return common.backend().list_security_groups(req.context, all_projects=bool(req.context.is_admin), limit=100000)


def index(req: Request) -> dict[str, Any]:
    return common.listed(req, [view(group) for group in _seen(req)], 'security_groups')


def show(req: Request, group_id: str) -> dict[str, Any]:
    return {'security_group': view(common.backend().show_security_group(req.context, group_id))}


def create(req: Request) -> Answer:
    values = common.body(req, 'security_group', _NEW)
    group = SecurityGroup(id=str(uuid.uuid4()), name=values.get('name', ''), description=values.get('description', ''),
                          project_id=common.owner(req, values) or '')
    made = common.backend().create_security_group(req.context, group)
    return Answer({'security_group': view(made)}, code=201)


def update(req: Request, group_id: str) -> dict[str, Any]:
    values = common.body(req, 'security_group', _CHANGEABLE)
    changed = common.backend().update_security_group(req.context, group_id, name=values.get('name'),
                                                     description=values.get('description'))
    return {'security_group': view(changed)}


def delete(req: Request, group_id: str) -> None:
    common.backend().delete_security_group(req.context, group_id)


# -- rules ---------------------------------------------------------------------

def index_rules(req: Request) -> dict[str, Any]:
    views = [rule_view(rule, group.project_id) for group in _seen(req) for rule in group.rules]
    return common.listed(req, views, 'security_group_rules')


def show_rule(req: Request, rule_id: str) -> dict[str, Any]:
    rule = common.backend().show_security_group_rule(req.context, rule_id)
    return {'security_group_rule': rule_view(rule, _project(req, rule))}


def _project(req: Request, rule: SecurityGroupRule) -> str:
    return common.backend().show_security_group(req.context, rule.security_group_id).project_id


def create_rule(req: Request) -> Answer:
    values = common.body(req, 'security_group_rule', _NEW_RULE, required=['security_group_id', 'direction'])
    common.owner(req, values)
    protocol, least, greatest = checked_ports(values.get('protocol'), _number(values.get('port_range_min')),
                                              _number(values.get('port_range_max')))
    kind = 'IPv6' if values.get('ethertype', '').lower() == 'ipv6' else 'IPv4'
    prefix, other = values.get('remote_ip_prefix'), values.get('remote_group_id')
    if prefix is not None and other is not None:
        raise exception.Invalid('remote_ip_prefix, remote_group_id: only one of them may be given.')
    rule = SecurityGroupRule(
        id=str(uuid.uuid4()), security_group_id=values['security_group_id'], direction=values['direction'],
        ethertype=kind, protocol=protocol, port_range_min=least, port_range_max=greatest, remote_group_id=other,
        remote_ip_prefix=None if prefix is None else checked_prefix(prefix, kind),
        description=values.get('description', ''))
    made = common.backend().create_security_group_rule(req.context, rule)
    return Answer({'security_group_rule': rule_view(made, _project(req, made))}, code=201)


def delete_rule(req: Request, rule_id: str) -> None:
    common.backend().delete_security_group_rule(req.context, rule_id)


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def checked_prefix(prefix: str, kind: str) -> str:
    """In its one spelling. Raises Invalid."""
    try:
        found = ipaddress.ip_network(prefix, strict=False)
    except ValueError:
        raise exception.Invalid(f'remote_ip_prefix: {prefix[:64]} is not an IP network.') from None
    if '%' in prefix:
        raise exception.Invalid('remote_ip_prefix: it cannot name a zone.')
    if f'IPv{found.version}' != kind:
        raise exception.Invalid(f'remote_ip_prefix: {found} is not of the ethertype {kind}.')
    return str(found)


def checked_ports(protocol: Any, least: int | None, greatest: int | None) -> tuple[str | None, int | None, int | None]:
    """A rule's protocol by its name, and its ports (of ICMP type and code). Raises Invalid."""
    name = None if protocol is None else str(protocol).lower()
    if name in ('any', '0', '-1', ''):
        name = None
    name = next((known for known, number in NUMBERS.items() if number == name), name)
    if any(one is not None and one > MOST_PORT for one in (least, greatest)):
        raise exception.Invalid(f'port_range_min, port_range_max: {MOST_PORT} at most.')
    if name is not None and name not in PROTOCOLS:
        raise exception.Invalid(f'protocol: {str(protocol)[:64]} is none of {", ".join(PROTOCOLS)}, nor their numbers.')
    if name == 'icmp':
        if any(one is not None and one > 255 for one in (least, greatest)):
            raise exception.Invalid('port_range_min, port_range_max: type and code of ICMP are 255 at most.')
        if least is None and greatest is not None:
            raise exception.Invalid('port_range_min: a code of ICMP needs a type.')
        return name, least, greatest
    if least is None and greatest is None:
        return name, None, None
    if name not in ('tcp', 'udp', 'sctp'):    # libvirt cannot tell the ports of udplite apart
        raise exception.Invalid('port_range_min, port_range_max: only rules for tcp, udp and sctp can name ports.')
    if least is None or greatest is None or least > greatest or least < 1:
        raise exception.Invalid('port_range_min, port_range_max: both are given, from 1 on, and the first is not the '
                                'greater.')
    return name, least, greatest
