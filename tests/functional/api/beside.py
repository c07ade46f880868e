"""Requests about servers that live, asked of a real Nova and of us: the codes and shapes must be the same.

`recorded_servers.jsonl` holds what a Nova 34.0.0 with the fake driver answered, without Neutron and Cinder.
A line is {"who", "method", "path", "version", "body", "save", "code", "shape"}. Who wants to know more adds lines
without the last two, and lets a Nova answer all of them anew (its api has to believe identity headers):

    python -m tests.functional.api.beside URL IMAGE

Words in a path or a body that begin with `$` stand for ids: of what `save` says, or of what is there from the start.
After each request that was accepted all servers come to rest.
"""
from __future__ import annotations

import http.client
import json
import pathlib
import re
import sys
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.functional.api.recorded import shape

FILE = pathlib.Path(__file__).with_name('recorded_servers.jsonl')
ROLES = {'admin': ('admin', 'admin,manager,member,reader'), 'alice': ('demo', 'member,reader'),
         'bob': ('demo', 'reader'), 'eve': ('nowhere', 'member,reader')}
PATIENCE = 120.0
WORD = re.compile(r'\$(\w+)')

#: call(who, method, path, version, body) -> (code, document or None)
Call = Callable[[str, str, str, str, Any], tuple[int, Any]]


class Ask(NamedTuple):
    """`save`: the name under which later requests know the id that is answered."""

    who: str
    method: str
    path: str
    version: str
    body: Any = None
    save: str = ''


def headers(who: str, version: str) -> dict[str, str]:
    project, roles = ROLES[who]
    return {'X-User-Id': who, 'X-Project-Id': project, 'X-Roles': roles, 'X-Auth-Token': f'{who}:{project}',
            'OpenStack-API-Version': f'compute {version}', 'Content-Type': 'application/json',
            'Accept': 'application/json'}


def filled(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, str):
        return WORD.sub(lambda found: ids.get(found[1], found[0]), value)
    if isinstance(value, dict):
        return {filled(key, ids): filled(inner, ids) for key, inner in value.items()}
    return [filled(inner, ids) for inner in value] if isinstance(value, list) else value


def play(asks: list[Ask], call: Call, image: str, rest: Callable[[], Any] = bool) -> Iterator[tuple[Ask, int, Any]]:
    """-> each with the code and the shape of its answer. `rest()` waits for what no answer tells of."""
    began = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
    ids = {'image': image, 'run': uuid.uuid4().hex[:8], 'nobody': '00000000-0000-4000-8000-00000000dead'}
    for ask in asks:
        code, document = call(ask.who, ask.method, filled(ask.path, ids), ask.version, filled(ask.body, ids))
        if ask.save and code < 300:
            (inner,) = document.values()
            ids[ask.save] = str(inner['id'])
        yield ask, code, shape(document)
        if code in (200, 202, 204) and ask.method != 'GET' and ask.path.startswith(('/servers', '/os-volumes_boot')):
            settle(call, began)
            rest()


def settle(call: Call, began: str) -> None:
    """Other servers may be there, too."""
    end = time.monotonic() + PATIENCE
    while True:
        _, found = call('admin', 'GET', '/servers/detail?all_tenants=1&sort_key=created_at&limit=30', '2.104', None)
        restless = [server for server in found['servers'] if server['created'] >= began and (
            server['status'] == 'BUILD' or server['OS-EXT-STS:task_state'] is not None)]
        if not restless:
            return
        assert time.monotonic() < end, [(one['name'], one['status'], one['OS-EXT-STS:task_state']) for one in restless]
        time.sleep(0.1)


def over_http(base: str) -> Call:
    where = urllib.parse.urlsplit(base)

    def call(who: str, method: str, path: str, version: str, body: Any) -> tuple[int, Any]:
        wire = http.client.HTTPConnection(where.hostname or '', where.port, timeout=60)
        wire.request(method, where.path + path, None if body is None else json.dumps(body), headers(who, version))
        answer = wire.getresponse()
        text = answer.read()
        wire.close()
        return answer.status, json.loads(text) if text else None
    return call


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILE.read_text().splitlines()]


def asked(line: dict[str, Any]) -> Ask:
    return Ask(*(line[name] for name in Ask._fields))


def main() -> None:
    answered = list(play([asked(line) for line in lines()], over_http(sys.argv[1]), sys.argv[2]))
    FILE.write_text(''.join(json.dumps({**ask._asdict(), 'code': code, 'shape': found}) + '\n'
                            for ask, code, found in answered))


if __name__ == '__main__':
    main()
