"""The application of /minicompute/v1/: its own modules in the Compute API's machinery, microversions included."""
from __future__ import annotations

import functools
from typing import Any

from minicompute.api.beyond import events, placement, summary
from minicompute.api.openstack.router import APIRouter


@functools.cache
def the_router() -> APIRouter:
    return APIRouter((events, placement, summary))


def app_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> APIRouter:
    return the_router()
