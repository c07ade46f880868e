"""See `virt/interface/guest.py`.

A rescue changes nothing of the server's own: its disks stay where they are, its domain is made of the record at each
start, and `rescue.py` says what the record of a rescued server means.
"""
from __future__ import annotations

from oslo_log import log as logging

from minicompute import exception
from minicompute.objects import Instance, PowerState
from minicompute.virt import hardware
from minicompute.virt.driver import Progress, SpawnRequest, no_progress
from minicompute.virt.interface.guest import GuestVerbs
from minicompute.virt.interface.moves import Stop, never
from minicompute.virt.libvirt import guest, rescue
from minicompute.virt.libvirt.base import LibvirtBase, stop
from minicompute.virt.libvirt.config.base import render
from minicompute.virt.libvirt.guest import Guest

LOG = logging.getLogger(__name__)


class LibvirtGuest(LibvirtBase, GuestVerbs):
    def pause(self, instance: Instance) -> None:
        with self._watch.quiet(instance.uuid):
            guest.find(self._host, instance.uuid).pause()

    def unpause(self, instance: Instance) -> None:
        with self._watch.quiet(instance.uuid):
            found = guest.find(self._host, instance.uuid)
            found.unpause()
            self._tell_time(instance, found)

    # -- suspend -------------------------------------------------------------------

    def suspend(self, instance: Instance) -> None:
        with self._watch.quiet(instance.uuid):
            self._must_be_ours(instance.uuid)
            guest.find(self._host, instance.uuid).save()

    def resume(self, instance: Instance) -> None:
        with self._watch.quiet(instance.uuid):
            found = self._found(instance)
            if found is not None and found.running():
                found.unpause()
            elif found is not None and found.saved():
                self._networks.plug(instance)
                self._reach(instance)
                found.start()
                self._grow_in_guest(instance, found)
            else:
                LOG.warning('The memory of instance %s is lost: it boots', instance.uuid)
                self._define_and_start(instance)
                return
            self._tell_time(instance, found)

    def _found(self, instance: Instance) -> Guest | None:
        try:
            return guest.find(self._host, instance.uuid)
        except exception.DomainNotFound:
            return None

    def _tell_time(self, instance: Instance, found: Guest) -> None:
        if self._builder.hardware(instance).guest_agent:
            found.set_clock()

    # -- rescue --------------------------------------------------------------------

    def prepare_rescue(self, request: SpawnRequest, progress: Progress = no_progress) -> None:
        self._disks.make_rescue(request, self._builder.all_disks(rescue.rescued(request.instance)), progress)

    def rescue(self, instance: Instance, timeout: int, hurry: Stop = never) -> None:
        rescued, own = rescue.rescued(instance), rescue.unrescued(instance)
        with self._watch.quiet(instance.uuid):
            if self._is_made(rescued):
                return
            self._must_be_ours(instance.uuid)
            found = self._found(instance)
            if found is not None:
                stop(found, timeout, hurry)
            try:
                self._define_and_start(rescued)
            except Exception:
                # Off, and its own again: what starts it next must not find half a rescue.
                guest.define(self._host, instance.uuid, render(self._builder.domain(own)))
                rescue.remove(instance.uuid)
                raise

    def unrescue(self, instance: Instance) -> None:
        own = rescue.unrescued(instance)
        with self._watch.quiet(instance.uuid):
            if self._is_made(own):
                rescue.remove(instance.uuid)
                return
            self._must_be_ours(instance.uuid)
            found = self._found(instance)
            if found is not None:
                stop(found, 0)
            self._define_and_start(own)

    # -- looked for by the guest ---------------------------------------------------

    def trigger_crash_dump(self, instance: Instance) -> None:
        guest.find(self._host, instance.uuid).interrupt()

    def set_admin_password(self, instance: Instance, password: str) -> None:
        if not self._builder.hardware(instance).guest_agent:
            raise exception.InstanceAgentNotEnabled
        found = guest.find(self._host, instance.uuid)
        if found.power_state() != PowerState.RUNNING:
            raise exception.InstancePasswordSetFailed(
                instance=instance.uuid, reason=f'instance {instance.uuid} is not running')
        found.set_password(hardware.admin_user(instance.image_properties), password)
