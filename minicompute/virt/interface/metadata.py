"""Guests that ask 169.254.169.254 who they are."""
from __future__ import annotations

import dataclasses


@dataclasses.dataclass(slots=True, frozen=True)
class Asker:
    """The server that an address of a network belongs to here."""

    instance_uuid: str
    project_id: str
    mac_address: str


class MetadataVerbs:
    """Guests that ask 169.254.169.254 who they are. A driver whose networks are not its own answers nothing."""

    def metadata_bridges(self) -> list[str]:
        """The bridges of this host whose guests have nobody else to ask."""
        return []

    def who_asks(self, bridge: str, address: str) -> Asker | None:
        """The server of this host that has `address` on the network of `bridge`; None for nobody."""
        return None
