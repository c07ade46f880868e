"""Which projects may use a private flavor."""
from __future__ import annotations

import contextlib
from typing import Any

import sqlalchemy as sa

from minicompute import exception, policy
from minicompute.api import identity, validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import flavors as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.db import session
from minicompute.db.api import flavors as db

ACCESS = 'os_compute_api:os-flavor-access'


class FlavorAccessController(wsgi.Controller):

    @wsgi.expected_errors(404)
    @validation.schema(query=schema.show_query, answer=schema.access_answer)
    def index(self, req: Request, flavor_id: str) -> dict[str, Any]:
        policy.authorize(req.context, ACCESS)
        with session.read() as conn:
            flavor = db.get(conn, flavor_id)
            if flavor.is_public:
                raise exception.NotFound('Access list not available for public flavors.')
            return _shown(conn, flavor_id)

    @wsgi.action('addTenantAccess')
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.add_access, answer=schema.access_answer)
    def add(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, f'{ACCESS}:add_tenant_access')
        project = body['addTenantAccess']['tenant']
        identity.verify_project(req, project)

        def change(conn: sa.Connection) -> dict[str, Any]:
            flavor = db.get(conn, id)
            if flavor.is_public and req.since('2.7'):
                raise exception.Conflict('Can not add access to a public flavor.')
            db.grant(conn, flavor, project)
            return _shown(conn, id)
        return session.write(change)

    @wsgi.action('removeTenantAccess')
    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(schema.remove_access, answer=schema.access_answer)
    def remove(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, f'{ACCESS}:remove_tenant_access')
        project = body['removeTenantAccess']['tenant']
        with contextlib.suppress(identity.ProjectUnknown):    # one that is gone must not keep its access
            identity.verify_project(req, project)

        def change(conn: sa.Connection) -> dict[str, Any]:
            db.revoke(conn, db.get(conn, id), project)
            return _shown(conn, id)
        return session.write(change)


ROUTES = (
    ('GET', '/flavors/{flavor_id}/os-flavor-access', FlavorAccessController, 'index'),
    ('POST', '/flavors/{id}/action', FlavorAccessController, wsgi.ACTIONS),
)


def _shown(conn: sa.Connection, flavorid: str) -> dict[str, Any]:
    return {'flavor_access': [{'flavor_id': flavorid, 'tenant_id': project}
                              for project in db.projects(conn, db.get(conn, flavorid))]}
