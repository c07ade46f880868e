"""Bodies of resize, its two ends, and cold migration."""
from __future__ import annotations

from minicompute.api.openstack.compute.schemas.servers import DISK_CONFIG, FLAVOR_REF
from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

resize = Schemas({'2.1': types.single('resize', types.closed(
    {'flavorRef': FLAVOR_REF, 'OS-DCF:diskConfig': DISK_CONFIG}, required=['flavorRef']))})
# What the value of these was never mattered.
confirm = Schemas({'2.1': types.single('confirmResize', {})})
revert = Schemas({'2.1': types.single('revertResize', {})})

_HOST = {**types.FQDN, 'type': ['string', 'null']}
migrate = Schemas({
    '2.1': types.single('migrate', {}),
    '2.56': types.single('migrate', {**types.closed({'host': _HOST}), 'type': ['object', 'null']})})
