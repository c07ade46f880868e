"""rebuild: new disks, from the same image or from another."""
from __future__ import annotations

from typing import Any

from minicompute import policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.compute import servers, servers_create
from minicompute.api.openstack.compute.schemas import servers_answer as answers
from minicompute.api.openstack.compute.schemas import servers_rebuild as schema
from minicompute.api.openstack.compute.servers import SERVERS
from minicompute.api.openstack.compute.views import servers as views
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types
from minicompute.compute.api import naming, rebuild
from minicompute.conf import CONF

#: what a body may say -> the column that it changes
_COLUMNS = {'metadata': 'metadata', 'description': 'display_description', 'key_name': 'key_name',
            'user_data': 'user_data', 'trusted_image_certificates': 'trusted_certs', 'hostname': 'hostname'}


class ServersRebuildController(wsgi.Controller):

    @wsgi.action('rebuild')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.rebuild, answer=answers.rebuild)
    def rebuild(self, req: Request, id: str, body: dict[str, Any]) -> Answer:
        asked = body['rebuild']
        instance = servers.find(req, id, SERVERS % 'rebuild')
        if 'trusted_image_certificates' in asked:
            policy.authorize(req.context, SERVERS % 'rebuild:trusted_certs',
                             {'project_id': instance.project_id, 'user_id': instance.user_id})
        request = parse(asked)
        request.reimage = req.since('2.93')
        rebuild.rebuild(req.context, instance, request)
        shown = servers.shown(req, id, servers.allow(req, SERVERS % 'rebuild'), full=req.since('2.75'))
        server = shown['server']
        if req.since('2.54'):
            server['key_name'] = request.columns.get('key_name', instance.key_name)
        if req.since('2.57'):
            server.pop(f'{views.ATTRIBUTE}user_data', None)     # told below
            server['user_data'] = request.columns.get('user_data', instance.user_data)
        if CONF.enable_instance_password:
            server['adminPass'] = request.admin_password
        return Answer(shown, headers=[('Location', common.Links(req, 'servers')(id)[0]['href'])])


ROUTES = (('POST', '/servers/{id}/action', ServersRebuildController, wsgi.ACTIONS),)


def parse(asked: dict[str, Any]) -> rebuild.RebuildRequest:
    columns = {column: asked[name] for name, column in _COLUMNS.items() if name in asked}
    if 'name' in asked:
        columns['display_name'] = asked['name'].strip()
    for name, column in (('accessIPv4', 'access_ip_v4'), ('accessIPv6', 'access_ip_v6')):
        if name in asked:
            columns[column] = asked[name] or None
    return rebuild.RebuildRequest(
        image_id=asked['imageRef'], admin_password=asked.get('adminPass') or naming.password(), columns=columns,
        preserve_ephemeral=types.is_true(asked.get('preserve_ephemeral', False)),
        auto_disk_config=servers_create.disk_config(asked),
        files={item['path']: item['contents'] for item in asked.get('personality') or ()})
