"""What libvirt and this machine can do, read from libvirt's XML."""
from __future__ import annotations

import dataclasses
import os
from typing import Any

import libvirt

from minicompute import exception
from minicompute.conf import CONF
from minicompute.virt.libvirt.config.base import Element, parse
from minicompute.virt.libvirt.host import Host, call

#: bus and model names of libvirt -> the part of the trait's name
_BUSES = {'virtio': 'VIRTIO', 'scsi': 'SCSI', 'ide': 'IDE', 'sata': 'SATA', 'usb': 'USB', 'fdc': 'FDC'}
_VIDEOS = {
    'vga': 'VGA',
    'cirrus': 'CIRRUS',
    'virtio': 'VIRTIO',
    'qxl': 'QXL',
    'bochs': 'BOCHS',
    'none': 'NONE',
    'vmvga': 'VMVGA',
}
_VIFS = ('VIRTIO', 'E1000', 'E1000E', 'RTL8139', 'PCNET', 'NE2K_PCI', 'VMXNET3')
#: CPU flags of libvirt -> traits of os-traits, where the names differ by more than case
_FLAGS = {
    'sse4.1': 'SSE41',
    'sse4.2': 'SSE42',
    'pclmuldq': 'CLMUL',
    'aes': 'AESNI',
    'fma': 'FMA3',
    'sha-ni': 'SHA',
    'avx512f': 'AVX512F',
    'ssse3': 'SSSE3',
    'avx': 'AVX',
    'avx2': 'AVX2',
    'f16c': 'F16C',
    'bmi1': 'BMI',
    'bmi2': 'BMI2',
    'vmx': 'VMX',
    'svm': 'SVM',
    'sse': 'SSE',
    'sse2': 'SSE2',
    'pni': 'SSE3',
}


@dataclasses.dataclass(slots=True)
class Capabilities:
    """`models` are the usable CPU models of cpu_mode=custom; `machines` the types that a user may name."""

    virt_type: str
    arch: str
    cpu_info: dict[str, Any]
    supported_instances: list[list[str]]
    machines: set[str] = dataclasses.field(default_factory=set)
    models: list[str] = dataclasses.field(default_factory=list)
    buses: set[str] = dataclasses.field(default_factory=set)
    videos: set[str] = dataclasses.field(default_factory=set)
    uefi: bool = False
    secure_boot: bool = False
    cpu_features: set[str] = dataclasses.field(default_factory=set)

    def traits(self) -> list[str]:
        found = {'COMPUTE_NODE', 'COMPUTE_IMAGE_TYPE_QCOW2', 'COMPUTE_IMAGE_TYPE_RAW', 'COMPUTE_RESCUE_BFV'}
        found |= {f'COMPUTE_STORAGE_BUS_{_BUSES[bus]}' for bus in self.buses & _BUSES.keys()}
        found |= {f'COMPUTE_GRAPHICS_MODEL_{_VIDEOS[model]}' for model in self.videos & _VIDEOS.keys()}
        found |= {f'COMPUTE_NET_VIF_MODEL_{model}' for model in _VIFS}
        found |= {f'HW_CPU_X86_{_FLAGS[flag]}' for flag in self.cpu_features & _FLAGS.keys()}
        found.add(f'HW_ARCH_{self.arch.upper()}')
        if self.secure_boot:
            found.add('COMPUTE_SECURITY_UEFI_SECURE_BOOT')
        return sorted(found)


def read(host: Host) -> Capabilities:
    """Raises ConfigurationError when [libvirt] asks for what this host cannot do."""
    connection = host.connection()
    tree = parse(call(connection.getCapabilities))
    arch = tree.findtext('host/cpu/arch') or os.uname().machine
    virt_type = _virt_type(connection, arch)
    domain = _domain_capabilities(connection, arch, virt_type)
    if domain is None:
        raise exception.ConfigurationError(
            reason=f'libvirt has no {virt_type} for {arch}: install QEMU, or set [libvirt] virt_type')
    found = Capabilities(virt_type=virt_type, arch=arch, cpu_info=_cpu_info(tree),
                         supported_instances=_supported(tree, virt_type), machines=_machines(tree, arch))
    _read_domain(found, domain)
    _check_cpu_mode(found)
    return found


# -- kvm or qemu -------------------------------------------------------------

