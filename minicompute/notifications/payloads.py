"""The payloads of Nova's versioned notifications: their names, versions and fields.

Each function gives {'nova_object.name', 'nova_object.namespace', 'nova_object.version', 'nova_object.data'}.  What is
secret (passwords, user data, connection_info, tokens, tracebacks) has no way in: fields are named here one by one.
"""
from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minicompute.conf import CONF
from minicompute.objects import (
    VIF,
    Aggregate,
    BlockDevice,
    Flavor,
    Instance,
    InstanceGroup,
    KeyPair,
    PowerState,
    RequestSpec,
    Service,
)
from minicompute.objects.image_meta import KNOWN_PROPERTIES

Payload = dict[str, Any]

#: name of the payload of a server -> its version; all have what InstancePayload has
VERSIONS = {'InstanceActionPayload': '1.9', 'InstanceCreatePayload': '1.13', 'InstanceActionVolumePayload': '1.7',
            'InstanceActionVolumeSwapPayload': '1.9', 'InstanceActionResizePrepPayload': '1.4',
            'InstanceActionRescuePayload': '1.4', 'InstanceActionRebuildPayload': '1.10',
            'InstanceActionSnapshotPayload': '1.10', 'InstanceUpdatePayload': '2.1', 'InstanceExistsPayload': '2.1'}


@dataclasses.dataclass(slots=True, frozen=True)
class Asker:
    """Who asked for it. None: nobody did."""

    user_id: str | None = None
    project_id: str | None = None
    request_id: str | None = None


def wrap(name: str, version: str, data: Payload) -> Payload:
    return {'nova_object.name': name, 'nova_object.namespace': 'nova', 'nova_object.version': version,
            'nova_object.data': data}


def when(moment: datetime.datetime | None) -> str | None:
    return moment.strftime('%Y-%m-%dT%H:%M:%SZ') if moment is not None else None


# -- servers ---------------------------------------------------------------------

def server(name: str, one: Instance, asker: Asker, **more: Any) -> Payload:
    """`name` is one of VERSIONS, `more` what it has beside InstancePayload."""
    says = one.image_properties
    told = {'uuid': one.uuid, 'user_id': one.user_id, 'tenant_id': one.project_id,
            'reservation_id': one.reservation_id, 'display_name': one.display_name,
            'display_description': one.display_description, 'host_name': one.hostname, 'host': one.host,
            'node': one.node, 'os_type': says.get('os_type'),
            'architecture': says.get('hw_architecture') or says.get('architecture'),
            'availability_zone': one.availability_zone, 'flavor': flavor(one.flavor) if one.flavor else None,
            'image_uuid': one.image_ref, 'key_name': one.key_name, 'kernel_id': one.kernel_id,
            'ramdisk_id': one.ramdisk_id, 'created_at': when(one.created_at), 'launched_at': when(one.launched_at),
            'terminated_at': when(one.terminated_at), 'deleted_at': when(one.deleted_at),
            'updated_at': when(one.updated_at), 'state': one.vm_state,
            'power_state': PowerState.NAMES.get(one.power_state, 'pending'), 'task_state': one.task_state,
            'progress': one.progress, 'ip_addresses': addresses(one.network_info),
            'block_devices': volumes(one.block_devices) if CONF.notifications.bdms_in_notifications else None,
            'metadata': dict(one.metadata), 'locked': one.locked,
            'auto_disk_config': 'AUTO' if one.auto_disk_config else 'MANUAL', 'request_id': asker.request_id,
            'action_initiator_user': asker.user_id, 'action_initiator_project': asker.project_id,
            'locked_reason': one.locked_reason,
            'shares': [] if CONF.notifications.include_share_mapping else None}
    return wrap(name, VERSIONS[name], {**told, **more})


def addresses(cards: Iterable[VIF]) -> list[Payload]:
    return [wrap('IpPayload', '1.0', {
        'label': card.network_name, 'mac': card.mac_address, 'meta': {}, 'port_uuid': card.id, 'version': ip.version,
        'address': ip.address, 'device_name': card.devname}) for card in cards for ip in card.fixed_ips]


def volumes(devices: Iterable[BlockDevice]) -> list[Payload]:
    return [wrap('BlockDevicePayload', '1.0', {
        'device_name': one.device_name, 'boot_index': one.boot_index,
        'delete_on_termination': one.delete_on_termination, 'volume_id': one.volume_id, 'tag': one.tag})
        for one in devices if one.volume_id is not None]


def period(begins: datetime.datetime, ends: datetime.datetime) -> Payload:
    return wrap('AuditPeriodPayload', '1.0', {
        'audit_period_beginning': when(begins), 'audit_period_ending': when(ends)})


def states(before: Sequence[str | None], one: Instance) -> Payload:
    """`before`: (vm_state, task_state)."""
    return wrap('InstanceStateUpdatePayload', '1.0', {
        'old_state': before[0], 'state': one.vm_state, 'old_task_state': before[1], 'new_task_state': one.task_state})


