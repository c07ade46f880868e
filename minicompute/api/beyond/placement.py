"""/placement: would it fit? The body is that of a create, and nothing is created.
/servers/{id}/placement: how a server found its place, or why it found none, and whether another like it would.

Users see how many hosts there are; operators see which.
"""
from __future__ import annotations

from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.beyond import schemas
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute import servers_create
from minicompute.api.openstack.compute.schemas import servers as create_schema
from minicompute.api.openstack.compute.schemas import servers_query as queries
from minicompute.api.openstack.compute.servers import allow
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import parts
from minicompute.compute.api import placement as api
from minicompute.objects import VMState

RULE = 'minicompute:placement:%s'


class PlacementController(wsgi.Controller):

    @wsgi.expected_errors((400, 403, 409))
    @validation.schema(create_schema.create, answer=schemas.explain_answer)
    def explain(self, req: Request, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'explain')
        found = api.of_create(req.context, servers_create.parse(req, body))
        return {'placement': _shown(found, _sees_hosts(req))}

    @wsgi.expected_errors(404)
    @validation.schema(query=queries.nothing, answer=schemas.placed_answer)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        row = parts.find(req.context, id, allow(req, RULE % 'show'), 'host', 'vm_state')
        sees_hosts = _sees_hosts(req)
        now, why_not = None, None
        try:
            now = api.again(req.context, id)
        except exception.Unavailable as error:      # what is in the records is told all the same
            why_not = error.message
        placement: dict[str, Any] = {
            'server_id': id, 'placed': bool(row.host) and row.vm_state != VMState.ERROR,
            'attempts': [{**one, 'time': common.zulu(one['time']), 'funnel': _funnel(one['funnel'])}
                         for one in api.attempts(id)],
            'now': None if now is None else _shown(now, sees_hosts), 'now_unknown': why_not}
        if sees_hosts:
            placement['host'] = row.host
        return {'placement': placement}


ROUTES = (
    ('POST', '/placement', PlacementController, 'explain'),
    ('GET', '/servers/{id}/placement', PlacementController, 'show'),
)


def _sees_hosts(req: Request) -> bool:
    return policy.allowed(req.context, RULE % 'hosts')


def _shown(found: api.Explanation, sees_hosts: bool) -> dict[str, Any]:
    hidden = () if sees_hosts else ('host',)
    shown = {
        'fits': found.fits, 'servers': found.servers, 'servers_that_fit': found.servers_that_fit,
        'quota': {'fits': found.over_quota is None, 'reason': found.over_quota},
        'funnel': _funnel(found.funnel) if found.funnel else None, 'hosts_chosen': len(found.hosts),
        'changes': [{name: value for name, value in change.items() if name not in hidden}
                    for change in found.changes],
        'text': found.text}
    if sees_hosts:
        shown['hosts'] = found.hosts
    return shown


def _funnel(found: dict[str, Any]) -> dict[str, Any]:
    return {'total': found['total'], 'stages': [{'name': name, 'left': left} for name, left in found['stages']]}
