"""Answers that show servers, field by field as the microversions brought them."""
from __future__ import annotations

from typing import Any

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

Schema = types.Schema
_BOOLEAN: Schema = {'type': 'boolean'}
_OBJECT: Schema = {'type': 'object'}
_ZONE: Schema = types.NULLABLE_STRING

ADDRESSES: Schema = {'type': 'object', 'additionalProperties': {'type': 'array', 'items': types.closed({
    'version': {'enum': [4, 6]}, 'addr': types.STRING, 'OS-EXT-IPS:type': {'enum': ['fixed', 'floating']},
    'OS-EXT-IPS-MAC:mac_addr': types.STRING}, required=['version', 'addr'])}}
_FAULT = types.closed({'code': types.INTEGER, 'created': types.STRING, 'message': types.STRING,
                       'details': types.STRING}, required=['code', 'created', 'message'])
_FLAVOR = types.closed({'id': types.STRING, 'links': types.LINKS}, required=['id', 'links'])
_FLAVOR_2_47 = types.closed({
    'vcpus': types.INTEGER, 'ram': types.INTEGER, 'disk': types.INTEGER, 'ephemeral': types.INTEGER,
    'swap': types.INTEGER, 'original_name': types.STRING, 'extra_specs': _OBJECT},
    required=['vcpus', 'ram', 'disk', 'ephemeral', 'swap', 'original_name'])


def _image(**more: Schema) -> Schema:
    return {'anyOf': [{'const': ''}, types.closed({'id': types.STRING, 'links': types.LINKS, **more},
                                                  required=['id', 'links', *more])]}


# Fields that every server has, and those that depend on its state, host or viewer.
_core: dict[str, Schema] = {
    'id': types.STRING, 'name': types.STRING, 'status': types.STRING, 'tenant_id': types.STRING,
    'user_id': types.STRING, 'metadata': _OBJECT, 'hostId': types.STRING, 'image': _image(), 'flavor': _FLAVOR,
    'created': types.STRING, 'updated': types.STRING, 'addresses': ADDRESSES, 'accessIPv4': types.STRING,
    'accessIPv6': types.STRING, 'links': types.LINKS, 'OS-DCF:diskConfig': {'enum': ['AUTO', 'MANUAL']}}
_perhaps: dict[str, Schema] = {'progress': types.INTEGER, 'fault': _FAULT}
_extended: dict[str, Schema] = {
    'OS-EXT-AZ:availability_zone': types.STRING, 'config_drive': {'enum': ['True', '']},
    'key_name': types.NULLABLE_STRING, 'OS-SRV-USG:launched_at': types.NULLABLE_STRING,
    'OS-SRV-USG:terminated_at': types.NULLABLE_STRING, 'OS-EXT-STS:task_state': types.NULLABLE_STRING,
    'OS-EXT-STS:vm_state': types.STRING, 'OS-EXT-STS:power_state': types.INTEGER,
    'os-extended-volumes:volumes_attached': {'type': 'array', 'items': types.closed(
        {'id': types.STRING}, required=['id'])}}
_extended_perhaps: dict[str, Schema] = {
    'security_groups': {'type': 'array', 'items': types.closed({'name': types.STRING}, required=['name'])},
    **{f'OS-EXT-SRV-ATTR:{name}': types.NULLABLE_STRING for name in ('host', 'hypervisor_hostname', 'instance_name')}}
_ATTRIBUTES_2_3: dict[str, Schema] = {
    **{f'OS-EXT-SRV-ATTR:{name}': types.NULLABLE_STRING
       for name in ('hostname', 'reservation_id', 'kernel_id', 'ramdisk_id', 'root_device_name', 'user_data')},
    'OS-EXT-SRV-ATTR:launch_index': types.INTEGER}
_VOLUMES_2_3: dict[str, Schema] = {'os-extended-volumes:volumes_attached': {'type': 'array', 'items': types.closed(
    {'id': types.STRING, 'delete_on_termination': _BOOLEAN}, required=['id', 'delete_on_termination'])}}
_HOST_STATUS: dict[str, Schema] = {'host_status': {'enum': ['UP', 'DOWN', 'UNKNOWN', 'MAINTENANCE', '']}}

