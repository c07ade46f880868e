"""Filters by the names that configuration gives them."""
from __future__ import annotations

from typing import Any

from stevedore import named

from minicompute import exception
from minicompute.conf import CONF
from minicompute.scheduler.filters.affinity import (
    DifferentHostFilter,
    SameHostFilter,
    ServerGroupAffinityFilter,
    ServerGroupAntiAffinityFilter,
)
from minicompute.scheduler.filters.aggregate_extra_specs import AggregateInstanceExtraSpecsFilter
from minicompute.scheduler.filters.availability_zone import AvailabilityZoneFilter
from minicompute.scheduler.filters.base import Filter
from minicompute.scheduler.filters.compute import ComputeFilter
from minicompute.scheduler.filters.compute_capabilities import ComputeCapabilitiesFilter
from minicompute.scheduler.filters.image_properties import ImagePropertiesFilter
from minicompute.scheduler.filters.isolated_hosts import IsolatedHostsFilter
from minicompute.scheduler.filters.json_query import JsonFilter
from minicompute.scheduler.filters.load import IoOpsFilter, NumInstancesFilter
from minicompute.scheduler.filters.third_party import ThirdParty

__all__ = ['BUILT_IN', 'Filter', 'ThirdParty', 'load']

NAMESPACE = 'minicompute.scheduler.filters'

BUILT_IN: dict[str, type[Filter]] = {cls.__name__: cls for cls in (
    AggregateInstanceExtraSpecsFilter, AvailabilityZoneFilter, ComputeCapabilitiesFilter, ComputeFilter,
    DifferentHostFilter, ImagePropertiesFilter, IoOpsFilter, IsolatedHostsFilter, JsonFilter,
    NumInstancesFilter, SameHostFilter, ServerGroupAffinityFilter, ServerGroupAntiAffinityFilter)}


def load() -> tuple[list[Filter], list[ThirdParty]]:
    """`[filter_scheduler] enabled_filters` -> ours in their order, and those of others.
    Raises ConfigurationError for a name that nobody has."""
    ours, others = [], []
    for name in CONF.filter_scheduler.enabled_filters:
        if name in BUILT_IN:
            ours.append(BUILT_IN[name]())
        else:
            others.append(ThirdParty(name, _plugin(name)))
    return ours, others


def _plugin(name: str) -> object:
    found: Any = named.NamedExtensionManager(NAMESPACE, [name], invoke_on_load=True,
                                             on_load_failure_callback=_failed)
    for extension in found:
        return extension.obj
    raise exception.ConfigurationError(
        reason=f'[filter_scheduler] enabled_filters: no filter is called {name}; there are '
               f'{", ".join(sorted(BUILT_IN))}, and what packages offer under {NAMESPACE}')


def _failed(manager: Any, entry_point: Any, error: BaseException) -> None:
    raise exception.ConfigurationError(reason=f'[filter_scheduler] enabled_filters: {entry_point}: {error}')
