"""What of an action is told, as a table: Nova's event types (without their `instance.`) by flow.

    begin   when it is accepted          steps   when a step succeeds (`step_undo`: is undone)
    done    when it has ended well       trouble when a step behind the first fails, also when another host is tried
    failed  when it has ended otherwise  (`compute_task.*` where it already failed at its first step: no host was found)

What has begun ends with `done` or `failed`, whichever daemon dies meanwhile.
"""
from __future__ import annotations

import dataclasses


@dataclasses.dataclass(slots=True, frozen=True)
class Story:
    begin: tuple[str, ...] = ()
    steps: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    done: tuple[str, ...] = ()
    trouble: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    #: where the first step is the search for a host
    homeless: tuple[str, ...] | None = None


def plain(name: str) -> Story:
    return Story(begin=(f'{name}.start',), done=(f'{name}.end',), failed=(f'{name}.error',))


STORIES = {
    'build': Story(
        steps={'schedule': ('create.start',)}, done=('create.end',), trouble=('create.error',),
        failed=('compute_task.build_instances.error',)),
    'delete': Story(
        begin=('delete.start',), steps={'destroy': ('shutdown.start', 'shutdown.end')}, done=('delete.end',),
        failed=('delete.error',)),
    'rebuild': Story(
        begin=('rebuild_scheduled',), steps={'check_host': ('rebuild.start',)}, done=('rebuild.end',),
        failed=('rebuild.error',)),
    'rebuild_volume': Story(
        begin=('rebuild_scheduled',), steps={'check_host': ('rebuild.start',)}, done=('rebuild.end',),
        failed=('rebuild.error',)),
    'evacuate': Story(
        begin=('evacuate',), steps={'claim_destination': ('rebuild_scheduled', 'rebuild.start')},
        done=('rebuild.end',), failed=('rebuild.error',), homeless=('compute_task.rebuild_server.error',)),
    'resize': Story(
        steps={'claim_destination': ('resize_prep.start',), 'prepare_destination': ('resize_prep.end', 'resize.start'),
               'finish_destination': ('resize.end', 'resize_finish.start')},
        done=('resize_finish.end',), failed=('resize.error',), homeless=('compute_task.migrate_server.error',)),
    'live-migration': Story(
        steps={'check_destination': ('live_migration_pre.start',), 'prepare_destination': ('live_migration_pre.end',),
               'prepare_destination_undo': ('live_migration_rollback_dest.start', 'live_migration_rollback_dest.end'),
               'switch': ('live_migration_post.start',),
               'finish_destination': ('live_migration_post_dest.start', 'live_migration_post_dest.end')},
        done=('live_migration_post.end',), trouble=('live_migration_rollback.start',),
        failed=('live_migration_rollback.end',), homeless=('compute_task.migrate_server.error',)),
    'shelve': Story(
        begin=('shelve.start',),
        steps={'put_on_shelf': ('shelve.end',), 'offload': ('shelve_offload.start', 'shelve_offload.end')},
        failed=('shelve.error',)),
    'confirm-resize': plain('resize_confirm'), 'revert-resize': plain('resize_revert'),
    'snapshot': plain('snapshot'), 'snapshot_volumes': plain('snapshot'),
    'attach_volume': plain('volume_attach'), 'detach_volume': plain('volume_detach'),
    'swap_volume': plain('volume_swap'), 'attach_interface': plain('interface_attach'),
    'detach_interface': plain('interface_detach'), 'start': plain('power_on'), 'stop': plain('power_off'),
    **{name: plain(name) for name in (
        'pause', 'unpause', 'suspend', 'resume', 'rescue', 'unrescue', 'trigger_crash_dump', 'reboot', 'soft_delete',
        'restore', 'shelve_offload', 'unshelve')},
}
#: flows of which nothing is told but instance.update, as in Nova
SILENT = {'set_password', 'reset_state', 'inject_network_info', 'extend_volume', 'port_deleted', 'snapshot_volume',
          'branch_volume', 'merge_volume'}

#: what the API does by itself, by the name of its action
RECORDED = {
    'lock': ('lock',), 'unlock': ('unlock',),
    'live_migration_cancel': ('live_migration_abort.start', 'live_migration_abort.end'),
    'live_migration_force_complete': (
        'live_migration_force_complete.start', 'live_migration_force_complete.end'),
}

#: event without its phase -> its payload; the others' is InstanceActionPayload
PAYLOADS = {
    'create': 'InstanceCreatePayload', 'snapshot': 'InstanceActionSnapshotPayload',
    'rebuild': 'InstanceActionRebuildPayload', 'rebuild_scheduled': 'InstanceActionRebuildPayload',
    'rescue': 'InstanceActionRescuePayload', 'resize_prep': 'InstanceActionResizePrepPayload',
    'volume_attach': 'InstanceActionVolumePayload', 'volume_detach': 'InstanceActionVolumePayload',
    'volume_swap': 'InstanceActionVolumeSwapPayload',
}

#: who tells it in Nova: the api, the conductor, the other host of a move; the others the server's host
BY_API = {'lock', 'unlock', 'evacuate'}
BY_CONDUCTOR = {'rebuild_scheduled'}
AT_DEST = {'resize_prep', 'resize_finish', 'live_migration_pre', 'live_migration_post_dest',
           'live_migration_rollback_dest', 'rebuild'}
AT_SOURCE = {'live_migration_post', 'live_migration_rollback', 'resize'}
