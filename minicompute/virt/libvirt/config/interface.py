"""Network cards."""
from __future__ import annotations

import dataclasses

from minicompute.virt.libvirt.config.base import Element, element


@dataclasses.dataclass(slots=True)
class Interface:
    """`kind` is 'bridge' or 'network', `source` the name of one. `addresses` are the only ones that the
    guest may send from, by `filter`; `bandwidth` maps 'inbound' and 'outbound' to libvirt's attributes.
    `port`: the bridge is one of Open vSwitch, which knows the card by this id."""

    kind: str
    source: str
    mac: str
    device: str
    model: str = 'virtio'
    mtu: int | None = None
    queues: int | None = None
    filter: str | None = None
    port: str | None = None
    addresses: list[str] = dataclasses.field(default_factory=list)
    bandwidth: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)

    def xml(self) -> Element:
        return element(
            'interface',
            element('mac', address=self.mac),
            element('source', **{self.kind: self.source}),
            element('virtualport', element('parameters', interfaceid=self.port), type_='openvswitch')
            if self.port else None,
            element('target', dev=self.device),
            element('model', type_=self.model),
            element('driver', queues=self.queues) if self.queues else None,
            self._filter(),
            self._bandwidth(),
            element('mtu', size=self.mtu) if self.mtu else None,
            type_=self.kind)

    def _filter(self) -> Element | None:
        if not self.filter:
            return None
        return element('filterref', *(element('parameter', name='IP', value=a) for a in self.addresses),
                       filter=self.filter)

    def _bandwidth(self) -> Element | None:
        if not self.bandwidth:
            return None
        return element(
            'bandwidth', *(element(way, **values) for way, values in sorted(self.bandwidth.items()))
        )
