"""/os-instance_usage_audit_log: which hosts' usage of the last period was written down."""
from __future__ import annotations

import datetime
from typing import Any

from oslo_utils import timeutils

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import usage_audit_log as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import services
from minicompute.db.api import usage_audits as db
from minicompute.utils import audit_period

RULE = 'os_compute_api:os-instance-usage-audit-log:%s'


class InstanceUsageAuditLogController(wsgi.Controller):

    @validation.schema(query=schema.query, answer=schema.index_answer)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'list', {})
        return {'instance_usage_audit_logs': log_of(timeutils.utcnow())}

    @wsgi.expected_errors(400)
    @validation.schema(query=schema.query, answer=schema.show_answer)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        """Of the last period that was over before the time `id`."""
        policy.authorize(req.context, RULE % 'show', {})
        try:
            before = datetime.datetime.strptime(id, '%Y-%m-%d %H:%M:%S.%f' if '.' in id else '%Y-%m-%d %H:%M:%S')
            return {'instance_usage_audit_log': log_of(before)}
        except (ValueError, OverflowError):
            raise exception.Invalid(f'Invalid timestamp for date {id[:64]}') from None


ROUTES = (
    ('GET', '/os-instance_usage_audit_log', InstanceUsageAuditLogController, 'index'),
    ('GET', '/os-instance_usage_audit_log/{id}', InstanceUsageAuditLogController, 'show'),
)


def log_of(before: datetime.datetime) -> dict[str, Any]:
    period = audit_period(CONF.instance_usage_audit_period, before)
    with session.read() as conn:
        rows = db.of_period(conn, period)
        hosts = {service.host for service in services.every(conn, binary=services.COMPUTE)}
    done = sum(row.state == db.DONE for row in rows)
    missing = sorted(hosts - {row.host for row in rows})
    errors = sum(row.errors for row in rows)
    share = 'ALL' if done == len(hosts) else f'{done} of {len(hosts)}'
    return {
        'period_beginning': str(period[0]), 'period_ending': str(period[1]), 'num_hosts': len(hosts),
        'num_hosts_done': done, 'num_hosts_running': sum(row.state == db.RUNNING for row in rows),
        'num_hosts_not_run': len(missing), 'hosts_not_run': missing,
        'total_instances': sum(row.instances for row in rows), 'total_errors': errors,
        'overall_status': f'{share} hosts done. {errors} errors.',
        'log': {row.host: {'state': row.state, 'instances': row.instances, 'errors': row.errors,
                           'message': row.message} for row in rows}}
