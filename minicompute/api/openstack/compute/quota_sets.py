"""/os-quota-sets: what a project, or one of its users, may have."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicompute import exception, policy
from minicompute.api import identity, validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.api_version_request import Since
from minicompute.api.openstack.compute.schemas import quota_sets as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types
from minicompute.compute.api import quota_sets as api

RULE = 'os_compute_api:os-quota-sets:%s'
SHOWN = Since(schema.SETS)
LONGEST = 255        # of an id, as the tables take it


class QuotaSetsController(wsgi.Controller):

    @wsgi.expected_errors(400)
    @validation.schema(query=schema.query, answer=schema.show_answer)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        authorized(req, 'show', id)
        return {'quota_set': {'id': id, **_visible(req, api.show(id, _user(req)))}}

    @wsgi.expected_errors(400)
    @validation.schema(query=schema.query, answer=schema.detail_answer)
    def detail(self, req: Request, id: str) -> dict[str, Any]:
        authorized(req, 'detail', id)
        found = api.detail(id, common.last(req, 'user_id') or None)
        return {'quota_set': {'id': id, **_visible(req, {
            name: {'limit': one.limit, 'in_use': one.in_use, 'reserved': 0} for name, one in found.items()})}}

    @wsgi.expected_errors(400)
    @validation.schema(query=schema.defaults_query, answer=schema.show_answer)
    def defaults(self, req: Request, id: str) -> dict[str, Any]:
        authorized(req, 'defaults', id)
        return {'quota_set': {'id': id, **_visible(req, api.defaults())}}

    @wsgi.expected_errors(400)
    @validation.schema(schema.update, query=schema.query, answer=schema.update_answer)
    def update(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        authorized(req, 'update', id)
        for name, value in (('tenant_id', id), ('user_id', _user(req) or '')):
            if len(value) > LONGEST:
                raise exception.InvalidInput(reason=f'{name} has {len(value)} characters, more than {LONGEST}.')
        wanted = dict(body['quota_set'])
        force = types.is_true(wanted.pop('force', False))
        after = api.update(id, _user(req), {name: int(limit) for name, limit in wanted.items()}, force=force)
        return {'quota_set': _visible(req, after)}

    @wsgi.response(202)
    @validation.schema(query=schema.query)
    def delete(self, req: Request, id: str) -> None:
        policy.authorize(req.context, RULE % 'delete', {'project_id': id})
        api.delete(id, _user(req))


ROUTES = (
    ('GET', '/os-quota-sets/{id}', QuotaSetsController, 'show'),
    ('PUT', '/os-quota-sets/{id}', QuotaSetsController, 'update'),
    ('DELETE', '/os-quota-sets/{id}', QuotaSetsController, 'delete'),
    ('GET', '/os-quota-sets/{id}/detail', QuotaSetsController, 'detail'),
    ('GET', '/os-quota-sets/{id}/defaults', QuotaSetsController, 'defaults'),
)


def authorized(req: Request, rule: str, project_id: str) -> None:
    """Raises PolicyNotAuthorized, and Invalid for a project that is not there."""
    policy.authorize(req.context, RULE % rule, {'project_id': project_id})
    identity.verify_project(req, project_id)


def _user(req: Request) -> str | None:
    """Of several the first that says something."""
    return next((value for value in req.query.get('user_id', ()) if value), None)


def _visible(req: Request, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in SHOWN.at(req.api_version) or ()}
