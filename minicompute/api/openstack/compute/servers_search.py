"""Query strings of the lists of servers -> `instance_list.Search`.

Each parameter is in one table here, which says what it compares and who may use it.  What a user may not
use is passed over in silence, as in Nova; what is malformed is 400.
"""
from __future__ import annotations

import datetime
import re
from typing import Any

import orjson
from oslo_utils import timeutils

from minicompute import exception, policy
from minicompute.api.openstack import common
from minicompute.api.openstack.compute.schemas.servers_query import IGNORED_SORT_KEYS
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types
from minicompute.db.api.instance_list import Search, State
from minicompute.objects import VMState

TAGS = ('tags', 'tags-any', 'not-tags', 'not-tags-any')

# parameter -> column, by what is compared
EQUAL = {'uuid': 'uuid', 'user_id': 'user_id', 'host': 'host', 'flavor': 'flavorid', 'vm_state': 'vm_state',
         'task_state': 'task_state', 'reservation_id': 'reservation_id', 'image': 'image_ref',
         'image_ref': 'image_ref'}
NUMBERS = {'launch_index': 'launch_index', 'power_state': 'power_state', 'progress': 'progress'}
BOOLEANS = {'config_drive': 'config_drive', 'auto_disk_config': 'auto_disk_config', 'locked': 'locked'}
PATTERNS = {'name': 'display_name', 'display_name': 'display_name', 'description': 'display_description',
            'display_description': 'display_description', 'hostname': 'hostname', 'key_name': 'key_name',
            'node': 'node', 'availability_zone': 'availability_zone', 'kernel_id': 'kernel_id',
            'ramdisk_id': 'ramdisk_id', 'locked_by': 'locked_by', 'root_device_name': 'root_device_name',
            'access_ip_v4': 'access_ip_v4', 'access_ip_v6': 'access_ip_v6'}
TIMES = ('created_at', 'launched_at', 'terminated_at')
ADDRESSES = {'ip': 4, 'ip6': 6}

# What everybody may use, from which microversion on; the rest is for `allow_all_filters`.
OPEN = {'2.1': ('reservation_id', 'name', 'status', 'image', 'flavor', 'ip', 'changes-since', 'all_tenants'),
        '2.5': ('ip6',), '2.26': TAGS, '2.66': ('changes-before',), '2.73': ('locked',),
        '2.83': ('availability_zone', 'config_drive', 'key_name', 'created_at', 'launched_at', 'terminated_at',
                 'power_state', 'task_state', 'vm_state', 'progress', 'user_id')}
SORT_COLUMNS = {'instance_type_id': 'flavorid'}
ADMIN_SORT_KEYS = ('host', 'node')


class ListDeletedForbidden(exception.Forbidden):
    msg_fmt = 'Only administrators may list deleted instances'


def search(req: Request, view: str) -> Search:
    """`view`: index or detail. Raises Invalid, PolicyNotAuthorized, Forbidden."""
    given = _allowed(req)
    made = Search(project_id=_project(req, given, view))
    made.limit, made.marker = common.paging(req)
    made.sort = _sort(req)
    _columns(made, given)
    _documents(made, given)
    _times(req, made, given)
    _deleted(made, given)
    if 'status' in given:
        _status(req, made)
    return made


def _allowed(req: Request) -> dict[str, str]:
    """The parameters that the caller may use, each with its last value."""
    given = {name: values[-1] for name, values in req.query.items() if values}
    if policy.allowed(req.context, 'os_compute_api:servers:allow_all_filters'):
        return given
    names = {name for version, names in OPEN.items() if req.since(version) for name in names}
    return {name: value for name, value in given.items() if name in names}


def _project(req: Request, given: dict[str, str], view: str) -> str | None:
    """The project to list; None with all_tenants, which the policy must allow."""
    if 'all_tenants' in given and _boolean('all_tenants', given['all_tenants'] or 'true'):
        policy.authorize(req.context, f'os_compute_api:servers:{view}:get_all_tenants')
        return given.get('project_id') or given.get('tenant_id')
    return req.context.project_id or ''


def _sort(req: Request) -> list[tuple[str, str]]:
    keys = list(req.query.get('sort_key', ()))
    ways = list(req.query.get('sort_dir', ()))
    if len(ways) > max(len(keys), 1):
        raise exception.Invalid('Sort direction array size exceeds sort key array size.')
    for way in ways:
        if way not in ('asc', 'desc'):
            raise exception.Invalid(f'Unknown sort direction, must be one of: asc, desc (sort_dir={way[:64]})')
    if not req.context.is_admin:
        for key in keys:
            if key in ADMIN_SORT_KEYS:
                raise exception.Forbidden(f'Only administrators can sort servers by {key}')
    ways += [ways[-1] if ways else 'desc'] * (len(keys) - len(ways))
    ignored = IGNORED_SORT_KEYS if req.since('2.73') else (*IGNORED_SORT_KEYS, 'locked')
    found = [(SORT_COLUMNS.get(key, key), way) for key, way in zip(keys, ways, strict=False) if key not in ignored]
    return found or [('created_at', ways[0] if ways and not keys else 'desc')]


