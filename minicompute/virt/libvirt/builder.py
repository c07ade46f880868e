"""From a server's record to its domain: every choice about the virtual machine is made here."""
from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable

from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Instance
from minicompute.virt import hardware as hw
from minicompute.virt.hardware import GuestHardware
from minicompute.virt.libvirt import layout, rescue, vif
from minicompute.virt.libvirt.capabilities import Capabilities
from minicompute.virt.libvirt.config import devices
from minicompute.virt.libvirt.config.base import Part
from minicompute.virt.libvirt.config.boot import Boot
from minicompute.virt.libvirt.config.cpu import Clock, Cpu, Features
from minicompute.virt.libvirt.config.disk import Controller, FileDisk, SourceDisk
from minicompute.virt.libvirt.config.domain import Domain
from minicompute.virt.libvirt.config.metadata import Metadata
from minicompute.virt.libvirt.layout import Disk

LOG = logging.getLogger(__name__)

DEFAULT_MACHINES = {
    'x86_64': 'pc',
    'i686': 'pc',
    'aarch64': 'virt',
    'ppc64le': 'pseries',
    's390x': 's390-ccw-virtio',
}
#: what the image service calls a processor -> what libvirt calls it
ARCHITECTURES = {'amd64': 'x86_64', 'x64': 'x86_64', 'i386': 'i686', 'x86': 'i686', 'arm64': 'aarch64'}


