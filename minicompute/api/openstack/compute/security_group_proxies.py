"""/os-security-groups and /os-security-group-rules, up to 2.35: the groups of the network service, in Nova's words."""
from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import unquote

from oslo_utils import uuidutils

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import proxies
from minicompute.api.openstack.compute.schemas import security_groups as schema
from minicompute.api.openstack.compute.security_groups import RULE, rule_view, views
from minicompute.api.openstack.wsgi import Request
from minicompute.network import base as network
from minicompute.objects import SecurityGroup, SecurityGroupRule

LAST = '2.35'
ANYWHERE = '0.0.0.0/0'
#: protocol -> the least and the greatest port, or type and code
PORTS = {'TCP': (1, 65535), 'UDP': (1, 65535), 'ICMP': (-1, 255)}


class SecurityGroupProxyController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.index_query, answer=schema.answer)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'get')
        first, limit = common.window(req)
        found = network.load().list_security_groups(req.context, all_projects='all_tenants' in req.GET, limit=limit,
                                                    offset=first)
        shown = views(req.context, found)
        return {'security_groups': sorted(shown, key=lambda group: (group['tenant_id'], group['name']))}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 404))
    @validation.schema(query=proxies.query, answer=schema.one)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'show')
        return _answer(req, _find(req, id))

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 403))
    @validation.schema(schema.create, answer=schema.one)
    def create(self, req: Request, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'create')
        asked = body['security_group']
        group = SecurityGroup(id=uuidutils.generate_uuid(), name=asked['name'], description=asked['description'],
                              project_id=req.context.project_id or '')
        try:
            return _answer(req, network.load().create_security_group(req.context, group))
        except exception.Conflict as error:     # so Nova takes whatever Neutron finds in the way
            raise exception.QuotaError(error.message) from None

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 404))
    @validation.schema(schema.create, answer=schema.one)
    def update(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'update')
        _find(req, id)
        asked = body['security_group']
        try:
            return _answer(req, network.load().update_security_group(
                req.context, id, name=asked['name'], description=asked['description']))
        except exception.Conflict as error:
            raise exception.Invalid(error.message) from None

    @wsgi.api_version('2.1', LAST)
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404))
    @validation.schema(answer=proxies.nothing)
    def delete(self, req: Request, id: str) -> None:
        policy.authorize(req.context, RULE % 'delete')
        _find(req, id)
        try:
            network.load().delete_security_group(req.context, id)
        except exception.Conflict as error:
            raise exception.Invalid(error.message) from None


class SecurityGroupRuleController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(schema.create_rule, answer=schema.rule)
    def create(self, req: Request, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'rule:create')
        asked = body['security_group_rule']
        group = _find(req, asked['parent_group_id'])
        source = None if asked.get('group_id') is None else _find(req, asked['group_id'])
        rule = _rule(asked, group, source)
        for other in group.rules:
            if other.direction == 'ingress' and _same(other, rule):
                raise exception.Invalid(f'This rule already exists in group {group.id}')
        try:
            made = network.load().create_security_group_rule(req.context, rule)
        except exception.Conflict as error:
            raise exception.QuotaError(error.message) from None
        return {'security_group_rule': rule_view(made, source)}

    @wsgi.api_version('2.1', LAST)
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(answer=proxies.nothing)
    def delete(self, req: Request, id: str) -> None:
        policy.authorize(req.context, RULE % 'rule:delete')
        _check_id(id)
        network.load().delete_security_group_rule(req.context, id)


ROUTES = (
    ('GET', '/os-security-groups', SecurityGroupProxyController, 'index'),
    ('POST', '/os-security-groups', SecurityGroupProxyController, 'create'),
    ('GET', '/os-security-groups/{id}', SecurityGroupProxyController, 'show'),
    ('PUT', '/os-security-groups/{id}', SecurityGroupProxyController, 'update'),
    ('DELETE', '/os-security-groups/{id}', SecurityGroupProxyController, 'delete'),
    ('POST', '/os-security-group-rules', SecurityGroupRuleController, 'create'),
    ('DELETE', '/os-security-group-rules/{id}', SecurityGroupRuleController, 'delete'),
)


