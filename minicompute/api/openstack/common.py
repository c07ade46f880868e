"""What most resources need: links, paging, and how states and times are shown."""
from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from oslo_utils import timeutils

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import TaskState, VMState

if TYPE_CHECKING:
    from minicompute.api.openstack.wsgi import Request

Json = dict[str, Any]

# -- links ---------------------------------------------------------------------


def _base(req: Request, version: bool) -> str:
    """The API's address from outside, with the project when the request had it in its path."""
    prefix: str | None = CONF.api.compute_link_prefix
    base = (prefix or req.host_url).rstrip('/')
    if version:
        base += '/v2' if req.legacy else '/v2.1'
    return f'{base}/{req.project_in_url}' if req.project_in_url else base


class Links:
    """Links to the members of one collection; the costly part is made once for a page."""

    def __init__(self, req: Request, collection: str) -> None:
        self._own = f'{_base(req, version=True)}/{collection}/'
        self._bookmark = f'{_base(req, version=False)}/{collection}/'

    def __call__(self, identity: object) -> list[dict[str, str]]:
        tail = quote(str(identity))
        return [{'rel': 'self', 'href': self._own + tail}, {'rel': 'bookmark', 'href': self._bookmark + tail}]

    def bookmark(self, identity: object) -> list[dict[str, str]]:
        return [{'rel': 'bookmark', 'href': self._bookmark + quote(str(identity))}]

    def of_uuid(self, uuid: str) -> list[dict[str, str]]:
        """The same as a call, for what needs no quoting."""
        return [{'rel': 'self', 'href': self._own + uuid}, {'rel': 'bookmark', 'href': self._bookmark + uuid}]


def next_links(req: Request, path: str, items: Sequence[Any], marker: object, limit: int) -> list[dict[str, str]]:
    """[] or the link to the next page: a page that is full may have a successor. `path`: 'flavors/detail'."""
    if not items or len(items) < limit:
        return []
    pairs = [(name, value) for name, values in req.query.items() if name != 'marker' for value in values]
    query = urlencode([*pairs, ('marker', str(marker))])
    return [{'rel': 'next', 'href': f'{_base(req, version=True)}/{path}?{query}'}]


# -- query parameters ------------------------------------------------------------

def last(req: Request, name: str, default: str | None = None) -> str | None:
    """The value of a query parameter; of several, the last."""
    values = req.query.get(name)
    return values[-1] if values else default


def paging(req: Request) -> tuple[int, str | None]:
    """-> (limit, marker): never more than [api] max_limit."""
    asked = last(req, 'limit')
    most: int = CONF.api.max_limit
    return min(int(asked), most) if asked else most, last(req, 'marker')


def window(req: Request) -> tuple[int, int]:
    """-> (offset, limit) of a list without markers. A limit of 0 is as good as none."""
    most: int = CONF.api.max_limit
    return int(last(req, 'offset') or 0), min(int(last(req, 'limit') or 0) or most, most)


def time_param(req: Request, name: str) -> datetime.datetime | None:
    """A checked date-time parameter as UTC without zone, as the columns hold it."""
    value = last(req, name)
    return None if value is None else timeutils.normalize_time(timeutils.parse_isotime(value))


# -- times -----------------------------------------------------------------------

# isoformat, because strftime takes ten times as long.

def zulu(when: datetime.datetime | None) -> str | None:
    """'2026-11-22T18:56:03Z', as servers show their times."""
    return None if when is None else f'{when.isoformat(timespec="seconds")}Z'


def micro(when: datetime.datetime | None) -> str | None:
    """'2026-11-22T18:56:03.000000', as services, keypairs and actions show them."""
    return None if when is None else when.isoformat(timespec='microseconds')


def zulu_text(when: str | None) -> str | None:
    """`zulu` of a time as narrow rows have it: '2026-11-22 18:56:03.000001', or its fraction cut."""
    return None if when is None else f'{when[:10]}T{when[11:19]}Z'


