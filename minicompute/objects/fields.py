"""The words of the field: states, in one place."""
from __future__ import annotations


class Binary:
    """The names that clients of Nova know the daemons by."""

    COMPUTE = 'nova-compute'
    CONDUCTOR = 'nova-conductor'
    SCHEDULER = 'nova-scheduler'


class VMState:
    ACTIVE = 'active'
    BUILDING = 'building'
    PAUSED = 'paused'
    SUSPENDED = 'suspended'
    STOPPED = 'stopped'
    RESCUED = 'rescued'
    RESIZED = 'resized'
    SOFT_DELETED = 'soft-delete'
    DELETED = 'deleted'
    ERROR = 'error'
    SHELVED = 'shelved'
    SHELVED_OFFLOADED = 'shelved_offloaded'


class TaskState:
    SCHEDULING = 'scheduling'
    BLOCK_DEVICE_MAPPING = 'block_device_mapping'
    NETWORKING = 'networking'
    SPAWNING = 'spawning'
    POWERING_ON = 'powering-on'
    POWERING_OFF = 'powering-off'
    REBOOTING = 'rebooting'
    REBOOTING_HARD = 'rebooting_hard'
    REBOOT_PENDING = 'reboot_pending'
    REBOOT_STARTED = 'reboot_started'
    PAUSING = 'pausing'
    UNPAUSING = 'unpausing'
    SUSPENDING = 'suspending'
    RESUMING = 'resuming'
    DELETING = 'deleting'
    SOFT_DELETING = 'soft-deleting'


class PowerState:
    NOSTATE = 0
    RUNNING = 1
    PAUSED = 3
    SHUTDOWN = 4
    CRASHED = 6
    SUSPENDED = 7

    NAMES = {0: 'pending', 1: 'running', 3: 'paused', 4: 'shutdown', 6: 'crashed', 7: 'suspended'}
