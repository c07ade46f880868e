from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_NUMBERS = {'type': 'array', 'items': types.INTEGER}
_node = types.closed({
    'memory_mb': types.INTEGER, 'vcpu_set': _NUMBERS, 'siblings': {'type': 'array', 'items': _NUMBERS},
    'host_node': types.INTEGER, 'cpu_pinning': {'type': 'object', 'additionalProperties': types.INTEGER}},
    required=['memory_mb', 'vcpu_set', 'siblings'])
answer = Schemas({'2.78': types.closed(
    {'nodes': {'type': 'array', 'items': _node}, 'pagesize_kb': {'type': ['integer', 'null']}},
    required=['nodes', 'pagesize_kb'])})
