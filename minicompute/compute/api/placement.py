"""Would it fit, where, and if not, what would have to change: the scheduler's dry run in the words of users."""
from __future__ import annotations

import dataclasses
from typing import Any

import oslo_messaging as messaging
import sqlalchemy as sa
from oslo_utils import uuidutils

from minicompute import exception, quota
from minicompute.compute.api import create
from minicompute.compute.api.request import CreateRequest
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import action_log, instances
from minicompute.objects import RequestSpec
from minicompute.scheduler.rpcapi import SchedulerAPI

#: seconds that a scheduler has for an answer
TIMEOUT = 10.0
#: servers that one dry run places: a scheduler has one thread, and whoever is only asking must not keep it long
MOST = 100

_scheduler = SchedulerAPI()


@dataclasses.dataclass(slots=True)
class Explanation:
    """`hosts`: where the servers would go. `changes`: as `scheduler.what_if` has them, with their `text`."""

    servers: int
    servers_that_fit: int
    hosts: list[str]
    funnel: dict[str, Any]
    changes: list[dict[str, Any]]
    text: str
    over_quota: str | None = None

    @property
    def fits(self) -> bool:
        return self.over_quota is None and self.servers_that_fit == self.servers


def of_create(context: RequestContext, request: CreateRequest) -> Explanation:
    """Whether `min_count` servers of a create would fit now. Nothing is written or claimed.
    Raises what a create raises, Unavailable."""
    order = create.draft(context, request)
    if request.least > MOST:
        raise exception.Invalid(f'min_count: {MOST} servers at once are the most that can be explained')
    left, over_quota = session.write(_quota, order, request.least)
    # What the quotas refuse anyhow need not be looked for, but for one, to say what stands in its way.
    found = _ask(context, order.spec, max(1, min(request.least, left)))
    found.servers, found.over_quota = request.least, over_quota
    if over_quota:
        found.text = f'{over_quota} {found.text}'
    return found


def _quota(conn: sa.Connection, order: create.Order, least: int) -> tuple[int, str | None]:
    """How many of so many servers the quotas leave room for, counted as a create counts them, and why not for all."""
    counted = quota.Reservations(conn, order.pattern.project_id)
    whose = order.pattern.user_id, order.found.limits, order.found.flavor
    left = counted.room(*whose, 0, least)
    try:
        counted.room(*whose, least, least)
    except exception.Forbidden as error:
        return left, error.message
    return left, None


def again(context: RequestContext, uuid: str) -> Explanation | None:
    """Whether another server like this one would fit now; None where its request is not in the records."""
    with session.read() as conn:
        spec = instances.specs(conn, [uuid]).get(uuid)
    return None if spec is None else _ask(context, spec, 1)


def attempts(uuid: str) -> list[dict[str, Any]]:
    """How a host was looked for, the newest first: {'action', 'request_id', 'time', 'funnel'}."""
    with session.read() as conn:
        return [{'action': row.action, 'request_id': row.request_id, 'time': row.start_time, 'funnel': funnel}
                for row in action_log.with_data(conn, uuid) for funnel in reversed((row.data or {}).get('funnels', ()))
                if funnel]


def _ask(context: RequestContext, spec: RequestSpec, count: int) -> Explanation:
    uuids = [uuidutils.generate_uuid() for _ in range(count)]
    spec.ignore_hosts = []
    try:
        (answer,) = _scheduler.select_destinations(context, [
            {'key': 0, 'spec': spec, 'instance_uuids': uuids, 'dry_run': True, 'explain': True}], timeout=TIMEOUT)
    except (messaging.MessagingException, messaging.RemoteError) as error:
        raise exception.Unavailable(
            f'No scheduler answers ({type(error).__name__}), and only a scheduler knows what its filters see of the '
            'hosts. Please try again later.') from None
    if answer['selections']:
        hosts = sorted({selection.host for selection in answer['selections']})
        on = 'on one host' if len(hosts) == 1 else f'on {len(hosts)} hosts'
        return Explanation(count, count, hosts, answer['funnel'], [], f'There is room {on}.')
    changes = [{**change, 'text': _text(change)} for change in answer.get('changes') or ()]
    text = answer['reason'] or 'No host fits.'
    if changes:
        text += ' What would help: ' + '; or '.join(change['text'] for change in changes) + '.'
    return Explanation(count, int(answer.get('placed') or 0), [], answer['funnel'], changes, text)


def _text(change: dict[str, Any]) -> str:
    """'2048 MiB more on one host', 'without trait HW_X 14 hosts fit'"""
    more = ' and '.join(f'{one["amount"]} {one["unit"]} more' for one in change['more'])
    without = ' and '.join(f'trait {one["what"]}' if one['what'] else f'{one["filter"]} ({one["reason"]})'
                           for one in change['without'])
    if not more:
        return f'without {without} ' + ('1 host fits' if change['hosts'] == 1 else f'{change["hosts"]} hosts fit')
    return f'{more} on one host' + (f', and without {without}' if without else '')
