"""What hosts are, apart from how full they are.

Ten thousand hosts are of a few dozen kinds.  Equal facts are kept once and each host has the number of its
kind, so that a filter asks each kind once and spreads the answer over the hosts by one array look-up.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import orjson

from minicompute.conf import CONF
from minicompute.objects import ComputeNode

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
K = TypeVar('K')


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """The kind of a node, as computes report it."""

    hypervisor_type: str
    hypervisor_version: int
    traits: frozenset[str]
    supported_instances: tuple[tuple[str, ...], ...]
    cpu_info: dict[str, Any]
    capabilities: dict[str, Any]

    @classmethod
    def of(cls, node: ComputeNode) -> tuple[Hashable, Facts]:
        """-> (what makes two kinds the same, the kind)."""
        key = orjson.dumps([node.hypervisor_type, node.hypervisor_version, sorted(node.traits),
                            node.supported_instances, node.cpu_info, node.capabilities],
                           option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
        return key, cls(node.hypervisor_type or '', node.hypervisor_version or 0, frozenset(node.traits),
                        tuple(tuple(triple) for triple in node.supported_instances), node.cpu_info,
                        node.capabilities)

    def lookup(self, path: list[str]) -> Any:
        """A fact by its name, such as ['cpu_info', 'arch'] or ['gpu']; None when there is none."""
        if path[0] in _NAMED:
            value: Any = getattr(self, path[0])
            path = path[1:]
        else:
            value = self.capabilities
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value


_NAMED = frozenset(('hypervisor_type', 'hypervisor_version', 'traits', 'supported_instances', 'cpu_info'))


@dataclasses.dataclass(frozen=True, slots=True)
class Membership:
    """The aggregates that a host is in: their metadata, and the zone that they make."""

    aggregates: tuple[tuple[int, dict[str, str]], ...]

    @property
    def zone(self) -> str:
        for _, metadata in self.aggregates:
            if 'availability_zone' in metadata:
                return metadata['availability_zone']
        return str(CONF.default_availability_zone)

    def values(self, key: str) -> list[str]:
        """What the aggregates say under `key`; one that names several, by commas, says each."""
        return [part.strip() for _, metadata in self.aggregates if key in metadata
                for part in str(metadata[key]).split(',')]


class Kinds(Generic[K]):
    """Distinct values, and for each row the number of its value."""

    def __init__(self) -> None:
        self._number: dict[Hashable, int] = {}
        self.values: list[K] = []
        self.codes: npt.NDArray[np.intp] = np.zeros(0, np.intp)

    def number(self, key: Hashable, value: K) -> int:
        found = self._number.get(key)
        if found is None:
            found = self._number[key] = len(self.values)
            self.values.append(value)
        return found

    def compact(self) -> None:
        """Forget values that no row has any more: some hosts report facts that never stay the same."""
        if len(self.values) <= 2 * len(self.codes) + 64:
            return
        used, self.codes = np.unique(self.codes, return_inverse=True)
        place = {int(old): new for new, old in enumerate(used)}
        self.values = [self.values[old] for old in place]
        self._number = {key: place[old] for key, old in self._number.items() if old in place}

    def of(self, row: int) -> K:
        return self.values[int(self.codes[row])]

    def mask(self, test: Callable[[K], bool]) -> Mask:
        """The rows whose value passes `test`, which is asked once a kind."""
        return np.array([bool(test(value)) for value in self.values], np.bool_)[self.codes]

    def floats(self, value_of: Callable[[K], float]) -> Floats:
        return np.array([value_of(value) for value in self.values], np.float64)[self.codes]
