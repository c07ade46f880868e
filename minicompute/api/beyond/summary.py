"""/summary: how many servers there are, by status, task, flavor, project and host, in one query."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minicompute import policy
from minicompute.api import validation
from minicompute.api.beyond import schemas
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.wsgi import Request
from minicompute.db import session
from minicompute.db.api import summary as db

RULE = 'minicompute:summary:%s'
NUMBERS = ('servers', 'vcpus', 'memory_mb')
NONE = 'none'       # of a group that has no name: servers without a task, or without a host
TRUE = ('1', 'true', 'True')


class SummaryController(wsgi.Controller):

    @wsgi.expected_errors((400, 403))
    @validation.schema(query=schemas.summary_query, answer=schemas.summary_answer)
    def index(self, req: Request) -> dict[str, Any]:
        context = req.context
        policy.authorize(context, RULE % 'show')
        project: str | None = context.project_id or ''
        if common.last(req, 'all_projects') in TRUE:
            policy.authorize(context, RULE % 'show:all_projects')
            project = None
        with session.read() as conn:
            rows = db.counts(conn, project)
        groups = {'status': _grouped((common.status(row.vm_state, row.task_state), row) for row in rows),
                  'task_state': _grouped((row.task_state, row) for row in rows),
                  'flavor': _grouped((row.flavor, row) for row in rows),
                  'project': _grouped((row.project_id, row) for row in rows)}
        if policy.allowed(context, RULE % 'hosts'):
            groups['host'] = _grouped((row.host, row) for row in rows)
        total = _grouped(('all', row) for row in rows).get('all', dict.fromkeys(NUMBERS, 0))
        return {'summary': {'total': total, **groups}}


ROUTES = (('GET', '/summary', SummaryController, 'index'),)


def _grouped(named: Iterable[tuple[str | None, Any]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, row in named:
        group = found.setdefault(name or NONE, dict.fromkeys(NUMBERS, 0))
        for number in NUMBERS:
            group[number] += int(getattr(row, number))
    return found
