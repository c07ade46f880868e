"""See `virt/interface/consoles.py`."""
from __future__ import annotations

import uuid
from typing import ClassVar

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Console, Instance, PowerState
from minicompute.virt.fake.base import FakeBase
from minicompute.virt.interface.consoles import SPICE, ConsoleVerbs

#: fake guests say that they listen from here on; nobody does
FIRST_PORT, PORTS = 20000, 40000


class FakeConsoles(FakeBase, ConsoleVerbs):
    #: {protocol: port} of what tests let listen on loopback in place of a guest
    listeners: ClassVar[dict[str, int]] = {}

    def console(self, instance: Instance, protocol: str) -> Console:
        self._fault('console', instance.uuid)
        if self._read(instance.uuid).power_state not in (PowerState.RUNNING, PowerState.PAUSED):
            raise exception.InstanceNotRunning(instance_id=instance.uuid)
        port = self.listeners.get(protocol, FIRST_PORT + uuid.UUID(instance.uuid).int % PORTS)
        return Console(host=CONF.my_ip, port=port, tls_port=port + 1 if protocol == SPICE else None)
