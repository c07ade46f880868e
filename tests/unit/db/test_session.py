from __future__ import annotations

import datetime

import pytest
from oslo_db import exception as db_exc

from minicompute.db import session


@pytest.mark.parametrize('url', ['mysql+pymysql://x:y@127.0.0.1:1/z', 'postgresql+psycopg://x@127.0.0.1:1/z'])
def test_a_database_that_cannot_be_reached_is_away(conf, url):
    """By the name that retries, the conductor and the api know it by."""
    session.dispose()
    conf.set_override('connection', url, 'database')
    try:
        with pytest.raises(db_exc.DBConnectionError), session.read():
            pass
        with pytest.raises(db_exc.DBConnectionError), session._writing():
            pass
    finally:
        session.dispose()


class Server:
    """A connection whose clock says `at`, after `late` seconds of our steady one."""

    class dialect:
        name = 'mysql'

    def __init__(self, monkeypatch):
        self.at, self.late, self.asked, self.steady = datetime.datetime(2026, 1, 1), 0.0, 0, 100.0
        monkeypatch.setattr(session, '_clock', None)
        monkeypatch.setattr(session.time, 'monotonic', lambda: self.steady)

    def exec_driver_sql(self, _statement):
        self.asked += 1
        self.steady += self.late
        return self

    def scalar_one(self):
        return self.at


def test_the_clock_is_asked_now_and_then(monkeypatch):
    server = Server(monkeypatch)
    assert session.now(server) == server.at
    server.steady += 5
    assert session.now(server) == server.at + datetime.timedelta(seconds=5) and server.asked == 1
    server.steady += session.CLOCK_KEEPS
    assert session.now(server) == server.at and server.asked == 2


def test_a_late_answer_is_not_kept(monkeypatch):
    """It would put us ahead by as long as it took."""
    server = Server(monkeypatch)
    server.late = 3.0
    assert session.now(server) == server.at
    server.late = 0.0
    assert session.now(server) == server.at and server.asked == 2
