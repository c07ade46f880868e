"""What all tests share: configuration and databases of their own.

`TEST_DATABASES` names databases to run on, comma separated SQLAlchemy URLs (`sqlite` means a new file each
time); the tests that take `database` run once on each.  The databases named there are emptied.
"""
from __future__ import annotations

import gc
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute import concurrency

concurrency.setup()

import hypothesis  # noqa: E402

from minicompute import conf as conf_module  # noqa: E402
from minicompute.conf import CONF  # noqa: E402
from minicompute.db import migration, session  # noqa: E402
from minicompute.db.models import metadata  # noqa: E402

# The same examples each time: what fails, fails for everybody. HYPOTHESIS_PROFILE=search looks for new ones.
hypothesis.settings.register_profile('same', derandomize=True)
hypothesis.settings.register_profile('search')
hypothesis.settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'same'))

DATABASES = [name for name in os.environ.get('TEST_DATABASES', 'sqlite').split(',') if name]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--cases', choices=('all', 'first'), default='all',
                     help='first: of the cases of a test function only the first, where it is not marked every_case')


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line('markers', 'long: takes minutes; `tools/run_tests.sh long` runs it')
    config.addinivalue_line('markers', 'generic: what every flow or operation gets; on SQLite, elsewhere in `long`')
    config.addinivalue_line('markers', 'every_case: what a database makes of each case differs; not one for all')
    config.addinivalue_line('markers', 'openstack: wants a real OpenStack; `tools/run_tests.sh openstack` runs it')
    if 'MINICOMPUTE_API_RECORD' in os.environ:
        from tests import recording
        recording.start(os.environ['MINICOMPUTE_API_RECORD'])


def pytest_collection_finish() -> None:
    """What is there by now stays: to look through it again and again takes the collector longer than all tests' own
    things, and so it looked so seldom that a worker grew to a gigabyte."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`--cases first`, of what -m and -k have left."""
    if config.getoption('--cases') == 'all':
        return
    kept: dict[Any, pytest.Item] = {}
    for item in items:
        cases = getattr(item, 'callspec', None)
        params = cases.params if cases is not None else {}
        alone = item.get_closest_marker('every_case') is not None or not isinstance(item, pytest.Function)
        kept.setdefault(item.nodeid if alone else (
            item.parent, item.originalname, params.get('database_url')), item)    # type: ignore[attr-defined]
    chosen = list(kept.values())
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if 'database_url' in metafunc.fixturenames:
        metafunc.parametrize('database_url', DATABASES, ids=[url.split(':')[0].split('+')[0] for url in DATABASES],
                             scope='session', indirect=True)


@pytest.fixture(scope='session')
def database_url(request: pytest.FixtureRequest) -> str:
    """`sqlite`, or the URL of a database that this process has for itself."""
    url, worker = str(request.param), os.environ.get('PYTEST_XDIST_WORKER')
    return url if url == 'sqlite' or worker is None else _of_worker(url, worker)


def _of_worker(url: str, worker: str) -> str:
    """Tests that run side by side must not empty each other's tables."""
    mine = sa.make_url(url).set(database=f'{sa.make_url(url).database}_{worker}')
    engine = sa.create_engine(url, isolation_level='AUTOCOMMIT')
    with engine.connect() as conn:
        there = {'postgresql': 'SELECT datname FROM pg_database', 'mysql': 'SHOW DATABASES'}[engine.dialect.name]
        if mine.database not in conn.exec_driver_sql(there).scalars():
            conn.exec_driver_sql(f'CREATE DATABASE {mine.database}')
    engine.dispose()
    return mine.render_as_string(hide_password=False)


@pytest.fixture(scope='session')
def configured() -> None:
    conf_module.setup([], 'tests', [])


@pytest.fixture
def conf(configured: None, tmp_path: pathlib.Path) -> Iterator[Any]:
    """The global CONF with a state path of its own, as it was before when the test ends."""
    conf_module.setup([], 'tests', [])   # CONF.reset() below takes the parsed command line with it
    CONF.set_override('state_path', str(tmp_path))
    CONF.set_override('host', 'host1')
    yield CONF
    CONF.reset()


@pytest.fixture(scope='session')
def template(configured: None, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp('template') / 'db.sqlite'
    CONF.set_override('connection', f'sqlite:///{path}', 'database')
    session.dispose()
    migration.sync()
    session.dispose()
    return path


#: what a database is -> its engines, from test to test: the statements that they have compiled are half of a test
_engines: dict[Any, tuple[sa.Engine, sa.Engine]] = {}
#: of them, those whose tables were brought up to date
_migrated: set[str] = set()


@pytest.fixture
def database(conf: Any, database_url: str, template: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[str]:
    """An empty, migrated database that the code under test uses. -> its URL"""
    url = database_url
    if url == 'sqlite':
        shutil.copy(template, tmp_path / 'db.sqlite')
        url = f'sqlite:///{tmp_path}/db.sqlite'
    conf.set_override('connection', url, 'database')
    _connect(database_url, url)
    if database_url != 'sqlite':
        if url not in _migrated:
            migration.sync()
            _migrated.add(url)
        _empty()
    yield url
    if database_url == 'sqlite' or session._engines not in _engines.values():
        session.dispose()
    else:
        session._engines = session._clock = None    # a server's connections are as good for the next test


def _connect(database: str, url: str) -> None:
    """The engines that `session` would make of the configuration."""
    session.dispose()
    key = database, *(getattr(CONF.database, name) for name in (
        'max_pool_size', 'max_overflow', 'pool_timeout', 'connection_recycle_time', 'mysql_sql_mode'))
    if key not in _engines:
        _engines[key] = session.engines()
        if database == 'sqlite':
            _follow(_engines[key][0])
    session._engines = _engines[key]
    if database == 'sqlite':
        _engines[key][0].url = sa.make_url(url)


def _follow(engine: sa.Engine) -> None:
    """Connections of SQLite go to the file of the test, whichever the engine was made for."""
    @sa.event.listens_for(engine, 'do_connect')
    def connect(dialect: Any, record: Any, args: list[Any], options: dict[str, Any]) -> None:
        args[0] = engine.url.database


def _empty() -> None:
    """Nearly all tables are: to ask costs less than to delete."""
    tables = list(reversed(metadata.sorted_tables))

    def wipe(conn: Any) -> None:
        filled = conn.execute(sa.select(*(sa.exists().select_from(table).label(f't{number}')
                                          for number, table in enumerate(tables)))).one()
        for table, rows in zip(tables, filled, strict=True):
            if rows:
                conn.execute(table.delete())
    session.write(wipe)
