"""Volumes: list, show, create, change, grow, delete."""
from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import urlencode

from minicompute import exception, policy
from minicompute.api.image.table import Request
from minicompute.api.openstack.answer import Answer
from minicompute.api.validation import parameter_types as schema
from minicompute.api.validation.compiled import Compiled
from minicompute.compute.api import external_events
from minicompute.conf import CONF
from minicompute.objects import Volume
from minicompute.volume.local import LocalVolumes

RULE = 'os_compute_api:os-volumes:%s'
TEXT = {'type': ['string', 'null'], 'maxLength': 255, 'format': 'text'}
#: what a volume could be made from elsewhere, and the word for those who ask for it here
_SOURCES = {
    'imageRef': 'a volume is made from an image while its server boots (source_type image, destination_type volume)',
    'source_volid': 'volumes cannot be copied here',
    'backup_id': 'there are no backups here', 'consistencygroup_id': 'there are no consistency groups here'}
_NEW = {'size': {**schema.POSITIVE, 'type': ['integer', 'string', 'null']}, 'snapshot_id': TEXT, 'name': TEXT,
        'display_name': TEXT, 'description': TEXT,
        'display_description': TEXT, 'volume_type': TEXT, 'availability_zone': TEXT, 'multiattach': schema.ANY,
        'metadata': {**schema.METADATA, 'type': ['object', 'null'], 'maxProperties': 128},
        **{name: schema.ANY for name in _SOURCES}}
_CREATE = Compiled(schema.closed({'volume': schema.closed(_NEW), 'OS-SCH-HNT:scheduler_hints': {}},
                                 required=['volume']))
_UPDATE = Compiled(schema.single('volume', schema.closed({
    'name': TEXT, 'description': TEXT, 'metadata': {**schema.METADATA, 'maxProperties': 128}})))
_EXTEND = Compiled(schema.single('os-extend', schema.closed({'new_size': schema.POSITIVE}, required=['new_size'])))
_BOOTABLE = Compiled(schema.single('os-set_bootable', schema.closed(
    {'bootable': schema.BOOLEAN}, required=['bootable'])))
TYPE = '__DEFAULT__'

_backend = LocalVolumes()


def backend(req: Request, rule: str) -> LocalVolumes:
    """This API is only for the local volumes: in front of Cinder, clients talk to Cinder."""
    if CONF.volume_backend != 'local':
        raise exception.NotImplementedHere('The volumes are not local ones: ask the volume service.')
    policy.authorize(req.context, RULE % rule)
    return _backend


# -- reading -------------------------------------------------------------------

def index(req: Request) -> dict[str, Any]:
    return _page(req, 'list', lambda volume: {'id': volume.id, 'name': volume.name, 'links': []})


def detail(req: Request) -> dict[str, Any]:
    return _page(req, 'detail', lambda volume: view(req, volume))


def show(req: Request, volume_id: str) -> dict[str, Any]:
    return {'volume': view(req, backend(req, 'show').show(req.context, volume_id))}


def types(req: Request) -> dict[str, Any]:
    return {'volume_types': [{'id': TYPE, 'name': TYPE, 'is_public': True, 'description': '', 'extra_specs': {}}]}


def _page(req: Request, rule: str, shown: Any) -> dict[str, Any]:
    asked = {name: values[-1] for name, values in req.parameters.items()}
    limit = limit_of(asked.get('limit'))
    everywhere = any(asked.get(name) in schema.BOOLEAN_TRUE for name in ('all_tenants', 'all_projects'))
    status = asked.get('status')
    # A status is put together from what servers say, so it is looked at here, in all of a project.
    found = backend(req, rule).page(req.context, all_projects=everywhere, name=asked.get('name'),
                                    marker=asked.get('marker'), limit=None if status else limit + 1)
    matching = [volume for volume in found if status in (None, volume.shown_status)]
    body: dict[str, Any] = {'volumes': [shown(volume) for volume in matching[:limit]]}
    if len(matching) > limit and limit:
        query = urlencode([*((name, value) for name, value in asked.items() if name != 'marker'),
                           ('marker', matching[limit - 1].id)])
        body['volumes_links'] = [{'rel': 'next', 'href': f'{req.path_url}?{query}'}]
    return body


def limit_of(text: str | None) -> int:
    most: int = CONF.api.max_limit
    if text is None:
        return most
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise exception.Invalid(f'Invalid input for query parameters limit. Value: {text[:64]}. It must be a whole '
                                'number.')
    return min(int(text), most)


