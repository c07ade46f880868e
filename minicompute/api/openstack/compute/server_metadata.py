"""/servers/{server_id}/metadata: what users note on their servers."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import metadata as schema
from minicompute.api.openstack.compute.schemas import servers_query as queries
from minicompute.api.openstack.compute.servers import allow
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import parts

RULE = 'os_compute_api:server-metadata:%s'
Items = dict[str, str]


class ServerMetadataController(wsgi.Controller):

    @wsgi.expected_errors(404)
    @validation.schema(query=queries.nothing, answer=schema.items)
    def index(self, req: Request, server_id: str) -> dict[str, Any]:
        return {'metadata': self._read(req, server_id, 'index')}

    @wsgi.expected_errors(404)
    @validation.schema(query=queries.nothing, answer=schema.item)
    def show(self, req: Request, server_id: str, id: str) -> dict[str, Any]:
        items = self._read(req, server_id, 'show')
        return {'meta': {id: present(items, id)}}

    @wsgi.expected_errors((403, 404, 409))
    @validation.schema(schema.items, answer=schema.items)
    def create(self, req: Request, server_id: str, body: dict[str, Any]) -> dict[str, Any]:
        return {'metadata': parts.change_metadata(
            req.context, server_id, allow(req, RULE % 'create'), lambda items: {**items, **body['metadata']})}

    @wsgi.expected_errors((403, 404, 409))
    @validation.schema(schema.items, answer=schema.items)
    def update_all(self, req: Request, server_id: str, body: dict[str, Any]) -> dict[str, Any]:
        return {'metadata': parts.change_metadata(
            req.context, server_id, allow(req, RULE % 'update_all'), lambda items: body['metadata'])}

    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.item, answer=schema.item)
    def update(self, req: Request, server_id: str, id: str, body: dict[str, Any]) -> dict[str, Any]:
        meta = body['meta']
        if id not in meta:
            raise exception.Invalid('Request body and URI mismatch')
        parts.change_metadata(req.context, server_id, allow(req, RULE % 'update'), lambda items: {**items, **meta})
        return {'meta': meta}

    @wsgi.response(204)
    @wsgi.expected_errors((404, 409))
    def delete(self, req: Request, server_id: str, id: str) -> None:
        def without(items: Items) -> Items:
            present(items, id)
            return {key: value for key, value in items.items() if key != id}
        parts.change_metadata(req.context, server_id, allow(req, RULE % 'delete'), without)

    @staticmethod
    def _read(req: Request, server_id: str, rule: str) -> Items:
        row = parts.find(req.context, server_id, allow(req, RULE % rule), 'metadata')
        return parts.document(row.metadata)


ROUTES = (
    ('GET', '/servers/{server_id}/metadata', ServerMetadataController, 'index'),
    ('POST', '/servers/{server_id}/metadata', ServerMetadataController, 'create'),
    ('PUT', '/servers/{server_id}/metadata', ServerMetadataController, 'update_all'),
    ('GET', '/servers/{server_id}/metadata/{id}', ServerMetadataController, 'show'),
    ('PUT', '/servers/{server_id}/metadata/{id}', ServerMetadataController, 'update'),
    ('DELETE', '/servers/{server_id}/metadata/{id}', ServerMetadataController, 'delete'),
)


def present(items: Items, key: str) -> str:
    """Raises NotFound."""
    if key not in items:
        raise exception.NotFound('Metadata item was not found')
    return items[key]
