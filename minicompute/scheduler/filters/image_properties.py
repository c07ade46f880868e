from __future__ import annotations

from typing import Any

from oslo_utils import versionutils

from minicompute.scheduler.facts import Facts, Mask
from minicompute.scheduler.filters.base import Filter
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.request import Request

_NAMES = (('hw_architecture', 'architecture'), ('img_hv_type', 'hypervisor_type'), ('hw_vm_mode', 'vm_mode'),
          ('img_hv_requested_version', 'hypervisor_version_requires'))
_ALIASES = {'amd64': 'x86_64', 'x64': 'x86_64', 'i386': 'i686', 'i486': 'i686', 'i586': 'i686', 'x86': 'i686',
            'arm64': 'aarch64', 'pv': 'xen', 'hv': 'hvm'}


class ImagePropertiesFilter(Filter):
    """Hosts that can run the image: its architecture, hypervisor type and version, and mode."""

    why = 'unable to run the image (architecture, hypervisor or mode)'

    def reads(self, request: Request) -> tuple[str | None, ...] | None:
        said = request.spec.image_properties
        asked = tuple(_word(said.get(name) or said.get(old)) for name, old in _NAMES)
        return asked if any(asked) else None

    def mask(self, table: HostTable, request: Request) -> Mask:
        asked = self.reads(request)
        assert asked is not None
        triple, version = asked[:3], asked[3]
        return table.facts.mask(lambda facts: _runs(facts, triple) and _version_fits(facts, version))


def _word(value: Any) -> str | None:
    if value is None or value == '':
        return None
    word = str(value).lower()
    return _ALIASES.get(word, word)


def _runs(facts: Facts, triple: tuple[str | None, ...]) -> bool:
    if not any(triple):
        return True
    return any(all(want is None or want == _word(have) for want, have in zip(triple, offered, strict=False))
               for offered in facts.supported_instances)


def _version_fits(facts: Facts, wanted: str | None) -> bool:
    if not wanted:
        return True
    try:
        have = versionutils.convert_version_to_str(facts.hypervisor_version)
        return bool(versionutils.VersionPredicate(wanted).satisfied_by(have))
    except ValueError:
        return False
