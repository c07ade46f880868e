"""Servers live here as they lived in a real Nova 34: each request has its code, each answer its shape (beside.py)."""
from __future__ import annotations

import json
from typing import Any

import pytest

from minicompute.api.openstack.wsgi import Request
from tests.functional.api.beside import Call, asked, headers, lines, play
from tests.functional.cloud import Cloud


def in_process(app: Any) -> Call:
    def call(who: str, method: str, path: str, version: str, body: Any) -> tuple[int, Any]:
        request = Request.blank(f'/v2.1{path}', method=method, headers=headers(who, version))
        if body is not None:
            request.body = json.dumps(body).encode()
        answer = request.get_response(app)
        return answer.status_int, json.loads(answer.body) if answer.body else None
    return call


def own_words(path: str) -> bool:
    """What each driver says as it likes."""
    return path.endswith('/diagnostics')


@pytest.mark.usefixtures('conf')
def test_as_in_nova(make_cloud: Any) -> None:
    cloud: Cloud = make_cloud(computes=4)
    wrong, recorded = [], lines()
    # A dump of a guest, among others, goes on without a task state; here nothing else is done to it meanwhile.
    answers = play([asked(line) for line in recorded], in_process(cloud.app), cloud.image(), lambda: cloud.until(
        lambda: 'locks' not in cloud.leaks(), 'what goes on to end'))
    for line, (ask, code, shape) in zip(recorded, answers, strict=True):
        if code != line['code'] or shape != line['shape'] and not (own_words(ask.path) and code == 200):
            wrong.append(f'{ask.who} {ask.method} {ask.path} at {ask.version} {str(ask.body)[:150]}:\n'
                         f'  ours {code} {json.dumps(shape)}\n  Nova {line["code"]} {json.dumps(line["shape"])}')
    assert not wrong, f'{len(wrong)} of {len(recorded)}\n' + '\n'.join(wrong)
