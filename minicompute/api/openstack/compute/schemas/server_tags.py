from __future__ import annotations

from minicompute.api.openstack.compute.schemas.servers import TAG, TAGS
from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types
from minicompute.api.validation.compiled import Compiled

#: of those that read tags, unknown parameters have never been refused
query = Schemas({'2.26': types.query({})})
update_all = Schemas({'2.26': types.single('tags', TAGS)})
update = Schemas({'2.26': types.NULL})
answer = Schemas({'2.26': types.single('tags', {'type': 'array', 'items': types.STRING})})
#: a tag in the path
tag = Compiled(TAG)
