"""/os-aggregates: hosts that operators take together."""
from __future__ import annotations

from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import aggregates as schema
from minicompute.api.openstack.compute.schemas import servers_query as queries
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import aggregates as api
from minicompute.objects import Aggregate

RULE = 'os_compute_api:os-aggregates:%s'
Body = dict[str, Any]


class AggregatesController(wsgi.Controller):

    @validation.schema(query=queries.nothing, answer=schema.index_answer)
    def index(self, req: Request) -> Body:
        policy.authorize(req.context, RULE % 'index', {})
        return {'aggregates': [view(req, one) for one in api.every()]}

    @wsgi.expected_errors((400, 404))
    @validation.schema(query=queries.nothing, answer=schema.show_answer)
    def show(self, req: Request, id: str) -> Body:
        policy.authorize(req.context, RULE % 'show', {})
        return {'aggregate': view(req, api.show(number(id)))}

    @wsgi.expected_errors((400, 409))
    @validation.schema(schema.create, answer=schema.create_answer)
    def create(self, req: Request, body: Body) -> Body:
        policy.authorize(req.context, RULE % 'create', {})
        asked = body['aggregate']
        zone = asked.get('availability_zone')
        shown = view(req, api.create(asked['name'].strip(), zone.strip() if zone else None))
        del shown['hosts'], shown['metadata']
        return {'aggregate': shown}

    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.update, answer=schema.show_answer)
    def update(self, req: Request, id: str, body: Body) -> Body:
        policy.authorize(req.context, RULE % 'update', {})
        changes = {name: value.strip() if value else value for name, value in body['aggregate'].items()}
        return {'aggregate': view(req, api.update(number(id), changes))}

    @wsgi.expected_errors((400, 404))
    @validation.schema(answer=validation.EMPTY)
    def delete(self, req: Request, id: str) -> None:
        policy.authorize(req.context, RULE % 'delete', {})
        api.delete(number(id))

    @wsgi.action('add_host')
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.add_host, answer=schema.show_answer)
    def add_host(self, req: Request, id: str, body: Body) -> Body:
        policy.authorize(req.context, RULE % 'add_host', {})
        return {'aggregate': view(req, api.add_host(number(id), body['add_host']['host']))}

    @wsgi.action('remove_host')
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.remove_host, answer=schema.show_answer)
    def remove_host(self, req: Request, id: str, body: Body) -> Body:
        policy.authorize(req.context, RULE % 'remove_host', {})
        return {'aggregate': view(req, api.remove_host(number(id), body['remove_host']['host']))}

    @wsgi.action('set_metadata')
    @wsgi.expected_errors((400, 404))
    @validation.schema(schema.set_metadata, answer=schema.show_answer)
    def set_metadata(self, req: Request, id: str, body: Body) -> Body:
        policy.authorize(req.context, RULE % 'set_metadata', {})
        return {'aggregate': view(req, api.set_metadata(number(id), body['set_metadata']['metadata']))}

    @wsgi.api_version('2.81')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404))
    @validation.schema(schema.images)
    def images(self, req: Request, id: str, body: Body) -> None:
        policy.authorize(req.context, 'compute:aggregates:images', {})
        wanted = [item['id'] for item in body['cache']]
        if len(set(wanted)) < len(wanted):
            raise exception.Invalid('Duplicate images in request')
        api.cache_images(req.context, number(id), wanted)


ROUTES = (
    ('GET', '/os-aggregates', AggregatesController, 'index'),
    ('POST', '/os-aggregates', AggregatesController, 'create'),
    ('GET', '/os-aggregates/{id}', AggregatesController, 'show'),
    ('PUT', '/os-aggregates/{id}', AggregatesController, 'update'),
    ('DELETE', '/os-aggregates/{id}', AggregatesController, 'delete'),
    ('POST', '/os-aggregates/{id}/action', AggregatesController, wsgi.ACTIONS),
    ('POST', '/os-aggregates/{id}/images', AggregatesController, 'images'),
)


def number(text: str) -> int:
    if not text.isascii() or not text.removeprefix('-').isdecimal() or len(text) > 18:
        raise exception.Invalid(f'Invalid input received: id: {text[:64]} is not an integer')
    return int(text)


def view(req: Request, one: Aggregate) -> Body:
    shown = {'id': one.id, 'name': one.name, 'availability_zone': one.availability_zone, 'hosts': one.hosts,
             'metadata': one.metadata, 'created_at': common.micro(one.created_at),
             'updated_at': common.micro(one.updated_at), 'deleted': False, 'deleted_at': None}
    if req.since('2.41'):
        shown['uuid'] = one.uuid
    return shown
