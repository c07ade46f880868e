"""A commit whose answer got lost has happened: nothing is made twice."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from oslo_db import exception as db_exc

from minicompute.compute.api import create
from minicompute.db import session
from tests.functional.cloud import Cloud


def test_one_post_makes_one_server(cloud: Cloud, monkeypatch: Any) -> None:
    flavor, image = cloud.flavor(disk=1), cloud.image()
    real_write, real_writing = create._write, session._writing
    written: list[int] = []

    def write(*args: Any, **kwargs: Any) -> Any:
        written.append(1)
        return real_write(*args, **kwargs)

    @contextlib.contextmanager
    def writing() -> Iterator[Any]:
        with real_writing() as conn:
            yield conn
        if len(written) == 1:
            written.append(0)
            raise db_exc.DBConnectionError()
    monkeypatch.setattr(create, '_write', write)
    monkeypatch.setattr(session, '_writing', writing)
    server = cloud.boot('once', flavorRef=flavor, imageRef=image)
    assert sum(written) == 2
    assert [s['id'] for s in cloud.api('GET', '/servers')['servers']] == [server['id']]
    cloud.wait(server['id'])
