"""Where a volume is, as a host reaches it: from what its record says.

    local volumes   a file of ours (volume/files.py)
    nfs             a file in a share, which this host mounts (shares.py)
    rbd nbd iscsi   the network: QEMU speaks the protocol itself, and libvirt keeps the secrets
    all others      a device that os-brick makes, where it is installed (brick.py)
"""
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import BlockDevice
from minicompute.virt.libvirt import shares
from minicompute.virt.libvirt.config.base import Element, element
from minicompute.volume import files

#: libvirt's words for the attribute of <source> that names the place
_ATTRIBUTE = {'file': 'file', 'block': 'dev', 'network': 'name'}
RBD, NBD, ISCSI = 'rbd', 'nbd', 'iscsi'
#: of `connection_info`: the id that the volume had when it was connected, if it has another one since
NAMED = 'named'


@dataclasses.dataclass(frozen=True, slots=True)
class Secret:
    """What libvirt knows by `uuid`. `value`: of those that we give it ourselves."""

    user: str
    type: str
    uuid: str | None = None
    usage: str | None = None
    value: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """`kind`: file, block or network; `place`: the path of a file or device, or what the protocol calls it."""

    kind: str
    place: str
    format: str = 'raw'
    protocol: str | None = None
    hosts: tuple[tuple[str, str], ...] = ()
    secret: Secret | None = None
    shared: bool = False
    read_only: bool = False
    #: whether a neighbour keeps it
    remote: bool = False

    def is_in(self, disk: Element) -> bool:
        """Whether this <disk> is it."""
        found = disk.find('source')
        if found is None or (found.get(_ATTRIBUTE[self.kind]) or '') != self.place:
            return False
        # An NBD server may have one disk without a name, or names that others have as well.
        return found.get('protocol') == self.protocol and (self.protocol != NBD or self.hosts == tuple(
            (host.get('name', ''), host.get('port', '')) for host in found.findall('host')))

    def xml(self) -> Element:
        where: dict[str, Any] = {_ATTRIBUTE[self.kind]: self.place or None, 'protocol': self.protocol}
        secret = self.secret
        return element(
            'source', *(element('host', name=name, port=port) for name, port in self.hosts),
            element('auth', element('secret', type_=secret.type, uuid=secret.uuid, usage=secret.usage),
                    username=secret.user) if secret else None, **where)


def name_of(device: BlockDevice) -> str:
    """What names on a host are made of: a service that moves a volume gives it its old id again, while the guest goes
    on with what was connected by the new one."""
    return str(device.connection_info.get(NAMED) or device.volume_id)


def of(device: BlockDevice) -> Source:
    """Raises InvalidVolume for what the volume service said and cannot be."""
    info = device.connection_info.get('connection')
    if not info:
        return Source('file', files.path_of(str(device.volume_id)), files.FORMAT)
    kind = str(info.get('driver_volume_type'))
    make = _KINDS.get(kind, _brick)
    try:
        made = make(info, device)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise _bad(device, f'its connection of the type {kind} has no sensible {error}') from None
    return dataclasses.replace(made, remote=True, shared=bool(device.connection_info.get('multiattach')),
                               read_only=info.get('access_mode') == 'ro')


def _bad(device: BlockDevice, reason: str) -> exception.InvalidVolume:
    return exception.InvalidVolume(reason=f'volume {device.volume_id}: {reason}')


def _nfs(info: dict[str, Any], device: BlockDevice) -> Source:
    path = shares.path_of(str(info['export']), str(info['name']))
    form = info.get('format') or 'raw'
    if form not in ('raw', 'qcow2'):
        raise ValueError('format')
    return Source('file', path, form)


def _rbd(info: dict[str, Any], device: BlockDevice) -> Source:
    hosts = tuple(zip(map(str, info['hosts']), map(str, info['ports']), strict=True))
    secret = None
    if info.get('auth_enabled'):
        user, uuid = info.get('auth_username') or CONF.libvirt.rbd_user, (
            info.get('secret_uuid') or CONF.libvirt.rbd_secret_uuid)
        if not user or not uuid:
            raise _bad(device, 'neither Cinder nor [libvirt] rbd_user and rbd_secret_uuid say which secret Ceph wants')
        secret = Secret(str(user), 'ceph', str(uuid))
    return Source('network', str(info['name']), protocol=RBD, hosts=hosts, secret=secret)


def _nbd(info: dict[str, Any], device: BlockDevice) -> Source:
    host, port = str(info['host']), int(info['port'])
    return Source('network', str(info.get('name') or ''), protocol=NBD, hosts=((host, str(port)),))


def _iscsi(info: dict[str, Any], device: BlockDevice) -> Source:
    portal, _, port = str(info['target_portal']).rpartition(':')
    name = f"{info['target_iqn']}/{int(info['target_lun'])}"
    secret = None
    if info.get('auth_method') == 'CHAP':
        secret = Secret(str(info['auth_username']), ISCSI, usage=f'volume-{name_of(device)}',
                        value=str(info['auth_password']))
    return Source('network', name, protocol=ISCSI, hosts=((portal.strip('[]'), str(int(port))),), secret=secret)


def _brick(info: dict[str, Any], device: BlockDevice) -> Source:
    from minicompute.virt.libvirt import brick

    return Source('block', brick.link_of(str(device.instance_uuid), name_of(device)))


_KINDS: dict[str, Callable[[dict[str, Any], BlockDevice], Source]] = {
    'nfs': _nfs, RBD: _rbd, NBD: _nbd, ISCSI: _iscsi}
