"""/os-services: the daemons that report."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from oslo_utils import uuidutils

from minicompute import exception, policy, servicegroup
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.availability_zones import zone_of
from minicompute.api.openstack.compute.schemas import services as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types
from minicompute.db import session
from minicompute.db.api import aggregates
from minicompute.db.api import services as db
from minicompute.objects import Service

RULE = 'os_compute_api:os-services:%s'


class ServicesController(wsgi.Controller):

    @validation.schema(query=schema.index_query, answer=schema.index_answer)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'list', {})
        with session.read() as conn:
            found = db.every(conn, host=common.last(req, 'host') or None,
                             binary=common.last(req, 'binary') or None)
            shown = View(req, conn)
        return {'services': [shown(service) for service in found]}

    @wsgi.api_version('2.1', '2.52')
    @wsgi.expected_errors((400, 404))
    @validation.schema(schema.update_by_name, answer=schema.update_by_name_answer)
    def update_by_name(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        """`id` is not an id but what to do."""
        policy.authorize(req.context, RULE % 'update', {})
        if id == 'force-down' and not req.since('2.11'):
            raise exception.NotFound('Unknown action')
        changes, shown = named_change(id, body)

        def change(conn: sa.Connection) -> None:
            if changes.get('forced_down') is False and body['binary'] == db.COMPUTE:
                db.check_evacuations(conn, body['host'])
            check_compute(body['binary'])
            db.update(conn, db.find(conn, body['host'], body['binary']), **changes)
        session.write(change)
        return {'service': {'host': body['host'], 'binary': body['binary'], **shown}}

    @wsgi.api_version('2.53')
    @wsgi.expected_errors((400, 404))
    @validation.schema(schema.update, answer=schema.update_answer)
    def update(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'update', {})

        def change(conn: sa.Connection) -> dict[str, Any]:
            service = db.get(conn, uuid=_uuid(id))
            check_compute(service.binary)
            changes = checked_change(body)
            if changes.get('forced_down') is False:
                db.check_evacuations(conn, service.host)
            return View(req, conn)(db.update(conn, service, **changes))
        return {'service': session.write(change)}

    @wsgi.response(204)
    @wsgi.expected_errors((400, 404, 409))
    def delete(self, req: Request, id: str) -> None:
        policy.authorize(req.context, RULE % 'delete', {})

        def change(conn: sa.Connection) -> None:
            service = db.get(conn, uuid=_uuid(id)) if req.since('2.53') else db.get(conn, id=_number(id))
            db.destroy(conn, service)
        session.write(change)


ROUTES = (
    ('GET', '/os-services', ServicesController, 'index'),
    ('PUT', '/os-services/{id}', ServicesController, ('update_by_name', 'update')),
    ('DELETE', '/os-services/{id}', ServicesController, 'delete'),
)


class View:
    """How a service is shown at the request's version."""

    def __init__(self, req: Request, conn: sa.Connection) -> None:
        self.by_uuid = req.since('2.53')
        self.forced = req.since('2.11')
        self.zones = aggregates.zones(conn)
        self.now = session.now(conn)

    def __call__(self, service: Service) -> dict[str, Any]:
        row: dict[str, Any] = {
            'id': service.uuid if self.by_uuid else service.id, 'binary': service.binary, 'host': service.host,
            'zone': zone_of(service, self.zones), 'status': 'disabled' if service.disabled else 'enabled',
            'state': 'up' if servicegroup.is_up(service, self.now) else 'down',
            'updated_at': common.micro(service.last_seen_up or service.updated_at),
            'disabled_reason': service.disabled_reason}
        if self.forced:
            row['forced_down'] = service.forced_down
        return row


def check_compute(binary: str) -> None:
    if binary != db.COMPUTE:
        raise exception.Invalid(f'Updating a {binary[:64]} service is not supported. Only {db.COMPUTE} services can be '
                                'updated.')


def named_change(name: str, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """-> (columns to set, what the answer shows of it)."""
    if name == 'enable':
        return {'disabled': False, 'disabled_reason': None}, {'status': 'enabled'}
    if name == 'disable':
        return {'disabled': True, 'disabled_reason': None}, {'status': 'disabled'}
    if name == 'disable-log-reason':
        reason = body.get('disabled_reason')
        if not reason:
            raise exception.Invalid('Missing disabled reason field')
        return {'disabled': True, 'disabled_reason': reason}, {'status': 'disabled', 'disabled_reason': reason}
    if name == 'force-down':
        if 'forced_down' not in body:
            raise exception.Invalid('Missing forced_down field')
        forced = types.is_true(body['forced_down'])
        return {'forced_down': forced}, {'forced_down': forced}
    raise exception.NotFound('Unknown action')


def checked_change(body: dict[str, Any]) -> dict[str, Any]:
    """The columns that a body of 2.53 sets."""
    changes: dict[str, Any] = {}
    status, reason = body.get('status'), body.get('disabled_reason')
    if reason is not None and status == 'enabled':
        raise exception.Invalid("Specifying 'disabled_reason' with status 'enabled' is invalid.")
    if status is not None:
        changes.update(disabled=status == 'disabled', disabled_reason=reason)
    if 'forced_down' in body:
        changes['forced_down'] = types.is_true(body['forced_down'])
    if not changes:
        raise exception.Invalid("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    return changes


def _uuid(text: str) -> str:
    if not uuidutils.is_uuid_like(text):
        raise exception.Invalid(f'Invalid uuid {text[:64]}')
    return text


def _number(text: str) -> int:
    if not text.isascii() or not text.removeprefix('-').isdecimal() or len(text) > 18:
        raise exception.Invalid(f'Invalid service id {text[:64]}: it must be a whole number')
    return int(text)
