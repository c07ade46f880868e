"""Pause, suspend, rescue, crash dump, and the administrator's password."""
from __future__ import annotations

import functools
import time
from typing import Any

from minicompute import exception
from minicompute.compute.api import begin, fitting, lookup
from minicompute.compute.api.power import shutdown_timeout
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions, services, system_metadata
from minicompute.image import base as image
from minicompute.objects import Action, ActionState, ImageMeta, Instance, to_primitive
from minicompute.virt import hardware, password

#: seconds that a caller waits for the answer of the guest's agent, for which its host waits five
PATIENCE = 15.0
#: between two looks whether it is there: at first often, as most answer at once
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
#: what a rescue disk can be to the guest
RESCUE_DEVICES = ('disk', 'cdrom')
#: the trait of a host that keeps all disks of a rescued server where they are
RESCUE_OF_VOLUMES = 'COMPUTE_RESCUE_BFV'


def pause(context: RequestContext, instance: Instance) -> None:
    begin.direct(context, instance, 'pause', 'pause', 'pause')


def unpause(context: RequestContext, instance: Instance) -> None:
    begin.direct(context, instance, 'unpause', 'unpause', 'unpause')


def suspend(context: RequestContext, instance: Instance) -> None:
    begin.direct(context, instance, 'suspend', 'suspend', 'suspend')


def resume(context: RequestContext, instance: Instance) -> None:
    begin.direct(context, instance, 'resume', 'resume', 'resume')


def trigger_crash_dump(context: RequestContext, instance: Instance) -> None:
    begin.direct(context, instance, 'trigger_crash_dump', 'crash_dump', 'trigger_crash_dump')


# -- rescue --------------------------------------------------------------------

def rescue(context: RequestContext, instance: Instance, admin_password: str, image_id: str | None,
           volume_backed_too: bool) -> None:
    """From the image, or from that which the server was made of.

    Raises UnsupportedRescueImage, UnsupportedRescueDevice, UnsupportedRescueBus, InstanceNotRescuable,
    ImageNotActive, FlavorDiskTooSmall, and what begin.flow raises.
    """
    begin.check(context, instance, 'rescue', 'rescue')
    if not instance.host:
        raise exception.InstanceNotReady(instance_id=instance.uuid)
    meta = _rescue_image(context, instance, image_id)
    said = _rescue_facts(meta)
    _check_root(instance, volume_backed_too and bool(said['rescue_device'] or said['rescue_bus']))
    _check_fit(instance, meta, said)
    kernel, ramdisk = (lookup.part(context, meta, name) for name in ('kernel_id', 'ramdisk_id'))
    data = {'image': to_primitive(meta), 'kernel': to_primitive(kernel), 'ramdisk': to_primitive(ramdisk),
            'timeout': shutdown_timeout(instance), 'secret': {'admin_password': admin_password}}
    begin.flow(context, instance, 'rescue', 'rescue', 'rescue', 'prepare_rescue', data=data,
               write=lambda conn, action: system_metadata.merge(conn, instance.uuid, said))


def unrescue(context: RequestContext, instance: Instance) -> None:
    begin.direct(context, instance, 'unrescue', 'unrescue', 'unrescue')


def _rescue_image(context: RequestContext, instance: Instance, image_id: str | None) -> ImageMeta:
    wanted = image_id or instance.image_ref
    if not wanted:
        raise exception.InstanceNotRescuable(
            instance_id=instance.uuid, reason='it was not made of an image; name one as rescue_image_ref')
    try:
        meta = image.load().show(context, wanted)
    except exception.ImageNotFound:
        if image_id:
            raise exception.UnsupportedRescueImage(image=image_id) from None
        raise exception.InstanceNotRescuable(
            instance_id=instance.uuid,
            reason=f'its image {wanted} could not be found; name one as rescue_image_ref') from None
    if meta.properties.get('img_block_device_mapping') or meta.properties.get('block_device_mapping'):
        raise exception.UnsupportedRescueImage(image=wanted)
    if meta.status != 'active':
        raise exception.ImageNotActive(image_id=wanted)
    return meta


def _rescue_facts(meta: ImageMeta) -> dict[str, Any]:
    """What each start of the rescued server needs to know; None clears what an earlier rescue left."""
    device, bus = meta.properties.get('hw_rescue_device'), meta.properties.get('hw_rescue_bus')
    if device and device not in RESCUE_DEVICES:
        raise exception.UnsupportedRescueDevice(device=device)
    if bus and (bus not in hardware.DISK_BUSES or bus == 'fdc' or device == 'cdrom' and bus == 'virtio'):
        raise exception.UnsupportedRescueBus(bus=bus)
    return {'rescue_image_ref': meta.id, 'rescue_device': device or None, 'rescue_bus': bus or None}


def _check_root(instance: Instance, may_be_volume: bool) -> None:
    root = next((device for device in instance.block_devices if device.boot_index == 0), None)
    if root is None or root.destination_type != 'volume':
        return
    if not may_be_volume:
        raise exception.InstanceNotRescuable(instance_id=instance.uuid, reason='Cannot rescue a volume-backed instance')
    with session.read() as conn:
        nodes = [found.node for found in services.hypervisors(conn, host=instance.host)]
    if not any(RESCUE_OF_VOLUMES in node.traits for node in nodes if node.hypervisor_hostname == instance.node):
        raise exception.InstanceNotRescuable(instance_id=instance.uuid,
                                             reason='Host unable to rescue a volume-backed instance')


def _check_fit(instance: Instance, meta: ImageMeta, said: dict[str, Any]) -> None:
    """A disk that the guest can fill is no larger than its root disk."""
    room = hardware.root_gb(instance)
    needed = max(meta.size or 0, meta.virtual_size or 0)
    if said['rescue_device'] != 'cdrom' and room and needed > room * fitting.GIB:
        raise exception.FlavorDiskTooSmall(flavor_gb=room, image_gb=-(-needed // fitting.GIB))


# -- passwords -----------------------------------------------------------------

def set_password(context: RequestContext, instance: Instance, new: str) -> None:
    """Have the agent in the guest change it, and wait for its answer. An answer that takes longer than `PATIENCE` is
    in the action log.

    Raises Conflict when it could not be set, NotImplementedHere when nobody in the guest answers.
    """
    action = begin.direct(context, instance, 'changePassword', 'set_password', 'set_admin_password',
                          flow='set_password', secret={'admin_password': new})
    ended = _ended(action)
    if ended is None or ended.state == ActionState.DONE:
        return
    error = ended.data.get('error') or {}
    if error.get('code') == 501:
        raise exception.NotImplementedHere('Unable to set password on instance')
    if error.get('code') == 409:
        raise exception.Conflict(str(error.get('message')))
    raise exception.InstancePasswordSetFailed(instance=instance.uuid, reason='error setting admin password')


def _ended(action: Action) -> Action | None:
    """The action as it ended; None while it runs on."""
    until, pause = time.monotonic() + PATIENCE, FIRST_PAUSE
    while True:
        with session.read() as conn:
            found = actions.load(conn, [action.id or 0])
        if found and found[0].state in ActionState.ENDED:
            return found[0]
        left = until - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE)


def sealed_password(instance: Instance) -> str:
    """As the owner of the server's key can open it; '' when there is none."""
    return password.from_metadata(instance.system_metadata)


def forget_password(instance: Instance) -> None:
    session.write(functools.partial(
        system_metadata.merge, uuid=instance.uuid, changes=password.to_metadata(None)))
