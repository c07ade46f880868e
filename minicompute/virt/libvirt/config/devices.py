"""The small devices of a guest."""
from __future__ import annotations

import dataclasses

from minicompute.virt.libvirt.config.base import Element, element


@dataclasses.dataclass(slots=True)
class Serial:
    """A serial port whose output virtlogd writes to `log`, if there is one; it starts anew with each start of the
    domain. With a `service` (a TCP port) QEMU listens there for somebody who reads along and types."""

    log: str | None
    port: int = 0
    listen: str = '127.0.0.1'
    service: int | None = None

    def xml(self) -> Element:
        source = protocol = None
        if self.service is not None:
            source = element('source', mode='bind', host=self.listen, service=self.service)
            protocol = element('protocol', type_='raw')
        log = element('log', file=self.log, append='off') if self.log else None
        return element('serial', source, protocol, log, element('target', port=self.port),
                       type_='pty' if self.service is None else 'tcp')


@dataclasses.dataclass(slots=True)
class Screen:
    """A display by VNC or SPICE (`kind`), at ports that libvirt chooses. `secure`: TLS only, where it is SPICE."""

    kind: str
    listen: str
    secure: bool = False

    def xml(self) -> Element:
        return element('graphics', element('listen', type_='address', address=self.listen), type_=self.kind, port=-1,
                       autoport='yes', listen=self.listen, defaultMode='secure' if self.secure else None)


@dataclasses.dataclass(slots=True)
class SpiceAgent:
    def xml(self) -> Element:
        return element('channel', element('target', type_='virtio', name='com.redhat.spice.0'), type_='spicevmc')


@dataclasses.dataclass(slots=True)
class Video:
    model: str
    vram_kib: int | None = None

    def xml(self) -> Element:
        return element('video', element('model', type_=self.model, vram=self.vram_kib))


@dataclasses.dataclass(slots=True)
class Tablet:
    """A pointer that says where it is, so that it stays under the user's in a remote console."""

    bus: str = 'usb'

    def xml(self) -> Element:
        return element('input', type_='tablet', bus=self.bus)


@dataclasses.dataclass(slots=True)
class Keyboard:
    bus: str

    def xml(self) -> Element:
        return element('input', type_='keyboard', bus=self.bus)


@dataclasses.dataclass(slots=True)
class Sound:
    model: str

    def xml(self) -> Element:
        return element('sound', model=self.model)


@dataclasses.dataclass(slots=True)
class Rng:
    """`rate` is (bytes, milliseconds)."""

    source: str
    rate: tuple[int, int] | None = None

    def xml(self) -> Element:
        return element('rng', element('rate', bytes=self.rate[0], period=self.rate[1]) if self.rate else None,
                       element('backend', text=self.source, model='random'), model='virtio')


@dataclasses.dataclass(slots=True)
class Balloon:
    period: int | None = None

    def xml(self) -> Element:
        return element(
            'memballoon', element('stats', period=self.period) if self.period else None, model='virtio'
        )


@dataclasses.dataclass(slots=True)
class GuestAgent:
    def xml(self) -> Element:
        return element(
            'channel', element('target', type_='virtio', name='org.qemu.guest_agent.0'), type_='unix'
        )


@dataclasses.dataclass(slots=True)
class Watchdog:
    action: str

    def xml(self) -> Element:
        return element('watchdog', model='i6300esb', action=self.action)
