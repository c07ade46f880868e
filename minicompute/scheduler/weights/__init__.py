"""Weighers by the names that configuration gives them."""
from __future__ import annotations

from minicompute import exception
from minicompute.conf import CONF
from minicompute.scheduler.weights.affinity import (
    ServerGroupSoftAffinityWeigher,
    ServerGroupSoftAntiAffinityWeigher,
)
from minicompute.scheduler.weights.base import Weigher
from minicompute.scheduler.weights.resources import (
    BuildFailureWeigher,
    CPUWeigher,
    DiskWeigher,
    IoOpsWeigher,
    RAMWeigher,
)

__all__ = ['BUILT_IN', 'Weigher', 'load']

BUILT_IN: dict[str, type[Weigher]] = {cls.__name__: cls for cls in (
    BuildFailureWeigher, CPUWeigher, DiskWeigher, IoOpsWeigher, RAMWeigher, ServerGroupSoftAffinityWeigher,
    ServerGroupSoftAntiAffinityWeigher)}


def load() -> list[Weigher]:
    """`[filter_scheduler] weight_classes`. Raises ConfigurationError for a name that nobody has."""
    unknown = [name for name in CONF.filter_scheduler.weight_classes if name not in BUILT_IN]
    if unknown:
        raise exception.ConfigurationError(
            reason=f'[filter_scheduler] weight_classes: no weigher is called {", ".join(unknown)}; there are '
                   f'{", ".join(sorted(BUILT_IN))}')
    return [BUILT_IN[name]() for name in CONF.filter_scheduler.weight_classes]
