"""Bodies of create and update."""
from __future__ import annotations

from typing import Any

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

Schema = types.Schema

DISK_CONFIG: Schema = {'type': 'string', 'enum': ['AUTO', 'MANUAL']}
TAG: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 60, 'pattern': types.whole('[^,/]*')}
TAGS: Schema = {'type': 'array', 'items': TAG, 'maxItems': 50}
TRUSTED_CERTS: Schema = {
    'type': ['array', 'null'], 'minItems': 1, 'maxItems': 50, 'uniqueItems': True,
    'items': {'type': 'string', 'minLength': 1}}
ACCESS_IPV4: Schema = {'type': 'string', 'anyOf': [{'format': 'ipv4'}, {'maxLength': 0}]}
ACCESS_IPV6: Schema = {'type': 'string', 'anyOf': [{'format': 'ipv6'}, {'maxLength': 0}]}
USER_DATA: Schema = {'type': 'string', 'format': 'base64', 'maxLength': 65535}
FLAVOR_REF: Schema = {'type': ['string', 'integer'], 'minLength': 1}
_DEVICE_TAG: Schema = {**TAG}
_SIZE: Schema = {'type': ['integer', 'string'], 'minimum': 1, 'maximum': types.MAX_INTEGER,
                 'pattern': types.whole('[0-9]{1,10}')}
_SHORT: Schema = {'type': 'string', 'maxLength': 255}

PERSONALITY: Schema = {'type': 'array', 'items': types.closed({
    'path': {'type': 'string'}, 'contents': {'type': 'string', 'format': 'base64'}}, required=['path', 'contents'])}

_network: dict[str, Schema] = {'fixed_ip': types.IP, 'port': types.NULLABLE_UUID, 'uuid': {'type': 'string'}}


def _networks(**more: Schema) -> Schema:
    return {'type': 'array', 'items': types.closed({**_network, **more})}


def _networks_or_mode(**more: Schema) -> Schema:
    return {'oneOf': [_networks(uuid=types.UUID, **more), {'type': 'string', 'enum': ['none', 'auto']}]}


_device_v1: dict[str, Schema] = {
    'virtual_name': _SHORT, 'volume_id': types.UUID, 'snapshot_id': types.UUID, 'volume_size': _SIZE,
    'device_name': {'type': 'string', 'minLength': 1, 'maxLength': 255, 'pattern': types.whole('[a-zA-Z0-9._/-]+')},
    'delete_on_termination': types.BOOLEAN, 'no_device': {}, 'connection_info': {'type': 'string'}}
_device_v2: dict[str, Schema] = {
    **_device_v1,
    'source_type': {'type': 'string', 'enum': ['volume', 'image', 'snapshot', 'blank']},
    'destination_type': {'type': 'string', 'enum': ['local', 'volume']},
    'uuid': {'type': 'string', 'minLength': 1, 'maxLength': 36, 'pattern': types.whole('[a-zA-Z0-9._-]+')},
    'image_id': types.UUID, 'guest_format': _SHORT, 'device_type': {'type': 'string', 'maxLength': 16},
    'disk_bus': {'type': 'string', 'maxLength': 16},
    'boot_index': {'type': ['integer', 'string', 'null'], 'minimum': -1, 'maximum': types.MAX_INTEGER,
                   'pattern': types.whole('-?[0-9]{1,9}')}}


def _devices(**more: Schema) -> Schema:
    return {'type': 'array', 'items': types.closed({**_device_v2, **more})}


_UUIDS: Schema = {'anyOf': [types.UUID, {'type': 'array', 'items': types.UUID}]}
_HINTS: Schema = {'type': 'object', 'properties': {
    'group': types.UUID, 'different_host': _UUIDS, 'same_host': _UUIDS,
    'query': {'type': ['string', 'object', 'array']}, 'target_cell': types.NAME,
    'different_cell': {'type': ['string', 'array'], 'items': types.STRING},
    'build_near_host_ip': types.IP, 'cidr': {'type': 'string', 'pattern': types.whole('/[0-9a-f.:]+')}},
    'additionalProperties': True}

_SECURITY_GROUPS: Schema = {'type': 'array', 'items': types.closed({'name': types.NAME})}
_required = ['name', 'flavorRef']


def _create(**server: Any) -> Schema:
    return types.closed({'server': types.closed(server, required=_required), 'os:scheduler_hints': _HINTS,
                         'OS-SCH-HNT:scheduler_hints': _HINTS}, required=['server'])


