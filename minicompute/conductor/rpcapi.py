"""How others speak to the conductor. The announcements (ring, report, cancel) go through the outbox."""
from __future__ import annotations

from typing import Any

from minicompute import rpc
from minicompute.context import RequestContext
from minicompute.objects import ComputeNode, StepProgress, StepReport


def ring(action_id: int) -> None:
    """An action is there to be run."""
    rpc.outbox.put(rpc.CONDUCTOR, 'ring', action_id)


def cancel(action_id: int, owner: str | None) -> None:
    """An action is to be ended; its owner would see it at the next renewal of its leases anyway."""
    rpc.outbox.put(rpc.CONDUCTOR, 'cancel', action_id, server=owner)


def report(item: StepReport, reply_to: str | None) -> None:
    """What a step came to. Asked again if it gets lost."""
    rpc.outbox.put(rpc.CONDUCTOR, 'report', item, server=reply_to)


def progress(item: StepProgress, reply_to: str | None) -> None:
    """How far a step is. Nobody asks for it again."""
    rpc.outbox.put(rpc.CONDUCTOR, 'progress', item, server=reply_to)


def image_cached(said: dict[str, Any]) -> None:
    """{'id', 'host', 'status', 'percent', 'message'} of a request for an image."""
    rpc.outbox.put(rpc.CONDUCTOR, 'images_cached', said)


def volume_copied(said: dict[str, Any]) -> None:
    """{'id', 'host', 'status': copying, available or error, 'message'} of a snapshot of a volume that no server has."""
    rpc.outbox.put(rpc.CONDUCTOR, 'volumes_copied', said)


def copy_volumes() -> None:
    """A snapshot of a volume that no server has is wanted. The conductors look by themselves, too."""
    rpc.outbox.put(rpc.CONDUCTOR, 'volumes_copied', {})


class ConductorAPI:
    """What a compute calls, and waits for."""

    def __init__(self) -> None:
        self._client = rpc.Client(rpc.CONDUCTOR)

    def hello(self, context: RequestContext, node: ComputeNode, timeout: float = 30) -> dict[str, Any]:
        """A compute has started. -> {'instances': [Instance, ...] that live on its host, 'busy': uuids that an
        action works on, 'owed': uuids whose remains it must remove, 'homes': {uuid of these: the host where it
        lives}}."""
        return dict(self._client.call(context, 'hello', timeout=timeout, node=node))

    def hellos(self, context: RequestContext, nodes: list[ComputeNode], timeout: float = 60) -> dict[str, Any]:
        """Many computes of one process have started. -> {host: what `hello` answers}."""
        return dict(self._client.call(context, 'hellos', timeout=timeout, nodes=nodes))

    def started(self, context: RequestContext, host: str) -> None:
        """To all conductors: what they had asked of this host is forgotten there."""
        self._client.cast(context, 'host_started', fanout=True, host=host)

    def all_started(self, context: RequestContext, hosts: list[str]) -> None:
        """`started`, for many."""
        self._client.cast(context, 'hosts_started', fanout=True, hosts=hosts)

    def servers(self, context: RequestContext, host: str) -> dict[str, Any]:
        """What `hello` answers, without the greeting."""
        return dict(self._client.call(context, 'servers', timeout=30, host=host))

    def strangers(self, context: RequestContext, host: str, uuids: list[str]) -> dict[str, str | None]:
        """-> {server: where it lives, None: nowhere} for those of `uuids` that are not that host's, and that nothing
        is under way for. One that the records never knew is not among them."""
        return dict(self._client.call(context, 'strangers', timeout=30, host=host, uuids=uuids))

    def deleted(self, context: RequestContext, uuids: list[str]) -> list[str]:
        """-> those of which the records say that they were deleted. One that they never heard of is not."""
        return list(self._client.call(context, 'deleted', timeout=30, uuids=uuids))

    def unknown(self, context: RequestContext, uuids: list[str]) -> list[str]:
        """-> those that the records never knew."""
        return list(self._client.call(context, 'unknown', timeout=30, uuids=uuids))

    def move_order(self, context: RequestContext, migration: str) -> str | None:
        """What somebody wants of a live migration that runs: 'abort', 'force_complete' or nothing."""
        answer: str | None = self._client.call(context, 'move_order', timeout=10, migration=migration)
        return answer

    def firewalls(self, context: RequestContext, host: str) -> dict[str, Any]:
        """-> {server: {MAC address: what this card may do, as `db.api.security_groups.Firewall`; None: everything}} of
        the cards there, as far as this side decides that."""
        return dict(self._client.call(context, 'firewalls', timeout=30, host=host))

    def paid(self, context: RequestContext, host: str, uuids: list[str]) -> None:
        self._client.call(context, 'paid', timeout=10, host=host, uuids=uuids)

    def removed(self, context: RequestContext, host: str, uuids: list[str]) -> None:
        """What a host found that was not its own, and removed."""
        self._client.call(context, 'removed', timeout=10, host=host, uuids=uuids)

    def wanted(self, context: RequestContext, host: str, action_id: int, step: str) -> bool:
        """Whether `host` is to do what it was asked as `step` (`plug.undo`: the undo of one): the action waits for it,
        or has ended and the records say that it is so."""
        return bool(self._client.call(context, 'wanted', timeout=10, host=host, action_id=action_id, step=step))

    def power_states(self, context: RequestContext, host: str, states: dict[str, int]) -> None:
        """Domains that changed by themselves: {uuid: PowerState}."""
        self._client.call(context, 'power_states', timeout=10, host=host, states=states)
