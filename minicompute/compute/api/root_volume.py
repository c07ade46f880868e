"""What a rebuild of a server whose root disk is a volume has to know of that, and what forbids it."""
from __future__ import annotations

import dataclasses
from typing import Any

from minicompute import exception
from minicompute.compute.api import fitting
from minicompute.context import RequestContext
from minicompute.db.api import block_devices
from minicompute.objects import BlockDevice, ImageMeta, Instance, VMState, Volume
from minicompute.volume import base as volume
from minicompute.volume import remote

#: a root volume of a server whose rebuild failed: nothing has it, or what was to have it came to nothing
LEFT = ('reserved', 'attaching')


class RootVolumeCutOff(exception.Conflict):
    msg_fmt = ("Cannot '%(method)s' instance %(instance_uuid)s: its root volume %(volume_id)s is reserved for it and "
               'connected to no host, because an earlier rebuild failed, and its content may be half of an image. '
               'Rebuild the server with microversion 2.93 or later, which writes the image anew, or delete it.')


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


def cut_off(instance: Instance) -> BlockDevice | None:
    """The root disk, if it is a volume of a volume service that is kept for the server and connected to no host: what a
    rebuild that failed leaves. By the record: nobody is asked."""
    device = find(instance)
    if device is None or not instance.host or remote.load() is None:
        return None
    return None if device.connection_info.get(block_devices.CONNECTION) else device


def check_connected(instance: Instance, method: str) -> None:
    """For what starts the guest. Raises RootVolumeCutOff."""
    device = cut_off(instance)
    if device is not None:
        raise RootVolumeCutOff(method=method, instance_uuid=instance.uuid, volume_id=device.volume_id)


def check(context: RequestContext, instance: Instance, device: BlockDevice, meta: ImageMeta, *, reimage: bool,
          trusted: Any) -> RootVolume:
    """Before microversion 2.93 (not `reimage`) the image has to be the one that the volume was made from.
    Raises ImageUnacceptable, InvalidVolume, FlavorMemoryTooSmall, Invalid, RootVolumeCutOff."""
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
    if not reimage:
        check_connected(instance, 'rebuild')
    fitting.check_volume(meta, instance.flavor, root.size)
    for one in found.values():
        _check_attached(one, is_root=one is root, reserved=one is root and (
            instance.vm_state == VMState.ERROR or cut_off(instance) is not None))
    return RootVolume(device, same)


def _check_attached(one: Volume, *, is_root: bool, reserved: bool) -> None:
    if one.shown_status == 'in-use' or (reserved and one.shown_status in LEFT):
        return
    cure = ("An operator has to look after it at the volume service: with the status 'reserved' the server can be "
            'rebuilt' if is_root else 'Detach it, or have its status mended, and rebuild then')
    raise exception.InvalidVolume(
        reason=f"volume '{one.id}' status must be 'in-use'. Currently in '{one.shown_status}' status. {cure}")
