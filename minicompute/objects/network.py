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
    #: ids; None: the project's `default`
    security_groups: list[str] | None = None


@record
class SecurityGroupRule:
    """What a group lets pass. `direction` 'ingress' or 'egress'; `protocol` None: any; the ports of ICMP are type and
    code. `remote_ip_prefix` or `remote_group_id` or neither: from (to) anywhere."""

    id: str
    security_group_id: str
    direction: str = 'ingress'
    ethertype: str = 'IPv4'
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    description: str = ''
    created_at: datetime.datetime | None = None


@record
class SecurityGroup:
    """What the cards that are in it may be sent, and may send. Nothing that no rule names passes."""

    id: str
    name: str
    project_id: str
    description: str = ''
    rules: list[SecurityGroupRule] = dataclasses.field(default_factory=list)
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