def fault(error: Mapping[str, Any], flow: str) -> Payload:
    """Why an action failed, in the words that its user reads. A traceback may hold anything: it is not told."""
    return wrap('ExceptionPayload', '1.1', {
        'module_name': f'minicompute.conductor.flows.{flow}', 'function_name': str(error.get('step') or flow),
        'exception': str(error.get('kind') or 'StepFailed'), 'exception_message': str(error.get('message') or ''),
        'traceback': ''})


# -- what is asked for ---------------------------------------------------------------

def task(one: Instance, spec: RequestSpec | None, error: Mapping[str, Any], flow: str) -> Payload:
    return wrap('ComputeTaskPayload', '1.0', {
        'instance_uuid': one.uuid, 'request_spec': request_spec(one.uuid, spec) if spec else None,
        'state': one.vm_state, 'reason': fault(error, flow)})


def request_spec(uuid: str, spec: RequestSpec) -> Payload:
    place = spec.requested_host
    hints = {name: [str(one) for one in (value if isinstance(value, list) else [value])]
             for name, value in spec.scheduler_hints.items()}
    return wrap('RequestSpecPayload', '1.1', {
        'instance_uuid': uuid, 'project_id': spec.project_id, 'user_id': spec.user_id,
        'availability_zone': spec.availability_zone, 'flavor': flavor(spec.flavor) if spec.flavor else None,
        'force_hosts': spec.force_host, 'force_nodes': spec.force_node, 'ignore_hosts': list(spec.ignore_hosts) or None,
        'image': image(spec) if spec.image_id else None,
        'instance_group': group(spec.group) if spec.group is not None else None, 'numa_topology': None,
        'pci_requests': None, 'num_instances': spec.num_instances,
        'requested_destination': wrap('DestinationPayload', '1.0', {
            'host': place, 'node': spec.requested_node, 'cell': None, 'aggregates': None}) if place else None,
        'retry': None, 'scheduler_hints': hints, 'security_groups': [str(one) for one in spec.security_groups]})


def image(spec: RequestSpec) -> Payload:
    properties = {name: value for name, value in spec.image_properties.items() if name in KNOWN_PROPERTIES
                  and name != 'hw_ephemeral_encryption_secret_uuid'}
    told = dict.fromkeys(('name', 'status', 'visibility', 'protected', 'checksum', 'owner', 'size', 'virtual_size',
                          'container_format', 'disk_format', 'created_at', 'updated_at', 'tags', 'direct_url'))
    return wrap('ImageMetaPayload', '1.0', {
        **told, 'id': spec.image_id, 'min_ram': spec.image_min_ram, 'min_disk': spec.image_min_disk,
        'properties': wrap('ImageMetaPropsPayload', '1.20', properties)})


# -- nouns -------------------------------------------------------------------------

def flavor(one: Flavor, projects: list[str] | None = None) -> Payload:
    """`projects` None: a server's own copy, of which nobody knows who else may use it."""
    return wrap('FlavorPayload', '1.4', {
        'flavorid': one.flavorid, 'memory_mb': one.memory_mb, 'vcpus': one.vcpus, 'root_gb': one.root_gb,
        'ephemeral_gb': one.ephemeral_gb, 'name': one.name, 'swap': one.swap, 'rxtx_factor': one.rxtx_factor,
        'vcpu_weight': 0, 'disabled': one.disabled, 'is_public': one.is_public, 'extra_specs': dict(one.extra_specs),
        'projects': projects, 'description': one.description})


def keypair(one: KeyPair) -> Payload:
    return wrap('KeypairPayload', '1.0', {
        'user_id': one.user_id, 'name': one.name, 'public_key': one.public_key, 'fingerprint': one.fingerprint,
        'type': one.type})


def aggregate(one: Aggregate) -> Payload:
    return wrap('AggregatePayload', '1.1', {
        'id': one.id, 'uuid': one.uuid, 'name': one.name, 'hosts': list(one.hosts), 'metadata': dict(one.metadata)})


def group(one: InstanceGroup) -> Payload:
    return wrap('ServerGroupPayload', '1.1', {
        'uuid': one.uuid, 'name': one.name, 'user_id': one.user_id, 'project_id': one.project_id,
        'policies': [one.policy], 'members': list(one.members), 'hosts': list(one.hosts) or None,
        'policy': one.policy, 'rules': {name: str(value) for name, value in one.rules.items()}})


def service(one: Service, zone: str | None) -> Payload:
    return wrap('ServiceStatusPayload', '1.1', {
        'host': one.host, 'binary': one.binary, 'topic': one.topic, 'report_count': one.report_count,
        'disabled': one.disabled, 'disabled_reason': one.disabled_reason, 'availability_zone': zone,
        'last_seen_up': when(one.last_seen_up), 'forced_down': one.forced_down, 'version': one.version,
        'uuid': one.uuid})
