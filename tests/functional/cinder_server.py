"""A small Cinder, after its API (v3, the attachments of 3.27 and later): a real HTTP server on loopback, in this
process, with states that change as Cinder's do and faults to inject. It keeps nothing on disks.

    with CinderServer() as cinder:            # the configuration points to it
        cinder.volume(size=2)                 # -> id
        cinder.faults['connect'] = once(500)  # or once(500, after=True): done, and nobody hears of it
"""
from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import webob
import webob.dec

from minicompute import service_auth
from minicompute.conf import CONF
from tests.functional.small import Server

#: (method, path) -> the name by which faults know it
_ROUTES = (
    ('POST', r'/volumes', 'create'), ('GET', r'/volumes/detail', 'list'), ('GET', r'/volumes/([^/]+)', 'show'),
    ('DELETE', r'/volumes/([^/]+)', 'delete'), ('POST', r'/volumes/([^/]+)/action', 'volume_action'),
    ('POST', r'/snapshots', 'create_snapshot'), ('GET', r'/snapshots/detail', 'list_snapshots'),
    ('GET', r'/snapshots/([^/]+)', 'show_snapshot'), ('DELETE', r'/snapshots/([^/]+)', 'delete_snapshot'),
    ('POST', r'/snapshots/([^/]+)/action', 'snapshot_action'),
    ('POST', r'/attachments', 'reserve'), ('GET', r'/attachments/detail', 'attachments'),
    ('GET', r'/attachments', 'attachments'),
    ('PUT', r'/attachments/([^/]+)', 'connect'), ('POST', r'/attachments/([^/]+)/action', 'complete'),
    ('DELETE', r'/attachments/([^/]+)', 'give_back'))

#: called with (operation, whether it is done already): a status, or None
Fault = Callable[[str, bool], int | None]


def always(status: int, *, after: bool = False) -> Fault:
    return lambda _name, done: status if done == after else None


def once(status: int, *, after: bool = False) -> Fault:
    left = [1]

    def fault(_name: str, done: bool) -> int | None:
        if done != after or not left:
            return None
        left.pop()
        return status
    return fault


