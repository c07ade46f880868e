"""What a domain has used: in the fixed form of microversion 2.48, and under the names that libvirt's had before."""
from __future__ import annotations

from typing import Any

from minicompute.objects import Instance, PowerState
from minicompute.utils import utcnow
from minicompute.virt.libvirt import guest
from minicompute.virt.libvirt.host import Host

Numbers = dict[str, Any]


def read(host: Host, instance: Instance, hypervisor: str = 'qemu') -> dict[str, Any]:
    """Memory in MiB, times of processors in nanoseconds, uptime in seconds. Raises DomainNotFound."""
    found = guest.find(host, instance.uuid)
    numbers, state = found.statistics(), found.power_state()
    cards = {card.devname: card.mac_address for card in instance.network_info}
    return {
        'state': PowerState.NAMES.get(state, 'pending'),
        'driver': 'libvirt',
        'hypervisor': hypervisor,
        'hypervisor_os': 'linux',
        'uptime': _age(instance),
        'config_drive': instance.config_drive,
        'num_cpus': numbers.get('vcpu.current', 0),
        'num_nics': numbers.get('net.count', 0),
        'num_disks': numbers.get('block.count', 0),
        'cpu_details': _cpus(numbers),
        'nic_details': _cards(numbers, cards),
        'disk_details': _disks(numbers),
        'memory_details': _memory(numbers),
    }


def read_old(host: Host, instance: Instance) -> dict[str, Any]:
    """Memory in KiB, times in nanoseconds. Raises DomainNotFound."""
    numbers = guest.find(host, instance.uuid).statistics()
    said: dict[str, Any] = {f'cpu{cpu["id"]}_time': cpu['time'] for cpu in _cpus(numbers) if cpu['time'] is not None}
    for number in range(numbers.get('block.count', 0)):
        name, ours = numbers.get(f'block.{number}.name'), f'block.{number}'
        said.update({f'{name}_{word}': numbers.get(f'{ours}.{theirs}', -1) for word, theirs in _OLD_DISK.items()})
    for number in range(numbers.get('net.count', 0)):
        name, ours = numbers.get(f'net.{number}.name'), f'net.{number}'
        said.update({f'{name}_{way}{word}': numbers.get(f'{ours}.{way}.{theirs}', 0)
                     for way in ('rx', 'tx') for word, theirs in _OLD_CARD.items()})
    said['memory'] = numbers.get('balloon.maximum', 0)
    for key, value in numbers.items():
        if key.startswith('balloon.') and key != 'balloon.maximum':
            word = key.removeprefix('balloon.').replace('-', '_')
            said['memory-' + ('actual' if word == 'current' else word)] = value
    return said


_OLD_DISK = {'read_req': 'rd.reqs', 'read': 'rd.bytes', 'write_req': 'wr.reqs', 'write': 'wr.bytes', 'errors': 'errors'}
_OLD_CARD = {'': 'bytes', '_packets': 'pkts', '_errors': 'errs', '_drop': 'drop'}


def _age(instance: Instance) -> int | None:
    return max(0, int((utcnow() - instance.launched_at).total_seconds())) if instance.launched_at else None


def _cpus(numbers: Numbers) -> list[dict[str, Any]]:
    return [{'id': cpu, 'time': numbers.get(f'vcpu.{cpu}.time'), 'utilisation': None}
            for cpu in range(numbers.get('vcpu.current', 0))]


def _cards(numbers: Numbers, macs: dict[str, str]) -> list[dict[str, Any]]:
    found = []
    for number in range(numbers.get('net.count', 0)):
        card: dict[str, Any] = {'mac_address': macs.get(numbers.get(f'net.{number}.name', ''))}
        for way in ('rx', 'tx'):
            for ours, theirs in (
                ('octets', 'bytes'),
                ('packets', 'pkts'),
                ('errors', 'errs'),
                ('drop', 'drop'),
            ):
                card[f'{way}_{ours}'] = numbers.get(f'net.{number}.{way}.{theirs}')
            card[f'{way}_rate'] = None
        found.append(card)
    return found


def _disks(numbers: Numbers) -> list[dict[str, Any]]:
    names = {'read_bytes': 'rd.bytes', 'read_requests': 'rd.reqs', 'write_bytes': 'wr.bytes',
             'write_requests': 'wr.reqs'}
    return [
        {
            **{ours: numbers.get(f'block.{number}.{theirs}') for ours, theirs in names.items()},
            'errors_count': None,
        }
        for number in range(numbers.get('block.count', 0))
    ]


def _memory(numbers: Numbers) -> dict[str, int]:
    most = numbers.get('balloon.maximum', 0)
    unused = numbers.get('balloon.unused')
    return {
        'maximum': most // 1024,
        'used': (most - unused if unused is not None else numbers.get('balloon.rss', 0)) // 1024,
    }
