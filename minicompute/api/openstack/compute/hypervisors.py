"""/os-hypervisors: the computes' nodes."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oslo_utils import uuidutils

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import hypervisors as schema
from minicompute.api.openstack.compute.views import hypervisors as views
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types
from minicompute.db import session
from minicompute.db.api import services as db
from minicompute.db.api.services import Hypervisor

RULE = 'os_compute_api:os-hypervisors:%s'


class HypervisorsController(wsgi.Controller):

    @wsgi.expected_errors((400, 404))
    @validation.schema(query=schema.index_query, answer=schema.index_answer)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'list', {})
        return self._list(req, 'os-hypervisors', detail=False)

    @wsgi.expected_errors((400, 404))
    @validation.schema(query=schema.index_query, answer=schema.detail_answer)
    def detail(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'list-detail', {})
        return self._list(req, 'os-hypervisors/detail', detail=True)

    @wsgi.expected_errors((400, 404))
    @validation.schema(query=schema.show_query, answer=schema.show_answer)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'show', {})
        with session.read() as conn:
            found = db.hypervisors(conn, **one(req, id), usage=not req.since('2.88'), servers=wants_servers(req))
            shown = views.View(req, session.now(conn))
        return {'hypervisor': shown.full(first(found, id))}

    @wsgi.api_version('2.1', '2.87')
    @wsgi.expected_errors((400, 404, 501))
    @validation.schema(query=schema.no_query, answer=schema.uptime_answer)
    def uptime(self, req: Request, id: str) -> dict[str, Any]:
        """What the compute last reported: asking it would hold a thread while it is busy."""
        policy.authorize(req.context, RULE % 'uptime', {})
        with session.read() as conn:
            found = first(db.hypervisors(conn, **one(req, id)), id)
            shown = views.View(req, session.now(conn))
        if not shown.is_up(found):
            raise exception.Invalid(f'The compute service of {found.node.host} is not up.')
        if found.node.uptime is None:
            raise exception.NotImplementedHere('The driver of this hypervisor does not tell its uptime.')
        return {'hypervisor': {**shown.brief(found), 'uptime': found.node.uptime}}

    @wsgi.api_version('2.1', '2.87')
    @validation.schema(query=schema.no_query, answer=schema.statistics_answer)
    def statistics(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'statistics', {})
        with session.read() as conn:
            found = db.hypervisors(conn, usage=True)
        return {'hypervisor_statistics': views.statistics(one for one in found if not one.service.disabled)}

    @wsgi.api_version('2.1', '2.52')
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.no_query, answer=schema.search_answer)
    def search(self, req: Request, id: str) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'search', {})
        return self._matching(req, id, servers=False)

    @wsgi.api_version('2.1', '2.52')
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.no_query, answer=schema.servers_answer)
    def servers(self, req: Request, id: str) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'servers', {})
        return self._matching(req, id, servers=True)

    @staticmethod
    def _list(req: Request, path: str, detail: bool) -> dict[str, Any]:
        limit, marker = page_bounds(req)
        pattern = common.last(req, 'hypervisor_hostname_pattern')
        if pattern is not None and (req.query.get('limit') or marker is not None):
            raise exception.Invalid('Paging over hypervisors with the hypervisor_hostname_pattern query parameter '
                                    'is not supported.')
        with session.read() as conn:
            found = db.hypervisors(conn, limit=limit if pattern is None else None, marker=marker, pattern=pattern,
                                   usage=detail and not req.since('2.88'), servers=wants_servers(req))
            shown = views.View(req, session.now(conn))
        if pattern is not None and not found:
            raise no_match(pattern)
        page: dict[str, Any] = {'hypervisors': [shown.full(one) if detail else shown.brief(one) for one in found]}
        if limit is not None and pattern is None:
            links = common.next_links(req, path, found, shown.id_of(found[-1]) if found else None, limit)
            if links:
                page['hypervisors_links'] = links
        return page

    @staticmethod
    def _matching(req: Request, pattern: str, servers: bool) -> dict[str, Any]:
        with session.read() as conn:
            found = db.hypervisors(conn, pattern=pattern, servers=servers)
            shown = views.View(req, session.now(conn))
        if not found:
            raise no_match(pattern)
        return {'hypervisors': [shown.brief(one) for one in found]}


ROUTES = (
    ('GET', '/os-hypervisors', HypervisorsController, 'index'),
    ('GET', '/os-hypervisors/detail', HypervisorsController, 'detail'),
    ('GET', '/os-hypervisors/statistics', HypervisorsController, 'statistics'),
    ('GET', '/os-hypervisors/{id}', HypervisorsController, 'show'),
    ('GET', '/os-hypervisors/{id}/search', HypervisorsController, 'search'),
    ('GET', '/os-hypervisors/{id}/servers', HypervisorsController, 'servers'),
    ('GET', '/os-hypervisors/{id}/uptime', HypervisorsController, 'uptime'),
)


def page_bounds(req: Request) -> tuple[int | None, str | int | None]:
    """-> (limit, marker). Paging begins at 2.33; a marker may be an id or a uuid, whichever the version shows."""
    if not req.since('2.33'):
        return None, None
    limit, marker = common.paging(req)
    if marker is None:
        return limit, None
    if uuidutils.is_uuid_like(marker):
        return limit, marker
    if not marker.isascii() or not marker.isdecimal() or len(marker) > 18:
        raise exception.MarkerNotFound(marker=marker[:64])
    return limit, int(marker)


def one(req: Request, id: str) -> dict[str, Any]:
    """The condition that finds it: by uuid from 2.53 on, by number before."""
    if req.since('2.53'):
        if not uuidutils.is_uuid_like(id):
            raise exception.Invalid(f'Invalid uuid {id[:64]}')
        return {'uuid': id}
    if not id.isascii() or not id.isdecimal() or len(id) > 18:
        raise missing(id)
    return {'id': int(id)}


def first(found: Sequence[Hypervisor], id: str) -> Hypervisor:
    if not found:
        raise missing(id)
    return found[0]


def missing(id: str) -> exception.NotFound:
    return exception.NotFound(f"Hypervisor with ID '{id[:64]}' could not be found.")


def no_match(pattern: str) -> exception.NotFound:
    return exception.NotFound(f"No hypervisor matching '{pattern[:255]}' could be found.")


def wants_servers(req: Request) -> bool:
    asked = common.last(req, 'with_servers')
    return asked is not None and types.is_true(asked)
