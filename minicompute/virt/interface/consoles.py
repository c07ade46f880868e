"""Consoles that users see and type into."""
from __future__ import annotations

from minicompute import exception
from minicompute.objects import Console, Instance

VNC, SPICE, SERIAL = 'vnc', 'spice', 'serial'


class ConsoleVerbs:
    """Consoles that users see and type into."""

    def console(self, instance: Instance, protocol: str) -> Console:
        """Where a proxy finds the console that speaks `protocol` (VNC, SPICE or SERIAL) now.

        Raises DomainNotFound, InstanceNotRunning, ConsoleNotAvailable when this guest has none of that kind.
        """
        raise exception.NotImplementedHere('This host has no consoles.')
