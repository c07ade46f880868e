"""Bodies of what is done to a guest where it stands."""
from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

# What the value of these was never mattered: clients send null, {} and more.
pause = Schemas({'2.1': types.single('pause', {})})
unpause = Schemas({'2.1': types.single('unpause', {})})
suspend = Schemas({'2.1': types.single('suspend', {})})
resume = Schemas({'2.1': types.single('resume', {})})
unrescue = Schemas({'2.1': types.single('unrescue', {})})
trigger_crash_dump = Schemas({'2.17': types.single('trigger_crash_dump', types.NULL)})
crash_dump_answer = Schemas({'2.17': types.NULL})

_rescue = types.closed({'adminPass': types.PASSWORD, 'rescue_image_ref': types.UUID})
rescue = Schemas({'2.1': types.single('rescue', {**_rescue, 'type': ['object', 'null']})})
rescue_answer = Schemas({'2.1': types.closed({'adminPass': types.STRING})})

change_password = Schemas({'2.1': types.single('changePassword', types.closed(
    {'adminPass': types.PASSWORD}, required=['adminPass']))})

password_query = Schemas({'2.1': types.query({}), '2.102': types.query({}, strict=True)})
password_answer = Schemas({'2.1': types.single('password', types.STRING)})
#: of what answers nothing
nothing = Schemas({'2.1': types.NULL})
