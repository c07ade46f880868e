"""The console log, which only the server's host can tell."""
from __future__ import annotations

import re

import oslo_messaging as messaging

from minicompute import exception
from minicompute.compute.api import ring
from minicompute.context import RequestContext
from minicompute.objects import Instance

# What a guest writes is shown in somebody's terminal: no escape sequence gets there.
_CONTROL = re.compile('[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]')
_GONE = frozenset(('DomainNotFound', 'InstanceNotFound', 'FileNotFoundError'))


def output(context: RequestContext, instance: Instance, length: int | None) -> str:
    """The last `length` lines, None for all.

    Raises InstanceNotReady, NotFound (no console), NotImplementedHere, ServiceUnavailable.
    """
    if not instance.host:
        raise exception.InstanceNotReady(instance_id=instance.uuid)
    try:
        text = ring.console(context, instance, length)
    except messaging.RemoteError as error:
        if error.exc_type in _GONE:
            raise exception.NotFound('Unable to get console') from None
        if error.exc_type == 'NotImplementedHere':
            raise exception.NotImplementedHere('Unable to get console log, functionality not implemented') \
                from None
        raise
    except messaging.MessagingTimeout:
        raise exception.ServiceUnavailable from None
    return _CONTROL.sub('', text)
