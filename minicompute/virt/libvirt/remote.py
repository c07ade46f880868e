"""The libvirtd of another host: reached by the uri that the operator chose, and only by what can be a name."""
from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterator

import libvirt

from minicompute import concurrency, exception
from minicompute.conf import CONF
from minicompute.virt.libvirt.host import KEEPALIVE, Host, call

#: a name or an address; it comes from another host and goes into a uri
_NAME = re.compile(r'[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?')


def address(host: Host) -> str:
    """By what other hosts reach this one."""
    return str(CONF.libvirt.live_migration_inbound_addr or call(host.connection().getHostname))


def uri(name: str) -> str:
    """Of the libvirtd at `name`. Raises InvalidInput."""
    if _NAME.fullmatch(name):
        shown = name
    else:
        try:
            shown = f'[{ipaddress.IPv6Address(name).compressed}]'
        except ValueError:
            raise exception.InvalidInput(reason=f'{name[:64]!r} is no name of a host') from None
    return str(CONF.libvirt.remote_uri).replace('%s', shown)


@contextlib.contextmanager
def connected(name: str) -> Iterator[libvirt.virConnect]:
    """A connection to the libvirtd at `name`, closed at the end. Raises Unavailable."""
    where = uri(name)
    try:
        connection = concurrency.native_call(libvirt.open, where)
    except libvirt.libvirtError as error:
        raise exception.Unavailable(
            f'The libvirtd of {name} cannot be reached ([libvirt] remote_uri): {error.get_error_message()}') from None
    try:
        with contextlib.suppress(libvirt.libvirtError):
            connection.setKeepAlive(*KEEPALIVE)
        yield connection
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            concurrency.native_call(connection.close)