class Builder:
    """Knows this host; keeps nothing about servers. `serial_port(uuid)` gives the port of a server's serial console,
    None where it has none that users can type into."""

    def __init__(self, capabilities: Capabilities, serial_port: Callable[[str], int | None] | None = None) -> None:
        self._caps = capabilities
        self._serial_port = serial_port or (lambda _uuid: None)

    def hardware(self, instance: Instance) -> GuestHardware:
        """What flavor and image ask for, refused with a clear word where this host cannot give it. Of a server that has
        run before, what nobody can give is left out."""
        flavor = instance.flavor
        assert flavor is not None
        wanted = (hw.living(flavor, instance.image_properties)[0] if instance.launched_at
                  else hw.guest(flavor, instance.image_properties))
        machine = self.machine(wanted)
        if self._caps.machines and machine not in self._caps.machines:
            raise exception.InvalidInput(reason=f'hw_machine_type: this host has no {machine!r}')
        if wanted.firmware == 'uefi' and not self._caps.uefi:
            raise exception.NotImplementedHere('This host has no UEFI firmware for guests.')
        if wanted.secure_boot and not (self._caps.secure_boot and 'q35' in machine):
            raise exception.InvalidInput(
                reason='secure boot needs hw_machine_type=q35, and a host that has the firmware'
            )
        return wanted

    def check(self, instance: Instance) -> None:
        """Of one that gets another image or flavor, before anything is done to it: raises as `hardware` does for a new
        one."""
        fresh = copy.copy(instance)
        fresh.launched_at = None
        self.hardware(fresh)

    def arch(self, wanted: GuestHardware) -> str:
        arch = ARCHITECTURES.get(wanted.architecture or '', wanted.architecture or self._caps.arch)
        if arch not in {triple[0] for triple in self._caps.supported_instances} | {self._caps.arch}:
            raise exception.InvalidInput(reason=f'hw_architecture: this host cannot run {arch!r}')
        return arch

    def machine(self, wanted: GuestHardware) -> str:
        arch = self.arch(wanted)
        configured = dict(entry.partition('=')[::2] for entry in CONF.libvirt.hw_machine_type)
        return wanted.machine_type or configured.get(arch) or DEFAULT_MACHINES.get(arch, '')

    def disks(self, instance: Instance) -> list[Disk]:
        """Those whose files are the server's own."""
        wanted = self.hardware(instance)
        return layout.disks(instance, wanted, self.machine(wanted))

    def all_disks(self, instance: Instance) -> list[Disk]:
        """Its own and its volumes, what it boots from first; of a rescued server those that it is rescued with."""
        own, wanted = self.disks(instance), self.hardware(instance)
        volumes = layout.volumes(instance, wanted, own)
        root = layout.root_device(instance)
        booted = 1 if volumes and root is not None and root.volume_id == volumes[0].serial else 0
        every = [*volumes[:booted], *own, *volumes[booted:]]
        if not rescue.is_rescued(instance):
            return every
        return rescue.plan(instance, every, wanted.cdrom_bus or layout.cdrom_bus(self.machine(wanted)))

    def domain(self, instance: Instance) -> Domain:
        """From the record and from the names of the files that the build made."""
        flavor = instance.flavor
        assert flavor is not None
        wanted = self.hardware(instance)
        for reason in hw.living(flavor, instance.image_properties)[1]:
            LOG.warning('Instance %s has run before, and goes on without what is refused to new ones: %s',
                        instance.uuid, reason)
        tuning, kvm = wanted.tuning, self._caps.virt_type == 'kvm'
        return Domain(
            uuid=instance.uuid,
            name=instance.name,
            memory_mb=flavor.memory_mb,
            vcpus=flavor.vcpus,
            virt_type=self._caps.virt_type,
            metadata=_metadata(instance),
            boot=self._boot(instance, wanted),
            cpu=self._cpu(wanted),
            clock=Clock(windows=wanted.windows, kvm=kvm, hpet=wanted.hpet),
            # What speaks to KVM is refused without it.
            features=Features(
                hide_hypervisor=wanted.hide_hypervisor and kvm,
                windows=wanted.windows and kvm,
                smm=wanted.secure_boot,
                pmu=wanted.pmu,
            ),
            cputune={
                name: tuning[f'cpu_{name}']
                for name in ('shares', 'period', 'quota')
                if f'cpu_{name}' in tuning
            },
            devices=self._devices(instance, wanted),
        )

    def _boot(self, instance: Instance, wanted: GuestHardware) -> Boot:
        root = rescue.boots_from(self.all_disks(instance)).target
        kernel, initrd = (
            os.path.join(layout.directory(instance.uuid), name + rescue.suffix(instance))
            for name in ('kernel', 'ramdisk')
        )
        return Boot(
            arch=self.arch(wanted),
            machine=self.machine(wanted),
            menu=wanted.boot_menu,
            secure_boot=wanted.secure_boot,
            firmware='efi' if wanted.firmware == 'uefi' else None,
            kernel=kernel if os.path.exists(kernel) else None,
            initrd=initrd if os.path.exists(initrd) else None,
            cmdline=wanted.os_command_line or f'root=/dev/{root} console=tty0 console=ttyS0',
        )

    def _cpu(self, wanted: GuestHardware) -> Cpu:
        kvm = self._caps.virt_type == 'kvm'
        mode = CONF.libvirt.cpu_mode or ('host-model' if kvm else 'none')
        model = None
        if mode == 'custom':
            # The list goes from the oldest to the newest.
            model = next(m for m in reversed(CONF.libvirt.cpu_models) if m in self._caps.models)
        flags = {}
        for flag in CONF.libvirt.cpu_model_extra_flags if mode != 'none' else ():
            flags[flag.lstrip('+-').lower()] = 'disable' if flag.startswith('-') else 'require'
        cores = wanted.topology
        return Cpu(sockets=cores.sockets, cores=cores.cores, threads=cores.threads,
                   mode=None if mode == 'none' else mode, model=model, flags=flags)

    # -- devices -----------------------------------------------------------------

    def _devices(self, instance: Instance, wanted: GuestHardware) -> list[Part]:
        assert instance.flavor is not None
        plan = self.all_disks(instance)
        first = rescue.boots_from(plan)
        made: list[Part] = [file_disk(disk, wanted, first=disk is first) for disk in plan]
        made += self._controllers(plan, wanted)
        made += vif.interfaces(instance, wanted, instance.flavor.vcpus)
        made.append(devices.Serial(os.path.join(layout.directory(instance.uuid), 'console.log'),
                                   listen=CONF.serial_console.proxyclient_address,
                                   service=self._serial_port(instance.uuid)))
        made += [devices.Serial(None, port) for port in range(1, wanted.serial_ports)]
        if wanted.guest_agent:
            made.append(devices.GuestAgent())
        made += self._display(wanted)
        if wanted.sound_model:
            made.append(devices.Sound(wanted.sound_model))
        if wanted.rng:
            made.append(devices.Rng(CONF.libvirt.rng_dev_path, wanted.rng_rate))
        if wanted.watchdog != 'disabled':
            made.append(devices.Watchdog(wanted.watchdog))
        made.append(devices.Balloon(CONF.libvirt.mem_stats_period_seconds or None))
        return made

    def _controllers(self, plan: list[Disk], wanted: GuestHardware) -> list[Part]:
        made: list[Part] = []
        if any(disk.bus == 'scsi' for disk in plan):
            made.append(Controller('scsi', 0, wanted.scsi_model or 'virtio-scsi'))
        if 'q35' in self.machine(wanted) and CONF.libvirt.num_pcie_ports:
            made += [Controller('pci', model='pcie-root-port') for _ in range(CONF.libvirt.num_pcie_ports)]
        if wanted.usb_model:
            made.append(Controller('usb', 0, wanted.usb_model))
        return made

    def _display(self, wanted: GuestHardware) -> list[Part]:
        screens = self._screens()
        if not screens:
            return []
        model = wanted.video_model or ('virtio' if 'virt' in self.machine(wanted) else 'vga')
        vram = wanted.video_ram_mb * 1024 if wanted.video_ram_mb else None
        made = [*screens, devices.Video(model, vram)]
        bus = wanted.input_bus or 'usb'
        if not wanted.tablet or (bus == 'usb' and wanted.usb_model == 'none'):
            return made
        keys: list[Part] = [devices.Keyboard(bus)] if wanted.input_bus else []
        return [devices.Tablet(bus), *keys, *made]

    def _screens(self) -> list[Part]:
        made: list[Part] = [devices.Screen('vnc', CONF.vnc.server_listen)] if CONF.vnc.enabled else []
        if CONF.spice.enabled:
            made.append(devices.Screen('spice', CONF.spice.server_listen, secure=CONF.spice.require_secure))
            if CONF.spice.agent_enabled:
                made.append(devices.SpiceAgent())
        return made


