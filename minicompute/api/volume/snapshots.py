"""Snapshots of volumes: list, show, create, change, delete."""
from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from minicompute.api.image.table import Request
from minicompute.api.openstack.answer import Answer
from minicompute.api.validation import parameter_types as schema
from minicompute.api.validation.compiled import Compiled
from minicompute.api.volume import volumes
from minicompute.compute.api import volume_snapshots
from minicompute.objects import VolumeSnapshot

_UPDATE = Compiled(schema.single('snapshot', schema.closed({
    'name': volumes.TEXT, 'description': volumes.TEXT})))
_CREATE = Compiled(schema.single('snapshot', schema.closed({
    'volume_id': schema.UUID, 'name': volumes.TEXT, 'description': volumes.TEXT,
    'force': {'anyOf': [schema.BOOLEAN, {'type': 'null'}]},
    'metadata': {**schema.METADATA, 'type': ['object', 'null'], 'maxProperties': 128}}, required=['volume_id'])))


def index(req: Request) -> dict[str, Any]:
    return _page(req, 'list', with_projects=False)


def detail(req: Request) -> dict[str, Any]:
    return _page(req, 'detail', with_projects=True)


def show(req: Request, snapshot_id: str) -> dict[str, Any]:
    return {'snapshot': view(volumes.backend(req, 'show').show_snapshot(req.context, snapshot_id))}


def _page(req: Request, rule: str, with_projects: bool) -> dict[str, Any]:
    asked = {name: values[-1] for name, values in req.parameters.items()}
    limit = volumes.limit_of(asked.get('limit'))
    everywhere = any(asked.get(name) in schema.BOOLEAN_TRUE for name in ('all_tenants', 'all_projects'))
    found = volumes.backend(req, rule).page_snapshots(
        req.context, all_projects=everywhere, name=asked.get('name'), volume_id=asked.get('volume_id'),
        status=asked.get('status'), marker=asked.get('marker'), limit=limit + 1)
    body: dict[str, Any] = {'snapshots': [view(one, with_projects) for one in found[:limit]]}
    if len(found) > limit and limit:
        query = urlencode([*((name, value) for name, value in asked.items() if name != 'marker'),
                           ('marker', found[limit - 1].id)])
        body['snapshots_links'] = [{'rel': 'next', 'href': f'{req.path_url}?{query}'}]
    return body


def view(snapshot: VolumeSnapshot, detailed: bool = True) -> dict[str, Any]:
    shown: dict[str, Any] = {
        'id': snapshot.id, 'name': snapshot.name or '', 'description': snapshot.description,
        'volume_id': snapshot.volume_id, 'status': snapshot.status, 'size': snapshot.size,
        'created_at': volumes.time_of(snapshot.created_at), 'updated_at': volumes.time_of(snapshot.updated_at),
        'metadata': snapshot.metadata}
    if detailed:
        made = '100%' if snapshot.status == 'available' else '0%'
        shown |= {'os-extended-snapshot-attributes:project_id': snapshot.project_id,
                  'os-extended-snapshot-attributes:progress': made}
    return shown


def create(req: Request) -> Answer:
    document = req.document()
    _CREATE.check(document)
    asked = document['snapshot']
    volumes.backend(req, 'create')
    made = volume_snapshots.create(
        req.context, asked['volume_id'], name=asked.get('name') or '', description=asked.get('description'),
        metadata=asked.get('metadata'), force=schema.is_true(asked.get('force') or False))
    return Answer({'snapshot': view(made, detailed=False)}, code=202)


def update(req: Request, snapshot_id: str) -> dict[str, Any]:
    document = req.document()
    _UPDATE.check(document)
    made = volumes.backend(req, 'create').update_snapshot(req.context, snapshot_id, document['snapshot'])
    return {'snapshot': view(made)}


def delete(req: Request, snapshot_id: str) -> Answer:
    volumes.backend(req, 'delete').delete_snapshot(req.context, snapshot_id)
    return Answer(code=202)
