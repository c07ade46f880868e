"""A domain goes to another host: cold.

    at the destination    prepare_move ..... open_move ............ arrive, check_move
    at the source                      leave ......... send_disks                      (destroy, once it is confirmed)

and back:  depart at the destination, arrive at the source, drop_move at the destination.  Hosts that share the
directory of their instances copy nothing; a host that resizes a server where it stands is both ends at once.
"""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.objects import Flavor, ImageMeta, Instance
from minicompute.virt.request import Progress, Stop, never, no_progress

__all__ = ['MoveVerbs', 'Stop', 'never']


class MoveVerbs:
    """A domain goes to another host: cold."""

    def prepare_move(self, instance: Instance, source: str, image: ImageMeta | None,
                     progress: Progress = no_progress, stop: Stop = never) -> dict[str, Any]:
        """At the destination, while the guest still runs on host `source`: fetch `image`, which the root disk is an
        overlay on, if it is to be had. No disk is touched yet: it may be the source's.

        -> what the source needs: 'host', 'ip', 'address' (by which other hosts reach this hypervisor), 'marker' (what
        the source reads only if both share their directories).
        Raises Conflict when a domain of the server runs here or once `stop()` says True, DiskFull.
        """
        raise exception.NotImplementedHere()

    def open_move(self, instance: Instance) -> dict[str, Any]:
        """At the destination, once it is known that the source's disks are not here: remove what may be left of the
        server and make ready to receive. -> what `send_disks` needs beside the facts of `prepare_move`."""
        raise exception.NotImplementedHere()

    def leave(self, instance: Instance, flavor: Flavor, dest: dict[str, Any], timeout: int) -> dict[str, Any]:
        """At the source: shut the guest down within `timeout` seconds, else cut it off. `flavor` is the one that it
        will have, `dest` what `prepare_move` answered.

        -> {'shared': whether the disks are where the destination sees them, 'power_state'}.
        Raises InvalidInput, before anything is done, when a disk is larger than `flavor` allows.
        """
        raise exception.NotImplementedHere()

    def send_disks(self, instance: Instance, dest: dict[str, Any], progress: Progress = no_progress,
                   stop: Stop = never) -> dict[str, int]:
        """At the source: copy the disks to the destination, of which `dest` has all facts, over a channel that is
        encrypted and knows both ends. They stay here as well. -> {'bytes': how many went}. Raises Conflict once
        `stop()` says True."""
        raise exception.NotImplementedHere()

    def arrive(self, instance: Instance, *, start: bool) -> None:
        """At the destination, or at the source to which the server returns: make the domain from `instance` and the
        disks that are here, grown to the flavor's size, and start it unless told otherwise. A domain that runs as it
        should is left alone."""
        raise exception.NotImplementedHere()

    def check_move(self, instance: Instance, *, running: bool) -> dict[str, Any]:
        """Does the domain that is here equal `instance`: its size, disks and network cards, and does it run as it
        should? -> {'power_state'}. Raises Conflict that names the first difference."""
        raise exception.NotImplementedHere()

    def depart(self, instance: Instance, owner: str | None) -> None:
        """At a host that the server does not stay on: its guest does not run here any more. Disks that are shared
        with the host `owner`, if one is named, belong to it from now on."""
        raise exception.NotImplementedHere()

    def drop_move(self, instance: Instance, source: str, *, disks: bool) -> None:
        """At a destination: nothing of the server is left, unless it is the host `source` itself. `disks` False: those
        that are here, if any, are or may be the source's."""
        raise exception.NotImplementedHere()
