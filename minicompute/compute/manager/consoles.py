"""Which consoles this host has, and by which page users reach each kind."""
from __future__ import annotations

import dataclasses
from collections.abc import Callable

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Console, Instance
from minicompute.virt.driver import ComputeDriver
from minicompute.virt.interface.consoles import SERIAL, SPICE, VNC

#: {protocol: (is it switched on here, {type: the page of its proxy})}
KINDS: dict[str, tuple[Callable[[], bool], dict[str, Callable[[], str]]]] = {
    VNC: (lambda: CONF.vnc.enabled, {'novnc': lambda: CONF.vnc.novncproxy_base_url}),
    SPICE: (lambda: CONF.spice.enabled, {
        'spice-html5': lambda: CONF.spice.html5proxy_base_url,
        'spice-direct': lambda: CONF.spice.spice_direct_proxy_base_url}),
    SERIAL: (lambda: CONF.serial_console.enabled, {'serial': lambda: CONF.serial_console.base_url}),
}


def place(driver: ComputeDriver, instance: Instance, protocol: str, console_type: str) -> Console:
    """Raises ConsoleTypeUnavailable (not here), ConsoleTypeInvalid (nowhere), and what `driver.console` raises."""
    enabled, pages = KINDS.get(protocol, (lambda: False, {}))
    if not enabled():
        raise exception.ConsoleTypeUnavailable(console_type=console_type)
    if console_type not in pages:
        raise exception.ConsoleTypeInvalid(console_type=console_type)
    return dataclasses.replace(driver.console(instance, protocol), base_url=pages[console_type]())
