"""POST /servers/{id}/action: os-migrateLive."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import live_migrate as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types
from minicompute.compute.api import live_migrate

RULE = 'os_compute_api:os-migrate-server:%s'


class LiveMigrateController(wsgi.Controller):

    @wsgi.action('os-migrateLive')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.migrate_live)
    def migrate_live(self, req: Request, id: str, body: dict[str, Any]) -> None:
        asked = body['os-migrateLive']
        host = asked['host'] or None
        instance = find(req, id, RULE % ('migrate_live:host' if host else 'migrate_live'))
        auto = asked['block_migration'] == 'auto'
        over_commit = None if req.since('2.25') else types.is_true(asked['disk_over_commit'])
        live_migrate.live_migrate(
            req.context, instance, host=host, force=forced(req, asked, host), over_commit=over_commit,
            block=None if auto else types.is_true(asked['block_migration']), wait=not req.since('2.34'))


ROUTES = (('POST', '/servers/{id}/action', LiveMigrateController, wsgi.ACTIONS),)


def forced(req: Request, asked: dict[str, Any], host: str | None) -> bool:
    """Whether the scheduler's filters are passed over for `host`: always up to the version that made it a choice
    (2.29 or 2.30), by choice up to 2.67, never again since."""
    if 'force' not in asked:
        return host is not None and not req.since('2.30')
    force = types.is_true(asked['force'])
    if force and not host:
        raise exception.Invalid("Can't force to a non-provided destination")
    return force