# -- filters -----------------------------------------------------------------------

def _columns(made: Search, given: dict[str, str]) -> None:
    for name, column in EQUAL.items():
        if name in given:
            value = given[name]
            made.equal[column] = [value.rstrip('/').rpartition('/')[2] if name in ('image', 'flavor') else value]
    for name, column in NUMBERS.items():
        if name in given:
            made.equal[column] = [_number(name, given[name])]
    for name, column in BOOLEANS.items():
        if name in given:
            made.equal[column] = [_boolean(name, given[name])]
    for name, column in PATTERNS.items():
        if name in given:
            made.matching[column] = _expression(name, given[name])


def _documents(made: Search, given: dict[str, str]) -> None:
    for name, version in ADDRESSES.items():
        if name in given:
            made.address[version] = _expression(name, given[name])
    for name in TAGS:
        if name in given:
            made.tags[name] = [tag for tag in given[name].split(',') if tag]
    if 'metadata' in given:
        made.metadata = _items(given['metadata'])


def _times(req: Request, made: Search, given: dict[str, str]) -> None:
    made.at = {name: _time(name, given[name]) for name in TIMES if name in given}
    if 'changes-since' in given:
        made.changed_since = common.time_param(req, 'changes-since')
    if 'changes-before' in given:
        made.changed_before = common.time_param(req, 'changes-before')
    if made.changed_since and made.changed_before and made.changed_since > made.changed_before:
        raise exception.Invalid('The value of changes-since must be less than or equal to changes-before.')


def _deleted(made: Search, given: dict[str, str]) -> None:
    """Deleted servers are listed when they are asked for, and with what changed since a time."""
    if 'deleted' in given:
        made.deleted = _boolean('deleted', given['deleted'] or 'true')
    elif made.changed_since or made.changed_before:
        made.deleted = None
    if 'soft_deleted' in given and _boolean('soft_deleted', given['soft_deleted']):
        made.states = [State(VMState.SOFT_DELETED)]


def _status(req: Request, made: Search) -> None:
    """Exactly the servers that are shown with one of the statuses."""
    wanted = {status.upper() for status in req.query['status']}
    made.states = [state for vm_state, shown in common.STATUS.items() for state in _states(vm_state, shown, wanted)]
    if not made.states and req.since('2.38'):
        raise exception.Invalid('Invalid status value')
    if 'DELETED' in wanted:
        if not req.context.is_admin:
            raise ListDeletedForbidden
        made.deleted = True


def _states(vm_state: str, shown: dict[str | None, str], wanted: set[str]) -> list[State]:
    named = {task: status in wanted for task, status in shown.items() if task is not None}
    if shown[None] in wanted:
        return [State(vm_state, without=tuple(task for task, hit in named.items() if not hit))]
    within = tuple(task for task, hit in named.items() if hit)
    return [State(vm_state, within)] if within else []


# -- values ------------------------------------------------------------------------

def _refuse(name: str, value: str, why: str) -> exception.Invalid:
    return exception.Invalid(f'Invalid input for query parameters {name}. Value: {value[:64]}. {why}')


def _boolean(name: str, value: str) -> bool:
    if value in types.BOOLEAN_TRUE:
        return True
    if value in types.BOOLEAN_FALSE or value == '':
        return False
    raise _refuse(name, value, 'It is not a boolean.')


def _number(name: str, value: str) -> int:
    if not re.fullmatch('[0-9]{1,9}', value):
        raise _refuse(name, value, 'It is not a whole number.')
    return int(value)


def _expression(name: str, value: str) -> str:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        raise _refuse(name, value, "It is not a 'regex'") from None
    return value


def _time(name: str, value: str) -> Any:
    try:
        when = timeutils.normalize_time(timeutils.parse_isotime(value)).replace(microsecond=0)
        when + datetime.timedelta(seconds=1)    # the end of what is looked for must be a time, too
        return when
    except (ValueError, OverflowError):
        raise _refuse(name, value, "It is not a 'date-time'") from None


def _items(text: str) -> dict[str, str]:
    try:
        items = orjson.loads(text)
    except orjson.JSONDecodeError:
        items = None
    if not isinstance(items, dict) or not all(isinstance(value, str) for value in items.values()):
        raise _refuse('metadata', text, 'It is not a JSON object of strings.')
    return items
