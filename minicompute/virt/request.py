"""What a driver is given and tells."""
from __future__ import annotations

import dataclasses
from collections.abc import Callable

from minicompute.objects import ImageMeta, Instance

#: asked now and then during what takes long: shall it be broken off?
Stop = Callable[[], bool]


def never() -> bool:
    """The question of those who are not broken off."""
    return False


@dataclasses.dataclass(slots=True)
class DomainInfo:
    """A domain as the hypervisor has it, whoever made it. `power_state` is a PowerState."""

    uuid: str
    name: str
    power_state: int
    ours: bool = True


@dataclasses.dataclass(slots=True)
class Holdings:
    """The servers of which a host has something: a domain or disks. Of those `undefined` have disks and no domain, of
    anybody's; of the domains of those that are `diskless` a disk is not there."""

    present: set[str]
    undefined: set[str] = dataclasses.field(default_factory=set)
    diskless: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(slots=True)
class SpawnRequest:
    """All that a domain is made from. `image` is None when the root disk is no image;
    `admin_password` goes to the config drive only. Once `stop()` says True what takes long is broken off."""

    instance: Instance
    image: ImageMeta | None = None
    kernel: ImageMeta | None = None
    ramdisk: ImageMeta | None = None
    admin_password: str | None = None
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    stop: Stop = never
    #: it is made, and does not run before an `unpause`
    paused: bool = False


#: told (uuid, PowerState) when a domain changed by itself
PowerListener = Callable[[str, int], None]
#: told a short word ('image', 'disks', 'domain') while a verb goes on, with 0..100 or None
Progress = Callable[[str, int | None], None]


def no_progress(stage: str, percent: int | None = None) -> None:
    """The listener of those who do not listen."""
