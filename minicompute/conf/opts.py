"""What `oslo-config-generator --namespace minicompute.conf` lists."""
from __future__ import annotations

from typing import Any


def list_opts() -> list[tuple[str, list[Any]]]:
    from minicompute import conf

    return [(group, list(opts)) for module in conf.MODULES for group, opts in module.OPTIONS.items()]
