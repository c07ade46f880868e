"""As much of Glance as its clients need, over a real socket (tests/neighbour.py): statuses, patches, data, ranges."""
from __future__ import annotations

import hashlib
import json
import threading
import urllib.parse
import uuid
from typing import Any

from tests.neighbour import Answer

HIDDEN = {'code': 404, 'message': 'No image found'}
ADMIN = 'service'


class Glance:
    """`who(headers) -> (project, is administrator)`; without it everybody is one. `images`: {id: document}, `data`:
    {id: bytes}."""

    def __init__(self) -> None:
        self.images: dict[str, dict[str, Any]] = {}
        self.data: dict[str, bytes] = {}
        self.members: dict[str, list[str]] = {}
        self.users: dict[str, str] = {}         # token -> project
        #: how many bytes of a download are sent before it breaks off, one number a request; and whether parts are given
        self.breaks: list[int] = []
        self.ranges = True
        #: so many bytes are left that come one by one
        self.drops = 0
        #: the status of the refusal to those who would add a member
        self.no_members = 0
        self.clock = 0
        self.in_use: set[str] = set()           # other images stand on them

    def add(self, data: bytes | None = None, **values: Any) -> str:
        image_id = values.pop('id', None) or str(uuid.uuid4())
        self.clock += 1
        stamp = f'2026-01-02T03:{self.clock // 60:02}:{self.clock % 60:02}Z'
        self.images[image_id] = {
            'id': image_id, 'status': 'queued', 'visibility': 'shared', 'min_disk': 0, 'min_ram': 0, 'protected': False,
            'tags': [], 'os_hidden': False, 'owner': 'p', 'name': None, 'size': None, 'virtual_size': None,
            'checksum': None, 'os_hash_algo': None, 'os_hash_value': None, 'disk_format': None,
            'container_format': None, 'created_at': stamp, 'updated_at': stamp, 'self': f'/v2/images/{image_id}',
            'file': f'/v2/images/{image_id}/file', 'schema': '/v2/schemas/image', **values}
        if data is not None:
            self._store(image_id, data)
        return image_id

    def _store(self, image_id: str, data: bytes) -> None:
        self.data[image_id] = data
        self.images[image_id].update(
            status='active', size=len(data), checksum=hashlib.md5(data).hexdigest(), os_hash_algo='sha512',
            os_hash_value=hashlib.sha512(data).hexdigest())

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> Answer:
        parts = urllib.parse.urlsplit(path)
        words = [urllib.parse.unquote(word) for word in parts.path.removeprefix('/v2/images').split('/')[1:]]
        project = self.users.get(headers['X-Auth-Token'])
        if not words:
            if method == 'POST':
                said = json.loads(body)
                if said.get('id') in self.images:
                    return 409, {'code': 409, 'message': 'Image ID already exists'}
                return 201, self.images[self.add(**{'owner': project or ADMIN, **said})]
            return self._page(dict(urllib.parse.parse_qsl(parts.query)), project)
        image = self.images.get(words[0])
        if image is None or project and project != image['owner'] and image['visibility'] == 'private':
            return 404, HIDDEN
        if words[1:] == ['members']:
            if image['visibility'] != 'shared':
                return 403, {'code': 403, 'message': 'Only shared images have members.'}
            if self.no_members:
                return self.no_members, {'code': self.no_members, 'message': 'no member of this image'}
            self.members.setdefault(words[0], []).append(json.loads(body)['member'])
            return 200, {}
        if words[1:] == ['file']:
            return self._upload(image, body) if method == 'PUT' else self._download(image, headers)
        if method == 'GET':
            return 200, image
        if method == 'DELETE':
            if image['protected']:
                return 403, {'code': 403, 'message': 'it is protected'}
            if words[0] in self.in_use:
                return 409, {'code': 409, 'message': 'it is in use'}
            del self.images[words[0]]
            self.data.pop(words[0], None)
            return 204, None
        for change in json.loads(body):
            name = change['path'].removeprefix('/').replace('~1', '/').replace('~0', '~')
            if (change['op'] == 'add') == (name in image):
                return 409, {'code': 409, 'message': f'{name}: {change["op"]}'}
            image.pop(name) if change['op'] == 'remove' else image.__setitem__(name, change['value'])
        return 200, image

    def _page(self, query: dict[str, str], project: str | None) -> Answer:
        limit, marker = int(query.pop('limit', 25)), query.pop('marker', None)
        query.pop('sort', None)
        shown = [image for image in reversed(self.images.values())
                 if (not project or project == image['owner'] or image['visibility'] == 'public')
                 and all(str(image.get(name)) in value.removeprefix('in:').split(',') for name, value in query.items())]
        if marker is not None:
            ids = [image['id'] for image in shown]
            if marker not in ids:
                return 404, HIDDEN
            shown = shown[ids.index(marker) + 1:]
        more = {'next': '/v2/images?marker=x'} if len(shown) > limit else {}
        return 200, {'images': shown[:limit], **more}

    def _upload(self, image: dict[str, Any], body: bytes) -> Answer:
        if image['status'] != 'queued':
            return 409, {'code': 409, 'message': 'Image status transition is not allowed'}
        if not image['disk_format'] or not image['container_format']:
            return 400, {'code': 400, 'message': 'Properties disk_format, container_format must be set'}
        self._store(image['id'], body)
        return 204, None

    def _download(self, image: dict[str, Any], headers: Any) -> Answer:
        data = self.data.get(image['id'])
        if data is None:
            return 204, None
        start = 0
        if self.ranges and (wanted := headers['Range']):
            start = int(wanted.removeprefix('bytes=').removesuffix('-'))
        broken = self.breaks.pop(0) if self.breaks else None

        def write(handler: Any) -> None:
            handler.send_response(206 if start else 200)
            handler.send_header('Content-Length', str(len(data) - start))
            if start:
                handler.send_header('Content-Range', f'bytes {start}-{len(data) - 1}/{len(data)}')
            handler.end_headers()
            while self.drops:
                handler.wfile.write(data[start:start + 1])
                self.drops -= 1
                threading.Event().wait(0.01)    # tests take the time out of `time.sleep`
            handler.wfile.write(data[start:] if broken is None else data[start:start + broken])
            handler.close_connection = handler.close_connection or broken is not None
        return 200, write
