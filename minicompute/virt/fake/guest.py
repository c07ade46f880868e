"""See `virt/interface/guest.py`. A domain that is rescued has `.rescue` at the end of its name."""
from __future__ import annotations

from minicompute import exception
from minicompute.objects import Instance, PowerState
from minicompute.virt.fake.base import FakeBase, domain_name
from minicompute.virt.interface.guest import GuestVerbs
from minicompute.virt.interface.moves import Stop, never
from minicompute.virt.request import Progress, SpawnRequest, no_progress

_OFF = (PowerState.SHUTDOWN, PowerState.CRASHED, PowerState.NOSTATE)


class FakeGuest(FakeBase, GuestVerbs):
    def pause(self, instance: Instance) -> None:
        self._fault('pause', instance.uuid)
        self._running(instance)
        self._change(instance.uuid, PowerState.PAUSED)
        self._fault('pause.after', instance.uuid)

    def unpause(self, instance: Instance) -> None:
        self._fault('unpause', instance.uuid)
        self._running(instance)
        self._change(instance.uuid, PowerState.RUNNING)
        self._fault('unpause.after', instance.uuid)

    def suspend(self, instance: Instance) -> None:
        """Off, as libvirt's are: whether memory was saved is not told apart from whether any was there."""
        self._fault('suspend', instance.uuid)
        self._change(instance.uuid, PowerState.SHUTDOWN)
        self._fault('suspend.after', instance.uuid)

    def resume(self, instance: Instance) -> None:
        self._fault('resume', instance.uuid)
        self._write(instance.uuid, instance.name, PowerState.RUNNING)
        self._fault('resume.after', instance.uuid)

    def prepare_rescue(self, request: SpawnRequest, progress: Progress = no_progress) -> None:
        self._fault('prepare_rescue', request.instance.uuid)
        progress('disks', None)
        self._fault('prepare_rescue.after', request.instance.uuid)

    def rescue(self, instance: Instance, timeout: int, hurry: Stop = never) -> None:
        self._fault('rescue', instance.uuid)
        self._write(instance.uuid, domain_name(instance, rescued=True), PowerState.RUNNING)
        self._fault('rescue.after', instance.uuid)

    def unrescue(self, instance: Instance) -> None:
        self._fault('unrescue', instance.uuid)
        self._write(instance.uuid, domain_name(instance, rescued=False), PowerState.RUNNING)
        self._fault('unrescue.after', instance.uuid)

    def trigger_crash_dump(self, instance: Instance) -> None:
        self._fault('trigger_crash_dump', instance.uuid)
        self._running(instance)
        self._fault('trigger_crash_dump.after', instance.uuid)

    def set_admin_password(self, instance: Instance, password: str) -> None:
        self._fault('set_admin_password', instance.uuid)
        self._running(instance)
        self._fault('set_admin_password.after', instance.uuid)

    def _running(self, instance: Instance) -> None:
        if self._read(instance.uuid).power_state in _OFF:
            raise exception.InstanceNotRunning(instance_id=instance.uuid)
