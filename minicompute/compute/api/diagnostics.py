"""What a server uses, which only its host can tell."""
from __future__ import annotations

from typing import Any

import oslo_messaging as messaging

from minicompute import exception
from minicompute.compute.api import ring
from minicompute.context import RequestContext
from minicompute.objects import Instance


def read(context: RequestContext, instance: Instance, *, old: bool) -> dict[str, Any]:
    """The document of microversion 2.48, or an `old` one under the driver's own names.

    Raises InstanceNotReady, Conflict (it does not run), NotImplementedHere, ServiceUnavailable.
    """
    if not instance.host:
        raise exception.InstanceNotReady(instance_id=instance.uuid)
    try:
        return ring.diagnostics(context, instance, old)
    except messaging.RemoteError as error:
        if error.exc_type == 'InstanceInvalidState':
            raise exception.Conflict(str(error.value)) from None
        if error.exc_type == 'DomainNotFound':
            raise exception.InstanceNotReady(instance_id=instance.uuid) from None
        if error.exc_type == 'NotImplementedHere':
            raise exception.NotImplementedHere() from None
        raise
    except messaging.MessagingTimeout:
        raise exception.ServiceUnavailable from None
