"""What flavor extra specs and image properties say about the hardware of a guest, and what the
configuration says about the capacity of a host.  Knows no hypervisor.

Everything is checked here, once: what a user got wrong is an InvalidInput that names the key, and a promise
that no driver of ours can keep (pinned cores, huge pages) is refused rather than silently dropped: for a guest
that is to be (`guest`), and not for one that ran before we knew the key (`living`).
"""
from __future__ import annotations

import dataclasses
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from oslo_utils import strutils

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import ComputeNode, Flavor, Instance
from minicompute.virt import unkept

DISK_BUSES = ('virtio', 'scsi', 'ide', 'sata', 'usb', 'fdc')
SCSI_MODELS = ('virtio-scsi', 'lsilogic', 'lsisas1068', 'lsisas1078', 'buslogic', 'vmpvscsi')
VIF_MODELS = ('virtio', 'e1000', 'e1000e', 'rtl8139', 'ne2k_pci', 'pcnet', 'vmxnet3')
VIDEO_MODELS = ('vga', 'cirrus', 'vmvga', 'qxl', 'virtio', 'bochs', 'none')
WATCHDOG_ACTIONS = ('disabled', 'reset', 'poweroff', 'pause', 'none')
SOUND_MODELS = ('sb16', 'es1370', 'pcspk', 'ac97', 'ich6', 'ich9', 'usb', 'virtio')
USB_MODELS = ('none', 'nec-xhci', 'qemu-xhci')
INPUT_BUSES = ('usb', 'virtio')
#: what the ISA bus of a PC has room for
MOST_SERIAL_PORTS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Topology:
    sockets: int
    cores: int
    threads: int


@dataclasses.dataclass(frozen=True, slots=True)
class GuestHardware:
    """The wishes of flavor and image. None: what the driver finds best.

    `rng_rate` is (bytes, milliseconds); `pmu` whether the guest sees the counters of its processor."""

    topology: Topology
    architecture: str | None = None
    machine_type: str | None = None
    firmware: str = 'bios'
    secure_boot: bool = False
    disk_bus: str | None = None
    cdrom_bus: str | None = None
    scsi_model: str | None = None
    vif_model: str = 'virtio'
    vif_multiqueue: bool = False
    video_model: str | None = None
    video_ram_mb: int | None = None
    rng: bool = True
    rng_rate: tuple[int, int] | None = None
    guest_agent: bool = False
    watchdog: str = 'disabled'
    tablet: bool = True
    boot_menu: bool = False
    hide_hypervisor: bool = False
    windows: bool = False
    pmu: bool | None = None
    hpet: bool = False
    input_bus: str | None = None
    sound_model: str | None = None
    usb_model: str | None = None
    serial_ports: int = 1
    os_command_line: str | None = None
    tuning: dict[str, int] = dataclasses.field(default_factory=dict)


def guest(flavor: Flavor, properties: Mapping[str, Any]) -> GuestHardware:
    """Of a guest that is to be. Raises InvalidInput for what is not understood and NotImplementedHere for what is not
    kept."""
    for check in _refusals(flavor.extra_specs, properties):
        check()
    return GuestHardware(**{name: wish() for name, wish in _wishes(flavor, properties).items()})


def living(flavor: Flavor, properties: Mapping[str, Any]) -> tuple[GuestHardware, list[str]]:
    """Of a guest that was accepted once, by an earlier version of ours or by Nova. -> what it gets, and why it does not
    get the rest: it starts and moves without that, as it did before."""
    left: list[str] = []
    said: dict[str, Any] = {}
    for check in _refusals(flavor.extra_specs, properties):
        try:
            check()
        except exception.ComputeException as error:
            left.append(str(error))
    for name, wish in _wishes(flavor, properties).items():
        try:
            said[name] = wish()
        except exception.ComputeException as error:
            left.append(str(error))
    if 'topology' not in said:
        said['topology'] = topology(flavor.vcpus, {}, {})
    return GuestHardware(**said), list(dict.fromkeys(left))


def _refusals(specs: Mapping[str, str], properties: Mapping[str, Any]) -> tuple[Callable[[], Any], ...]:
    return (lambda: unkept.refuse_of_flavor(specs), lambda: unkept.refuse_of_image(properties),
            lambda: _choice(properties, 'hw_rng_model', ('virtio',)))


