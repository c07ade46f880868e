"""/os-security-groups and /os-security-group-rules, up to 2.35.

A project has the one group `default` of the local networks, which says what is true: everything may come in. Another
group, or another rule, is refused as over quota: nobody is told that a rule protects him which no host keeps.
"""
from __future__ import annotations

import ipaddress
from typing import Any, NoReturn
from urllib.parse import unquote

from oslo_utils import uuidutils

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.network import constant
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import proxies
from minicompute.api.openstack.compute.schemas import security_groups as schema
from minicompute.api.openstack.compute.security_groups import DEFAULT, RULE, view
from minicompute.api.openstack.wsgi import Request

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
        return {'security_groups': [view(_own(req))][first:first + limit]}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 404))
    @validation.schema(query=proxies.query, answer=schema.one)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'show')
        return {'security_group': view(_find(req, id))}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 403))
    @validation.schema(schema.create, answer=schema.one)
    def create(self, req: Request, body: dict[str, Any]) -> NoReturn:
        policy.authorize(req.context, RULE % 'create')
        raise _over(f'a project has the security group {DEFAULT} and no other')

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 404))
    @validation.schema(schema.create, answer=schema.one)
    def update(self, req: Request, id: str, body: dict[str, Any]) -> NoReturn:
        policy.authorize(req.context, RULE % 'update')
        _find(req, id)
        raise exception.Invalid(f'Security group {DEFAULT} cannot be changed.')

    @wsgi.api_version('2.1', LAST)
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404))
    @validation.schema(answer=proxies.nothing)
    def delete(self, req: Request, id: str) -> NoReturn:
        policy.authorize(req.context, RULE % 'delete')
        _find(req, id)
        raise exception.Invalid(f'Security group {DEFAULT} cannot be deleted.')


class SecurityGroupRuleController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(schema.create_rule, answer=schema.rule)
    def create(self, req: Request, body: dict[str, Any]) -> NoReturn:
        policy.authorize(req.context, RULE % 'rule:create')
        asked = body['security_group_rule']
        group = _find(req, asked['parent_group_id'])
        source = asked.get('group_id')
        if source is not None:
            _find(req, source)
        check_rule(asked.get('ip_protocol'), asked.get('from_port'), asked.get('to_port'),
                   None if source else asked.get('cidr') or ANYWHERE)
        raise _over(f"security group {group['id']} lets everything in already, and keeps no rules")

    @wsgi.api_version('2.1', LAST)
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(answer=proxies.nothing)
    def delete(self, req: Request, id: str) -> NoReturn:
        policy.authorize(req.context, RULE % 'rule:delete')
        _check_id(id)
        if any(rule['id'] == id for rule in _own(req)['security_group_rules']):
            raise exception.Invalid(f'Rules of security group {DEFAULT} cannot be deleted.')
        raise exception.NotFound(f'Security group rule {id} does not exist')


ROUTES = (
    ('GET', '/os-security-groups', SecurityGroupProxyController, 'index'),
    ('POST', '/os-security-groups', SecurityGroupProxyController, 'create'),
    ('GET', '/os-security-groups/{id}', SecurityGroupProxyController, 'show'),
    ('PUT', '/os-security-groups/{id}', SecurityGroupProxyController, 'update'),
    ('DELETE', '/os-security-groups/{id}', SecurityGroupProxyController, 'delete'),
    ('POST', '/os-security-group-rules', SecurityGroupRuleController, 'create'),
    ('DELETE', '/os-security-group-rules/{id}', SecurityGroupRuleController, 'delete'),
)


def _own(req: Request) -> dict[str, Any]:
    return constant.default_group(req.context.project_id or '')


def _check_id(identity: str) -> None:
    if not uuidutils.is_uuid_like(identity):
        raise exception.Invalid('Security group id should be uuid')


def _find(req: Request, identity: str) -> dict[str, Any]:
    _check_id(identity)
    group = _own(req)
    if identity != group['id']:
        raise exception.NotFound(f'Security group {identity} does not exist')
    return group


def _over(why: str) -> exception.QuotaError:
    return exception.QuotaError(f'Quota exceeded: {why}.')


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
