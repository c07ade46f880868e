"""What the proxies to networks, volumes and bare metal take and answer, up to 2.35 (addresses of servers: 2.43).

Their queries were never checked, and unknown parameters are ignored at all their versions.
"""
from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types
from minicompute.api.validation.parameter_types import Schema

#: of what takes no parameters, or never looked at them
query = Schemas({'2.1': types.query({})})
#: `offset` and `limit`, as lists had them before there were markers
window = Schemas({'2.1': types.query({'limit': types.many(types.QUERY_NUMBER),
                                      'offset': types.many(types.QUERY_NUMBER)})})
nothing = Schemas({'2.1': types.NULL})
#: a body that nobody looks at
anything = Schemas({'2.1': types.ANY})


def _list(name: str, item: Schema) -> Schemas:
    return Schemas({'2.1': types.single(name, {'type': 'array', 'items': item})})


# -- networks ------------------------------------------------------------------

#: what all callers see of a network; only the first two have values since there are network services
NETWORK_FIELDS = ('id', 'label', 'cidr', 'netmask', 'gateway', 'broadcast', 'dns1', 'dns2', 'cidr_v6', 'gateway_v6',
                  'netmask_v6')
NETWORK_ADMIN_FIELDS = (
    'created_at', 'updated_at', 'deleted_at', 'deleted', 'injected', 'bridge', 'vlan', 'vpn_public_address',
    'vpn_public_port', 'vpn_private_address', 'dhcp_start', 'project_id', 'host', 'bridge_interface', 'multi_host',
    'priority', 'rxtx_base', 'mtu', 'dhcp_server', 'enable_dhcp', 'share_address')
_network = types.closed({**{name: types.NULL for name in NETWORK_FIELDS + NETWORK_ADMIN_FIELDS},
                         'id': types.STRING, 'label': types.STRING}, required=list(NETWORK_FIELDS))
networks, network = _list('networks', _network), Schemas({'2.1': types.single('network', _network)})

_tenant_network = types.closed({'id': types.UUID, 'label': types.STRING, 'cidr': {'enum': ['None']}},
                               required=['id', 'label', 'cidr'])
tenant_networks = _list('networks', _tenant_network)
tenant_network = Schemas({'2.1': types.single('network', _tenant_network)})

# -- floating addresses, fixed addresses -----------------------------------------

pools = _list('floating_ip_pools', types.single('name', types.STRING))
_floating_ip = types.closed({
    'id': types.UUID, 'ip': types.IP, 'fixed_ip': types.NULLABLE_STRING, 'instance_id': types.NULLABLE_UUID,
    'pool': types.STRING}, required=['fixed_ip', 'id', 'instance_id', 'ip', 'pool'])
floating_ips = _list('floating_ips', _floating_ip)
floating_ip = Schemas({'2.1': types.single('floating_ip', _floating_ip)})
floating_ip_create = Schemas({'2.1': {'type': ['object', 'null'], 'properties': {'pool': types.NULLABLE_STRING}}})
add_floating_ip = Schemas({'2.1': types.single('addFloatingIp', types.closed(
    {'address': types.IP, 'fixed_address': types.IP}, required=['address']))})
remove_floating_ip = Schemas({'2.1': types.single('removeFloatingIp', types.single('address', types.IP))})

add_fixed_ip = Schemas({'2.1': types.single('addFixedIp', types.single('networkId', {
    'type': ['string', 'number'], 'minLength': 1, 'maxLength': 36}))})
remove_fixed_ip = Schemas({'2.1': types.single('removeFixedIp', types.single('address', types.IP))})

# -- volumes and their snapshots -----------------------------------------------------

_TEXT: Schema = {'type': 'string', 'maxLength': 255, 'format': 'text'}
volume_create = Schemas({'2.1': types.single('volume', types.closed({
    'size': types.POSITIVE, 'display_name': _TEXT, 'display_description': _TEXT, 'volume_type': types.STRING,
    'availability_zone': types.STRING, 'snapshot_id': types.STRING,
    'metadata': {**types.METADATA, 'maxProperties': 128}}, required=['size']))})

_attachment = types.closed({'id': types.UUID, 'volumeId': types.UUID, 'serverId': types.UUID, 'device': types.STRING})
_volume = types.closed({
    'id': types.UUID, 'status': types.STRING, 'size': types.INTEGER, 'availabilityZone': types.NULLABLE_STRING,
    'createdAt': types.STRING, 'attachments': {'type': 'array', 'items': _attachment, 'minItems': 1, 'maxItems': 1},
    'displayName': types.NULLABLE_STRING, 'displayDescription': types.NULLABLE_STRING,
    'volumeType': types.NULLABLE_STRING, 'snapshotId': types.NULLABLE_UUID,
    'metadata': {'type': 'object', 'additionalProperties': types.STRING}},
    required=['attachments', 'availabilityZone', 'createdAt', 'displayDescription', 'displayName', 'id', 'metadata',
              'size', 'snapshotId', 'status', 'volumeType'])
volumes, volume = _list('volumes', _volume), Schemas({'2.1': types.single('volume', _volume)})

snapshot_create = Schemas({'2.1': types.single('snapshot', types.closed({
    'volume_id': types.STRING, 'force': types.BOOLEAN, 'display_name': _TEXT, 'display_description': _TEXT},
    required=['volume_id']))})
_snapshot = types.closed({
    'id': types.UUID, 'volumeId': types.UUID, 'status': types.STRING, 'size': types.INTEGER,
    'createdAt': types.STRING, 'displayName': types.NULLABLE_STRING, 'displayDescription': types.NULLABLE_STRING},
    required=['createdAt', 'displayDescription', 'displayName', 'id', 'volumeId', 'size', 'status'])
snapshots, snapshot = _list('snapshots', _snapshot), Schemas({'2.1': types.single('snapshot', _snapshot)})

# -- bare metal ------------------------------------------------------------------------

add_interface = Schemas({'2.1': types.closed({'add_interface': types.ANY}, required=['add_interface'])})
remove_interface = Schemas({'2.1': types.closed({'remove_interface': types.ANY}, required=['remove_interface'])})
_node = types.closed({
    'id': types.UUID, 'interfaces': {'type': 'array'}, 'host': types.STRING, 'task_state': types.STRING,
    'cpus': types.STRING, 'memory_mb': types.STRING, 'disk_gb': types.STRING},
    required=['id', 'interfaces', 'host', 'task_state', 'cpus', 'memory_mb', 'disk_gb'])
nodes = _list('nodes', _node)
node = Schemas({'2.1': types.single('node', types.extended(_node, instance_uuid=types.NULLABLE_UUID))})
