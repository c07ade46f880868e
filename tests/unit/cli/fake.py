"""A small compute (and image, and network) service over HTTP, in a thread: what the CLI is tested against.

It keeps servers, flavors, key pairs, images and networks in dicts and remembers each request. A test may put
an answer
into `canned` to overrule it.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote
from wsgiref.simple_server import WSGIRequestHandler, make_server

Answer = tuple[int, Any]


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    microversion: str | None
    headers: dict[str, str]


@dataclass
class Fake:
    max_version: str = '2.104'
    url: str = ''
    servers: dict[str, dict[str, Any]] = field(default_factory=dict)
    flavors: dict[str, dict[str, Any]] = field(default_factory=dict)
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    keypairs: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    canned: dict[tuple[str, str], Answer] = field(default_factory=dict)
    scripts: dict[str, list[dict[str,
                                 Any]]] = field(default_factory=dict)   # what successive GETs of a server say
    page: int = 1000

    def __post_init__(self) -> None:
        self.flavor('1', 'm1.tiny')

    # -- what is there ---------------------------------------------------------------------------------------

    def flavor(self, flavor_id: str, name: str) -> dict[str, Any]:
        self.flavors[flavor_id] = {
            'id': flavor_id, 'name': name, 'ram': 64, 'disk': 1, 'vcpus': 1, 'swap': 0, 'extra_specs': {},
            'OS-FLV-EXT-DATA:ephemeral': 0, 'os-flavor-access:is_public': True, 'description': None,
            'links': []}
        return self.flavors[flavor_id]

    def server(self, name: str, status: str = 'ACTIVE', **facts: Any) -> dict[str, Any]:
        server_id = str(uuid.uuid4())
        self.servers[server_id] = {
            'id': server_id, 'name': name, 'status': status, 'tenant_id': 'p', 'addresses': {},
            'metadata': {},
            'OS-EXT-STS:task_state': None, 'OS-EXT-STS:power_state': 1, 'image': '', 'links': [],
            'flavor': {'original_name': 'm1.tiny', 'vcpus': 1, 'ram': 64}, **facts}
        return self.servers[server_id]

    def image(self, name: str) -> dict[str, Any]:
        image_id = str(uuid.uuid4())
        self.images[image_id] = {'id': image_id, 'name': name, 'status': 'active', 'disk_format': 'qcow2',
                                 'size': 1}
        return self.images[image_id]

    def network(self, name: str) -> dict[str, Any]:
        network_id = str(uuid.uuid4())
        self.networks[network_id] = {'id': network_id, 'name': name, 'status': 'ACTIVE', 'subnets': []}
        return self.networks[network_id]

    def sent(self, method: str, path: str) -> list[Request]:
        return [r for r in self.requests if r.method == method and re.fullmatch(path, r.path)]

    # -- how it answers --------------------------------------------------------------------------------------

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        length = int(environ.get('CONTENT_LENGTH') or 0)
        raw = environ['wsgi.input'].read(length) if length else b''
        is_json = 'json' in (environ.get('CONTENT_TYPE') or '')
        request = Request(
            environ['REQUEST_METHOD'], unquote(environ['PATH_INFO']),
            parse_qs(environ.get('QUERY_STRING', '')),
            json.loads(raw) if raw and is_json else raw, environ.get('HTTP_OPENSTACK_API_VERSION'),
            {k[5:].replace('_', '-').lower(): v for k, v in environ.items() if k.startswith('HTTP_')})
        self.requests.append(request)
        code, body = self._answer(request)
        payload = b'' if body is None else json.dumps(body).encode()
        start_response(f'{code} X', [('Content-Type', 'application/json'),
                                     ('Content-Length', str(len(payload))),
                                     ('x-openstack-request-id', 'req-1')])
        return [payload]

    def _answer(self, request: Request) -> Answer:
        canned = self.canned.get((request.method, request.path))
        if canned:
            return canned
        for pattern, handler in ROUTES:
            match = re.fullmatch(pattern, f'{request.method} {request.path}')
            if match:
                try:
                    return handler(self, request, *match.groups())
                except KeyError as exc:
                    return fault(404, 'itemNotFound', f'{exc.args[0]} could not be found.')
        return 404, {'message': 'The resource could not be found.', 'code': '404 Not Found',
                     'title': 'Not Found'}

    def versions(self, request: Request) -> Answer:
        return 200, {'versions': [self._document()]}

    def version(self, request: Request) -> Answer:
        return 200, {'version': self._document()}

    def _document(self) -> dict[str, Any]:
        return {'id': 'v2.1', 'status': 'CURRENT', 'version': self.max_version, 'min_version': '2.1',
                'updated': '2013-07-23T11:33:21Z', 'links': [{'rel': 'self', 'href': f'{self.url}/v2.1/'}]}

    def list_servers(self, request: Request, detail: str | None) -> Answer:
        found = list(self.servers.values())
        if name := request.query.get('name'):
            found = [s for s in found if re.search(name[0], s['name'])]
        return self._page(request, 'servers', found)

    def _page(self, request: Request, key: str, found: list[dict[str, Any]]) -> Answer:
        if marker := request.query.get('marker'):
            ids = [f['id'] for f in found]
            found = found[ids.index(marker[0]) + 1:]
        size = min(self.page, int(request.query.get('limit', ['1000'])[0]))
        body: dict[str, Any] = {key: found[:size]}
        if len(found) > size:
            body[f'{key}_links'] = [{'rel': 'next', 'href': 'x'}]
        return 200, body

    def show_server(self, request: Request, server_id: str) -> Answer:
        script = self.scripts.get(server_id)
        if script:
            change = script.pop(0)
            if change.get('status') == 'DELETED':
                del self.servers[server_id]
            else:
                self.servers[server_id].update(change)
        return 200, {'server': self.servers[server_id]}

    def create_server(self, request: Request) -> Answer:
        wanted = request.body['server']
        server = self.server(wanted['name'], 'BUILD')
        if wanted.get('return_reservation_id'):
            return 202, {'reservation_id': 'r-1'}
        return 202, {'server': {'id': server['id'], 'adminPass': 'secret', 'links': []}}

    def act(self, request: Request, server_id: str) -> Answer:
        self.servers[server_id]
        if 'os-getConsoleOutput' in request.body:
            return 200, {'output': 'login: '}
        return 202, None

    def delete_server(self, request: Request, server_id: str) -> Answer:
        if server_id not in self.scripts:
            del self.servers[server_id]
        return 204, None

    def update_server(self, request: Request, server_id: str) -> Answer:
        self.servers[server_id].update(request.body['server'])
        return 200, {'server': self.servers[server_id]}

    def list_flavors(self, request: Request) -> Answer:
        return self._page(request, 'flavors', list(self.flavors.values()))

    def show_flavor(self, request: Request, flavor_id: str) -> Answer:
        return 200, {'flavor': self.flavors[flavor_id]}

    def add_keypair(self, request: Request) -> Answer:
        pair = {**request.body['keypair'], 'fingerprint': 'aa:bb'}
        if 'public_key' not in pair:
            pair.update(public_key='ssh-rsa A', private_key='-----BEGIN')
        self.keypairs[pair['name']] = pair
        return 201, {'keypair': pair}

    def list_keypairs(self, request: Request) -> Answer:
        return 200, {'keypairs': [{'keypair': k} for k in self.keypairs.values()]}

    def image_versions(self, request: Request) -> Answer:
        return 200, {'versions': [{'id': 'v2.9', 'status': 'CURRENT',
                                   'links': [{'rel': 'self', 'href': f'{self.url}/image/v2/'}]}]}

    def list_images(self, request: Request) -> Answer:
        names = request.query.get('name')
        return 200, {'images': [i for i in self.images.values() if not names or i['name'] in names]}

    def show_image(self, request: Request, image_id: str) -> Answer:
        return 200, self.images[image_id]

    def create_image(self, request: Request) -> Answer:
        image = self.image(request.body['name'])
        image.update(request.body, status='queued')
        return 201, image

    def upload(self, request: Request, image_id: str) -> Answer:
        self.images[image_id]['status'] = 'active'
        self.uploads[image_id] = request.body
        return 204, None

    def delete_image(self, request: Request, image_id: str) -> Answer:
        del self.images[image_id]
        return 204, None

    def network_versions(self, request: Request) -> Answer:
        return 200, {'versions': [{'id': 'v2.0', 'status': 'CURRENT',
                                   'links': [{'rel': 'self', 'href': f'{self.url}/network/v2.0/'}]}]}

    def list_networks(self, request: Request) -> Answer:
        names = request.query.get('name')
        return 200, {'networks': [n for n in self.networks.values() if not names or n['name'] in names]}

    def show_network(self, request: Request, network_id: str) -> Answer:
        return 200, {'network': self.networks[network_id]}

    def create_network(self, request: Request) -> Answer:
        return 201, {'network': self.network(request.body['network']['name'])}

    def create_subnet(self, request: Request) -> Answer:
        return 201, {'subnet': {'id': str(uuid.uuid4()), **request.body['subnet']}}

    def delete_network(self, request: Request, network_id: str) -> Answer:
        del self.networks[network_id]
        return 204, None


def fault(code: int, name: str, message: str) -> Answer:
    return code, {name: {'code': code, 'message': message}}


ROUTES: list[tuple[str, Any]] = [
    (r'GET /', Fake.versions), (r'GET /v2.1/?', Fake.version),
    (r'GET /v2.1/servers(/detail)?', Fake.list_servers), (r'POST /v2.1/servers', Fake.create_server),
    (r'GET /v2.1/servers/([^/]+)', Fake.show_server), (r'DELETE /v2.1/servers/([^/]+)', Fake.delete_server),
    (r'PUT /v2.1/servers/([^/]+)', Fake.update_server), (r'POST /v2.1/servers/([^/]+)/action', Fake.act),
    (r'GET /v2.1/flavors/detail', Fake.list_flavors), (r'GET /v2.1/flavors/([^/]+)', Fake.show_flavor),
    (r'POST /v2.1/os-keypairs', Fake.add_keypair), (r'GET /v2.1/os-keypairs', Fake.list_keypairs),
    (r'GET /image/?', Fake.image_versions), (r'GET /image/v2/?', Fake.image_versions),
    (r'GET /image/v2/images', Fake.list_images), (r'GET /image/v2/images/([^/]+)', Fake.show_image),
    (r'POST /image/v2/images', Fake.create_image), (r'PUT /image/v2/images/([^/]+)/file', Fake.upload),
    (r'DELETE /image/v2/images/([^/]+)', Fake.delete_image),
    (r'GET /network/?', Fake.network_versions), (r'GET /network/v2.0/?', Fake.network_versions),
    (r'GET /network/v2.0/networks', Fake.list_networks),
    (r'GET /network/v2.0/networks/([^/]+)', Fake.show_network),
    (r'POST /network/v2.0/networks', Fake.create_network),
    (r'POST /network/v2.0/subnets', Fake.create_subnet),
    (r'DELETE /network/v2.0/networks/([^/]+)', Fake.delete_network),
]


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serving(fake: Fake) -> Iterator[Fake]:
    httpd = make_server('127.0.0.1', 0, fake, handler_class=_Quiet)
    fake.url = f'http://127.0.0.1:{httpd.server_port}'
    thread = threading.Thread(target=httpd.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
