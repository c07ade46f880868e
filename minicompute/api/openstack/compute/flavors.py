"""/flavors: sizes of servers."""
from __future__ import annotations

import uuid
from typing import Any

from oslo_utils import strutils

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import flavors as schema
from minicompute.api.openstack.compute.views import flavors as views
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types
from minicompute.db import session
from minicompute.db.api import flavors as db
from minicompute.objects import Flavor

MANAGE = 'os_compute_api:os-flavor-manage:%s'


class FlavorsController(wsgi.Controller):

    @wsgi.expected_errors(400)
    @validation.schema(query=schema.index_query, answer=schema.index_answer)
    def index(self, req: Request) -> dict[str, Any]:
        return views.index(req, *self._page(req))

    @wsgi.expected_errors(400)
    @validation.schema(query=schema.index_query, answer=schema.detail_answer)
    def detail(self, req: Request) -> dict[str, Any]:
        return views.detail(req, *self._page(req))

    @wsgi.expected_errors(404)
    @validation.schema(query=schema.show_query, answer=schema.show_answer)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        return views.show(req, get_flavor(req, id))

    @wsgi.expected_errors((400, 409))
    @validation.schema(schema.create, answer=schema.show_answer)
    def create(self, req: Request, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, MANAGE % 'create')
        return views.show(req, session.write(db.create, new_flavor(body['flavor'])))

    @wsgi.api_version('2.55')
    @wsgi.expected_errors((400, 404))
    @validation.schema(schema.update, answer=schema.show_answer)
    def update(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, MANAGE % 'update')
        return views.show(req, session.write(db.set_description, id, body['flavor']['description']))

    @wsgi.response(202)
    @wsgi.expected_errors(404)
    def delete(self, req: Request, id: str) -> None:
        policy.authorize(req.context, MANAGE % 'delete')
        session.write(db.destroy, id)

    @staticmethod
    def _page(req: Request) -> tuple[list[Flavor], int]:
        limit, marker = common.paging(req)
        with session.read() as conn:
            found = db.page(
                conn, project_id=req.context.project_id, is_public=wanted_public(req),
                disabled=None if req.context.is_admin else False,
                min_ram=_least(req, 'minRam'), min_disk=_least(req, 'minDisk'),
                name=common.last(req, 'name'), sort_key=common.last(req, 'sort_key') or 'flavorid',
                descending=common.last(req, 'sort_dir') == 'desc', limit=limit, marker=marker)
        return found, limit


ROUTES = (
    ('GET', '/flavors', FlavorsController, 'index'),
    ('GET', '/flavors/detail', FlavorsController, 'detail'),
    ('POST', '/flavors', FlavorsController, 'create'),
    ('GET', '/flavors/{id}', FlavorsController, 'show'),
    ('PUT', '/flavors/{id}', FlavorsController, 'update'),
    ('DELETE', '/flavors/{id}', FlavorsController, 'delete'),
)


def get_flavor(req: Request, flavorid: str) -> Flavor:
    """A flavor that the caller may see. Raises FlavorNotFound."""
    with session.read() as conn:
        return db.get(conn, flavorid, project_id=None if req.context.is_admin else req.context.project_id or '')


def wanted_public(req: Request) -> bool | None:
    """The filter is_public: for administrators only; None (`is_public=none`) shows all flavors."""
    asked = common.last(req, 'is_public')
    if not req.context.is_admin or asked is None:
        return True
    if asked.lower() == 'none':
        return None
    try:
        return bool(strutils.bool_from_string(asked, strict=True))
    except ValueError:
        raise exception.Invalid(f'Invalid is_public filter [{asked[:64]}]') from None


def _least(req: Request, name: str) -> int:
    """minRam, minDisk: what is above all flavors matches none, what is below all matches all."""
    asked = common.last(req, name, '0') or ''
    try:
        return max(0, min(int(asked), types.MAX_INTEGER))
    except ValueError:
        raise exception.Invalid(f'Invalid {name} filter [{asked[:64]}]') from None


def new_flavor(body: dict[str, Any]) -> Flavor:
    flavorid = body.get('id')
    if not flavorid:
        flavorid = str(uuid.uuid4())
    return Flavor(
        flavorid=str(flavorid), name=body['name'].strip(), memory_mb=int(body['ram']), vcpus=int(body['vcpus']),
        root_gb=int(body['disk']), ephemeral_gb=int(body.get('OS-FLV-EXT-DATA:ephemeral', 0)),
        swap=int(body.get('swap') or 0), rxtx_factor=float(body.get('rxtx_factor', 1.0)),
        is_public=types.is_true(body.get('os-flavor-access:is_public', True)), description=body.get('description'))
