"""Quotas of servers: counted inside the transaction that uses them, under the lock of the project's row.

Usage is what the live servers add up to, never a counter that can drift.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import sqlalchemy as sa

from minicompute import exception
from minicompute.context import RequestContext
from minicompute.db.api import instance_groups, instances, keypairs, quotas
from minicompute.objects import Flavor, InstanceGroup

RESOURCES = ('instances', 'cores', 'ram')


class GroupMembersExceeded(exception.QuotaError):
    msg_fmt = 'Quota exceeded, too many servers in group'


class ServerGroupsExceeded(exception.QuotaError):
    msg_fmt = 'Quota exceeded, too many server groups.'


class TooManyFiles(exception.QuotaError):
    msg_fmt = 'Personality file limit exceeded.'


class FilePathTooLong(exception.QuotaError):
    msg_fmt = 'Personality file path exceeds maximum %(allowed)s.'


class FileTooLarge(exception.QuotaError):
    msg_fmt = 'Personality file content exceeds maximum %(allowed)s.'


@dataclasses.dataclass(slots=True, frozen=True)
class Limits:
    """{resource: most} of a project, and of one of its users; equal unless something was set for the user."""

    project: Mapping[str, int]
    user: Mapping[str, int]

    def most(self, name: str) -> int:
        """The tighter of the two, -1 for no bound: what one request may ask for of what is not counted."""
        return min((bound[name] for bound in (self.project, self.user) if bound[name] >= 0), default=-1)


def limits(conn: sa.Connection, project_id: str, user_id: str) -> Limits:
    return Limits(*quotas.both(conn, project_id, user_id))


class Reservations:
    """Servers that a project is about to get in this transaction. Its row is held from the first count on;
    where nothing is bounded nothing is counted and nobody waits."""

    def __init__(self, conn: sa.Connection, project_id: str) -> None:
        self._conn, self._project_id = conn, project_id
        self._rows: dict[str | None, dict[str, int]] = {}        # what the records add up to; None: the project
        self._reserved: dict[str | None, dict[str, int]] = {}    # what is not among the records yet
        self._members: dict[tuple[int, str], int] = {}           # the users' servers in groups: records and reserved

    def room(self, user_id: str, allowed: Limits, flavor: Flavor, least: int, most: int) -> int:
        """How many servers of `least` to `most` may be made now: as many as the quotas leave room for.
        Raises TooManyInstances when it is less than `least`."""
        bounds = [(allowed.project, self._usage(None))] if _bounded(allowed.project) else []
        if allowed.user != allowed.project and _bounded(allowed.user):
            bounds.append((allowed.user, self._usage(user_id)))
        for bound, used in bounds:
            room = _room(bound, used, flavor)
            if room < least:
                raise _too_many(bound, used, flavor, least, most)
            most = min(most, room)
        return most

    def take(self, user_id: str, flavor: Flavor, count: int) -> None:
        """The caller inserts so many in this transaction."""
        for owner in (None, user_id):
            mine = self._reserved.setdefault(owner, dict.fromkeys(RESOURCES, 0))
            for name, each in _per_server(flavor).items():
                mine[name] += count * each

    def join(self, user_id: str, allowed: Limits, group: InstanceGroup, count: int) -> None:
        """So many servers of the user join the group: counted is what the user has in it. Raises
        GroupMembersExceeded."""
        most = allowed.user['server_group_members']
        if most < 0:
            return
        key = (group.id or 0, user_id)
        if key not in self._members:
            instance_groups.lock(self._conn, [key[0]])       # an administrator's server may be of another project
            self._members[key] = instance_groups.members_of_user(self._conn, *key)
        if most < self._members[key] + count:
            raise GroupMembersExceeded
        self._members[key] += count

    def _usage(self, user_id: str | None) -> dict[str, int]:
        if not self._rows:
            instances.lock_project(self._conn, self._project_id)
        if user_id not in self._rows:
            self._rows[user_id] = instances.usage(self._conn, self._project_id, user_id)
        more = self._reserved.get(user_id, {})
        return {name: used + more.get(name, 0) for name, used in self._rows[user_id].items()}


def _bounded(limits: Mapping[str, int]) -> bool:
    return any(limits[name] >= 0 for name in RESOURCES)


def _per_server(flavor: Flavor) -> dict[str, int]:
    return {'instances': 1, 'cores': flavor.vcpus, 'ram': flavor.memory_mb}


def _room(limits: Mapping[str, int], used: Mapping[str, int], flavor: Flavor) -> int:
    left = [(limits[name] - used[name]) // each for name, each in _per_server(flavor).items()
            if limits[name] >= 0 and each]
    return max(0, min(left, default=1 << 30))


def _too_many(limits: Mapping[str, int], used: Mapping[str, int], flavor: Flavor, least: int,
              most: int) -> exception.TooManyInstances:
    """Names all that is short, as lists of equal order."""
    each = _per_server(flavor)
    over = [name for name in sorted(RESOURCES) if 0 <= limits[name] < used[name] + least * each[name]]
    asked = {name: str(most * each[name]) for name in RESOURCES}
    asked['instances'] = str(least) if least == most else f'{least}-{most}'
    return exception.TooManyInstances(
        overs=', '.join(over), req=', '.join(asked[name] for name in over),
        used=', '.join(str(used[name]) for name in over),
        allowed=', '.join(str(limits[name]) for name in over))


def check_growth(conn: sa.Connection, project_id: str, user_id: str, old: Flavor, new: Flavor) -> None:
    """A server of the project becomes larger, in the transaction that lets it: its row is held from here on.
    Raises TooManyInstances."""
    more = {'cores': max(0, new.vcpus - old.vcpus), 'ram': max(0, new.memory_mb - old.memory_mb)}
    if not any(more.values()):
        return
    allowed = limits(conn, project_id, user_id)
    instances.lock_project(conn, project_id)
    bounds = [(allowed.project, None), *([(allowed.user, user_id)] if allowed.user != allowed.project else [])]
    for bound, owner in bounds:
        used = instances.usage(conn, project_id, owner)
        over = [name for name in sorted(more) if more[name] and 0 <= bound[name] < used[name] + more[name]]
        if over:
            raise exception.TooManyInstances(
                overs=', '.join(over), req=', '.join(str(more[name]) for name in over),
                used=', '.join(str(used[name]) for name in over),
                allowed=', '.join(str(bound[name]) for name in over))


def check_metadata(limits: Limits, items: int) -> None:
    """Raises MetadataLimitExceeded."""
    allowed = limits.most('metadata_items')
    if 0 <= allowed < items:
        raise exception.MetadataLimitExceeded(allowed=allowed)


def check_files(limits: Limits, files: Mapping[str, str]) -> None:
    """`files`: {path: content in base64}, whose length as it was sent is what counts, as in Nova. Raises
    TooManyFiles, FilePathTooLong, FileTooLarge."""
    if 0 <= limits.most('injected_files') < len(files):
        raise TooManyFiles
    for name, texts, refusal in (('injected_file_path_length', files.keys(), FilePathTooLong),
                                 ('injected_file_content_bytes', files.values(), FileTooLarge)):
        allowed = limits.most(name)
        if 0 <= allowed < max((len(text) for text in texts), default=0):
            raise refusal(allowed=allowed)


def reserve_group(conn: sa.Connection, project_id: str, user_id: str) -> None:
    """One more server group, in the transaction that makes it. Raises ServerGroupsExceeded."""
    allowed = limits(conn, project_id, user_id)
    instances.lock_project(conn, project_id)
    for bound, owner in ((allowed.project, None), (allowed.user, user_id)):
        most = bound['server_groups']
        if 0 <= most <= instance_groups.count(conn, project_id, owner):
            raise ServerGroupsExceeded


def check_keypairs(conn: sa.Connection, context: RequestContext, owner: str, more: int = 1) -> None:
    """`owner` has so many key pairs more: the limit is the caller's, who may be an administrator that makes them for
    others. Raises KeypairLimitExceeded."""
    most = limits(conn, context.project_id or '', context.user_id or '').user['key_pairs']
    if 0 <= most < keypairs.count(conn, owner) + more:
        raise exception.KeypairLimitExceeded


def reserve_keypair(conn: sa.Connection, context: RequestContext, owner: str) -> None:
    """`check_keypairs` in the transaction that makes one: of two at the same moment one waits for the other."""
    instances.lock_project(conn, f'{owner[:254]}\n')     # no project has a line's end in its name
    check_keypairs(conn, context, owner)
