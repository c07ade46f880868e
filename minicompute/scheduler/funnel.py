"""Why: how many hosts each stage left, and how near the nearest miss was. It names no host."""
from __future__ import annotations

import dataclasses
from typing import Any

UNITS = {'VCPU': 'VCPU', 'MEMORY_MB': 'MiB', 'DISK_GB': 'GiB'}
SHORT = {'VCPU': 'with too few free VCPUs', 'MEMORY_MB': 'with too little free memory',
         'DISK_GB': 'with too little free disk'}


@dataclasses.dataclass(slots=True)
class Funnel:
    """One look at all hosts for one kind of request."""

    total: int
    stages: list[tuple[str, int, str]] = dataclasses.field(default_factory=list)
    #: of the stage that left nothing: its name, how many hosts came to it, and what the best of them lacks
    nearest: dict[str, Any] | None = None
    _said: dict[str, Any] | None = None

    @property
    def left(self) -> int:
        return self.stages[-1][1] if self.stages else self.total

    def add(self, name: str, left: int, reason: str) -> None:
        self.stages.append((name, left, reason))

    def to_dict(self) -> dict[str, Any]:
        """The same object each time, once complete: a burst shares one funnel, and the wire sends it once."""
        if self._said is None:
            self._said = {'total': self.total, 'stages': [[name, left] for name, left, _ in self.stages],
                          'nearest': self.nearest}
        return self._said

    def text(self) -> str:
        """One line that an operator reads as the truth."""
        if not self.total:
            return 'There is no host: no compute has reported its inventory.'
        parts, before = [], self.total
        for name, left, reason in self.stages:
            if left < before:
                parts.append(f'{before - left} {reason}{self._nearest(name)}')
            before = left
        hosts = '1 host' if self.total == 1 else f'{self.total} hosts'
        return f'{hosts}: {", ".join(parts)}.' if parts else f'{hosts}, and all fit.'

    def _nearest(self, name: str) -> str:
        if self.nearest is None or self.nearest['stage'] != name or 'short_by' not in self.nearest:
            return ''
        return f' (the nearest lacks {self.nearest["short_by"]} {UNITS[name]})'