def slow(seconds: float) -> Fault:
    def fault(_name: str, done: bool) -> int | None:
        if not done:
            time.sleep(seconds)
        return None
    return fault


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class CinderServer:
    """`volumes`, `snapshots`, `attachments`: {id: record}. `asked`: names of operations, in their order.
    `pending`: how many looks a new volume, or a snapshot, takes to be `available`, and one that gets another image.
    `newest`: the latest microversion that it speaks. `lingers`: what was left behind by a move is a while in being
    deleted."""

    def __init__(self, project: str = 'demo') -> None:
        self.project, self.pending, self.lingers = project, 0, False
        self.volumes: dict[str, dict[str, Any]] = {}
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.attachments: dict[str, dict[str, Any]] = {}
        self.faults: dict[str, Fault] = {}
        self.asked: list[str] = []
        self.most, self.newest = 100, '3.71'
        self._lock = threading.RLock()
        self._server = Server(self._app)

    def __enter__(self) -> CinderServer:
        service_auth.register('cinder')
        service_auth.reset()
        CONF.set_override('volume_backend', 'cinder')
        CONF.set_override('auth_type', 'none', 'cinder')
        CONF.set_override('endpoint_override', self._server.__enter__() + '/v3', 'cinder')
        CONF.set_override('block_device_allocate_retries_interval', 0.05)
        return self

    def __exit__(self, *_args: Any) -> None:
        self._server.__exit__()
        for name in ('auth_type', 'endpoint_override'):
            CONF.clear_override(name, 'cinder')
        for name in ('volume_backend', 'block_device_allocate_retries_interval'):
            CONF.clear_override(name)
        service_auth.reset()

    # -- for tests -------------------------------------------------------------------

    def volume(self, size: int = 1, **facts: Any) -> str:
        made = {'id': str(uuid.uuid4()), 'size': size, 'status': 'available', 'name': '', 'description': None,
                'os-vol-tenant-attr:tenant_id': self.project, 'multiattach': False, 'bootable': 'false',
                'encrypted': False, 'metadata': {}, 'snapshot_id': None, 'volume_type': '__DEFAULT__',
                'availability_zone': 'nova', 'migration_status': None, 'user_id': 'u',
                'created_at': '2026-01-01T00:00:00.000000', 'updated_at': None, 'pending': 0, **facts}
        self.volumes[made['id']] = made
        return str(made['id'])

    def of_server(self, server: str) -> list[dict[str, Any]]:
        return [one for one in self.attachments.values() if one['instance'] == server]

    def count(self, name: str) -> int:
        return self.asked.count(name)

    # -- the wire --------------------------------------------------------------------

    @webob.dec.wsgify
    def _app(self, request: webob.Request) -> webob.Response:
        path = re.sub(r'^/v3', '', request.path_info)
        for method, pattern, name in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == request.method:
                return self._run(name, request, match.groups())
        return _answer(404, {'itemNotFound': {'message': path, 'code': 404}})

    def _run(self, name: str, request: webob.Request, ids: tuple[str, ...]) -> webob.Response:
        self.asked.append(name)
        said = request.headers.get('OpenStack-API-Version', '').removeprefix('volume ')
        if said and _number(said) > _number(self.newest):
            return _answer(406, {'computeFault': {'message': f'Version {said} is not supported by the API.'}})
        fault = self.faults.get(name) or self.faults.get('*') or (lambda _name, _done: None)
        if status := fault(name, False):
            return _answer(status, {'error': {'message': 'planned', 'code': status}})
        try:
            with self._lock:
                body = json.loads(request.body) if request.body else {}
                status, found = getattr(self, f'_{name}')(request, body, *ids)
                found = json.loads(json.dumps(found))
        except Refused as error:
            return _answer(error.status, {'refused': {'message': str(error), 'code': error.status}})
        if (lost := fault(name, True)) is not None:
            return _answer(lost, {'error': {'message': 'planned', 'code': lost}})
        return _answer(status, found)

    def _find(self, kind: str, one: str) -> dict[str, Any]:
        table: dict[str, dict[str, Any]] = getattr(self, kind)
        if one not in table:
            raise Refused(404, f'{kind} {one} could not be found.')
        return table[one]

    # -- volumes ---------------------------------------------------------------------

    def _create(self, _request: Any, body: Any) -> tuple[int, Any]:
        asked = body['volume']
        if len(self.volumes) >= self.most:
            raise Refused(413, 'VolumeLimitExceeded: Maximum number of volumes allowed exceeded')
        made = self.volume(**{name: value for name, value in asked.items() if name in (
            'size', 'name', 'description', 'metadata', 'snapshot_id', 'volume_type', 'availability_zone')},
            status='creating', pending=self.pending, imageRef=asked.get('imageRef'),
            multiattach=asked.get('volume_type') == 'shared',
            bootable=str(bool(asked.get('imageRef') or asked.get('snapshot_id'))).lower())
        return 202, {'volume': self._view(self.volumes[made])}

    def _view(self, one: dict[str, Any]) -> dict[str, Any]:
        if one['status'] == 'creating':
            one['pending'] -= 1
            one['status'] = 'creating' if one['pending'] >= 0 else 'available'
        if one['status'] == 'downloading':
            one['pending'] -= 1
            one['status'] = 'downloading' if one['pending'] >= 0 else one.pop('previous')
        shown = [{'id': one['id'], 'attachment_id': has['id'], 'server_id': has['instance'], 'host_name': 'h',
                  'device': has['connector'].get('mountpoint')}
                 for has in self.attachments.values() if has['volume_id'] == one['id'] and has['status'] == 'attached']
        return {**one, 'attachments': shown}

    def _show(self, _request: Any, _body: Any, one: str) -> tuple[int, Any]:
        return 200, {'volume': self._view(self._find('volumes', one))}

    def _list(self, request: Any, _body: Any) -> tuple[int, Any]:
        wanted = json.loads(request.GET.get('metadata', '{}'))
        project = request.GET.get('project_id')
        found = [one for one in self.volumes.values() if wanted.items() <= one['metadata'].items()
                 and project in (None, one['os-vol-tenant-attr:tenant_id'])]
        return 200, {'volumes': [self._view(one) for one in found[:int(request.GET.get('limit', 1000))]]}

    def _delete(self, _request: Any, _body: Any, one: str) -> tuple[int, Any]:
        found = self._find('volumes', one)
        if found['status'] not in ('available', 'error'):
            raise Refused(400, 'Invalid volume: Volume status must be available or error')
        if any(copy['volume_id'] == one for copy in self.snapshots.values()):
            raise Refused(400, 'Invalid volume: Volume must not have snapshots')
        del self.volumes[one]
        return 202, {}

    def _volume_action(self, _request: Any, body: Any, one: str) -> tuple[int, Any]:
        found = self._find('volumes', one)
        if 'os-extend' in body:
            found['size'] = body['os-extend']['new_size']
            return 202, {}
        if 'os-migrate_volume_completion' in body:
            said = body['os-migrate_volume_completion']
            found['migration_status'] = 'error' if said['error'] else 'success'
            if self.lingers:
                self.volumes[said['new_volume']]['status'] = 'deleting'
            else:
                self.volumes.pop(said['new_volume'], None)
            for has in self.attachments.values():
                if has['volume_id'] == said['new_volume'] and not said['error']:
                    has['volume_id'] = one
            self._settle(found)
            return 200, {'save_volume_id': one}
        if 'os-reimage' in body:
            if found['status'] not in ('available', 'error', 'reserved'):
                raise Refused(400, f"Invalid volume: Volume {one} status must be available or error or reserved, but "
                                   f"the current status is {found['status']}.")
            image = body['os-reimage']['image_id']
            found.update(previous=found['status'], status='downloading', pending=self.pending,
                         volume_image_metadata={'image_id': image})
            return 202, {}
        raise Refused(400, 'There is no such action')

    # -- snapshots -------------------------------------------------------------------

    def _create_snapshot(self, _request: Any, body: Any) -> tuple[int, Any]:
        asked = body['snapshot']
        source = self._find('volumes', asked['volume_id'])
        if len(self.snapshots) >= self.most:
            raise Refused(413, 'SnapshotLimitExceeded: Maximum number of snapshots allowed exceeded')
        made = {'id': str(uuid.uuid4()), 'volume_id': source['id'], 'size': source['size'], 'status': 'creating',
                'name': asked.get('name'), 'description': '', 'metadata': asked.get('metadata') or {},
                'pending': self.pending, 'os-extended-snapshot-attributes:project_id': self.project}
        self.snapshots[made['id']] = made
        return 202, {'snapshot': made}

    def _show_snapshot(self, _request: Any, _body: Any, one: str) -> tuple[int, Any]:
        found = self._find('snapshots', one)
        if found['status'] == 'creating':
            found['pending'] -= 1
            found['status'] = 'creating' if found['pending'] >= 0 else 'available'
        return 200, {'snapshot': found}

    def _list_snapshots(self, request: Any, _body: Any) -> tuple[int, Any]:
        project = request.GET.get('project_id')
        return 200, {'snapshots': [one for one in self.snapshots.values() if project in (
            None, one['os-extended-snapshot-attributes:project_id'])]}

    def _delete_snapshot(self, _request: Any, _body: Any, one: str) -> tuple[int, Any]:
        if self._find('snapshots', one)['status'] not in ('available', 'error'):
            raise Refused(400, 'Invalid snapshot: Snapshot status must be available or error')
        del self.snapshots[one]
        return 202, {}

    def _snapshot_action(self, _request: Any, body: Any, one: str) -> tuple[int, Any]:
        self._find('snapshots', one).update(body['os-update_snapshot_status'])
        return 202, {}

    # -- attachments -----------------------------------------------------------------

    def _reserve(self, _request: Any, body: Any) -> tuple[int, Any]:
        asked = body['attachment']
        found, server = self._find('volumes', asked['volume_uuid']), asked['instance_uuid']
        has = [one for one in self.attachments.values() if one['volume_id'] == found['id']]
        own = any(one['instance'] == server for one in has)
        good = ('available', *(('in-use',) if found['multiattach'] else ()), *(('in-use', 'reserved') if own else ()))
        if found['status'] not in good:
            raise Refused(400, f"Invalid volume: Volume {found['id']} status must be available or downloading to "
                               f"reserve, but the current status is {found['status']}.")
        made = {'id': str(uuid.uuid4()), 'volume_id': found['id'], 'instance': server, 'status': 'reserved',
                'connector': {}, 'connection_info': {}}
        self.attachments[made['id']] = made
        self._settle(found)
        if asked.get('connector'):
            self._give_to(made, asked['connector'])
        return 200, {'attachment': made}

    def _attachments(self, request: Any, _body: Any) -> tuple[int, Any]:
        wanted = request.GET.get('instance_id')
        return 200, {'attachments': [one for one in self.attachments.values() if wanted in (None, one['instance'])]}

    def _connect(self, _request: Any, body: Any, one: str) -> tuple[int, Any]:
        found, connector = self._find('attachments', one), body['attachment']['connector']
        if not connector.get('host'):
            raise Refused(400, 'The connector names no host')
        has = [each for each in self.attachments.values() if each['volume_id'] == found['volume_id']]
        if len(has) > 1 and any(each['connection_info'] for each in has) and not (
                self.volumes[found['volume_id']]['multiattach']):
            raise Refused(409, f"duplicate connectors detected on volume {found['volume_id']}")
        self._give_to(found, connector)
        return 200, {'attachment': found}

    def _give_to(self, found: dict[str, Any], connector: dict[str, Any]) -> None:
        one = found['id']
        found['connector'] = connector
        found['status'] = 'attached' if found['status'] == 'attached' else 'attaching'
        found['connection_info'] = {
            'driver_volume_type': 'fake', 'attachment_id': one, 'encrypted': False, 'access_mode': 'rw',
            'for_host': connector['host'], 'name': f"volume-{found['volume_id']}"}
        self._settle(self.volumes[found['volume_id']])

    def _complete(self, _request: Any, _body: Any, one: str) -> tuple[int, Any]:
        found = self._find('attachments', one)
        if not found['connection_info']:
            raise Refused(400, 'The attachment is not connected')
        found['status'] = 'attached'
        self._settle(self.volumes[found['volume_id']])
        return 204, {}

    def _give_back(self, _request: Any, _body: Any, one: str) -> tuple[int, Any]:
        found = self._find('attachments', one)
        del self.attachments[one]
        if found['volume_id'] in self.volumes:
            self._settle(self.volumes[found['volume_id']])
        return 200, {'attachments': []}

    def _settle(self, volume: dict[str, Any]) -> None:
        states = {one['status'] for one in self.attachments.values() if one['volume_id'] == volume['id']}
        words = (('attached', 'in-use'), ('attaching', 'attaching'), ('reserved', 'reserved'))
        status = next((status for state, status in words if state in states), 'available')
        volume['previous' if volume['status'] == 'downloading' else 'status'] = status


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split('.'))


def _answer(status: int, body: Any) -> webob.Response:
    return webob.Response(status=status, json_body=body) if status != 204 else webob.Response(status=204)
