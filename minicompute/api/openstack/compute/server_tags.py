"""/servers/{server_id}/tags: words that users sort their servers by."""
from __future__ import annotations

from typing import Any
from urllib.parse import quote

from minicompute import exception
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.compute.schemas import server_tags as schema
from minicompute.api.openstack.compute.servers import allow
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import parts

RULE = 'os_compute_api:os-server-tags:%s'


class ServerTagsController(wsgi.Controller):

    @wsgi.api_version('2.26')
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.query, answer=schema.answer)
    def index(self, req: Request, server_id: str) -> dict[str, Any]:
        return {'tags': parts.list_tags(req.context, server_id, allow(req, RULE % 'index'))}

    @wsgi.api_version('2.26')
    @wsgi.response(204)
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.query)
    def show(self, req: Request, server_id: str, id: str) -> None:
        if id not in parts.list_tags(req.context, server_id, allow(req, RULE % 'show')):
            raise exception.TagNotFound(server_id=server_id, tag=id[:64])

    @wsgi.api_version('2.26')
    @wsgi.expected_errors((404, 409))
    @validation.schema(schema.update_all, answer=schema.answer)
    def update_all(self, req: Request, server_id: str, body: dict[str, Any]) -> dict[str, Any]:
        may = allow(req, RULE % 'update_all')
        return {'tags': parts.replace_tags(req.context, server_id, may, body['tags'])}

    @wsgi.api_version('2.26')
    @wsgi.response(201, also=(204,))
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.update, answer=validation.EMPTY)
    def update(self, req: Request, server_id: str, id: str, body: None) -> Answer:
        schema.tag.check(id)
        if not parts.add_tag(req.context, server_id, allow(req, RULE % 'update'), id):
            return Answer(code=204)
        place = common.Links(req, 'servers')(server_id)[0]['href']
        return Answer(code=201, headers=[('Location', f'{place}/tags/{quote(id)}')])

    @wsgi.api_version('2.26')
    @wsgi.response(204)
    @wsgi.expected_errors((404, 409))
    def delete(self, req: Request, server_id: str, id: str) -> None:
        parts.remove_tag(req.context, server_id, allow(req, RULE % 'delete'), id)

    @wsgi.api_version('2.26')
    @wsgi.response(204)
    @wsgi.expected_errors((404, 409))
    def delete_all(self, req: Request, server_id: str) -> None:
        parts.replace_tags(req.context, server_id, allow(req, RULE % 'delete_all'), [])


ROUTES = (
    ('GET', '/servers/{server_id}/tags', ServerTagsController, 'index'),
    ('PUT', '/servers/{server_id}/tags', ServerTagsController, 'update_all'),
    ('DELETE', '/servers/{server_id}/tags', ServerTagsController, 'delete_all'),
    ('GET', '/servers/{server_id}/tags/{id}', ServerTagsController, 'show'),
    ('PUT', '/servers/{server_id}/tags/{id}', ServerTagsController, 'update'),
    ('DELETE', '/servers/{server_id}/tags/{id}', ServerTagsController, 'delete'),
)
