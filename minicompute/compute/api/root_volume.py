"""What a rebuild of a server whose root disk is a volume has to know of that, and what forbids it."""
from __future__ import annotations

import dataclasses
from typing import Any

from minicompute import exception
from minicompute.compute.api import fitting
from minicompute.context import RequestContext
from minicompute.objects import BlockDevice, Flavor, ImageMeta, Instance, VMState, Volume
from minicompute.virt import hardware
from minicompute.volume import base as volume

#: what a volume of a server in ERROR may be: an earlier rebuild has left it so
#: a root volume of a server whose rebuild failed: nothing has it, or what was to have it came to nothing
LEFT = ('reserved', 'attaching')


@dataclasses.dataclass(slots=True, frozen=True)
class RootVolume:
    """`same_image`: what it was made from is what is asked for."""

    device: BlockDevice
    same_image: bool

    def data(self, reimage: bool, meta: ImageMeta) -> dict[str, Any]:
        """Of the action."""
        return {'bdm': self.device.uuid, 'reimage': reimage, 'properties': fitting.properties(meta)}


def find(instance: Instance) -> BlockDevice | None:
    """The root disk of the server, if it is a volume."""
    return next((device for device in instance.block_devices
                 if device.boot_index == 0 and device.destination_type == 'volume'), None)


def check(context: RequestContext, instance: Instance, device: BlockDevice, meta: ImageMeta, *, reimage: bool,
          trusted: Any) -> RootVolume:
    """Before microversion 2.93 (not `reimage`) the image has to be the one that the volume was made from.
    Raises ImageUnacceptable, InvalidVolume, FlavorMemoryTooSmall, Invalid."""
    if trusted:
        raise exception.Invalid('Image certificate validation is not supported for volume-backed servers.')
    named = [str(one.volume_id) for one in instance.block_devices if one.volume_id]
    found = volume.load().show_many(context, named)
    root = found.get(str(device.volume_id))
    if root is None:
        raise exception.InvalidVolume(reason=f'volume {device.volume_id} could not be found')
    same = meta.id is not None and meta.id in (root.image_id, root.image_metadata.get('base_image_ref'))
    if not same and not reimage:
        raise exception.ImageUnacceptable(image_id=meta.id, reason='Unable to rebuild with a different image for a '
                                                                   'volume-backed server.')
    assert instance.flavor is not None
    if reimage:
        _check_hardware(instance.flavor, meta)
    fitting.check_volume(meta, instance.flavor, root.size)
    for one in found.values():
        _check_attached(one, reserved=one is root and instance.vm_state == VMState.ERROR)
    return RootVolume(device, same)


def _check_hardware(flavor: Flavor, meta: ImageMeta) -> None:
    """Before anything is written over the volume. Raises Invalid."""
    try:
        hardware.guest(flavor, meta.properties)
    except exception.ComputeException as error:
        raise exception.Invalid(str(error)) from None


def _check_attached(one: Volume, *, reserved: bool) -> None:
    if one.shown_status != 'in-use' and not (reserved and one.shown_status in LEFT):
        raise exception.InvalidVolume(
            reason=f"volume '{one.id}' status must be 'in-use'. Currently in '{one.shown_status}' status")
