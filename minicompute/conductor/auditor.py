"""What flows, hosts and records should have in common, compared all the time: mends what is safe, tells the rest.

    records    each `INTERVAL`, by the checks of db/api/audit.py
    volumes    likewise, where they are files: their rows and these
    hosts      each tells what lies there (domains, directories of disks); what is not its own it is told to remove, but
               for what the records never knew: that is told to people

Every conductor does it, since none may be needed; it takes a twentieth of its time at most.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from oslo_log import log as logging

from minicompute import metrics
from minicompute.compute import rpcapi as compute
from minicompute.db import session
from minicompute.db.api import audit, audit_hosts
from minicompute.db.api.audit import Check, Finding
from minicompute.db.api.audit_hosts import Told
from minicompute.volume import base as volume

LOG = logging.getLogger(__name__)

#: seconds between two rounds: what is wrong is found, and mended, within a minute
INTERVAL = 20.0
#: a round is followed by a pause so many times as long. With ten thousand servers it takes a quarter of a second.
SHARE = 20
#: things told of that are not told again
MOST_TOLD = 10000
#: servers of hosts that are compared with the records at a time
PART = 1000


class Auditor:
    def __init__(self) -> None:
        self._checks = audit.checks()
        self._lock = threading.Lock()
        self._present: dict[str, Told] = {}
        self._told: set[tuple[str, str]] = set()
        self._not_before = self._volumes_not_before = 0.0

    # -- records -------------------------------------------------------------

    def watch(self) -> None:
        """The periodic task."""
        began = time.monotonic()
        if began < self._not_before:
            return
        for finding in look(self._checks, mend=True):
            self._tell(finding)
        self._not_before = time.monotonic() + SHARE * (time.monotonic() - began) - INTERVAL

    def _tell(self, finding: Finding) -> None:
        """What cannot be mended is there in the next round as well, and is told once."""
        metrics.count('drift', 1, finding.kind, 'mended' if finding.safe else 'told')
        if finding.safe:
            LOG.warning('Mended: %s: %s: %s', finding.kind, finding.subject, finding.reason)
            return
        with self._lock:
            known = (finding.kind, finding.subject) in self._told
            if len(self._told) < MOST_TOLD:
                self._told.add((finding.kind, finding.subject))
        if not known:
            LOG.warning('Found, and left to you: %s: %s: %s', finding.kind, finding.subject, finding.reason)

    # -- volumes -------------------------------------------------------------

    def watch_volumes(self) -> None:
        """Another periodic task: a directory on a network may hang."""
        began = time.monotonic()
        if began < self._volumes_not_before:
            return
        for finding in doubts():
            self._tell(finding)
        self._volumes_not_before = time.monotonic() + SHARE * (time.monotonic() - began) - INTERVAL

    # -- hosts ---------------------------------------------------------------

    def take(self, items: Sequence[dict[str, Any]]) -> None:
        """{'host', 'uuids'}: all that lies there; 'undefined', 'diskless': what of it is not whole, as `Holdings` says,
        which a compute of an earlier version does not tell."""
        with self._lock:
            self._present.update((str(item['host']), Told(
                item['uuids'], item.get('undefined', ()), item.get('diskless', ()))) for item in items)

    def compare(self) -> None:
        """What hosts told since the last time, together, but no more servers at a time than `PART`: the rest waits for
        the next second, and one that tells again before that replaces what it told."""
        told = self._take_part()
        if not told:
            return
        with session.read() as conn:
            compared = audit.compare(conn, {host: one.uuids for host, one in told.items()})
            broken = audit_hosts.broken(conn, told)
        for finding in [*broken, *audit.unrecorded(compared)]:
            self._tell(finding)
        for finding in broken:
            if finding.safe:
                compute.look_again(finding.key, [finding.subject])
        for host, homes in compared.strangers.items():
            for uuid, home in homes.items():
                # Mostly it went after the list was made; the host says so if it has something to remove.
                LOG.info('%s listed something of server %s, which %s: it is told so', host, uuid,
                         f'lives on {home}' if home else 'is not there')
            compute.remove_strangers(host, homes)

    def _take_part(self) -> dict[str, Told]:
        """Those that wait longest."""
        taken: dict[str, Told] = {}
        size = 0
        with self._lock:
            for host, told in list(self._present.items()):
                size += max(1, len(told.uuids))
                if taken and size > PART:
                    break
                taken[host] = self._present.pop(host)
        return taken


def doubts() -> list[Finding]:
    """What is wrong with volumes, as far as this machine sees their files."""
    return [Finding(one.kind, one.volume_id, one.reason, safe=False) for one in volume.load().doubts()]


def look(checks: Sequence[Check], *, mend: bool) -> list[Finding]:
    """-> what is wrong; with `mend` what is safe to mend is mended, in the transaction that found it."""
    found: list[Finding] = []
    for check in checks:
        if mend:
            found += session.write(_mend, check)
        else:
            with session.read() as conn:
                found += check.find(conn)
    return found


def _mend(conn: sa.Connection, check: Check) -> list[Finding]:
    found = check.find(conn)
    safe = [finding for finding in found if finding.safe]
    if safe and check.mend is not None:
        mended = check.mend(conn, safe)
        if mended is not None:
            return [finding for finding in found if not finding.safe] + list(mended)
    return found
