"""Passwords of volumes, which libvirt keeps for QEMU: never in a domain's XML, never on a command line."""
from __future__ import annotations

import contextlib

import libvirt

from minicompute.virt.libvirt.config.base import Element, element, render
from minicompute.virt.libvirt.host import Host
from minicompute.virt.libvirt.sources import Source


class _Plan:
    def __init__(self, source: Source) -> None:
        self._secret = source.secret

    def xml(self) -> Element:
        assert self._secret is not None
        return element('secret', element('usage', element('target', text=self._secret.usage), type_=self._secret.type),
                       ephemeral='yes', private='yes')


def keep(host: Host, source: Source) -> None:
    """Secrets of which we know only the uuid are the operator's to define."""
    if source.secret is not None and source.secret.value is not None:
        made = host.connection().secretDefineXML(render(_Plan(source)), 0)
        made.setValue(source.secret.value.encode(), 0)


def forget(host: Host, source: Source) -> None:
    if source.secret is None or source.secret.value is None:
        return
    with contextlib.suppress(libvirt.libvirtError):
        host.connection().secretLookupByUsage(libvirt.VIR_SECRET_USAGE_TYPE_ISCSI, source.secret.usage).undefine()
