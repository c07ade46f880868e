"""The whole WSGI stack over an empty database, answers checked against their schemas."""
from __future__ import annotations

import contextlib
import threading

import pytest

from minicompute import conf as conf_module
from minicompute import policy
from minicompute.api.openstack import router
from minicompute.wsgi import paste
from tests.functional.api.client import Client
from tests.functional.counting import told


@pytest.fixture
def app(database, conf):
    conf_module.setup([], 'tests', [])     # the fixture `conf` left it unparsed; overrides stay
    conf.set_override('auth_strategy', 'noauth2', 'api')
    policy.reset()
    conf.set_override('response_validation', 'error', 'api')
    yield paste.load()
    conf.clear_override('auth_strategy', 'api')
    router.the_router.cache_clear()


@pytest.fixture
def api(app):
    """The operator."""
    return Client(app)


@pytest.fixture
def member(app):
    return Client(app, user='alice', project='demo')


@pytest.fixture
def reader(app):
    return Client(app, user='bob', project='demo', roles='reader')


@pytest.fixture
def count_queries():
    """`with count_queries() as seen: ...; assert len(seen) == 2`"""
    @contextlib.contextmanager
    def counting():
        seen = []
        here = threading.get_ident()     # others, such as the sweep, ask meanwhile

        def note(_conn, _cursor, statement, *_rest):
            # The servers' clock is asked by a statement of its own, now and then; SQLite's is ours.
            ours = statement.lstrip().upper().startswith(('SELECT ', 'INSERT', 'UPDATE', 'DELETE'))
            if threading.get_ident() == here and ours and not any(
                    clock in statement for clock in ('UTC_TIMESTAMP', 'clock_timestamp')):
                seen.append(statement)
        with told('before_cursor_execute', note):
            yield seen
    return counting