def _wishes(flavor: Flavor, properties: Mapping[str, Any]) -> dict[str, Callable[[], Any]]:
    """{a field of GuestHardware: what finds it, or raises}"""
    specs = flavor.extra_specs

    def firmware() -> str:
        return _choice(properties, 'hw_firmware_type', ('bios', 'uefi')) or 'bios'
    return {
        'topology': lambda: topology(flavor.vcpus, specs, properties),
        'architecture': lambda: _text(properties, 'hw_architecture') or _text(properties, 'architecture'),
        'machine_type': lambda: _word(properties, 'hw_machine_type'),
        'firmware': firmware,
        'secure_boot': lambda: _secure_boot(firmware(), specs, properties),
        'disk_bus': lambda: _choice(properties, 'hw_disk_bus', DISK_BUSES),
        'cdrom_bus': lambda: _choice(properties, 'hw_cdrom_bus', DISK_BUSES),
        'scsi_model': lambda: _choice(properties, 'hw_scsi_model', SCSI_MODELS),
        'vif_model': lambda: _choice(properties, 'hw_vif_model', VIF_MODELS) or 'virtio',
        'vif_multiqueue': lambda: _flag(specs, 'hw:vif_multiqueue_enabled', 'hw_vif_multiqueue_enabled', properties),
        'video_model': lambda: _choice(properties, 'hw_video_model', VIDEO_MODELS),
        'video_ram_mb': lambda: _video_ram(specs, properties),
        'rng': lambda: _flag(specs, 'hw_rng:allowed', None, properties, default=True),
        'rng_rate': lambda: _rng_rate(specs),
        'guest_agent': lambda: _bool(properties.get('hw_qemu_guest_agent')),
        'watchdog': lambda: (_choice(specs, 'hw:watchdog_action', WATCHDOG_ACTIONS)
                             or _choice(properties, 'hw_watchdog_action', WATCHDOG_ACTIONS) or 'disabled'),
        'tablet': lambda: _text(properties, 'hw_pointer_model') not in ('ps2mouse',),
        'boot_menu': lambda: _flag(specs, 'hw:boot_menu', 'hw_boot_menu', properties),
        'hide_hypervisor': lambda: _flag(specs, 'hw:hide_hypervisor_id', 'img_hide_hypervisor_id', properties),
        'windows': lambda: is_windows(properties),
        'pmu': lambda: _pmu(specs, properties),
        'hpet': lambda: _bool(properties.get('hw_time_hpet')),
        'input_bus': lambda: _choice(properties, 'hw_input_bus', INPUT_BUSES),
        'sound_model': lambda: _of_both('hw_sound_model', SOUND_MODELS, specs, properties),
        'usb_model': lambda: _of_both('hw_usb_model', USB_MODELS, specs, properties),
        'serial_ports': lambda: _serial_ports(specs, properties),
        'os_command_line': lambda: _text(properties, 'os_command_line'),
        'tuning': lambda: _tuning(specs),
    }


def root_gb(instance: Instance) -> int:
    """GiB of the root disk that the server pays for, a volume's or the flavor's; 0: whatever its image has."""
    root = next((device for device in instance.block_devices if device.boot_index == 0), None)
    if root is not None and root.destination_type == 'volume':
        return root.volume_size or 0
    return instance.flavor.root_gb if instance.flavor else 0


def admin_user(properties: Mapping[str, Any]) -> str:
    """Whose password a change of the password means."""
    said = _text(properties, 'os_admin_user')
    return said or ('Administrator' if is_windows(properties) else 'root')


def is_windows(properties: Mapping[str, Any]) -> bool:
    return (_text(properties, 'os_type') or '').lower() == 'windows'


# -- cores -----------------------------------------------------------------

