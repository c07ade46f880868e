"""Passwords of volumes, which libvirt keeps for QEMU: never in a domain's XML, never on a command line."""
from __future__ import annotations

import contextlib

import libvirt

from minicompute import exception
from minicompute.virt.libvirt import guest
from minicompute.virt.libvirt.config.base import Element, element, render
from minicompute.virt.libvirt.host import Host, call, code_of
from minicompute.virt.libvirt.sources import Secret, Source


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
        made = _find(host, source.secret) or host.connection().secretDefineXML(render(_Plan(source)), 0)
        made.setValue(source.secret.value.encode(), 0)


def forget(host: Host, source: Source, server: str) -> None:
    """`server` has no use for it any more."""
    if source.secret is not None and source.secret.value is not None:
        with contextlib.suppress(libvirt.libvirtError):
            if _is_needed(host, source.secret, besides=server):
                return      # it has the same volume, and could not start again
            found = _find(host, source.secret)
            if found is not None:
                found.undefine()


def _is_needed(host: Host, secret: Secret, besides: str) -> bool:
    """Whether the domain of another server of this libvirtd names it."""
    for domain in call(host.connection().listAllDomains, 0):
        with contextlib.suppress(exception.DomainNotFound):
            uuid = call(domain.UUIDString)
            one = guest.Guest(host, domain, uuid)
            if uuid != besides and any(found.get('usage') == secret.usage for inactive in (False, True)
                                       for disk in one.tree(inactive).findall('devices/disk')
                                       for found in disk.iter('secret')):
                return True
    return False


def _find(host: Host, secret: Secret) -> libvirt.virSecret | None:
    """libvirt gives each new one a uuid of its own, and refuses a second one of the same usage."""
    try:
        return host.connection().secretLookupByUsage(libvirt.VIR_SECRET_USAGE_TYPE_ISCSI, secret.usage)
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_NO_SECRET:
            raise
        return None
