"""/os-volumes_boot: another name of /servers, up to 2.102.

Each operation is the one of /servers, with its schemas, for fewer versions; links lead to /servers, too.
"""
from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping

from minicompute.api.openstack import api_version_request as versions
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.server_actions import ServerActionsController
from minicompute.api.openstack.compute.server_images import ServerImagesController
from minicompute.api.openstack.compute.server_resize import ServerResizeController
from minicompute.api.openstack.compute.servers import ServersController
from minicompute.api.openstack.compute.servers_rebuild import ServersRebuildController

LAST = versions.parse('2.102')


def until(controller: type[wsgi.Controller], errors: Mapping[str, frozenset[int]] | None = None) -> type[
        wsgi.Controller]:
    """The same controller, whose methods answer up to `LAST` only."""
    methods = {}
    for name in dir(controller):
        method = getattr(controller, name)
        promise = getattr(method, 'promise', None)
        if promise is not None:
            copy = types.FunctionType(method.__code__, method.__globals__, name, method.__defaults__,
                                      method.__closure__)
            changes = {'errors': errors[name]} if errors and name in errors else {}
            copy.promise = dataclasses.replace(promise, last=LAST, **changes)  # type: ignore[attr-defined]
            methods[name] = copy
    return type(controller.__name__, (controller,), {**methods, '__module__': __name__})


# What may conflict in an update came with 2.104.
Servers = until(ServersController, {'update': frozenset((404,))})
ACTION_CONTROLLERS = tuple(until(one) for one in (
    ServerActionsController, ServerImagesController, ServerResizeController, ServersRebuildController))

ROUTES = (
    ('GET', '/os-volumes_boot', Servers, 'index'),
    ('POST', '/os-volumes_boot', Servers, 'create'),
    ('GET', '/os-volumes_boot/detail', Servers, 'detail'),
    ('GET', '/os-volumes_boot/{id}', Servers, 'show'),
    ('PUT', '/os-volumes_boot/{id}', Servers, 'update'),
    ('DELETE', '/os-volumes_boot/{id}', Servers, 'delete'),
    *(('POST', '/os-volumes_boot/{id}/action', one, wsgi.ACTIONS) for one in ACTION_CONTROLLERS),
)
