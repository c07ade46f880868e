from __future__ import annotations

import datetime

from minicompute.objects.base import record


@record
class Console:
    """Where a proxy finds a console of a guest. `tls_port` only for SPICE; `base_url` is the page of the proxy, as the
    configuration of the server's host has it."""

    host: str
    port: int
    tls_port: int | None = None
    internal_access_path: str | None = None
    base_url: str = ''


@record
class ConsoleToken:
    """What one URL gives access to: a console of a kind, at the place where it was when the URL was made.

    `compute_host` is the server's host; `host` and `port` are where its hypervisor listens. The token itself is in no
    record: `token_hash` is what is kept of it.
    """

    token_hash: str
    console_type: str
    instance_uuid: str
    compute_host: str
    host: str
    port: int
    access_url_base: str
    tls_port: int | None = None
    internal_access_path: str | None = None
    id: int | None = None
    created_at: datetime.datetime | None = None
    expires_at: datetime.datetime | None = None