def cpu_has_virtualisation(path: str = '/proc/cpuinfo') -> bool:
    with open(path, encoding='utf-8', errors='replace') as reader:
        for line in reader:
            if line.startswith(('flags', 'Features')):
                return not {'vmx', 'svm'}.isdisjoint(line.split())
    return False


def _virt_type(connection: libvirt.virConnect, arch: str) -> str:
    """'auto' takes kvm only when all three say so: a machine may have /dev/kvm and guests hang in it."""
    if CONF.libvirt.virt_type != 'auto':
        return CONF.libvirt.virt_type
    capable = os.path.exists('/dev/kvm') and (cpu_has_virtualisation() or not arch.startswith(('x86', 'i')))
    return 'kvm' if capable and _domain_capabilities(connection, arch, 'kvm') is not None else 'qemu'


def _domain_capabilities(connection: libvirt.virConnect, arch: str, virt_type: str) -> Element | None:
    try:
        text = call(connection.getDomainCapabilities, None, arch, None, virt_type, 0)
    except libvirt.libvirtError:
        return None
    tree = parse(text)
    return tree if tree.findtext('domain') == virt_type else None


# -- parts of the XML --------------------------------------------------------

def _cpu_info(tree: Element) -> dict[str, Any]:
    cpu = tree.find('host/cpu')
    if cpu is None:
        return {}
    topology = cpu.find('topology')
    parts = dict(topology.attrib) if topology is not None else {}
    return {'arch': cpu.findtext('arch'), 'vendor': cpu.findtext('vendor'), 'model': cpu.findtext('model'),
            'topology': {name: int(value) for name, value in parts.items()},
            'features': sorted(f.get('name', '') for f in cpu.findall('feature'))}


def _supported(tree: Element, virt_type: str) -> list[list[str]]:
    """[arch, hypervisor, mode] triples; kvm is only told where we would use it."""
    found = []
    for guest in tree.findall('guest'):
        arch = guest.find('arch')
        if arch is None:
            continue
        for domain in arch.findall('domain'):
            kind = domain.get('type', '')
            if kind != 'kvm' or virt_type == 'kvm':
                found.append([arch.get('name', ''), kind, guest.findtext('os_type') or 'hvm'])
    return found


def _machines(tree: Element, arch: str) -> set[str]:
    machines = set()
    for machine in tree.findall(f"guest/arch[@name='{arch}']/machine"):
        machines |= {machine.text or '', machine.get('canonical', '')}
    return machines - {''}


def _values(tree: Element, path: str) -> set[str]:
    return {value.text or '' for value in tree.findall(f'{path}/value')}


def _read_domain(found: Capabilities, tree: Element) -> None:
    found.buses = _values(tree, "devices/disk/enum[@name='bus']")
    found.videos = _values(tree, "devices/video/enum[@name='modelType']")
    found.uefi = 'efi' in _values(tree, "os/enum[@name='firmware']")
    # The default machine type may hide secure boot, which is q35's; the firmware files tell.
    found.secure_boot = found.uefi and _secure_firmware()
    custom = tree.findall("cpu/mode[@name='custom']/model")
    found.models = [model.text or '' for model in custom if model.get('usable') == 'yes']
    if found.virt_type == 'kvm':
        named = tree.findall("cpu/mode[@name='host-model']/feature")
        found.cpu_features = {f.get('name', '') for f in named if f.get('policy') == 'require'}
        found.cpu_features |= set(found.cpu_info.get('features', ()))


def _secure_firmware(directory: str = '/usr/share/qemu/firmware') -> bool:
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        with open(os.path.join(directory, name), encoding='utf-8', errors='replace') as reader:
            if '"enrolled-keys"' in reader.read():
                return True
    return False


def _check_cpu_mode(found: Capabilities) -> None:
    mode = CONF.libvirt.cpu_mode
    if found.virt_type == 'qemu' and mode == 'host-passthrough':
        raise exception.ConfigurationError(
            reason='[libvirt] cpu_mode: host-passthrough needs kvm, and this host has none: '
                   'leave cpu_mode unset, or use custom')
    if mode == 'custom' and not set(CONF.libvirt.cpu_models) & set(found.models):
        raise exception.ConfigurationError(
            reason=f'[libvirt] cpu_models: none of {", ".join(CONF.libvirt.cpu_models) or "(nothing)"} '
                   'works on this host')