def file_disk(disk: Disk, wanted: GuestHardware, first: bool = False) -> FileDisk | SourceDisk:
    modes = dict(mode.partition('=')[::2] for mode in CONF.libvirt.disk_cachemodes)
    if disk.source is not None and disk.source.remote:
        # What another host may have too, or takes over, must not lie in the memory of this one.
        return SourceDisk(source=disk.source, type=disk.source.kind, format=disk.format, target=disk.target,
                          bus=disk.bus, cache=modes.get(disk.source.kind, 'none'), serial=disk.serial,
                          boot_order=1 if first else None, shared=disk.source.shared,
                          read_only=disk.source.read_only)
    iotune = {
        name.removeprefix('disk_'): value for name, value in wanted.tuning.items() if name.startswith('disk_')
    }
    return FileDisk(path=disk.path, format=disk.format, target=disk.target, bus=disk.bus, device=disk.device,
                    cache=modes.get('file') if disk.device == 'disk' else None, serial=disk.serial,
                    boot_order=1 if first else None,
                    # The flavor bounds the disks that it brings; a volume has a price of its own.
                    iotune=iotune if disk.device == 'disk' and disk.kind != 'volume' else {})


def _metadata(instance: Instance) -> Metadata:
    flavor = instance.flavor
    return Metadata(host=CONF.host, name=instance.display_name or '', project=instance.project_id,
                    user=instance.user_id, flavor=flavor.name if flavor else '', image=instance.image_ref,
                    digest=digest(instance))


def digest(instance: Instance) -> str:
    """Of what a domain is made from: a running domain with the same digest is what is asked for."""
    flavor = instance.flavor
    facts = [
        instance.image_ref,
        instance.kernel_id,
        instance.ramdisk_id,
        sorted(instance.image_properties.items(), key=str),
        flavor
        and [
            flavor.memory_mb,
            flavor.vcpus,
            flavor.root_gb,
            flavor.ephemeral_gb,
            flavor.swap,
            sorted(flavor.extra_specs.items()),
        ],
        [
            [card.id, card.mac_address, [ip.address for ip in card.fixed_ips]]
            for card in instance.network_info
        ],
        [
            [d.source_type, d.boot_index, d.guest_format, d.volume_size, d.image_id, d.volume_id]
            for d in instance.block_devices
        ],
    ]
    if rescue.is_rescued(instance):
        facts.append([instance.system_metadata.get(f'rescue_{what}') for what in ('image_ref', 'device', 'bus')])
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]
