"""The Network v2.0 application: its table, its errors, its version documents."""
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from minicompute import exception
from minicompute.api.image.table import Row, Table
from minicompute.api.network import constant, networks, ports, security_groups, subnets
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.wsgi import Request

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

ROUTES: tuple[Row, ...] = (
    ('GET', '', constant.resources),
    ('GET', '/networks', networks.index),
    ('POST', '/networks', networks.create),
    ('GET', '/networks/{network_id}', networks.show),
    ('PUT', '/networks/{network_id}', networks.update),
    ('DELETE', '/networks/{network_id}', networks.delete),
    ('GET', '/subnets', subnets.index),
    ('POST', '/subnets', subnets.create),
    ('GET', '/subnets/{subnet_id}', subnets.show),
    ('PUT', '/subnets/{subnet_id}', subnets.update),
    ('DELETE', '/subnets/{subnet_id}', subnets.delete),
    ('GET', '/ports', ports.index),
    ('POST', '/ports', ports.create),
    ('GET', '/ports/{port_id}', ports.show),
    ('DELETE', '/ports/{port_id}', ports.delete),
    ('GET', '/extensions', constant.extensions),
    ('GET', '/extensions/{alias}', constant.extension),
    ('PUT', '/ports/{port_id}', ports.update),
    ('GET', '/security-groups', security_groups.index),
    ('POST', '/security-groups', security_groups.create),
    ('GET', '/security-groups/{group_id}', security_groups.show),
    ('PUT', '/security-groups/{group_id}', security_groups.update),
    ('DELETE', '/security-groups/{group_id}', security_groups.delete),
    ('GET', '/security-group-rules', security_groups.index_rules),
    ('POST', '/security-group-rules', security_groups.create_rule),
    ('GET', '/security-group-rules/{rule_id}', security_groups.show_rule),
    ('DELETE', '/security-group-rules/{rule_id}', security_groups.delete_rule),
    ('GET', '/quotas/{project_id}', constant.quotas),
)


def wording(_code: int, message: str, error: Exception) -> dict[str, Any]:
    return {'NeutronError': {'type': type(error).__name__, 'message': message, 'detail': ''}}


class NetworkTable(Table):

    def fault(self, error: Exception, environ: WSGIEnvironment) -> Answer:
        """Of a quota Neutron says 409."""
        answer = super().fault(error, environ)
        if isinstance(error, exception.QuotaError):
            answer.code = 409
        return answer


def app_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> NetworkTable:
    """Answers at /v2.0/networks as well as at /networks below a mount that ends in /v2.0."""
    return NetworkTable(ROUTES, wording, prefix='/v2.0')


class Versions:
    """Which versions there are, needing no authentication."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        mount = Request(environ).application_url.rstrip('/').removesuffix('/v2.0')
        return Answer({'versions': [{'id': 'v2.0', 'status': 'CURRENT', 'links': [
            {'rel': 'self', 'href': f'{mount}/v2.0/'}]}]})(environ, start_response)


def versions_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Versions:
    return Versions()
