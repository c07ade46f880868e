"""All hosts in columns: one row a compute node, one array a quantity.

The table is loaded from the database once and follows it by polling what changed; the scheduler's own
claims are written into it at once.  It may be stale by a second, and that is harmless: a claim counts again
under the host's lock.  One thread owns a table.
"""
from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from minicompute.db.api.allocations import Usage, capacity
from minicompute.objects import ComputeNode
from minicompute.scheduler.facts import Facts, Floats, Kinds, Mask, Membership

VCPU, MEMORY_MB, DISK_GB = range(3)
CLASSES = ('VCPU', 'MEMORY_MB', 'DISK_GB')
#: the journal of touched rows is cut when it grows past this; who was behind starts over
JOURNAL = 4096

Need = tuple[int, int, int]


class HostTable:
    """`version` moves when anything but usage does: masks made before are void then. `journal` lists the
    rows whose usage moved since `journal_start`."""

    def __init__(self) -> None:
        self.version = 0
        self.journal: list[int] = []
        self.journal_start = 0
        self.ids: list[int] = []
        self.uuids: list[str] = []
        self.hosts: list[str] = []
        self.nodes: list[str] = []
        self.row_of: dict[int, int] = {}
        self.rows_of_host: dict[str, list[int]] = {}
        self.facts: Kinds[Facts] = Kinds()
        self.membership: Kinds[Membership] = Kinds()
        #: of one server at most; room in all; room that is left: by class, by row
        self.size, self.capacity, self.free = (np.zeros((3, 0)) for _ in range(3))
        self.failed_builds, self.io_ops, self.instances = (np.zeros(0) for _ in range(3))
        self.up, self.enabled = np.zeros(0, np.bool_), np.zeros(0, np.bool_)
        self.least_size = np.zeros(3)
        self._memberships: dict[str, tuple[tuple[int, dict[str, str]], ...]] = {}
        self._down: set[str] = set()
        self._disabled: set[str] = set()
        self._serving: set[str] = set()

    def __len__(self) -> int:
        return len(self.ids)

    # -- rows ----------------------------------------------------------------

    def put(self, nodes: list[ComputeNode], usage: dict[int, Usage]) -> None:
        """Add nodes, or bring them up to date."""
        fresh = [node for node in nodes if node.id not in self.row_of]
        if fresh:
            self._append(fresh)
        moved = bool(fresh)
        for node in nodes:
            assert node.id is not None
            moved |= self._set(self.row_of[node.id], node, usage.get(node.id) or Usage())
        if moved:
            self.facts.compact()
            self.least_size = self.size.min(axis=1)
        if fresh:
            self.set_aggregates(self._memberships, force=True)
            self._set_states()

    def _append(self, fresh: list[ComputeNode]) -> None:
        count = len(fresh)
        for row, node in enumerate(fresh, len(self.ids)):
            assert node.id is not None
            self.row_of[node.id] = row
            self.ids.append(node.id)
            self.uuids.append(node.uuid)
            self.hosts.append(node.host)
            self.nodes.append(node.hypervisor_hostname)
            self.rows_of_host.setdefault(node.host, []).append(row)
        for name in ('size', 'capacity', 'free'):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros((3, count))], axis=1))
        for name in ('failed_builds', 'io_ops', 'instances'):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(count)]))
        for name in ('up', 'enabled'):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(count, np.bool_)]))
        for kinds in (self.facts, self.membership):
            kinds.codes = np.concatenate([kinds.codes, np.full(count, -1, np.intp)])

    def _set(self, row: int, node: ComputeNode, usage: Usage) -> bool:
        """-> whether more than usage changed."""
        size, room = (node.vcpus, node.memory_mb, node.local_gb), capacity(node)
        code = self.facts.number(*Facts.of(node))
        same = (code == self.facts.codes[row] and room == tuple(self.capacity[:, row])
                and size == tuple(self.size[:, row]) and self.nodes[row] == node.hypervisor_hostname)
        if not same:
            self.facts.codes[row] = code
            self.size[:, row], self.capacity[:, row] = size, room
            self.nodes[row] = node.hypervisor_hostname
            self.version += 1
        self.set_load(row, usage, node.failed_builds)
        return not same

    def set_load(self, row: int, usage: Usage, failed_builds: int) -> None:
        """What moves without a report of the compute."""
        self.failed_builds[row] = failed_builds
        self.set_usage(row, usage)

    def set_usage(self, row: int, usage: Usage) -> None:
        """What the database counted. Room may be below zero: a ratio may have been lowered."""
        self.free[:, row] = self.capacity[:, row] - (usage.vcpus, usage.memory_mb, usage.disk_gb)
        self.instances[row] = usage.consumers
        self._touch(row)

    def take(self, row: int, need: Need, sign: int = 1) -> None:
        """A pick of ours, not yet claimed (sign -1: given back)."""
        self.free[:, row] -= np.multiply(need, sign)
        self.instances[row] += sign
        self.io_ops[row] += sign
        self._touch(row)

    def _touch(self, row: int) -> None:
        if len(self.journal) >= JOURNAL:
            self.journal_start += len(self.journal)
            self.journal.clear()
        self.journal.append(row)

    def drop(self, node_ids: Iterable[int]) -> None:
        """Forget nodes that are no more; rows move."""
        gone = set(node_ids)
        keep = np.array([node_id not in gone for node_id in self.ids], np.bool_)
        for name in ('size', 'capacity', 'free'):
            setattr(self, name, getattr(self, name)[:, keep])
        for name in ('failed_builds', 'io_ops', 'instances', 'up', 'enabled'):
            setattr(self, name, getattr(self, name)[keep])
        for kinds in (self.facts, self.membership):
            kinds.codes = kinds.codes[keep]
        for name in ('ids', 'uuids', 'hosts', 'nodes'):
            setattr(self, name, list(itertools.compress(getattr(self, name), keep)))
        self.row_of = {node_id: row for row, node_id in enumerate(self.ids)}
        self.rows_of_host = defaultdict(list)
        for row, host in enumerate(self.hosts):
            self.rows_of_host[host].append(row)
        self.least_size = self.size.min(axis=1) if self.ids else np.zeros(3)
        self.version += 1

    # -- services, aggregates, work under way ----------------------------------

    def set_services(self, serving: set[str], disabled: set[str], down: set[str]) -> None:
        """By host names: all that have a compute service, those disabled, those down."""
        if (serving, disabled, down) != (self._serving, self._disabled, self._down):
            self._serving, self._disabled, self._down = serving, disabled, down
            self._set_states()

    def _set_states(self) -> None:
        up = [host in self._serving and host not in self._down for host in self.hosts]
        self.up = np.array(up, np.bool_)
        self.enabled = np.array([host not in self._disabled for host in self.hosts], np.bool_)
        self.version += 1

    def set_aggregates(self, memberships: dict[str, tuple[tuple[int, dict[str, str]], ...]], *,
                       force: bool = False) -> None:
        """host name -> its aggregates as (id, metadata)."""
        if memberships == self._memberships and not force:
            return
        self._memberships = memberships
        kinds: Kinds[Membership] = Kinds()
        keys: dict[tuple[int, ...], int] = {}
        codes = []
        for host in self.hosts:
            mine = memberships.get(host, ())
            key = tuple(number for number, _ in mine)
            if key not in keys:
                keys[key] = kinds.number(key, Membership(mine))
            codes.append(keys[key])
        kinds.codes = np.array(codes, np.intp)
        self.membership = kinds
        self.version += 1

    def set_busy(self, busy: dict[int, int]) -> None:
        """node id -> servers being built, moved or copied there."""
        fresh = np.zeros(len(self))
        for node_id, count in busy.items():
            row = self.row_of.get(node_id)
            if row is not None:
                fresh[row] = count
        for changed in np.flatnonzero(fresh != self.io_ops).tolist():
            self.io_ops[changed] = fresh[changed]
            self._touch(changed)

    # -- questions -------------------------------------------------------------

    def fits(self, need: Need, copies: int = 1) -> list[Mask]:
        """One mask a class, for so many servers on one host. No server is larger than the host itself,
        whatever the ratio."""
        masks = []
        for number, asked in enumerate(need):
            mask = self.free[number] >= asked * copies if asked else np.ones(len(self), np.bool_)
            if asked > self.least_size[number]:
                mask &= self.size[number] >= asked
            masks.append(mask)
        return masks

    def row_fits(self, row: int, need: Need) -> bool:
        free, size = self.free, self.size
        return all(not asked or (free[number, row] >= asked and size[number, row] >= asked)
                   for number, asked in enumerate(need))

    def shortage(self, number: int, asked: int, copies: int = 1) -> Floats:
        """By how much each row is too small for `asked` of a class; 0 or less where it fits."""
        lacking: Floats = np.maximum(asked * copies - self.free[number], asked - self.size[number])
        return lacking

    def in_hosts(self, hosts: Iterable[str]) -> Mask:
        mask = np.zeros(len(self), np.bool_)
        for host in hosts:
            mask[self.rows_of_host.get(host, [])] = True
        return mask

    def count_hosts(self, counts: dict[str, int]) -> Floats:
        """host -> number, as a column."""
        column = np.zeros(len(self))
        for host, count in counts.items():
            column[self.rows_of_host.get(host, [])] = count
        return column

    def multipliers(self, option: str, default: float) -> float | Floats:
        """A weigher's multiplier, which the metadata of aggregates may override (the least of several)."""
        if not any(m.values(option) for m in self.membership.values):
            return default

        def of(membership: Membership) -> float:
            said = [number for value in membership.values(option) if (number := _number(value)) is not None]
            return min(said, default=default)
        return self.membership.floats(of)

    def zone(self, row: int) -> str:
        return self.membership.of(row).zone

    def attribute(self, path: list[str]) -> tuple[list[Any], Any]:
        """A named quantity or fact of every host: -> (distinct values, the row's number of its value).
        The names are those that Nova's capability and JSON filters know."""
        name = path[0]
        if name in ('host', 'hypervisor_hostname'):
            return (self.hosts if name == 'host' else self.nodes), np.arange(len(self))
        column = self._quantity(name)
        if column is None:
            return [facts.lookup(path) for facts in self.facts.values], self.facts.codes
        values, codes = np.unique(column, return_inverse=True)
        return [int(v) if float(v).is_integer() else float(v) for v in values], codes

    def _quantity(self, name: str) -> Floats | None:
        used = self.capacity - self.free if name == 'vcpus_used' else self.free
        found: dict[Hashable, Floats] = {
            'free_ram_mb': self.free[MEMORY_MB], 'total_usable_ram_mb': self.size[MEMORY_MB],
            'free_disk_mb': self.free[DISK_GB] * 1024, 'total_usable_disk_gb': self.size[DISK_GB],
            'vcpus_total': self.size[VCPU], 'vcpus_used': used[VCPU],
            'num_instances': self.instances, 'num_io_ops': self.io_ops, 'failed_builds': self.failed_builds}
        return found.get(name)


#: attributes that every host has, whatever its driver reports
ATTRIBUTES = frozenset(('host', 'hypervisor_hostname', 'hypervisor_type', 'hypervisor_version', 'cpu_info',
                        'traits', 'supported_instances', 'free_ram_mb', 'total_usable_ram_mb', 'free_disk_mb',
                        'total_usable_disk_gb', 'vcpus_total', 'vcpus_used', 'num_instances', 'num_io_ops',
                        'failed_builds'))
#: attributes that move with every claim: what reads them is never cached
LIVE = frozenset(('free_ram_mb', 'free_disk_mb', 'vcpus_used', 'num_instances', 'num_io_ops',
                  'failed_builds'))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
