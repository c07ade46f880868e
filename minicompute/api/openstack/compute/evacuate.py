"""POST /servers/{id}/action: evacuate."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import live_migrate as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types
from minicompute.compute.api import evacuate, naming
from minicompute.conf import CONF


class EvacuateController(wsgi.Controller):

    @wsgi.action('evacuate')
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.evacuate, answer=schema.evacuate_answer)
    def evacuate(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """200 for what goes on, as in Nova, and up to 2.13 with the password that the new disk was given."""
        instance = find(req, id, 'os_compute_api:os-evacuate')
        asked = body['evacuate']
        host = asked.get('host')
        shared = None if req.since('2.14') else types.is_true(asked['onSharedStorage'])
        password = _password(asked, shared)
        evacuate.evacuate(req.context, instance, host=host, force=_forced(req, asked), shared=shared,
                          password=password, stopped=req.since('2.95'))
        return {'adminPass': password} if shared is not None and CONF.enable_instance_password else None


ROUTES = (('POST', '/servers/{id}/action', EvacuateController, wsgi.ACTIONS),)


def _password(asked: dict[str, Any], shared: bool | None) -> str | None:
    """None where the disk is kept, with the password that it has."""
    if shared and 'adminPass' in asked:
        raise exception.Invalid("admin password can't be changed on existing disk")
    if shared:
        return None
    return str(asked['adminPass']) if 'adminPass' in asked else naming.password()


def _forced(req: Request, asked: dict[str, Any]) -> bool:
    """As of a live migration, a version earlier."""
    if 'force' not in asked:
        return 'host' in asked and not req.since('2.29')
    force = types.is_true(asked['force'])
    if force and 'host' not in asked:
        raise exception.Invalid("Can't force to a non-provided destination")
    return force
