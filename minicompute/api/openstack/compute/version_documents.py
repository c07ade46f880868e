"""/versions/{id} below /v2.1, which some old clients ask; the documents without authentication are in versions.py."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.api import validation
from minicompute.api.openstack import versions, wsgi
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types


class VersionDocumentsController(wsgi.Controller):

    @wsgi.expected_errors(404)
    @validation.schema(query=validation.Schemas({'2.1': types.query({})}))
    def show(self, req: Request, id: str) -> dict[str, Any]:
        if id != 'v2.1':
            raise exception.NotFound(f'Version {id[:64]} could not be found.')
        return versions.document(req, versions.VERSIONS[1])


ROUTES = (('GET', '/versions/{id}', VersionDocumentsController, 'show'),)
