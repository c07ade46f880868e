"""A domain goes to another host while it runs, or is made anew there because its host is lost."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicompute import exception
from minicompute.objects import Instance
from minicompute.virt.request import SpawnRequest

#: told a job's numbers in bytes: {'memory_total', 'memory_processed', 'memory_remaining', 'disk_...'}
Watcher = Callable[[dict[str, int]], None]

#: where a domain is, as one host sees it
RUNNING, PAUSED, STOPPED, ABSENT = 'running', 'paused', 'stopped', 'absent'
#: memory comes in, or goes out: which of the two hosts will have it is open
INCOMING, OUTGOING = 'incoming', 'outgoing'
#: stopped by a copy that has ended without saying how
HELD = 'held'
#: what came of a copy, as the source knows it; unknown: look on both hosts
COMPLETED, FAILED, UNKNOWN = 'completed', 'failed', 'unknown'
#: what may be said to a copy that goes on
ABORT, FORCE_COMPLETE = 'abort', 'force_complete'


class LiveVerbs:
    """Each is called at one of the two hosts. The hypervisors copy by themselves: a copy goes on when the daemon
    that began it dies, and a verb that is asked again finds out how it stands."""

    # -- before ------------------------------------------------------------

    def live_offer(self, instance: Instance) -> dict[str, Any]:
        """At the source: what the destination has to know and to have, small and plain. Raises DomainNotFound when
        it does not run here, MigrationPreCheckError when it cannot go."""
        raise exception.NotImplementedHere()

    def live_accept(self, instance: Instance, offer: dict[str, Any], block: bool | None,
                    over_commit: bool | None) -> dict[str, Any]:
        """At the destination, which changes nothing: can it come? `block`: whether disks are to be copied; None:
        as is needed. `over_commit` False: there must be room for all that the disks may ever hold, else for what
        they hold now. -> {'shared': whether both hosts see the same disks}.

        Raises InvalidSharedStorage, InvalidLocalStorage, InvalidCPUInfo, MigrationPreCheckError, DiskFull.
        """
        raise exception.NotImplementedHere()

    def live_prepare(self, request: SpawnRequest, offer: dict[str, Any], shared: bool) -> dict[str, Any]:
        """At the destination: networks, directory and, unless `shared`, disks to be filled. -> what the source's
        `live_migrate` wants to know of it."""
        raise exception.NotImplementedHere()

    def live_rollback(self, instance: Instance, *, shared: bool, force: bool, stale: bool = False) -> None:
        """At the destination: nothing of the preparation is left. Raises Conflict when the guest is here and not
        `force`: it may be the only copy. `stale`: one that is off is not the guest, which is known to be elsewhere."""
        raise exception.NotImplementedHere()

    # -- the copy ----------------------------------------------------------

    def live_migrate(self, instance: Instance, there: dict[str, Any], watch: Watcher) -> tuple[str, str]:
        """At the source: copy, or join the copy that is under way, and wait for its end. `there` is what
        `live_prepare` said. -> (COMPLETED, FAILED or UNKNOWN, why)."""
        raise exception.NotImplementedHere()

    def live_order(self, uuid: str, order: str) -> None:
        """At the source, while the copy goes on: ABORT or FORCE_COMPLETE. Without a copy nothing happens."""
        raise exception.NotImplementedHere()

    def live_find(self, uuid: str) -> str:
        """RUNNING, PAUSED, STOPPED, ABSENT, HELD, INCOMING or OUTGOING."""
        raise exception.NotImplementedHere()

    # -- after -------------------------------------------------------------

    def live_keep(self, instance: Instance) -> str:
        """At the source, which keeps the guest: no copy goes on, and what a copy had paused runs on. -> as
        `live_find`."""
        raise exception.NotImplementedHere()

    def live_finish(self, instance: Instance) -> dict[str, Any]:
        """At the destination, where the guest is now: defined for its next start from the record, its devices
        compared with it. -> {'deviations': lines}."""
        raise exception.NotImplementedHere()

    def live_leave(self, instance: Instance, *, shared: bool) -> None:
        """At the source: nothing of it is left, but for disks that are `shared`."""
        raise exception.NotImplementedHere()

    # -- a lost host -------------------------------------------------------

    def sees_disks_of(self, instance: Instance, host: str, *, said: bool = False) -> bool:
        """Whether the disks that `host` made for the server are visible here: its own, no copy of them. `said`: an
        operator says so, which counts where nothing else proves it. Raises InvalidSharedStorage when they may be a
        copy."""
        raise exception.NotImplementedHere()

    def adopt(self, instance: Instance, host: str, *, start: bool) -> None:
        """Make the domain of the disks of `host`, which is lost, and which from now on leaves them alone when it is
        back. Raises Conflict when they belong to a third host, or some are not there."""
        raise exception.NotImplementedHere()

    def give_back(self, instance: Instance, host: str) -> None:
        """Undo `adopt`: the domain goes, the disks stay, and are `host`'s again."""
        raise exception.NotImplementedHere()

    def take_over(self, instance: Instance) -> None:
        """The adopted disks belong to this host from now on, and its removal removes them."""
        raise exception.NotImplementedHere()
