"""What may be in the way of any action, whatever it does."""
from __future__ import annotations

from minicompute import exception
from minicompute.context import RequestContext
from minicompute.objects import Instance


def check_lock(context: RequestContext, instance: Instance) -> None:
    """A locked server is changed by administrators only. Raises InstanceIsLocked."""
    if instance.locked and not context.is_admin:
        raise exception.InstanceIsLocked(instance_uuid=instance.uuid)
