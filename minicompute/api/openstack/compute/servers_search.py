"""Query strings of the lists of servers -> `instance_list.Search`.

Each parameter is in one table here, which says what it compares and who may use it.  What a user may not
use is passed over in silence, as in Nova; what is malformed is 400.
"""
from __future__ import annotations

import datetime
import re

import regex
from oslo_utils import strutils, timeutils

from minicompute import exception, policy
from minicompute.api.openstack import common
from minicompute.api.openstack.compute.schemas.servers_query import IGNORED_SORT_KEYS, JOINED
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types
from minicompute.api.validation import parse_query
from minicompute.db import session
from minicompute.db.api.instance_list import Search
from minicompute.objects import VMState

TAGS = ('tags', 'tags-any', 'not-tags', 'not-tags-any')

# parameter -> column, by what is compared
EQUAL = {'uuid': 'uuid', 'user_id': 'user_id', 'host': 'host', 'flavor': 'flavorid', 'vm_state': 'vm_state',
         'task_state': 'task_state', 'image': 'image_ref', 'image_ref': 'image_ref'}
NUMBERS = {'launch_index': 'launch_index', 'power_state': 'power_state', 'progress': 'progress'}
#: a boolean as text, false and true, where an expression may ask for it
FLAGS = {'config_drive': ('', 'True'), 'auto_disk_config': ('0', '1')}
PATTERNS = {'name': 'display_name', 'display_name': 'display_name', 'description': 'display_description',
            'display_description': 'display_description', 'hostname': 'hostname', 'key_name': 'key_name',
            'node': 'node', 'availability_zone': 'availability_zone', 'kernel_id': 'kernel_id',
            'ramdisk_id': 'ramdisk_id', 'locked_by': 'locked_by', 'root_device_name': 'root_device_name',
            'access_ip_v4': 'access_ip_v4', 'access_ip_v6': 'access_ip_v6'}
RESERVATION = re.compile('r-[a-z0-9]{8}')
TIMES = ('created_at', 'launched_at', 'terminated_at')
ADDRESSES = {'ip': 4, 'ip6': 6}

SECONDS = 0.05     # what an expression may cost us

# What everybody may use, from which microversion on; the rest is for `allow_all_filters`.
OPEN = {'2.1': ('reservation_id', 'name', 'status', 'image', 'flavor', 'ip', 'changes-since', 'all_tenants'),
        '2.5': ('ip6',), '2.26': TAGS, '2.66': ('changes-before',), '2.73': ('locked',),
        '2.83': ('availability_zone', 'config_drive', 'key_name', 'created_at', 'launched_at', 'terminated_at',
                 'power_state', 'task_state', 'vm_state', 'progress', 'user_id'),
        '2.90': ('hostname',)}
SORT_COLUMNS = {'instance_type_id': 'flavorid'}
ADMIN_SORT_KEYS = ('host', 'node')


class ListDeletedForbidden(exception.Forbidden):
    msg_fmt = 'Only administrators may list deleted instances'


def search(req: Request, view: str) -> Search:
    """`view`: index or detail. Raises Invalid, PolicyNotAuthorized, Forbidden."""
    given, made = _allowed(req), Search()
    # The order is Nova's, so that of several faults the same one is told: expressions first (its schema's), and what is
    # malformed before what is forbidden.
    _columns(made, given)
    _documents(made, given)
    if 'status' in given and not _status(req, made):
        return made
    _times(req, made, given)
    _deleted(req, made, given)
    everybody = 'all_tenants' in given and (given['all_tenants'] == '' or _boolean('all_tenants', given['all_tenants']))
    if 'locked' in given:
        made.equal['locked'] = [_boolean('locked', given['locked'])]
    made.project_id = _project(req, given, view) if everybody else req.context.project_id or ''
    made.limit, made.marker = common.paging(req)
    made.sort = _sort(req)
    return made


def _allowed(req: Request) -> dict[str, str]:
    """The parameters that the caller may use, each with its last value."""
    given = {name: values[-1] for name, values in req.query.items() if values}
    if policy.allowed(req.context, 'os_compute_api:servers:allow_all_filters'):
        for name in (*JOINED, *_internal(req)):
            if name in given or name.startswith('_'):
                raise exception.Invalid(f'Invalid filter field: {name[:64]}.')
        return given
    names = {name for version, names in OPEN.items() if req.since(version) for name in names}
    return {name: value for name, value in given.items() if name in names}


def _internal(req: Request) -> list[str]:
    """Parameters that begin with '_', which the schema knows as no more than that."""
    text = req.environ.get('QUERY_STRING', '')
    return [name for name in parse_query(text) if name.startswith('_')] if '_' in text else []


def _project(req: Request, given: dict[str, str], view: str) -> str | None:
    """The one project of all to list, or None, which the policy must allow."""
    policy.authorize(req.context, f'os_compute_api:servers:{view}:get_all_tenants')
    return given.get('project_id') or given.get('tenant_id')


def _sort(req: Request) -> list[tuple[str, str]]:
    """A key without a direction takes the first one's; what comes behind the keys is `instance_select`'s."""
    keys, ways = list(req.query.get('sort_key', ())), list(req.query.get('sort_dir', ()))
    for way in ways:
        if way not in ('asc', 'desc'):
            raise exception.Invalid(f"Unknown sort direction, must be 'desc' or 'asc' (sort_dir={way[:64]})")
    if len(ways) > max(len(keys), 1):
        raise exception.Invalid('Sort direction size exceeds sort key size (sort_dir, sort_key)')
    if not req.context.is_admin:
        for key in keys:
            if key in ADMIN_SORT_KEYS:
                raise exception.Forbidden(f'Only administrators can sort servers by {key}')
    ignored = IGNORED_SORT_KEYS if req.since('2.73') else (*IGNORED_SORT_KEYS, 'locked')
    pairs = [(SORT_COLUMNS.get(key, key), ways[place] if place < len(ways) else None)
             for place, key in enumerate(keys or ['created_at']) if key not in ignored]
    first = next((way for _, way in pairs if way), 'desc')
    return [(key, way or first) for key, way in pairs] or [('created_at', 'desc')]


