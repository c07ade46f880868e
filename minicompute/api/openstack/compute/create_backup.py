"""createBackup: an image of which only the newest few of its kind stay."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.compute.schemas import server_images as schema
from minicompute.api.openstack.compute.server_images import check_metadata, told
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import snapshot


class CreateBackupController(wsgi.Controller):

    @wsgi.action('createBackup')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.create_backup, answer=schema.answer)
    def create_backup(self, req: Request, id: str, body: dict[str, Any]) -> Answer:
        asked = body['createBackup']
        instance = find(req, id, 'os_compute_api:os-create-backup')
        check_metadata(req, asked)
        rotation = int(asked['rotation'])
        image_id = snapshot.create_backup(req.context, instance, asked['name'].strip(), asked['backup_type'], rotation,
                                          asked.get('metadata') or {})
        return told(req, image_id, with_location=rotation > 0)


ROUTES = (('POST', '/servers/{id}/action', CreateBackupController, wsgi.ACTIONS),)
