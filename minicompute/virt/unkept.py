"""What Nova lets flavors and images ask for and no driver of ours can give: refused rather than silently dropped, for a
flavor with it may cost more, and an image with it may not run without."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from minicompute import exception

_NO = ('', 'false', '0', 'no', 'off', 'f', 'n')
#: what flavors call `hw:` and images `hw_` -> the values that ask for nothing
_BOTH: dict[str, tuple[str, ...]] = {
    'cpu_policy': ('', 'shared'), 'cpu_thread_policy': ('', 'prefer'), 'cpu_realtime_mask': ('',),
    'ephemeral_encryption': _NO, 'locked_memory': _NO, 'maxphysaddr_mode': ('',), 'mem_encryption': _NO,
    'mem_page_size': ('', 'any', 'small'), 'numa_nodes': ('',), 'redirected_usb_ports': _NO, 'tpm_version': ('',),
    'viommu_model': ('',), 'virtio_packed_ring': _NO}
_OF_FLAVORS = {'hw:cpu_realtime': _NO, 'hw:cpu_dedicated_mask': ('',), 'hw:pmem': ('',),
               'hw:emulator_threads_policy': ('',), 'pci_passthrough:alias': ('',), 'accel:device_profile': ('',)}
_OF_IMAGES = {'hw_firmware_stateless': _NO}
_NUMA = ('numa_cpus.', 'numa_mem.')
#: the properties of images that are refused
OF_IMAGES = frozenset((*(f'hw_{name}' for name in _BOTH), *_OF_IMAGES, *(f'hw_{name[:-1]}' for name in _NUMA),
                       'hw_emulation_architecture'))


def refuse_of_flavor(specs: Mapping[str, Any]) -> None:
    """Raises NotImplementedHere, which names the keys."""
    harmless = {**{f'hw:{name}': words for name, words in _BOTH.items()}, **_OF_FLAVORS}
    _refuse('flavor', [*_asked(specs, harmless), *_numa(specs, 'hw:')])


def refuse_of_image(properties: Mapping[str, Any]) -> None:
    """Raises NotImplementedHere, which names the keys."""
    harmless = {**{f'hw_{name}': words for name, words in _BOTH.items()}, **_OF_IMAGES}
    asked = [*_asked(properties, harmless), *_numa(properties, 'hw_')]
    emulated = properties.get('hw_emulation_architecture')
    if emulated not in (None, '', properties.get('hw_architecture'), properties.get('architecture')):
        asked.append('hw_emulation_architecture')
    _refuse('image', asked)


def _asked(said: Mapping[str, Any], harmless: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [key for key, words in harmless.items() if str(said.get(key) or '').strip().lower() not in words]


def _numa(said: Mapping[str, Any], prefix: str) -> list[str]:
    return [key for key in said if key.startswith(tuple(prefix + name for name in _NUMA))]


def _refuse(what: str, keys: Iterable[str]) -> None:
    found = sorted(keys)
    if found:
        raise exception.NotImplementedHere(f'The {what} asks for {", ".join(found)}, which this driver cannot give.')