def _answer(req: Request, group: SecurityGroup) -> dict[str, Any]:
    return {'security_group': views(req.context, [group])[0]}


def _check_id(identity: str) -> None:
    if not uuidutils.is_uuid_like(identity):
        raise exception.Invalid('Security group id should be uuid')


def _find(req: Request, identity: str) -> SecurityGroup:
    """Raises Invalid, SecurityGroupNotFound."""
    _check_id(identity)
    return network.load().show_security_group(req.context, identity)


def _rule(asked: dict[str, Any], group: SecurityGroup, source: SecurityGroup | None) -> SecurityGroupRule:
    """What the network service is asked for: -1 as a port is none. Raises Invalid."""
    protocol, first, last = asked.get('ip_protocol') or None, asked.get('from_port'), asked.get('to_port')
    cidr = None if source else asked.get('cidr') or ANYWHERE
    check_rule(protocol, first, last, cidr)
    if (first is None) != (last is None):   # as Nova reads it: then nothing is said of the protocol
        protocol = None
    if protocol is None or first is None or last is None:
        protocol, first, last = (None, None, None) if protocol is None else (str(protocol).lower(), None, None)
    else:
        protocol, first, last = str(protocol).lower(), *(None if int(port) == -1 else int(port)
                                                         for port in (first, last))
    network_ = None if cidr is None else ipaddress.ip_network(unquote(str(cidr)), strict=False)
    if protocol == 'icmp' and first is None and last is not None:
        raise exception.Invalid('from_port: a code of ICMP needs a type.')
    return SecurityGroupRule(
        id=uuidutils.generate_uuid(), security_group_id=group.id, protocol=protocol, port_range_min=first,
        port_range_max=last, ethertype=f'IPv{network_.version if network_ else 4}',
        remote_ip_prefix=None if network_ is None else str(network_), remote_group_id=source.id if source else None)


def _same(one: SecurityGroupRule, other: SecurityGroupRule) -> bool:
    def said(rule: SecurityGroupRule) -> tuple[Any, ...]:
        shown = rule_view(rule, None)
        return shown['ip_protocol'], shown['from_port'], shown['to_port'], rule.remote_group_id, (
            None if rule.remote_group_id else rule.remote_ip_prefix or ANYWHERE)
    return said(one) == said(other)


def check_rule(protocol: Any, from_port: Any, to_port: Any, cidr: Any) -> None:
    """Raises Invalid for what no network service would take. `cidr` None: the rule is for a group."""
    if cidr is not None:
        _check_cidr(cidr)
    if protocol and (from_port is None) == (to_port is None):
        limits = PORTS.get(str(protocol).upper())
        if limits is None:
            raise exception.Invalid(f'ip_protocol: {str(protocol)[:64]} is none of TCP, UDP and ICMP.')
        if from_port is not None:
            _check_ports(str(protocol).upper(), _number('from_port', from_port), _number('to_port', to_port), limits)
            return
    if cidr is not None:
        raise exception.Invalid('Not enough parameters to build a valid rule.')


def _check_cidr(cidr: Any) -> None:
    try:
        network = ipaddress.ip_network(unquote(str(cidr)), strict=False)
        if '%' in unquote(str(cidr)):
            raise ValueError('a zone')
    except ValueError:
        raise exception.Invalid(f'cidr: {str(cidr)[:64]} is not an IP network.') from None
    if network.prefixlen == 0 and not str(cidr).startswith(('0.0.0.0/', '::/')):
        raise exception.Invalid(f'Bad prefix for network in cidr {str(cidr)[:64]}')


def _number(name: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise exception.Invalid(f'{name}: it must be an integer.') from None


def _check_ports(protocol: str, first: int, last: int, limits: tuple[int, int]) -> None:
    if not (limits[0] <= first <= limits[1] and limits[0] <= last <= limits[1]):
        raise exception.Invalid(f'from_port, to_port: for {protocol} they lie between {limits[0]} and {limits[1]}.')
    if protocol != 'ICMP' and first > last:
        raise exception.Invalid('from_port: it cannot be greater than to_port.')
