"""Security groups of servers."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import security_groups as schema
from minicompute.api.openstack.compute.schemas import servers_query as queries
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import external_events
from minicompute.compute.api.locks import check_lock
from minicompute.context import RequestContext
from minicompute.network import base as network
from minicompute.objects import Instance, SecurityGroup, SecurityGroupRule

RULE = 'os_compute_api:os-security-groups:%s'


class SecurityGroupsController(wsgi.Controller):

    @wsgi.expected_errors(404)
    @validation.schema(query=queries.nothing, answer=schema.answer)
    def index(self, req: Request, server_id: str) -> dict[str, Any]:
        instance = find(req, server_id, RULE % 'list')
        found = network.load().server_groups(req.context, instance)
        shown = views(req.context, found)
        return {'security_groups': sorted(shown, key=lambda group: (group['tenant_id'], group['name']))}

    @wsgi.action('addSecurityGroup')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.add)
    def add(self, req: Request, id: str, body: dict[str, Any]) -> None:
        instance, name = self._named(req, id, 'add', body['addSecurityGroup']['name'])
        network.load().add_group(req.context, instance, name)
        external_events.tell_changed(req.context, instance)

    @wsgi.action('removeSecurityGroup')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.remove)
    def remove(self, req: Request, id: str, body: dict[str, Any]) -> None:
        instance, name = self._named(req, id, 'remove', body['removeSecurityGroup']['name'])
        network.load().remove_group(req.context, instance, name)
        external_events.tell_changed(req.context, instance)

    @staticmethod
    def _named(req: Request, uuid: str, rule: str, name: str) -> tuple[Instance, str]:
        instance = find(req, uuid, RULE % rule)
        check_lock(req.context, instance)
        if not name.strip():
            raise exception.Invalid('Security group name cannot be empty')
        return instance, name


ROUTES = (
    ('GET', '/servers/{server_id}/os-security-groups', SecurityGroupsController, 'index'),
    ('POST', '/servers/{id}/action', SecurityGroupsController, wsgi.ACTIONS),
)


def views(context: RequestContext, groups: list[SecurityGroup]) -> list[dict[str, Any]]:
    """In the words of the Compute API, which knows rules for what comes in only."""
    known = {group.id: group for group in groups}
    wanted = {rule.remote_group_id for group in groups for rule in group.rules
              if rule.direction == 'ingress' and rule.remote_group_id}
    if missing := wanted - known.keys():
        known |= {group.id: group for group in network.load().security_groups_by_id(context, missing)}
    return [_view(group, known) for group in groups]


def _view(group: SecurityGroup, known: dict[str, SecurityGroup]) -> dict[str, Any]:
    rules = [rule_view(rule, known.get(str(rule.remote_group_id))) for rule in group.rules
             if rule.direction == 'ingress' and (not rule.remote_group_id or rule.remote_group_id in known)]
    return {'id': group.id, 'name': group.name, 'description': group.description, 'tenant_id': group.project_id,
            'rules': rules}


def rule_view(rule: SecurityGroupRule, source: SecurityGroup | None) -> dict[str, Any]:
    least, greatest = rule.port_range_min, rule.port_range_max
    if rule.protocol and least is None and greatest is None:
        least, greatest = (1, 65535) if rule.protocol in ('tcp', 'udp') else (-1, -1)
    return {'id': rule.id, 'parent_group_id': rule.security_group_id, 'ip_protocol': rule.protocol,
            'from_port': least, 'to_port': greatest,
            'group': {'name': source.name, 'tenant_id': source.project_id} if source else {},
            'ip_range': {} if source else {'cidr': rule.remote_ip_prefix or '0.0.0.0/0'}}
