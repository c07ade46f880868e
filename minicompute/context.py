"""Who asks: the request context, carried through the API, RPC and logs."""
from __future__ import annotations

from typing import Any

from oslo_context import context as oslo_context


class RequestContext(oslo_context.RequestContext):
    """oslo's context (user_id, project_id, roles, request_id, is_admin, ...).

    `read_deleted` is not here on purpose: each database call says what it wants.  `ticket` is of a request that came
    with an Idempotency-Key (`db.api.idempotency.Ticket`); it stays in the api, as do the token and the catalog of a
    request (`service_catalog`: JSON, as keystonemiddleware hands it on).
    """

    ticket: Any = None
    service_catalog: str | None = None

    def __init__(self, *, service_roles: list[str] | None = None,
                 remote_address: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.service_roles = service_roles or []
        self.remote_address = remote_address

    def to_dict(self) -> dict[str, Any]:
        """What travels over RPC: who asks and the request id. The token stays here."""
        return {
            'user_id': self.user_id, 'project_id': self.project_id,
            'roles': self.roles, 'is_admin': self.is_admin,
            'request_id': self.request_id,
            'user_domain_id': self.user_domain_id,
            'project_domain_id': self.project_domain_id,
            'system_scope': self.system_scope,
            'remote_address': self.remote_address,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], **kwargs: Any) -> RequestContext:
        known = ('user_id', 'project_id', 'roles', 'is_admin', 'request_id',
                 'user_domain_id', 'project_domain_id', 'system_scope', 'remote_address')
        return cls(**{k: values[k] for k in known if k in values}, overwrite=False)


def admin_context(request_id: str | None = None) -> RequestContext:
    """What a daemon acts as when no user asked: periodic tasks, the sweep, repairs."""
    return RequestContext(is_admin=True, roles=['admin'], request_id=request_id, overwrite=False)