def topology(vcpus: int, specs: Mapping[str, str], properties: Mapping[str, Any]) -> Topology:
    """Sockets, cores and threads that make up `vcpus`: within the limits, near the preferences (the
    flavor's before the image's), and otherwise with many sockets and few threads."""
    limits, wanted = {}, {}
    for part in ('sockets', 'cores', 'threads'):
        limits[part] = _limit(part, specs, properties)
        wanted[part] = _number(specs, f'hw:cpu_{part}') or _number(properties, f'hw_cpu_{part}')
    fits = [Topology(vcpus // (cores * threads), cores, threads)
            for cores in _divisors(vcpus) for threads in _divisors(vcpus // cores)]
    fits = [t for t in fits if all(getattr(t, part) <= (limit or vcpus) for part, limit in limits.items())]
    if not fits:
        raise exception.InvalidInput(reason=f'no CPU topology of {vcpus} cores is within the limits '
                                            'that flavor and image set (hw:cpu_max_*, hw_cpu_max_*)')
    return max(fits, key=lambda t: (sum(getattr(t, part) == want for part, want in wanted.items()),
                                    t.sockets, t.cores))


def _limit(part: str, specs: Mapping[str, str], properties: Mapping[str, Any]) -> int | None:
    flavor, image = _number(specs, f'hw:cpu_max_{part}'), _number(properties, f'hw_cpu_max_{part}')
    if flavor and image and image > flavor:
        raise exception.InvalidInput(reason=f'hw_cpu_max_{part} of the image exceeds what the flavor allows')
    return image or flavor


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


# -- one wish at a time ----------------------------------------------------

def _secure_boot(firmware: str, specs: Mapping[str, str], properties: Mapping[str, Any]) -> bool:
    words = ('required', 'optional', 'disabled')
    wanted = _choice(specs, 'os:secure_boot', words) or _choice(properties, 'os_secure_boot', words)
    if wanted == 'required' and firmware != 'uefi':
        raise exception.InvalidInput(reason='os_secure_boot needs hw_firmware_type=uefi')
    return wanted == 'required'


def _video_ram(specs: Mapping[str, str], properties: Mapping[str, Any]) -> int | None:
    wanted, most = _number(properties, 'hw_video_ram'), _number(specs, 'hw_video:ram_max_mb')
    if wanted and wanted > (most or 0):
        raise exception.InvalidInput(
            reason='hw_video_ram of the image exceeds hw_video:ram_max_mb of the flavor'
        )
    return wanted


def _of_both(name: str, choices: tuple[str, ...], specs: Mapping[str, str],
             properties: Mapping[str, Any]) -> str | None:
    """What a flavor and an image may say; both may not say different things."""
    flavor, image = _choice(specs, name.replace('hw_', 'hw:'), choices), _choice(properties, name, choices)
    if flavor and image and flavor != image:
        raise exception.InvalidInput(reason=f'{name}: the image says {image}, and the flavor {flavor}')
    return flavor or image


def _pmu(specs: Mapping[str, str], properties: Mapping[str, Any]) -> bool | None:
    said = [_bool(source[key]) for source, key in ((specs, 'hw:pmu'), (properties, 'hw_pmu')) if source.get(key)]
    if len(set(said)) > 1:
        raise exception.InvalidInput(reason='hw_pmu of the image is not what hw:pmu of the flavor says')
    return said[0] if said else None


def _serial_ports(specs: Mapping[str, str], properties: Mapping[str, Any]) -> int:
    most, wanted = _number(specs, 'hw:serial_port_count'), _number(properties, 'hw_serial_port_count')
    if most and wanted and wanted > most:
        raise exception.InvalidInput(reason='hw_serial_port_count of the image exceeds what the flavor allows')
    found = wanted or most or 1
    if found > MOST_SERIAL_PORTS:
        raise exception.InvalidInput(reason=f'hw_serial_port_count: a guest has {MOST_SERIAL_PORTS} at most')
    return found


def _rng_rate(specs: Mapping[str, str]) -> tuple[int, int] | None:
    rate = _number(specs, 'hw_rng:rate_bytes')
    return (rate, _number(specs, 'hw_rng:rate_period') or 1000) if rate else None


def _tuning(specs: Mapping[str, str]) -> dict[str, int]:
    """The `quota:` keys of the flavor as they are, without the prefix. `cpu_quota` may be -1."""
    found = {}
    for key in specs:
        if key.startswith('quota:') and re.match(r'^quota:(cpu|disk|vif)_', key):
            found[key.removeprefix('quota:')] = _integer(specs, key)
    return found


def _text(source: Mapping[str, Any], key: str) -> str | None:
    value = source.get(key)
    return str(value) if value not in (None, '') else None


def _word(source: Mapping[str, Any], key: str) -> str | None:
    value = _text(source, key)
    if value and not re.fullmatch(r'[A-Za-z0-9._-]{1,64}', value):
        raise exception.InvalidInput(reason=f'{key}: {value!r} is not a name')
    return value


def _choice(source: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> str | None:
    value = _text(source, key)
    if value and value.lower() not in choices:
        raise exception.InvalidInput(reason=f'{key}: {value!r} is not one of {", ".join(choices)}')
    return value.lower() if value else None


def _integer(source: Mapping[str, Any], key: str) -> int:
    try:
        return int(source[key])
    except (TypeError, ValueError):
        raise exception.InvalidInput(reason=f'{key}: {source[key]!r} is not a number') from None


def _number(source: Mapping[str, Any], key: str) -> int | None:
    """A positive number, or None when the key is not there."""
    if _text(source, key) is None:
        return None
    value = _integer(source, key)
    if value < 1:
        raise exception.InvalidInput(reason=f'{key}: {value} is not positive')
    return value


def _bool(value: Any, default: bool = False) -> bool:
    return strutils.bool_from_string(value, default=default) if value is not None else default


def _flag(specs: Mapping[str, str], spec: str, prop: str | None, properties: Mapping[str, Any],
          default: bool = False) -> bool:
    """The flavor's word, else the image's."""
    value = specs.get(spec)
    return _bool(value if value is not None or prop is None else properties.get(prop), default)


# -- the host --------------------------------------------------------------

def offer(node: ComputeNode) -> ComputeNode:
    """Write the reservations and ratios of the configuration into the inventory of a host."""
    node.reserved_vcpus = CONF.reserved_host_cpus
    node.reserved_memory_mb = CONF.reserved_host_memory_mb
    node.reserved_disk_gb = -(-CONF.reserved_host_disk_mb // 1024)
    node.cpu_allocation_ratio = CONF.cpu_allocation_ratio
    node.ram_allocation_ratio = CONF.ram_allocation_ratio
    node.disk_allocation_ratio = CONF.disk_allocation_ratio
    return node


def uptime() -> str:
    """This host's, as uptime(1) writes it; how many users there are nobody asks."""
    with open('/proc/uptime', encoding='ascii') as reader:
        seconds = int(float(reader.read().split()[0]))
    load = ', '.join(f'{value:.2f}' for value in os.getloadavg())
    hours = f'{seconds // 3600 % 24:2}:{seconds // 60 % 60:02}'
    return (
        f' {time.strftime("%H:%M:%S")} up {seconds // 86400} days, {hours},  0 users,  load average: {load}'
    )
