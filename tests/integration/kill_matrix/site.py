"""The system under test: real daemons, RabbitMQ and MariaDB of its own. All may be killed and started again."""
from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from minicompute import crash
from tests.integration.stack import PATIENCE, Broker, Stack, StackError, free_port, port_open, tail, wait_for

COMPUTES, PAIR = 3, 2
SETTINGS: dict[str, dict[str, Any]] = {
    'quota': {'instances': -1, 'cores': -1, 'ram': -1, 'server_groups': -1},
    'local_volumes': {'max_volumes': -1},
    # Shelved servers and deleted ones wait to be told; a host is down when somebody says so, not because it was slow.
    'DEFAULT': {'shelved_offload_time': -1, 'reclaim_instance_interval': 3600, 'service_down_time': 40,
                'osapi_compute_threads': 16, 'shutdown_timeout': 0, 'max_concurrent_live_migrations': 0},
    # A thread that is held at a point must not keep those of other actions from theirs.
    'conductor': {'workers': 48, 'batch': 1}}


class Database:
    """A MariaDB server that keeps what it has committed over a kill -9."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory, self.port = directory, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f'mysql+pymysql://root@127.0.0.1:{self.port}/mysql'

    def start(self) -> None:
        data = self.directory / 'data'
        if not (data / 'mysql').exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            self._do('mariadb-install-db', '--no-defaults', f'--datadir={data}', '--user=root',
                     '--auth-root-authentication-method=normal', '--skip-test-db')
        with open(self.directory / 'mariadb.log', 'ab') as log:
            self._process = subprocess.Popen(
                [str(shutil.which('mariadbd')), '--no-defaults', '--user=root', f'--datadir={data}',
                 f'--socket={self.directory}/socket', '--bind-address=127.0.0.1', f'--port={self.port}',
                 '--skip-name-resolve', '--max-connections=600', '--skip-log-bin',
                 '--innodb-flush-log-at-trx-commit=2', '--innodb-buffer-pool-size=64M'],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        wait_for(lambda: port_open(self.port) or self._ended(), PATIENCE, 'MariaDB')

    def _ended(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise StackError(f'MariaDB ended:\n{tail(self.directory / "mariadb.log")}')
        return False

    def _do(self, *words: str) -> None:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            raise StackError(f'{words[0]}: {done.stderr[-2000:]}')

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE)


class Killable(Stack):
    """A stack whose daemons look into a file of crash points."""

    @property
    def plan(self) -> pathlib.Path:
        return self.directory / 'crash'

    def _env(self) -> dict[str, str]:
        return {**super()._env(), crash.VARIABLE: f'@{self.plan}'}


class Site:
    """`with Site(directory) as site:` two of each, three computes; `site.stack.api` speaks to it."""

    def __init__(self, directory: pathlib.Path, settings: dict[str, dict[str, Any]] | None = None) -> None:
        self.directory = directory
        self.broker, self.database = Broker(directory / 'broker'), Database(directory / 'database')
        self._settings = {section: {**SETTINGS.get(section, {}), **(settings or {}).get(section, {})}
                          for section in {*SETTINGS, *(settings or {})}}
        self.runs_twice: set[str] = set()
        self._ended = threading.Event()
        self._engine: sa.Engine | None = None

    def __enter__(self) -> Site:
        try:
            self.broker.start()
            self.database.start()
            self.stack = Killable(self.directory / 'stack', self.broker, conductors=PAIR, schedulers=PAIR,
                                  computes=COMPUTES, database=self.database.url, settings=self._settings)
            self.stack.start()
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._ended.set()
        if self._engine is not None:
            self._engine.dispose()
        if hasattr(self, 'stack'):
            with contextlib.suppress(Exception):     # its database may be the thing that failed
                self.stack.stop()
        self.broker.kill()
        self.database.kill()

    def _watch(self) -> None:
        """At most one copy of a server ever runs: looked at all the time, not only when all is quiet."""
        while not self._ended.wait(0.03):
            seen: dict[str, str] = {}
            for host in pathlib.Path(self.stack.state, 'fake-domains').glob('*'):
                for link in _links(host):
                    if link.name in seen and seen[link.name] != host.name:
                        self._doubt(link.name)
                    seen[link.name] = host.name

    def _doubt(self, uuid: str) -> None:
        """A list of two directories is not one moment: only what runs on two hosts now, twice in a row, counts."""
        def running() -> set[str]:
            found = set()
            for link in pathlib.Path(self.stack.state, 'fake-domains').glob(f'*/{uuid}'):
                with contextlib.suppress(OSError):
                    if os.readlink(link).startswith('1:'):
                        found.add(link.parent.name)
            return found
        if len(running()) > 1 and len(running() & running()) > 1:
            self.runs_twice.add(uuid)

    # -- crash points --------------------------------------------------------------

    def arm(self, words: list[str]) -> None:
        self.disarm()
        self._write('\n'.join(words) + '\n')

    def disarm(self) -> None:
        """Nothing happens any more, and whoever is held goes on."""
        self._write('')
        shutil.rmtree(self._hits, ignore_errors=True)

    def _write(self, text: str) -> None:
        """Whole, or not at all: a daemon may read it at any moment."""
        new = self.stack.plan.with_suffix('.new')
        new.write_text(text)
        new.rename(self.stack.plan)

    @property
    def _hits(self) -> pathlib.Path:
        return self.stack.plan.with_name('crash.hits')

    def hits(self) -> dict[str, int]:
        """{word: pid of the daemon that it happened to}"""
        found = {}
        for path in self._hits.glob('*') if self._hits.exists() else ():
            text = path.read_text().split()
            if text:
                found[path.name] = int(text[0])
        return found

    def trace(self) -> list[tuple[str, str, str, str]]:
        """(role, place, when, subject) of each point passed since the last look, in order."""
        path = self.stack.plan.with_name('crash.trace')
        if not path.exists():
            return []
        lines = [line.split(' ') for line in path.read_text().splitlines()]
        path.unlink()
        return [(role, place, when, subject) for role, place, when, subject in lines]

    # -- killing -------------------------------------------------------------------

    def kill_pids(self, pids: set[int]) -> list[tuple[str, int]]:
        """-> the daemons that these were."""
        dead = [(daemon.role, daemon.number) for daemon in self.stack.daemons.values()
                if daemon.process is not None and daemon.process.pid in pids]
        for role, number in dead:
            self.stack.kill(role, number, signal.SIGKILL)
        return dead

    def lose_power(self, host: str) -> None:
        """The guests of a host whose daemon is dead do not run either."""
        for link in _links(pathlib.Path(self.stack.state, 'fake-domains', host)):
            name = os.readlink(link).partition(':')[2]
            link.unlink()
            link.symlink_to(f'4:{name}')

    def end_copy(self, uuid: str, host: str) -> None:
        """The hypervisor of `host`, whose daemon may be dead, is done with what goes to another: its time is over."""
        job = pathlib.Path(self.stack.state, 'fake-domains', host, f'.live.{uuid}')
        dest, _, _, size = os.readlink(job).split(':')
        new = job.with_name(f'{job.name}.new')
        new.symlink_to(f'{dest}:0.0:0.0:{size}')
        new.replace(job)

    def revive(self, *but: str) -> list[str]:
        """Start what does not run, `but` some daemons. -> names"""
        dead = [daemon for daemon in self.stack.daemons.values() if not daemon.alive and daemon.name not in but]
        for daemon in dead:
            self.stack.spawn(daemon.role, daemon.number, wait=False)
        for daemon in dead:
            self.stack.wait_ready(daemon.role, daemon.number)
        return [daemon.name for daemon in dead]

    def cut(self, part: str, seconds: float = 1.0) -> None:
        """kill -9 the broker or the database, let those that are held go on without it, and start it again."""
        target = self.broker if part == 'broker' else self.database
        target.kill()
        self.disarm()
        time.sleep(seconds)
        target.start()

    # -- reading -------------------------------------------------------------------

    def _connect(self) -> sa.Connection:
        if self._engine is None:
            self._engine = sa.create_engine(self.stack.database, pool_pre_ping=True, isolation_level='AUTOCOMMIT')
        return self._engine.connect()

    def rows(self, query: str) -> list[Any]:
        with self._connect() as conn:
            return list(conn.execute(sa.text(query)))

    def change(self, statement: str) -> None:
        """What only the clock does otherwise."""
        with self._connect() as conn:
            conn.execute(sa.text(statement))


def _links(host: pathlib.Path) -> Iterator[pathlib.Path]:
    with contextlib.suppress(FileNotFoundError):
        yield from (link for link in host.iterdir() if not link.name.startswith('.'))
