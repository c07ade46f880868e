"""A database server for one benchmark alone: own folder, own port, durable commits, gone at the end."""
from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import sqlalchemy as sa

NAMES = ('mariadb', 'postgresql', 'sqlite')
PATIENCE = 60.0


class DatabaseError(RuntimeError):
    """A server did not start; the message says where its log is."""


@contextlib.contextmanager
def serving(name: str) -> Iterator[str]:
    """One of NAMES, or a URL, which is handed on as it is. -> the URL of an empty database."""
    if name not in NAMES:
        yield name
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))    # by the way that ends the server, too
    with tempfile.TemporaryDirectory(prefix='minicompute-bench-', ignore_cleanup_errors=True) as directory:
        home = pathlib.Path(directory)
        if name == 'sqlite':
            yield f'sqlite:///{home}/bench.sqlite'
            return
        command, url = (_mariadb if name == 'mariadb' else _postgresql)(home)
        with open(home.parent / f'{home.name}.log', 'wb') as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd='/')
        try:
            made = _created(url, server, log.name)
            os.unlink(log.name)    # it goes on writing; nobody need read it
            yield made
        finally:
            server.terminate()
            server.wait(PATIENCE)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])


def _mariadb(home: pathlib.Path) -> tuple[list[str], sa.URL]:
    port, user = _free_port(), ['--user=root'] if os.getuid() == 0 else []
    subprocess.run(['mariadb-install-db', '--no-defaults', *user, f'--datadir={home}/data', '--skip-test-db',
                    '--auth-root-authentication-method=normal'], check=True, stdout=subprocess.DEVNULL)
    return (['mariadbd', '--no-defaults', *user, f'--datadir={home}/data', f'--socket={home}/sock',
             '--bind-address=127.0.0.1', f'--port={port}', '--skip-name-resolve', '--max-connections=300',
             '--innodb-flush-log-at-trx-commit=1', '--innodb-buffer-pool-size=512M'],
            sa.make_url(f'mysql+pymysql://root@127.0.0.1:{port}/mysql'))


def _postgresql(home: pathlib.Path) -> tuple[list[str], sa.URL]:
    installed = map(str, pathlib.Path('/usr/lib/postgresql').glob('*/bin/initdb'))
    found = shutil.which('initdb') or max(installed, default='')
    if not found:
        raise DatabaseError('PostgreSQL is not installed')
    binaries, port = pathlib.Path(found).resolve().parent, _free_port()
    # It refuses to run as root.
    other = ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups'] if os.getuid() == 0 else []
    (home / 'data').mkdir(mode=0o700)
    if other:
        home.chmod(0o755)
        shutil.chown(home / 'data', 'postgres')
    subprocess.run([*other, str(binaries / 'initdb'), '-D', f'{home}/data', '-A', 'trust', '-E', 'UTF8',
                    '--locale=C.UTF-8', '-U', 'postgres'], check=True, stdout=subprocess.DEVNULL, cwd='/')
    return ([*other, str(binaries / 'postgres'), '-D', f'{home}/data', '-c', 'listen_addresses=127.0.0.1',
             '-c', f'port={port}', '-c', 'unix_socket_directories=', '-c', 'max_connections=300'],
            sa.make_url(f'postgresql+psycopg://postgres@127.0.0.1:{port}/postgres'))


def _created(url: sa.URL, server: subprocess.Popen[bytes], log: str) -> str:
    """Wait for the server, and make the database."""
    engine = sa.create_engine(url, isolation_level='AUTOCOMMIT', poolclass=sa.NullPool)
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with engine.connect() as conn:
                conn.exec_driver_sql('CREATE DATABASE bench')
            return url.set(database='bench').render_as_string(hide_password=False)
        except sa.exc.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                raise DatabaseError(f'the database server does not answer: see {log}') from None
            time.sleep(0.1)
