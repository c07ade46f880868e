"""The whole of a domain."""
from __future__ import annotations

import dataclasses

from minicompute import version
from minicompute.virt.libvirt.config.base import Element, Part, element
from minicompute.virt.libvirt.config.boot import Boot
from minicompute.virt.libvirt.config.cpu import Clock, Cpu, Features
from minicompute.virt.libvirt.config.metadata import Metadata


@dataclasses.dataclass(slots=True)
class Domain:
    """`cputune` maps shares, period and quota to numbers."""

    uuid: str
    name: str
    memory_mb: int
    vcpus: int
    metadata: Metadata
    boot: Boot
    cpu: Cpu
    virt_type: str = 'qemu'
    features: Features = dataclasses.field(default_factory=Features)
    clock: Clock = dataclasses.field(default_factory=Clock)
    cputune: dict[str, int] = dataclasses.field(default_factory=dict)
    devices: list[Part] = dataclasses.field(default_factory=list)

    def xml(self) -> Element:
        return element(
            'domain',
            element('name', text=self.name),
            element('uuid', text=self.uuid),
            self.metadata.xml(),
            element('memory', text=self.memory_mb * 1024, unit='KiB'),
            element('vcpu', text=self.vcpus),
            self._cputune(),
            self._sysinfo(),
            self.boot.xml(),
            self.features.xml(),
            self.cpu.xml(),
            self.clock.xml(),
            element('on_poweroff', text='destroy'),
            element('on_reboot', text='restart'),
            element('on_crash', text='destroy'),
            element('devices', *(device.xml() for device in self.devices)),
            type_=self.virt_type)

    def _cputune(self) -> Element | None:
        if not self.cputune:
            return None
        return element(
            'cputune', *(element(name, text=value) for name, value in sorted(self.cputune.items()))
        )

    def _sysinfo(self) -> Element:
        """Product names that cloud-init looks for: it takes 'OpenStack Nova' for a cloud with metadata."""
        entries = {'manufacturer': 'minicompute', 'product': 'OpenStack Nova', 'version': version.__version__,
                   'serial': self.uuid, 'uuid': self.uuid, 'family': 'Virtual Machine'}
        return element('sysinfo', element('system', *(element('entry', text=value, name=name)
                                                      for name, value in entries.items())), type_='smbios')