# -- filters -----------------------------------------------------------------------

def _columns(made: Search, given: dict[str, str]) -> None:
    for name, column in EQUAL.items():
        if name in given:
            value = given[name]
            made.equal[column] = [value.rstrip('/').rpartition('/')[2] if name in ('image', 'flavor') else value]
    for name, column in NUMBERS.items():
        if name in given and re.fullmatch('[0-9]{1,9}', given[name]):
            made.equal[column] = [int(given[name])]
        elif name in given:
            made.matching[column] = _expression(name, given[name])
    for name, texts in FLAGS.items():
        if name in given:
            made.equal[name] = _flags(name, given[name], texts)
    for name, column in PATTERNS.items():
        if name in given:
            made.matching[column] = _expression(name, given[name])
    if 'reservation_id' in given:
        reservation = _expression('reservation_id', given['reservation_id'])
        if RESERVATION.fullmatch(reservation):      # a whole one, for which there is an index
            made.equal['reservation_id'] = [reservation]
        else:
            made.matching['reservation_id'] = reservation


def _flags(name: str, value: str, texts: tuple[str, str]) -> list[bool]:
    """The booleans that an expression stands for, which may be none or both."""
    if value in types.BOOLEAN_TRUE or value in types.BOOLEAN_FALSE:
        return [value in types.BOOLEAN_TRUE]
    _expression(name, value)
    try:
        return [flag for flag, text in zip((False, True), texts, strict=True)
                if regex.search(value, text, timeout=SECONDS)]
    except TimeoutError:
        raise _refuse(name, value, 'It takes too long.') from None
    except regex.error:
        raise _refuse(name, value, "It is not a 'regex'") from None


def _documents(made: Search, given: dict[str, str]) -> None:
    for name, version in ADDRESSES.items():
        if name in given:
            made.address[version] = _expression(name, given[name])
    for name in TAGS:
        if name in given:
            made.tags[name] = given[name].split(',')


def _times(req: Request, made: Search, given: dict[str, str]) -> None:
    for name in TIMES:
        if name not in given:
            continue
        moment = _time(given[name])
        if moment is not None:
            made.at[name] = moment
        else:       # a part of one, as it stands in the column
            made.matching[name] = _expression(name, given[name].replace('T', ' '))
    if 'changes-since' in given:
        made.changed_since = common.time_param(req, 'changes-since')
    if 'changes-before' in given:
        made.changed_before = common.time_param(req, 'changes-before')
    if made.changed_since and made.changed_before and made.changed_since > made.changed_before:
        raise exception.Invalid('The value of changes-since must be less than or equal to changes-before.')


def _deleted(req: Request, made: Search, given: dict[str, str]) -> None:
    """Deleted servers are listed when they are asked for, and with what changed since a time. Those that may be
    restored are told with the deleted, `soft_deleted` adds them to the others or leaves them out of the deleted."""
    soft = given.get('soft_deleted')
    if soft is not None:
        made.soft_deleted = strutils.bool_from_string(soft, default=soft != '')
    if 'deleted' in given:
        made.deleted = strutils.bool_from_string(given['deleted'], default=False)
    elif made.changed_since or made.changed_before:
        made.deleted = None
    if 'status' in given and made.equal['vm_state'] == [VMState.DELETED]:
        if not req.context.is_admin:
            raise ListDeletedForbidden
        made.deleted = True


def _status(req: Request, made: Search) -> bool:
    """As in Nova a status stands for all its vm_states, and for its task states only where the usual case is not one
    of them: ACTIVE also finds what reboots. They take the place of a vm_state or task_state that was given.
    -> whether there is such a status."""
    vm_states: set[str] = set()
    task_states: set[str | None] = set()
    for status in req.query['status']:
        of_vm, of_task = common.states_of(status)
        vm_states.update(of_vm)
        task_states.update(of_task)
    if not vm_states and req.since('2.38'):
        raise exception.Invalid('Invalid status value')
    made.equal['vm_state'] = sorted(vm_states)
    if None not in task_states:
        made.equal['task_state'] = sorted(filter(None, task_states))
    return bool(vm_states)


# -- values ------------------------------------------------------------------------

def _refuse(name: str, value: str, why: str) -> exception.Invalid:
    return exception.Invalid(f'Invalid input for query parameters {name}. Value: {value[:64]}. {why}')


def _boolean(name: str, value: str) -> bool:
    try:
        return strutils.bool_from_string(value, strict=True)
    except ValueError:
        raise _refuse(name, value, 'It is not a boolean.') from None


def _expression(name: str, value: str) -> str:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        raise _refuse(name, value, "It is not a 'regex'") from None
    if session.repeats_too_often(value):
        raise _refuse(name, value, 'It repeats too often.')
    return value


def _time(value: str) -> datetime.datetime | None:
    """None when it is none."""
    try:
        when: datetime.datetime = timeutils.normalize_time(timeutils.parse_isotime(value)).replace(microsecond=0)
        when + datetime.timedelta(seconds=1)    # the end of what is looked for must be a time, too
        return when
    except (ValueError, OverflowError):
        return None
