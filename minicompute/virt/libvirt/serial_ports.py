"""TCP ports for serial consoles: libvirt chooses none by itself."""
from __future__ import annotations

import contextlib
import socket
import threading
import time

from minicompute import exception
from minicompute.conf import CONF
from minicompute.virt.libvirt import guest
from minicompute.virt.libvirt.config.base import Element
from minicompute.virt.libvirt.host import Host, call

#: seconds in which a port that was given out shows in a domain, or nobody took it
PROMISED = 120.0


class SerialPorts:
    """What domains have is theirs; what was given out a moment ago is kept apart until its domain is there."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._promised: dict[str, tuple[int, float]] = {}

    def of(self, uuid: str) -> int | None:
        """The port of a server: the one that it has, while it runs, else one that is free now. None when serial
        consoles are switched off. Raises Conflict when all are taken."""
        if not CONF.serial_console.enabled:
            return None
        with self._lock:
            own, others = self._taken(uuid)
            if own is not None:
                return own
            young = time.monotonic() - PROMISED
            self._promised = {name: (port, at) for name, (port, at) in self._promised.items() if at > young}
            others |= {port for name, (port, _) in self._promised.items() if name != uuid}
            port = self._free(others)
            self._promised[uuid] = (port, time.monotonic())
            return port

    def _taken(self, uuid: str) -> tuple[int | None, set[int]]:
        """-> (the port that the server's running domain has, those of all others, running or not)"""
        own, others = None, set()
        for domain in call(self._host.connection().listAllDomains, 0):
            with contextlib.suppress(exception.DomainNotFound):
                one = guest.Guest(self._host, domain, call(domain.UUIDString))
                ports = port_of(one.tree())
                if one.uuid != uuid:
                    others |= ports
                elif one.running():
                    own = next(iter(ports), None)
        return own, others

    @staticmethod
    def _free(taken: set[int]) -> int:
        first, last = (int(word) for word in CONF.serial_console.port_range.split(':'))
        for port in range(first, last):
            if port not in taken and _binds(port):
                return port
        raise exception.Conflict(f'All ports of {CONF.serial_console.port_range} for serial consoles are taken.')


def port_of(tree: Element) -> set[int]:
    sources = tree.findall("devices/serial[@type='tcp']/source[@mode='bind']")
    return {int(source.get('service', '')) for source in sources if source.get('service', '').isdigit()}


def _binds(port: int) -> bool:
    address = CONF.serial_console.proxyclient_address
    with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, port))
        except OSError:
            return False
    return True
