"""What the body of an image may hold, for our checks and as the documents that clients read."""
from __future__ import annotations

from typing import Any

from minicompute.api.image.table import Request
from minicompute.api.openstack.answer import Answer
from minicompute.api.validation.compiled import Compiled
from minicompute.image.local import CONTAINER_FORMATS, DISK_FORMATS, VISIBILITIES

MAX_PROPERTIES = 128
MAX_TAGS = 128
_INTEGER = {'type': 'integer', 'minimum': 0, 'maximum': 2**31 - 1}
_TAG = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'text'}

#: what a user may set
WRITABLE: dict[str, Any] = {
    'id': {'type': 'string', 'format': 'uuid',
           'pattern': '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'},
    'name': {'type': ['string', 'null'], 'maxLength': 255, 'format': 'text'},
    'visibility': {'type': 'string', 'enum': list(VISIBILITIES)},
    'protected': {'type': 'boolean'},
    'os_hidden': {'type': 'boolean'},
    'owner': {'type': ['string', 'null'], 'maxLength': 255, 'format': 'text'},
    'tags': {'type': 'array', 'items': _TAG, 'maxItems': MAX_TAGS},
    'container_format': {'type': ['string', 'null'], 'enum': [None, *CONTAINER_FORMATS]},
    'disk_format': {'type': ['string', 'null'], 'enum': [None, *DISK_FORMATS]},
    'min_disk': _INTEGER,
    'min_ram': _INTEGER,
}

READ_ONLY: dict[str, Any] = {name: {'type': kind, 'readOnly': True} for name, kind in {
    'status': 'string', 'checksum': ['string', 'null'], 'os_hash_algo': ['string', 'null'],
    'os_hash_value': ['string', 'null'], 'size': ['integer', 'null'], 'virtual_size': ['integer', 'null'],
    'created_at': 'string', 'updated_at': 'string', 'self': 'string', 'file': 'string', 'schema': 'string',
    'direct_url': 'string', 'locations': 'array'}.items()}

BASE = WRITABLE.keys() | READ_ONLY.keys()

#: anything else is a property of the user's; numbers and booleans are kept as text, as Glance has them
_PROPERTY = {'type': ['string', 'integer', 'number', 'boolean', 'null'], 'maxLength': 65535, 'format': 'text'}

BODY = Compiled({'type': 'object', 'properties': WRITABLE, 'additionalProperties': _PROPERTY,
                 'maxProperties': MAX_PROPERTIES + len(WRITABLE)})
TAG = Compiled({'type': 'object', 'properties': {'tag': _TAG}})

PATCH = Compiled({'type': 'array', 'maxItems': 512, 'items': {
    'type': 'object', 'required': ['op', 'path'],
    'properties': {'op': {'enum': ['add', 'replace', 'remove', 'test']},
                   'path': {'type': 'string', 'pattern': '^/.', 'maxLength': 512}, 'value': {}}}})


_IMAGE = {'name': 'image', 'properties': WRITABLE | READ_ONLY, 'additionalProperties': {'type': 'string'},
          'links': [{'rel': 'self', 'href': '{self}'}, {'rel': 'enclosure', 'href': '{file}'},
                    {'rel': 'describedby', 'href': '{schema}'}]}


def image(_req: Request) -> dict[str, Any]:
    return _IMAGE


def images(_req: Request) -> dict[str, Any]:
    text = {'type': 'string'}
    return {'name': 'images', 'properties': {'images': {'type': 'array', 'items': _IMAGE}, 'first': text,
                                             'next': text, 'schema': text},
            'links': [{'rel': 'first', 'href': '{first}'}, {'rel': 'next', 'href': '{next}'},
                      {'rel': 'describedby', 'href': '{schema}'}]}


def import_methods(_req: Request) -> dict[str, Any]:
    """None: images come by PUT only."""
    return {'import-methods': {'description': 'Import methods available.', 'type': 'array', 'value': []}}


def stores(_req: Request) -> Answer:
    return Answer({'message': 'There is one store, which has no name.', 'code': '404 Not Found',
                   'title': 'Not Found'}, code=404)
