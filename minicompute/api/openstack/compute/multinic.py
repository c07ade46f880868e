"""addFixedIp and removeFixedIp, up to 2.43.

A card of the local networks has one address: one more address is one more card, and the card goes with its address.
"""
from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator
from typing import Any

from minicompute import exception
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import proxies as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import interfaces

LAST = '2.43'
RULE = 'os_compute_api:os-multinic:%s'


class MultinicController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @wsgi.action('addFixedIp')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404))
    @validation.schema(schema.add_fixed_ip, answer=schema.nothing)
    def add(self, req: Request, id: str, body: dict[str, Any]) -> None:
        instance = find(req, id, RULE % 'add')
        with _no_conflict():
            interfaces.attach(req.context, instance, {'id': str(body['addFixedIp']['networkId'])})

    @wsgi.api_version('2.1', LAST)
    @wsgi.action('removeFixedIp')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404))
    @validation.schema(schema.remove_fixed_ip, answer=schema.nothing)
    def remove(self, req: Request, id: str, body: dict[str, Any]) -> None:
        instance = find(req, id, RULE % 'remove')
        wanted = ipaddress.ip_address(body['removeFixedIp']['address'])
        for card in instance.network_info:
            if any(ipaddress.ip_address(ip.address) == wanted for ip in card.fixed_ips):
                with _no_conflict():
                    interfaces.detach(req.context, instance, card.id)
                return
        raise exception.Invalid(f"Instance {id} does not have fixed IP '{wanted}'.")


ROUTES = (('POST', '/servers/{id}/action', MultinicController, wsgi.ACTIONS),)


@contextlib.contextmanager
def _no_conflict() -> Iterator[None]:
    """These two know no 409: what is in the way (a lock, a state) is a bad request."""
    try:
        yield
    except exception.Conflict as error:
        raise exception.Invalid(error.message) from None
