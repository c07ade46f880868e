from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_query = {'tenant_id': types.many(types.STRING)}
query = Schemas({'2.1': types.query(_query), '2.75': types.query(_query, strict=True)})

_names = ['maxServerMeta', 'maxTotalInstances', 'maxTotalCores', 'maxTotalRAMSize', 'maxTotalKeypairs',
          'maxServerGroups', 'maxServerGroupMembers', 'totalInstancesUsed', 'totalCoresUsed', 'totalRAMUsed',
          'totalServerGroupsUsed']
_personality = ['maxPersonality', 'maxPersonalitySize']
_image = ['maxImageMeta']
_network = ['maxSecurityGroups', 'maxSecurityGroupRules', 'maxTotalFloatingIps', 'totalFloatingIpsUsed',
            'totalSecurityGroupsUsed']


def _answer(names: list[str]) -> types.Schema:
    return types.single('limits', types.closed(
        {'rate': {'type': 'array', 'maxItems': 0},
         'absolute': types.closed({name: types.INTEGER for name in names}, required=names)},
        required=['rate', 'absolute']))


answer = Schemas({
    '2.1': _answer(_names + _personality + _image + _network),
    '2.36': _answer(_names + _personality + _image),
    '2.39': _answer(_names + _personality),
    '2.57': _answer(_names)})
