"""The processor of a guest."""
from __future__ import annotations

import dataclasses

from minicompute.virt.libvirt.config.base import Element, element


@dataclasses.dataclass(slots=True)
class Cpu:
    """`mode` None leaves the model to QEMU. `flags` maps a CPU flag to 'require' or 'disable'."""

    sockets: int
    cores: int = 1
    threads: int = 1
    mode: str | None = None
    model: str | None = None
    flags: dict[str, str] = dataclasses.field(default_factory=dict)

    def xml(self) -> Element:
        return element(
            'cpu',
            element('model', text=self.model, fallback='forbid') if self.model else None,
            element('topology', sockets=self.sockets, cores=self.cores, threads=self.threads),
            *(element('feature', policy=policy, name=name) for name, policy in sorted(self.flags.items())),
            mode=self.mode,
            match='exact' if self.mode else None)


@dataclasses.dataclass(slots=True)
class Features:
    hide_hypervisor: bool = False
    windows: bool = False
    smm: bool = False
    #: None: as QEMU finds best
    pmu: bool | None = None

    def xml(self) -> Element:
        made = element('features', element('acpi'), element('apic'))
        if self.pmu is not None:
            made.append(element('pmu', state='on' if self.pmu else 'off'))
        if self.smm:
            made.append(element('smm', state='on'))
        if self.windows:
            made.append(element('hyperv', element('relaxed', state='on'), element('vapic', state='on'),
                                element('spinlocks', state='on', retries=8191)))
        if self.hide_hypervisor:
            made.append(element('kvm', element('hidden', state='on')))
        return made


@dataclasses.dataclass(slots=True)
class Clock:
    """UTC, but for Windows, which takes the hardware clock for local time."""

    windows: bool = False
    kvm: bool = False
    hpet: bool = False

    def xml(self) -> Element:
        return element(
            'clock',
            element('timer', name='pit', tickpolicy='delay'),
            element('timer', name='rtc', tickpolicy='catchup'),
            element('timer', name='hpet', present='yes' if self.hpet else 'no'),
            element('timer', name='hypervclock', present='yes') if self.windows and self.kvm else None,
            offset='localtime' if self.windows else 'utc')
