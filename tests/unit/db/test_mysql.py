"""What MariaDB's connections share."""
from __future__ import annotations

import pytest
import sqlalchemy as sa

from minicompute.db import mysql, session

URL = 'mysql+pymysql://nobody:secret@127.0.0.1:1/nothing'


@pytest.fixture
def connections(monkeypatch):
    """What the writers' engine would have connected with."""
    made = []
    monkeypatch.setattr(mysql.SharingConnection, 'connect', lambda self, sock=None: made.append(self))
    return made


@pytest.fixture
def connect(connections):
    def connect(url=URL):
        engine = session._server(sa.make_url(url))
        for _ in range(2):
            with pytest.raises(Exception, match='.'):     # there is nobody to say anything to
                engine.raw_connection()
        return [connection.ctx for connection in connections[-2:]]
    return connect


def test_all_connections_have_one_tls_context(connect):
    one, two = connect()
    again, _ = connect()
    assert one is two is again


def test_what_the_url_says_of_tls_is_looked_at_each_time(connect):
    one, two = connect(f'{URL}?ssl_check_hostname=false&ssl_verify_cert=true')
    assert one is not two and one is not mysql.context()