def view(req: Request, volume: Volume) -> dict[str, Any]:
    shown: dict[str, Any] = {
        'id': volume.id, 'name': volume.name or '', 'description': volume.description, 'size': volume.size,
        'status': volume.shown_status, 'created_at': time_of(volume.created_at),
        'updated_at': time_of(volume.updated_at),
        'availability_zone': CONF.default_availability_zone, 'bootable': str(volume.bootable).lower(),
        'encrypted': False, 'multiattach': False, 'metadata': volume.metadata, 'volume_type': TYPE,
        'user_id': volume.user_id, 'snapshot_id': volume.snapshot_id, 'source_volid': None, 'consistencygroup_id': None,
        'replication_status': None, 'os-vol-tenant-attr:tenant_id': volume.project_id, 'links': [],
        'attachments': [{
            'id': volume.id, 'volume_id': volume.id, 'attachment_id': one.id, 'server_id': one.instance_uuid,
            'host_name': one.host if req.context.is_admin else None, 'device': one.device_name,
            'attached_at': time_of(one.created_at)} for one in volume.attachments]}
    if volume.image_metadata:
        shown['volume_image_metadata'] = {name: str(value) for name, value in volume.image_metadata.items()}
    if req.context.is_admin:
        shown['os-vol-host-attr:host'] = 'local'
    return shown


def time_of(when: datetime.datetime | None) -> str | None:
    return None if when is None else when.isoformat(timespec='microseconds')


# -- writing -------------------------------------------------------------------

def create(req: Request) -> Answer:
    document = req.document()
    _CREATE.check(document)
    asked = document['volume']
    for name, why in _SOURCES.items():
        if asked.get(name) is not None:
            raise exception.Invalid(f'{name}: {why}.')
    if asked.get('multiattach') not in (None, *schema.BOOLEAN_FALSE):
        raise exception.Invalid('multiattach: a local volume can be attached to one server only.')
    if asked.get('volume_type') not in (None, '', TYPE):
        raise exception.NotFound(f"Volume type {asked['volume_type'][:64]} could not be found.")
    if asked.get('availability_zone') not in (None, '', CONF.default_availability_zone):
        raise exception.Invalid(f"availability_zone: '{asked['availability_zone'][:64]}' is invalid.")
    volumes = backend(req, 'create')
    if not req.context.project_id:
        raise exception.Invalid('A volume belongs to a project, and this request has none.')
    size, begins = _content(volumes, req, asked)
    made = volumes.create(req.context, Volume(
        id='', project_id=req.context.project_id, user_id=req.context.user_id, size=size, **begins,
        name=asked.get('name') or asked.get('display_name') or '',
        description=asked.get('description') or asked.get('display_description'),
        metadata=asked.get('metadata') or {}))
    return Answer({'volume': view(req, made)}, code=202)


def _content(volumes: LocalVolumes, req: Request, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """-> (GiB, what a volume begins with, as a copy of a snapshot)."""
    size = int(asked['size']) if asked.get('size') is not None else 0
    if not asked.get('snapshot_id'):
        if not size:
            raise exception.Invalid("Invalid input for field/attribute volume. 'size' is a required property")
        return size, {}
    try:
        found = volumes.show_snapshot(req.context, asked['snapshot_id'])
    except exception.SnapshotNotFound as error:
        raise exception.NotFound(f'snapshot_id: {error.message}') from None
    if size and size < found.size:
        raise exception.Invalid(f'size: {size} GiB is less than the {found.size} GiB of snapshot {found.id}')
    return size or found.size, {'snapshot_id': found.id, 'bootable': found.bootable,
                                'image_metadata': found.image_metadata}


def update(req: Request, volume_id: str) -> dict[str, Any]:
    document = req.document()
    _UPDATE.check(document)
    made = backend(req, 'create').update(req.context, volume_id, document['volume'])
    return {'volume': view(req, made)}


def delete(req: Request, volume_id: str) -> Answer:
    backend(req, 'delete').delete(req.context, volume_id)
    return Answer(code=202)


def action(req: Request, volume_id: str) -> Answer:
    document = req.document()
    name = next(iter(document), '') if isinstance(document, dict) else ''
    if name == 'os-extend':
        _EXTEND.check(document)
        grown = backend(req, 'create').extend(req.context, volume_id, int(document[name]['new_size']))
        external_events.volume_grown(req.context, grown)
        return Answer(code=202)
    if name == 'os-set_bootable':
        _BOOTABLE.check(document)
        bootable = schema.is_true(document[name]['bootable'])
        backend(req, 'create').update(req.context, volume_id, {'bootable': bootable})
        return Answer(code=200)
    raise exception.Invalid(f"There is no such action: {str(name)[:64]}. There are os-extend and os-set_bootable.")