def micro_text(when: str | None) -> str | None:
    """`micro` of such a time."""
    return None if when is None else f'{when[:10]}T{when[11:19]}.{when[20:]:0<6}'


# -- states ----------------------------------------------------------------------

# vm_state -> task_state -> what `status` says; None is the usual case.
STATUS: dict[str, dict[str | None, str]] = {
    VMState.ACTIVE: {
        None: 'ACTIVE', TaskState.REBOOTING: 'REBOOT', TaskState.REBOOT_PENDING: 'REBOOT',
        TaskState.REBOOT_STARTED: 'REBOOT', TaskState.REBOOTING_HARD: 'HARD_REBOOT',
        'reboot_pending_hard': 'HARD_REBOOT', 'reboot_started_hard': 'HARD_REBOOT',
        'updating_password': 'PASSWORD', 'rebuilding': 'REBUILD', 'rebuild_block_device_mapping': 'REBUILD',
        'rebuild_spawning': 'REBUILD', 'migrating': 'MIGRATING', 'resize_prep': 'RESIZE',
        'resize_migrating': 'RESIZE', 'resize_migrated': 'RESIZE', 'resize_finish': 'RESIZE'},
    VMState.BUILDING: {None: 'BUILD'},
    VMState.STOPPED: {
        None: 'SHUTOFF', 'resize_prep': 'RESIZE', 'resize_migrating': 'RESIZE', 'resize_migrated': 'RESIZE',
        'resize_finish': 'RESIZE', 'rebuilding': 'REBUILD', 'rebuild_block_device_mapping': 'REBUILD',
        'rebuild_spawning': 'REBUILD'},
    VMState.RESIZED: {None: 'VERIFY_RESIZE', 'resize_reverting': 'REVERT_RESIZE'},
    VMState.PAUSED: {None: 'PAUSED', 'migrating': 'MIGRATING'},
    VMState.SUSPENDED: {None: 'SUSPENDED'},
    VMState.RESCUED: {None: 'RESCUE'},
    VMState.ERROR: {
        None: 'ERROR', 'rebuilding': 'REBUILD', 'rebuild_block_device_mapping': 'REBUILD',
        'rebuild_spawning': 'REBUILD'},
    VMState.DELETED: {None: 'DELETED'},
    VMState.SOFT_DELETED: {None: 'SOFT_DELETED'},
    VMState.SHELVED: {None: 'SHELVED'},
    VMState.SHELVED_OFFLOADED: {None: 'SHELVED_OFFLOADED'},
}


def status(vm_state: str, task_state: str | None) -> str:
    """What the API calls the state of a server."""
    row = STATUS.get(vm_state)
    return 'UNKNOWN' if row is None else row.get(task_state, row[None])


def states_of(wanted: str) -> tuple[list[str], list[str | None]]:
    """The inverse: 'REBOOT' -> (['active'], ['rebooting', ...]); ([], []) for a status that is none.
    A usual case (None) stands for itself and for all task states that the row does not name."""
    vm_states: dict[str, None] = {}
    task_states: dict[str | None, None] = {}
    for vm_state, row in STATUS.items():
        for task_state, shown in row.items():
            if shown == wanted.upper():
                vm_states[vm_state] = None
                task_states[task_state] = None
    return list(vm_states), list(task_states)


def host_id(host: str | None, project_id: str | None) -> str:
    """What a project may know of a host: the same for its servers on the same host, and nothing else."""
    return hashlib.sha224(f'{project_id}{host}'.encode()).hexdigest() if host else ''


# -- small checks ------------------------------------------------------------------

def not_found(kind: str, identity: object) -> exception.NotFound:
    return exception.NotFound(f'{kind} {str(identity)[:64]} could not be found.')


def only(values: Mapping[str, Any], *names: str) -> Json:
    """A copy with just these keys."""
    return {name: values[name] for name in names}
