"""What projects used over a time: hours of servers, and of the cores, memory and disks of their flavors."""
from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from minicompute.db import session
from minicompute.db.api import tenant_usage as db
from minicompute.objects import Flavor, from_primitive

TERMINATED = 'terminated'


@dataclasses.dataclass(slots=True, frozen=True)
class Server:
    """What one server used; `uptime` in seconds is since its launch, whatever time was asked for."""

    uuid: str
    name: str
    project_id: str
    flavor: Flavor
    hours: float
    uptime: int
    state: str
    started_at: datetime.datetime
    ended_at: datetime.datetime | None

    @property
    def local_gb(self) -> int:
        return self.flavor.root_gb + self.flavor.ephemeral_gb


@dataclasses.dataclass(slots=True)
class Project:
    project_id: str
    servers: list[Server] = dataclasses.field(default_factory=list)
    hours: float = 0.0
    vcpu_hours: float = 0.0
    memory_mb_hours: float = 0.0
    local_gb_hours: float = 0.0

    def add(self, server: Server) -> None:
        self.servers.append(server)
        self.hours += server.hours
        self.vcpu_hours += server.flavor.vcpus * server.hours
        self.memory_mb_hours += server.flavor.memory_mb * server.hours
        self.local_gb_hours += server.local_gb * server.hours


def usage(begin: datetime.datetime, end: datetime.datetime, *, project_id: str | None = None,
          limit: int | None = None, marker: str | None = None) -> list[Project]:
    """Of one page of servers, by project. Raises MarkerNotFound."""
    with session.read() as conn:
        rows = db.active(conn, begin, end, project_id=project_id, limit=limit, marker=marker)
        now = session.now(conn)
    found: dict[str, Project] = {}
    for row in rows:
        found.setdefault(row.project_id, Project(row.project_id)).add(_server(row, begin, end, now))
    return list(found.values())


def _server(row: Any, begin: datetime.datetime, end: datetime.datetime, now: datetime.datetime) -> Server:
    ended = row.terminated_at
    used = min(end, ended or end) - max(begin, row.launched_at)
    return Server(
        uuid=row.uuid, name=row.display_name or '', project_id=row.project_id,
        flavor=from_primitive(row.flavor) or Flavor('', '', 0, 0, 0), hours=max(used.total_seconds(), 0.0) / 3600,
        uptime=max(int(((ended or now) - row.launched_at).total_seconds()), 0),
        state=TERMINATED if ended else row.vm_state, started_at=row.launched_at, ended_at=ended)
