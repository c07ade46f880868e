"""/flavors/{id}/os-extra_specs: what a flavor asks of its host."""
from __future__ import annotations

from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.flavors import get_flavor
from minicompute.api.openstack.compute.schemas import flavors as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import extra_specs
from minicompute.db import session
from minicompute.db.api import flavors as db

RULE = 'os_compute_api:os-flavor-extra-specs:%s'


class FlavorExtraSpecsController(wsgi.Controller):

    @wsgi.expected_errors(404)
    @validation.schema(query=schema.show_query, answer=schema.specs_answer)
    def index(self, req: Request, flavor_id: str) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'index')
        return {'extra_specs': get_flavor(req, flavor_id).extra_specs}

    @wsgi.expected_errors(404)
    @validation.schema(query=schema.show_query, answer=schema.spec_answer)
    def show(self, req: Request, flavor_id: str, id: str) -> dict[str, str]:
        policy.authorize(req.context, RULE % 'show')
        specs = get_flavor(req, flavor_id).extra_specs
        if id not in specs:
            raise exception.FlavorExtraSpecsNotFound(flavor_id=flavor_id, key=id)
        return {id: specs[id]}

    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.create_specs, answer=schema.create_specs_answer)
    def create(self, req: Request, flavor_id: str, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'create')
        specs = checked(req, body['extra_specs'])
        session.write(db.set_extra_specs, flavor_id, specs)
        return body

    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.update_spec, answer=schema.update_spec_answer)
    def update(self, req: Request, flavor_id: str, id: str, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'update')
        specs = checked(req, body)
        if id not in body:
            raise exception.Invalid('Request body and URI mismatch')
        session.write(db.set_extra_specs, flavor_id, specs)
        return body

    @wsgi.expected_errors(404)
    @validation.schema(answer=validation.EMPTY)
    def delete(self, req: Request, flavor_id: str, id: str) -> None:
        policy.authorize(req.context, RULE % 'delete')
        session.write(db.delete_extra_spec, flavor_id, id)


ROUTES = (
    ('GET', '/flavors/{flavor_id}/os-extra_specs', FlavorExtraSpecsController, 'index'),
    ('POST', '/flavors/{flavor_id}/os-extra_specs', FlavorExtraSpecsController, 'create'),
    ('GET', '/flavors/{flavor_id}/os-extra_specs/{id}', FlavorExtraSpecsController, 'show'),
    ('PUT', '/flavors/{flavor_id}/os-extra_specs/{id}', FlavorExtraSpecsController, 'update'),
    ('DELETE', '/flavors/{flavor_id}/os-extra_specs/{id}', FlavorExtraSpecsController, 'delete'),
)


def checked(req: Request, specs: dict[str, Any]) -> dict[str, str]:
    """All values as text; from 2.86 on the known names must have sensible values."""
    found = {key: str(value) for key, value in specs.items()}
    if req.since('2.86'):
        for key, value in found.items():
            extra_specs.check(key, value)
    return found
