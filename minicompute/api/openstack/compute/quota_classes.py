"""/os-quota-class-sets: what projects may have of which nothing was said (the class `default`)."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.api_version_request import Since
from minicompute.api.openstack.compute.schemas import quota_sets as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import quota_sets as api

RULE = 'os_compute_api:os-quota-class-sets:%s'
SHOWN = Since(schema.CLASSES)
LONGEST = 255


class QuotaClassSetsController(wsgi.Controller):

    @validation.schema(query=schema.class_query, answer=schema.class_answer)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'show', {})
        return {'quota_class_set': {'id': id, **_visible(req, api.show_class(id))}}

    @wsgi.expected_errors(400)
    @validation.schema(schema.update_class, answer=schema.update_class_answer)
    def update(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'update', {})
        if len(id) > LONGEST:
            raise exception.InvalidInput(reason=f'quota_class_name has {len(id)} characters, more than {LONGEST}.')
        changes = {name: int(limit) for name, limit in body['quota_class_set'].items()}
        return {'quota_class_set': _visible(req, api.update_class(id, changes))}


ROUTES = (
    ('GET', '/os-quota-class-sets/{id}', QuotaClassSetsController, 'show'),
    ('PUT', '/os-quota-class-sets/{id}', QuotaClassSetsController, 'update'),
)


def _visible(req: Request, values: Mapping[str, int]) -> dict[str, int]:
    return {name: values[name] for name in SHOWN.at(req.api_version) or ()}
