"""See `virt/interface/consoles.py`."""
from __future__ import annotations

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Console, Instance
from minicompute.virt.interface.consoles import SERIAL, SPICE, ConsoleVerbs
from minicompute.virt.libvirt import guest
from minicompute.virt.libvirt.base import LibvirtBase
from minicompute.virt.libvirt.config.base import Element


class LibvirtConsoles(LibvirtBase, ConsoleVerbs):

    def console(self, instance: Instance, protocol: str) -> Console:
        domain = guest.find(self._host, instance.uuid)
        if not domain.running():
            raise exception.InstanceNotRunning(instance_id=instance.uuid)
        tree = domain.tree()
        found = _serial(tree) if protocol == SERIAL else _screen(tree, protocol)
        if found is None:
            raise exception.ConsoleNotAvailable
        return found


def _serial(tree: Element) -> Console | None:
    source = tree.find("devices/serial[@type='tcp']/source[@mode='bind']")
    port = _port(source, 'service')
    return None if port is None else Console(host=CONF.serial_console.proxyclient_address, port=port)


def _screen(tree: Element, protocol: str) -> Console | None:
    screen = tree.find(f"devices/graphics[@type='{protocol}']")
    port, tls_port = _port(screen, 'port'), _port(screen, 'tlsPort')
    if port is None and tls_port is None:
        return None
    address = (CONF.spice if protocol == SPICE else CONF.vnc).server_proxyclient_address
    return Console(host=address, port=port or tls_port or 0, tls_port=tls_port)


def _port(found: Element | None, name: str) -> int | None:
    text = found.get(name, '') if found is not None else ''
    return int(text) if text.isdigit() and int(text) > 0 else None
