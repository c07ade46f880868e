"""/versions/{id} below /v2.1, which some old clients ask; the documents without authentication are in versions.py."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.api import validation
from minicompute.api.openstack import versions, wsgi
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types

_LINKS: types.Schema = {'type': 'array', 'items': types.closed(
    {'rel': types.STRING, 'href': types.STRING, 'type': types.STRING}, required=['rel', 'href'])}
query = validation.Schemas({'2.1': types.query({})})
answer = validation.Schemas({'2.1': types.single('version', types.closed({
    'id': types.STRING, 'status': {'enum': ['CURRENT', 'SUPPORTED', 'DEPRECATED']}, 'version': types.STRING,
    'min_version': types.STRING, 'updated': types.DATE_TIME, 'links': _LINKS,
    'media-types': {'type': 'array', 'items': types.closed({'base': types.STRING, 'type': types.STRING})}},
    required=['id', 'status', 'version', 'min_version', 'updated', 'links', 'media-types']))})


class VersionDocumentsController(wsgi.Controller):

    @wsgi.expected_errors(404)
    @validation.schema(query=query, answer=answer)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        if id != 'v2.1':
            raise exception.NotFound(f'Version {id[:64]} could not be found.')
        return versions.document(req, versions.VERSIONS[1])


ROUTES = (('GET', '/versions/{id}', VersionDocumentsController, 'show'),)
