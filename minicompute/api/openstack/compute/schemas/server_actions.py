"""Bodies of the actions on servers."""
from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

# What the value of these was never mattered: clients send null, {} and more.
start = Schemas({'2.1': types.single('os-start', {})})
stop = Schemas({'2.1': types.single('os-stop', {})})
force_delete = Schemas({'2.1': types.single('forceDelete', {})})

reboot = Schemas({'2.1': types.single('reboot', types.single('type', {
    'type': 'string', 'enum': ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']}))})

_LENGTH = {'type': ['integer', 'string', 'null'], 'minimum': -1, 'maximum': types.MAX_INTEGER,
           'pattern': types.whole('-1|[0-9]{1,9}')}
console_output = Schemas({'2.1': types.single('os-getConsoleOutput', types.closed({'length': _LENGTH}))})
console_output_answer = Schemas({'2.1': types.single('output', types.STRING)})
