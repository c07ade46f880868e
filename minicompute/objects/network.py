from __future__ import annotations

import dataclasses
import datetime

from minicompute.objects.base import record


@record
class Network:
    """A network of the local backend: one subnet, one bridge. `kind`: 'nat' (libvirt's own network with
    DHCP) or 'bridge' (an existing bridge of the hosts)."""

    id: str
    name: str
    cidr: str
    gateway: str
    range_start: str
    range_end: str
    bridge: str
    subnet_id: str
    project_id: str | None = None
    kind: str = 'nat'
    shared: bool = True
    mtu: int = 1500
    dns: list[str] = dataclasses.field(default_factory=list)
    subnet_name: str = ''
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None


@record
class Port:
    """A network card that the local backend gave to a server."""

    id: str
    network_id: str
    mac_address: str
    address: str
    project_id: str | None = None
    instance_uuid: str | None = None
    host: str | None = None
    tag: str | None = None
    created_at: datetime.datetime | None = None
