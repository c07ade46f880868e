"""Bodies of rebuild; its answers are in servers_answer.py."""
from __future__ import annotations

from minicompute.api.openstack.compute.schemas import servers
from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

Schema = types.Schema

_rebuild_2_1: Schema = types.single('rebuild', types.closed({
    'name': types.NAME, 'imageRef': types.UUID, 'adminPass': types.PASSWORD, 'metadata': types.METADATA,
    'preserve_ephemeral': types.BOOLEAN, 'OS-DCF:diskConfig': servers.DISK_CONFIG, 'accessIPv4': servers.ACCESS_IPV4,
    'accessIPv6': servers.ACCESS_IPV6, 'personality': servers.PERSONALITY}, required=['imageRef']))
_rebuild_2_0 = types.extended(_rebuild_2_1, 'rebuild', name=types.NAME_WITH_SPACES)
_rebuild_2_19 = types.extended(_rebuild_2_1, 'rebuild', description=types.DESCRIPTION)
_rebuild_2_54 = types.extended(_rebuild_2_19, 'rebuild', key_name={**types.NAME, 'type': ['string', 'null']})
_rebuild_2_57 = types.extended(_rebuild_2_54, 'rebuild', personality=None,
                               user_data={**servers.USER_DATA, 'type': ['string', 'null']})
_rebuild_2_63 = types.extended(_rebuild_2_57, 'rebuild', trusted_image_certificates=servers.TRUSTED_CERTS)
_rebuild_2_90 = types.extended(_rebuild_2_63, 'rebuild', hostname=types.SERVER_HOSTNAME)
_rebuild_2_94 = types.extended(_rebuild_2_90, 'rebuild', hostname=types.FQDN)
rebuild = Schemas({
    '2.0': _rebuild_2_0, '2.1': _rebuild_2_1, '2.19': _rebuild_2_19, '2.54': _rebuild_2_54, '2.57': _rebuild_2_57,
    '2.63': _rebuild_2_63, '2.90': _rebuild_2_90, '2.94': _rebuild_2_94})
