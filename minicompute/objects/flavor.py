from __future__ import annotations

import dataclasses

from minicompute.objects.base import record


@record
class Flavor:
    """A size of server. `memory_mb` and `swap` in MiB, `root_gb` and `ephemeral_gb` in GiB."""

    flavorid: str
    name: str
    memory_mb: int
    vcpus: int
    root_gb: int
    id: int | None = None
    ephemeral_gb: int = 0
    swap: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    disabled: bool = False
    description: str | None = None
    extra_specs: dict[str, str] = dataclasses.field(default_factory=dict)