Step = tuple[str, dict[str, Schema], dict[str, Schema]]       # version, fields of all, fields of some
_BOTH: tuple[Step, ...] = (
    ('2.9', {'locked': _BOOLEAN}, {}),
    ('2.19', {'description': types.NULLABLE_STRING}, {}),
    ('2.26', {'tags': {'type': 'array', 'items': types.STRING}}, {}),
    ('2.47', {'flavor': _FLAVOR_2_47}, {}),
    ('2.63', {'trusted_image_certificates': {'type': ['array', 'null'], 'items': types.STRING}}, {}),
    ('2.73', {'locked_reason': types.NULLABLE_STRING}, {}),
    ('2.90', {'OS-EXT-SRV-ATTR:hostname': types.NULLABLE_STRING}, {}),
    ('2.96', {'pinned_availability_zone': _ZONE}, {}),
    ('2.98', {'image': _image(properties=_OBJECT)}, {}),
    ('2.100', {'scheduler_hints': _OBJECT}, {}),
)
_FULL: tuple[Step, ...] = (('2.3', _VOLUMES_2_3, _ATTRIBUTES_2_3), ('2.16', {}, _HOST_STATUS))
_GROUPS: Step = ('2.71', {'server_groups': {'type': 'array', 'items': types.STRING}}, {})


def _grown(steps: tuple[Step, ...], required: dict[str, Schema], optional: dict[str, Schema]) -> dict[str, Schema]:
    """{version: the object as it has grown until then}"""
    found = {}
    for version, more, maybe in (('2.1', required, optional), *sorted(steps, key=lambda step: _number(step[0]))):
        required, optional = {**required, **more}, {**optional, **maybe}
        optional = {name: schema for name, schema in optional.items() if name not in required}
        found[version] = types.closed({**required, **optional}, required=list(required))
    return found


def _number(version: str) -> int:
    return int(version.partition('.')[2])


_detail = _grown((*_BOTH, *_FULL), {**_core, **_extended}, {**_perhaps, **_extended_perhaps})
_show = _grown((*_BOTH, *_FULL, _GROUPS), {**_core, **_extended}, {**_perhaps, **_extended_perhaps})
_brief = _grown((*_BOTH, _GROUPS), _core, _perhaps)
_update = {**{version: schema for version, schema in _brief.items() if _number(version) < 75},
           '2.75': _show['2.73'], **{version: schema for version, schema in _show.items() if _number(version) > 75}}
# A rebuild is answered as an update, with what else it may have changed.
_KEY: Step = ('2.54', {'key_name': types.NULLABLE_STRING}, {})
_USER_DATA: Step = ('2.57', {'user_data': types.NULLABLE_STRING}, {})
_ADMIN_PASS: dict[str, Schema] = {'adminPass': types.STRING}
_rebuild_brief = _grown((*_BOTH, _GROUPS, _KEY, _USER_DATA), _core, {**_perhaps, **_ADMIN_PASS})
_rebuild_full = _grown((*_BOTH, *_FULL, _GROUPS, _USER_DATA), {**_core, **_extended},
                       {**_perhaps, **_extended_perhaps, **_ADMIN_PASS})
_rebuild = {**{version: schema for version, schema in _rebuild_brief.items() if _number(version) < 75},
            '2.75': _rebuild_full['2.73'],
            **{version: schema for version, schema in _rebuild_full.items() if _number(version) > 75}}
# What `user_data` says is not said twice.
_rebuild = {version: types.extended(schema, **{'OS-EXT-SRV-ATTR:user_data': None})
            for version, schema in _rebuild.items()}


def _page(row: Any) -> Schema:
    return types.closed({'servers': {'type': 'array', 'items': row}, 'servers_links': types.LINKS},
                        required=['servers'])


index = Schemas({'2.1': _page(types.closed({'id': types.STRING, 'name': types.STRING, 'links': types.LINKS},
                                           required=['id', 'name', 'links']))})
detail = Schemas({version: _page(row) for version, row in _detail.items()})
show = Schemas({version: types.single('server', row) for version, row in _show.items()})
update = Schemas({version: types.single('server', row) for version, row in _update.items()})
rebuild = Schemas({version: types.single('server', row) for version, row in _rebuild.items()})
create = Schemas({'2.1': {'oneOf': [
    types.single('reservation_id', types.STRING),
    types.single('server', types.closed({
        'id': types.STRING, 'links': types.LINKS, 'OS-DCF:diskConfig': {'enum': ['AUTO', 'MANUAL']},
        'security_groups': {'type': 'array', 'items': types.closed({'name': types.STRING})},
        'adminPass': types.STRING}, required=['id', 'links', 'OS-DCF:diskConfig', 'security_groups']))]}})
