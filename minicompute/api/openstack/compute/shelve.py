"""shelve, shelveOffload, unshelve."""
from __future__ import annotations

from typing import Any

from minicompute import policy
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import shelve as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import shelve

RULE = 'os_compute_api:os-shelve:%s'


class ShelveController(wsgi.Controller):

    @wsgi.action('shelve')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.shelve, answer=schema.nothing)
    def shelve(self, req: Request, id: str, body: dict[str, Any]) -> None:
        shelve.shelve(req.context, find(req, id, RULE % 'shelve'))

    @wsgi.action('shelveOffload')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.shelve_offload, answer=schema.nothing)
    def shelve_offload(self, req: Request, id: str, body: dict[str, Any]) -> None:
        shelve.shelve_offload(req.context, find(req, id, RULE % 'shelve_offload'))

    @wsgi.action('unshelve')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.unshelve, answer=schema.nothing)
    def unshelve(self, req: Request, id: str, body: dict[str, Any]) -> None:
        instance = find(req, id, RULE % 'unshelve')
        asked = body['unshelve'] if isinstance(body['unshelve'], dict) else {}
        zone: str | None | shelve.Unset = shelve.UNSET
        if req.since('2.77') and 'availability_zone' in asked:
            zone = asked['availability_zone']
        host = asked.get('host') if req.since('2.91') else None
        shelve.check_unshelve(req.context, instance, zone, host)    # Nova looks at the state first
        if host is not None:
            policy.authorize(req.context, RULE % 'unshelve_to_host',
                             {'project_id': instance.project_id, 'user_id': instance.user_id})
        shelve.unshelve(req.context, instance, zone, host)


ROUTES = (('POST', '/servers/{id}/action', ShelveController, wsgi.ACTIONS),)
