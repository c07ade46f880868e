"""Query strings of the lists of servers, and of what else is asked of one server."""
from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

#: sort keys that were columns of Nova once: taken without effect up to 2.74
IGNORED_SORT_KEYS = (
    'architecture', 'cell_name', 'cleaned', 'default_ephemeral_device', 'default_swap_device', 'deleted',
    'deleted_at', 'disable_terminate', 'ephemeral_gb', 'ephemeral_key_uuid', 'id', 'key_data', 'launched_on',
    'memory_mb', 'os_type', 'reservation_id', 'root_gb', 'shutdown_terminate', 'user_data', 'vcpus', 'vm_mode')
SORT_KEYS = (
    'access_ip_v4', 'access_ip_v6', 'auto_disk_config', 'availability_zone', 'config_drive', 'created_at',
    'display_description', 'display_name', 'host', 'hostname', 'image_ref', 'instance_type_id', 'kernel_id',
    'key_name', 'launch_index', 'launched_at', 'locked_by', 'node', 'power_state', 'progress', 'project_id',
    'ramdisk_id', 'root_device_name', 'task_state', 'terminated_at', 'updated_at', 'user_id', 'uuid', 'vm_state')
#: parameters that once named joined tables: known, and refused to those who may use all filters
JOINED = ('block_device_mapping', 'services', 'metadata', 'system_metadata', 'info_cache', 'security_groups',
          'pci_devices')
_REGEX = {'type': 'string', 'format': 'regex', 'maxLength': 255}
_TIMES = ('created_at', 'launched_at', 'terminated_at')
_TEXTS = ('user_id', 'project_id', 'tenant_id', 'launch_index', 'image_ref', 'image', 'vm_state', 'task_state', 'host',
          'uuid', 'sort_dir', 'all_tenants', 'soft_deleted', 'deleted', 'status', *JOINED)
_PATTERNS = ('kernel_id', 'ramdisk_id', 'hostname', 'key_name', 'power_state', 'node', 'flavor', 'reservation_id',
             'availability_zone', 'name', 'display_name', 'description', 'display_description', 'locked_by',
             'root_device_name', 'config_drive', 'access_ip_v4', 'access_ip_v6', 'auto_disk_config', 'progress',
             'ip', 'ip6')


def _sort_keys(*names: str) -> types.Schema:
    return types.many({'type': 'string', 'enum': sorted(names)})


_base = {
    **{name: types.many(types.QUERY_TEXT) for name in _TEXTS}, **{name: types.many(_REGEX) for name in _PATTERNS},
    **{name: types.many(types.QUERY_TEXT) for name in _TIMES}, **types.PAGING,
    'changes-since': types.many(types.DATE_TIME), 'sort_key': _sort_keys(*SORT_KEYS, *IGNORED_SORT_KEYS, 'locked')}
_2_26 = {**_base, **{name: types.many(types.QUERY_TEXT) for name in ('tags', 'tags-any', 'not-tags', 'not-tags-any')}}
_2_66 = {**_2_26, 'changes-before': types.many(types.DATE_TIME)}
_2_73 = {**_2_66, 'locked': types.many(types.QUERY_TEXT)}
_2_75 = {**_2_73, 'sort_key': _sort_keys(*SORT_KEYS, 'locked')}
#: names that begin so were once the columns' own business: known, and refused as the joined tables
_INTERNAL = {'patternProperties': {'^_': types.many(types.QUERY_TEXT)}}
_versions = {'2.1': _base, '2.26': _2_26, '2.66': _2_66, '2.73': _2_73, '2.75': _2_75}
index = Schemas({version: {**types.query(known, strict=version == '2.75'), **_INTERNAL}
                 for version, known in _versions.items()})

#: of what takes no parameters: refused from 2.102 on
nothing = Schemas({'2.1': types.query({}), '2.102': types.query({}, strict=True)})
