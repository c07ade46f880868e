"""How many servers there are, of what kind."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from minicompute.db.models import flavors, instances


def counts(conn: sa.Connection, project_id: str | None) -> Sequence[Any]:
    """One row for each combination that there is: vm_state, task_state, host, flavor, project_id, servers, vcpus,
    memory_mb. `project_id` None: of all."""
    shown = (instances.c.vm_state, instances.c.task_state, instances.c.host,
             sa.func.coalesce(flavors.c.name, instances.c.flavorid).label('flavor'), instances.c.project_id)
    query = sa.select(
        *shown, sa.func.count().label('servers'), sa.func.coalesce(sa.func.sum(instances.c.vcpus), 0).label('vcpus'),
        sa.func.coalesce(sa.func.sum(instances.c.memory_mb), 0).label('memory_mb')).select_from(
            instances.outerjoin(flavors, flavors.c.flavorid == instances.c.flavorid)).where(
                instances.c.deleted == 0).group_by(*shown)
    if project_id is not None:
        query = query.where(instances.c.project_id == project_id)
    return conn.execute(query).all()
