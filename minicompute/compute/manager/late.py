"""Requests that may have outlived their action.

A host that was cut off, or whose daemon slept, gets what it was asked meanwhile all at once when it is back.  By then
the action may have ended without it: the records say that a volume is there still, and to unplug it now would take a
disk from a guest that nobody wants to lose it.  The fence does not help where no later action has come.  So these are
done only when a conductor says so: what is old, what takes a device from a guest, and every undo, which is rare.  It
says so of what its action waits for, and, when that has ended, of what makes a guest what the records say it is.
"""
from __future__ import annotations

import oslo_messaging as messaging

from minicompute import exception
from minicompute.conductor.rpcapi import ConductorAPI
from minicompute.context import admin_context
from minicompute.objects import StepRequest
from minicompute.utils import utcnow

#: seconds, by the two clocks, whichever is ahead: one that takes so long to come, or to have its turn, is asked about.
#: (One that waits for its turn at a host that hears is asked again more often than that, and so stays fresh.)
OLD = 20.0
#: verbs that are asked about however fresh they are: an action ends as soon as somebody says that its host is down
TAKE = frozenset(('detach_volume', 'detach_interface'))
#: what a conductor of an earlier version says to the question
UNKNOWN = ('NoSuchMethod', 'UnsupportedVersion')


def check(conductor: ConductorAPI, host: str, request: StepRequest) -> None:
    """Raises Overdue when it is not to be done any more, NeighbourUnavailable when nobody says whether it is: then it
    is asked again, if it is wanted."""
    if not (request.step.endswith('.undo') or request.verb in TAKE or _is_old(request)):
        return
    try:
        wanted = conductor.wanted(admin_context(), host=host, action_id=request.action_id, step=request.step)
    except messaging.RemoteError as error:
        if error.exc_type in UNKNOWN:
            return
        raise exception.NeighbourUnavailable(service='conductor', reason=f'it failed with {error.exc_type}') from None
    except messaging.MessagingException:
        raise exception.NeighbourUnavailable(service='conductor', reason='it did not answer') from None
    if not wanted:
        raise exception.Overdue(verb=request.verb, key=request.key)


def _is_old(request: StepRequest) -> bool:
    return request.asked_at is not None and abs((utcnow() - request.asked_at).total_seconds()) > OLD