_create_2_1 = _create(
    name=types.NAME, imageRef=types.IMAGE_REF_OR_EMPTY, flavorRef=FLAVOR_REF, adminPass=types.PASSWORD,
    metadata=types.METADATA, networks=_networks(), accessIPv4=ACCESS_IPV4, accessIPv6=ACCESS_IPV6,
    personality=PERSONALITY, availability_zone=types.AVAILABILITY_ZONE, config_drive=types.BOOLEAN,
    block_device_mapping={'type': 'array', 'items': types.closed(_device_v1)},
    block_device_mapping_v2=_devices(), key_name=types.NAME, min_count=types.POSITIVE, max_count=types.POSITIVE,
    return_reservation_id=types.BOOLEAN, security_groups=_SECURITY_GROUPS, user_data=USER_DATA,
    **{'OS-DCF:diskConfig': DISK_CONFIG})
_create_2_0 = types.extended(
    _create_2_1, 'server', name=types.NAME_WITH_SPACES, key_name=types.NAME_WITH_SPACES,
    availability_zone=types.NAME_WITH_SPACES, user_data={**USER_DATA, 'type': ['string', 'null']})
_create_2_19 = types.extended(_create_2_1, 'server', description=types.DESCRIPTION)
_create_2_32 = types.extended(_create_2_19, 'server', networks=_networks(tag=_DEVICE_TAG),
                              block_device_mapping_v2=_devices(tag=_DEVICE_TAG))
# Tags of disks were lost by mistake at 2.33 and those of networks at 2.37; both are back at 2.42.
_create_2_33 = types.extended(_create_2_32, 'server', block_device_mapping_v2=_devices())
_create_2_37 = types.extended(_create_2_33, 'server', required=[*_required, 'networks'],
                              networks=_networks_or_mode())
_create_2_42 = types.extended(_create_2_37, 'server', networks=_networks_or_mode(tag=_DEVICE_TAG),
                              block_device_mapping_v2=_devices(tag=_DEVICE_TAG))
_create_2_52 = types.extended(_create_2_42, 'server', tags=TAGS)
_create_2_57 = types.extended(_create_2_52, 'server', personality=None)
_create_2_63 = types.extended(_create_2_57, 'server', trusted_image_certificates=TRUSTED_CERTS)
_create_2_67 = types.extended(_create_2_63, 'server', block_device_mapping_v2=_devices(
    tag=_DEVICE_TAG, volume_type={'type': ['string', 'null'], 'minLength': 0, 'maxLength': 255}))
_create_2_74 = types.extended(_create_2_67, 'server', host=types.HOSTNAME, hypervisor_hostname=types.HOSTNAME)
_create_2_90 = types.extended(_create_2_74, 'server', hostname=types.SERVER_HOSTNAME)
_create_2_94 = types.extended(_create_2_90, 'server', hostname=types.FQDN)
create = Schemas({
    '2.0': _create_2_0, '2.1': _create_2_1, '2.19': _create_2_19, '2.32': _create_2_32, '2.33': _create_2_33,
    '2.37': _create_2_37, '2.42': _create_2_42, '2.52': _create_2_52, '2.57': _create_2_57, '2.63': _create_2_63,
    '2.67': _create_2_67, '2.74': _create_2_74, '2.90': _create_2_90, '2.94': _create_2_94})

_update_2_1 = types.single('server', types.closed({
    'name': types.NAME, 'OS-DCF:diskConfig': DISK_CONFIG, 'accessIPv4': ACCESS_IPV4, 'accessIPv6': ACCESS_IPV6}))
_update_2_0 = types.extended(_update_2_1, 'server', name=types.NAME_WITH_SPACES)
_update_2_19 = types.extended(_update_2_1, 'server', description=types.DESCRIPTION)
_update_2_90 = types.extended(_update_2_19, 'server', hostname=types.SERVER_HOSTNAME)
_update_2_94 = types.extended(_update_2_90, 'server', hostname=types.FQDN)
_update_2_104 = types.extended(_update_2_94, 'server', pinned_availability_zone={
    **types.AVAILABILITY_ZONE, 'type': ['string', 'null']})
update = Schemas({'2.0': _update_2_0, '2.1': _update_2_1, '2.19': _update_2_19, '2.90': _update_2_90,
                  '2.94': _update_2_94, '2.104': _update_2_104})
