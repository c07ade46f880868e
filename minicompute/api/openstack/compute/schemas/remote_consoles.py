"""Consoles of servers, by the older actions and by remote-consoles."""
from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_URL = {'type': 'string', 'format': 'uri'}


def _action(name: str, *kinds: str) -> tuple[Schemas, Schemas]:
    kind = {'type': 'string', 'enum': list(kinds)}
    body = types.single(name, types.closed({'type': kind}, required=['type']))
    answer = types.single('console', types.closed({'type': kind, 'url': _URL}, required=['type', 'url']))
    return Schemas({'2.1': body}), Schemas({'2.1': answer})


vnc, vnc_answer = _action('os-getVNCConsole', 'novnc', 'xvpvnc')
spice, spice_answer = _action('os-getSPICEConsole', 'spice-html5')
serial, serial_answer = _action('os-getSerialConsole', 'serial')

_PROTOCOLS = ['vnc', 'spice', 'serial', 'rdp']
_TYPES = ['novnc', 'xvpvnc', 'spice-html5', 'serial', 'rdp-html5']


def _remote(protocols: list[str], kinds: list[str], **more: types.Schema) -> types.Schema:
    known = {'protocol': {'type': 'string', 'enum': protocols}, 'type': {'type': 'string', 'enum': kinds}, **more}
    return types.single('remote_console', types.closed(known, required=list(known)))


def _since(**more: types.Schema) -> Schemas:
    return Schemas({
        '2.6': _remote(_PROTOCOLS, _TYPES, **more),
        '2.8': _remote([*_PROTOCOLS, 'mks'], [*_TYPES, 'webmks'], **more),
        '2.99': _remote([*_PROTOCOLS, 'mks'], [*_TYPES, 'webmks', 'spice-direct'], **more)})


create, create_answer = _since(), _since(url=_URL)

_PLACE = {'instance_uuid': types.UUID, 'host': types.NULLABLE_STRING, 'port': types.INTEGER,
          'internal_access_path': types.NULLABLE_STRING}
_REQUIRED = list(_PLACE)
token_query = Schemas({'2.1': {'type': 'object'}, '2.99': types.NOTHING})
token_answer = Schemas({
    '2.1': types.single('console', types.closed(_PLACE, required=_REQUIRED)),
    '2.99': types.single('console', types.closed({**_PLACE, 'tls_port': {'type': ['integer', 'null']}},
                                                 required=_REQUIRED))})
