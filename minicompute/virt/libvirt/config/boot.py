"""How a domain starts: machine type, firmware, kernel."""
from __future__ import annotations

import dataclasses

from minicompute.virt.libvirt.config.base import Element, element, yes


@dataclasses.dataclass(slots=True)
class Boot:
    """`firmware` None is the BIOS; with 'efi' libvirt picks the loader and makes the variable store."""

    arch: str = 'x86_64'
    machine: str | None = None
    firmware: str | None = None
    secure_boot: bool = False
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str | None = None
    menu: bool = False

    def xml(self) -> Element:
        return element(
            'os',
            element('type', text='hvm', arch=self.arch, machine=self.machine),
            self._features(),
            _path('kernel', self.kernel),
            _path('initrd', self.initrd),
            _path('cmdline', self.cmdline if self.kernel else None),
            element('bootmenu', enable='yes') if self.menu else None,
            element('smbios', mode='sysinfo'),
            firmware=self.firmware)

    def _features(self) -> Element | None:
        if not self.firmware:
            return None
        secure = yes(self.secure_boot)
        return element('firmware', element('feature', enabled=secure, name='enrolled-keys'),
                       element('feature', enabled=secure, name='secure-boot'))


def _path(tag: str, value: str | None) -> Element | None:
    return element(tag, text=value) if value else None
