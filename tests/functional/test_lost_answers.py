"""A commit whose answer got lost has happened: nothing is made twice."""
from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_db import exception as db_exc

from minicompute.compute.api import create
from minicompute.conf import CONF
from minicompute.db import session
from tests.functional.cloud import Cloud


@pytest.mark.parametrize('quota', [10, 1], ids=['room', 'the last place'])
def test_one_post_makes_one_server(cloud: Cloud, monkeypatch: Any, quota: int) -> None:
    CONF.set_override('instances', quota, 'quota')
    flavor, image = cloud.flavor(disk=1), cloud.image()
    real_write, real_writing = create._write, session._writing
    written: list[int] = []   # the thread of each attempt: others (heartbeats, sweeps) write meanwhile
    lost: list[int] = []

    def write(*args: Any, **kwargs: Any) -> Any:
        written.append(threading.get_ident())
        return real_write(*args, **kwargs)

    @contextlib.contextmanager
    def writing() -> Iterator[Any]:
        with real_writing() as conn:
            yield conn
        if not lost and threading.get_ident() in written:
            lost.append(1)
            raise db_exc.DBConnectionError()
    monkeypatch.setattr(create, '_write', write)
    monkeypatch.setattr(session, '_writing', writing)
    server = cloud.boot('once', flavorRef=flavor, imageRef=image)
    assert len(written) == 2
    assert [s['id'] for s in cloud.api('GET', '/servers')['servers']] == [server['id']]
    cloud.wait(server['id'])
