"""How others speak to a compute."""
from __future__ import annotations

from typing import Any

from minicompute import rpc
from minicompute.context import RequestContext
from minicompute.objects import Action, BlockDevice, Console, ImageMeta, Instance, StepRequest


def send(host: str, request: StepRequest) -> None:
    """Announce a step to the compute of `host`; never blocks, may be lost, is asked again."""
    rpc.outbox.put(rpc.COMPUTE, 'run_steps', request, server=host)


def pay(host: str, uuids: list[str]) -> None:
    """Tell a host that is back what it still has to remove."""
    rpc.outbox.put(rpc.COMPUTE, 'pay', uuids, server=host)


def remove_strangers(host: str, homes: dict[str, str | None]) -> None:
    """{server: where it lives, None: nowhere}: what the host has of these is not its own."""
    rpc.outbox.put(rpc.COMPUTE, 'remove_strangers', homes, server=host)


def look_again(host: str, uuids: list[str]) -> None:
    """These should run there, and the host has told of their disks alone: what is it now?"""
    rpc.outbox.put(rpc.COMPUTE, 'look_again', uuids, server=host)


def live_order(host: str, uuid: str, order: str) -> None:
    """Tell the source of a live migration to abort or to force it; it looks for orders by itself as well."""
    rpc.outbox.put(rpc.COMPUTE, 'live_order', [uuid, order], server=host)


def ask_inventory(host: str) -> None:
    """A host reports that the records know nothing of; what it has would else be told only now and then."""
    rpc.outbox.put(rpc.COMPUTE, 'tell_inventory', host, server=host)


def refresh_security_rules(host: str) -> None:
    """What the cards of the host may be sent and may send has changed: it asks what holds now."""
    rpc.outbox.put(rpc.COMPUTE, 'refresh_security_rules', host, server=host)


def cache_image(host: str, request_id: int, image: ImageMeta) -> None:
    """Have an image ready before a server needs it; the conductor asks again until something is heard of it."""
    rpc.outbox.put(rpc.COMPUTE, 'cache_images', {'id': request_id, 'image': image}, server=host)


def copy_volume(host: str, snapshot_id: str, device: BlockDevice) -> None:
    """Copy a volume that no server has into its snapshot; the conductor asks again until something is heard of it."""
    rpc.outbox.put(rpc.COMPUTE, 'copy_volumes', {'id': snapshot_id, 'device': device}, server=host)


class ComputeAPI:
    """Questions that a host must answer at once, and steps that the API asks for itself."""

    def __init__(self) -> None:
        self._client = rpc.Client(rpc.COMPUTE)

    def direct(self, action: Action, instance: Instance, verb: str, **args: Any) -> None:
        """Ring the server's host for an action whose only long step is there. The conductor's sweep is
        what stands behind it."""
        assert instance.host is not None
        send(instance.host, action.request(verb, instance, args, None))

    def holdings(self, context: RequestContext, host: str, timeout: float) -> dict[str, Any]:
        """What lies there, as conductors are told it. Raises MessagingTimeout when the host does not answer."""
        return dict(self._client.call(context, 'holdings', server=host, timeout=timeout))

    def console_output(self, context: RequestContext, instance: Instance, length: int | None) -> str:
        """Raises MessagingTimeout when the host does not answer."""
        return str(self._client.call(context, 'console_output', server=instance.host, timeout=10,
                                     instance=instance, length=length))

    def console(self, context: RequestContext, instance: Instance, protocol: str, console_type: str) -> Console:
        """Raises MessagingTimeout when the host does not answer, RemoteError with what it raised."""
        found: Console = self._client.call(context, 'console', server=instance.host, timeout=10, instance=instance,
                                           protocol=protocol, console_type=console_type)
        return found

    def diagnostics(self, context: RequestContext, instance: Instance, old: bool) -> dict[str, Any]:
        """Raises MessagingTimeout when the host does not answer."""
        return dict(self._client.call(context, 'diagnostics', server=instance.host, timeout=10,
                                      instance=instance, old=old))
