from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_NUMBER = {'type': ['integer', 'null']}


def _numbers(*names: str, **more: types.Schema) -> types.Schema:
    properties = {**dict.fromkeys(names, _NUMBER), **more}
    return types.closed(properties, required=list(properties))


def _each(schema: types.Schema) -> types.Schema:
    return {'type': 'array', 'items': schema}


_whole = {
    'state': {'enum': ['pending', 'running', 'paused', 'shutdown', 'crashed', 'suspended']},
    'driver': {'enum': ['libvirt', 'fake']}, 'hypervisor': types.NULLABLE_STRING,
    'hypervisor_os': types.NULLABLE_STRING, 'config_drive': {'type': 'boolean'},
    **dict.fromkeys(('uptime', 'num_cpus', 'num_nics', 'num_disks'), _NUMBER),
    'cpu_details': _each(_numbers('id', 'time', 'utilisation')),
    'disk_details': _each(_numbers('read_bytes', 'read_requests', 'write_bytes', 'write_requests', 'errors_count')),
    'nic_details': _each(_numbers(*(f'{way}_{what}' for way in ('rx', 'tx') for what in (
        'octets', 'packets', 'errors', 'drop', 'rate')), mac_address=types.NULLABLE_STRING)),
    'memory_details': _numbers('maximum', 'used'),
}
# Before 2.48 each driver has its own names.
answer = Schemas({'2.1': {'type': 'object', 'additionalProperties': types.INTEGER},
                  '2.48': types.closed(_whole, required=list(_whole))})
