"""Real daemons for tests: processes of their own, a broker of their own, on loopback.

    with Broker(directory) as broker, Stack(directory, broker, computes=2, conductors=2) as stack:
        stack.start()
        stack.api.post('/servers', ...)
        stack.kill('conductor', 0); stack.spawn('conductor', 0)

Daemons are the console scripts of this virtual environment.  The driver is the fake one unless the caller asks
for libvirt.  Whatever a test starts ends with it, whether it passes or not.
"""
from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

import sqlalchemy as sa

BIN = pathlib.Path(sys.executable).parent
RABBIT_BIN = pathlib.Path('/usr/lib/rabbitmq/bin')
ROLES = ('conductor', 'scheduler', 'compute', 'api')
#: the servers of stacks on this machine's libvirtd, whose domains have their number for a name, begin beyond those of
#: any cloud that somebody has there, or has left there, and below those of test_libvirt_driver.py
FIRST_ID, IDS_OF_ONE = 0xC0000000, 256
#: seconds until we give up on what takes one or two: the machine may be as busy as it likes
PATIENCE = 240


class StackError(AssertionError):
    """A daemon did not do what every test needs; the message has the end of its log."""


def free_port() -> int:
    """Below those that the kernel gives to clients: who asks for a port of these while its daemon is away may be given
    that same port, and is then connected to itself."""
    first = int(pathlib.Path('/proc/sys/net/ipv4/ip_local_port_range').read_text().split()[0])
    while True:
        port = secrets.choice(range(first - 20000, first - 13000))
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(('127.0.0.1', port))
            return port


def port_open(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(('127.0.0.1', port)) == 0


def wait_for(check: Callable[[], Any], seconds: float, what: str, pause: float = 0.1) -> Any:
    """-> the first true answer. Raises StackError when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := check():
            return answer
        if time.monotonic() > deadline:
            raise StackError(f'{what}: not within {seconds:.0f} s')
        time.sleep(pause)


def tail(path: pathlib.Path, lines: int = 25) -> str:
    try:
        return '\n'.join(path.read_text(errors='replace').splitlines()[-lines:])
    except FileNotFoundError:
        return '(no log)'


def descendants(pid: int) -> list[int]:
    """Children, their children, ..."""
    found: list[int] = []
    try:
        tasks = list(pathlib.Path(f'/proc/{pid}/task').iterdir())
        for task in tasks:
            for child in (task / 'children').read_text().split():
                found += [int(child), *descendants(int(child))]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


class Broker:
    """A RabbitMQ node of our own, as little known to the machine's as can be."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.port, self._dist = free_port(), free_port()
        self._node = f'minicompute-{self.port}@localhost'
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, vhost: str = '') -> str:
        return f'rabbit://guest:guest@127.0.0.1:{self.port}/{vhost}'

    def start(self) -> None:
        """Also again after stop() or kill(): queues that are durable are there again."""
        if not (RABBIT_BIN / 'rabbitmq-server').exists():
            raise StackError('RabbitMQ is not installed: apt-get install rabbitmq-server (or tools/run_tests.sh)')
        self.directory.mkdir(parents=True, exist_ok=True)
        log = open(self.directory / 'rabbit.log', 'ab')
        self._process = subprocess.Popen(
            [str(RABBIT_BIN / 'rabbitmq-server')], env=self._env(), stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True)
        log.close()
        wait_for(lambda: port_open(self.port) or self._died(), PATIENCE, 'RabbitMQ')

    def _died(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise StackError(f'RabbitMQ ended:\n{tail(self.directory / "rabbit.log")}')
        return False

    def stop(self) -> None:
        """As an operator would."""
        self._end(signal.SIGTERM, 30)

    def kill(self) -> None:
        self._end(signal.SIGKILL, 10)

    def _end(self, number: int, seconds: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        family = [process.pid, *descendants(process.pid)]
        for pid in reversed(family) if number == signal.SIGKILL else self._beams(family):
            _signal(pid, number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            for pid in family:
                _signal(pid, signal.SIGKILL)
            process.wait(PATIENCE)
        for pid in family:
            _signal(pid, signal.SIGKILL)
        wait_for(lambda: not port_open(self.port), PATIENCE, 'the end of RabbitMQ')

    @staticmethod
    def _beams(pids: list[int]) -> list[int]:
        """The shell around it does not hand signals on."""
        return [pid for pid in pids if _comm(pid).startswith('beam')] or pids

    def _env(self) -> dict[str, str]:
        place = str(self.directory)
        return {'PATH': os.environ['PATH'], 'HOME': place, 'RABBITMQ_NODENAME': self._node, 'LANG': 'C.UTF-8',
                'RABBITMQ_NODE_IP_ADDRESS': '127.0.0.1', 'RABBITMQ_NODE_PORT': str(self.port),
                'RABBITMQ_DIST_PORT': str(self._dist), 'RABBITMQ_MNESIA_BASE': f'{place}/mnesia',
                'RABBITMQ_LOG_BASE': f'{place}/log', 'RABBITMQ_CONFIG_FILE': f'{place}/none',
                'RABBITMQ_ENABLED_PLUGINS_FILE': f'{place}/plugins', 'RABBITMQ_CONF_ENV_FILE': '/dev/null',
                'ERL_EPMD_ADDRESS': '127.0.0.1',
                'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': '-kernel inet_dist_use_interface {127,0,0,1}'}

    def add_vhost(self, name: str) -> None:
        """One for each stack, so that none hears another's messages."""
        for words in (['add_vhost', name], ['set_permissions', '-p', name, 'guest', '.*', '.*', '.*']):
            subprocess.run([str(RABBIT_BIN / 'rabbitmqctl'), '-q', '-n', self._node, *words], env=self._env(),
                           check=True, capture_output=True, timeout=PATIENCE)


def _comm(pid: int) -> str:
    try:
        return pathlib.Path(f'/proc/{pid}/comm').read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ''


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


@dataclasses.dataclass(slots=True)
class Daemon:
    role: str
    number: int
    config: pathlib.Path
    log: pathlib.Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return f'{self.role}{self.number}'

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Stack:
    """N daemons of each kind over one database and one virtual host of a broker."""

    def __init__(self, directory: pathlib.Path, broker: Broker, *, conductors: int = 1, schedulers: int = 1,
                 computes: int = 1, apis: int = 1, database: str | None = None, driver: str = 'fake.FakeDriver',
                 concurrency: str | None = None, settings: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """`database`: the URL of a database on a server, beside which the stack gets one of its own until it stops;
        by default a new SQLite file. `settings`: {section: {option: value}}."""
        self.directory, self.broker = directory, broker
        self.tag = secrets.token_hex(3)
        self.port = free_port()
        self.endpoint = f'http://127.0.0.1:{self.port}/v2.1'
        self.state = directory / 'state'
        self._beside = database
        self.database = self._own_url() if database else f'sqlite:///{directory}/minicompute.sqlite'
        self._driver, self._concurrency, self._settings = driver, concurrency, settings or {}
        counts = {'conductor': conductors, 'scheduler': schedulers, 'compute': computes, 'api': apis}
        self.daemons: dict[tuple[str, int], Daemon] = {
            (role, number): Daemon(role, number, directory / f'{role}{number}.conf', directory / f'{role}{number}.log')
            for role in ROLES for number in range(counts[role])}
        self.api = Api(self.endpoint)

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 _trace: TracebackType | None) -> None:
        self.stop()
        if error is not None:
            print(self.report(), file=sys.stderr)

    # -- the whole -----------------------------------------------------------------

    def start(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        self._database_do('CREATE')
        self.broker.add_vhost(self.tag)
        for daemon in self.daemons.values():
            self._write_config(daemon)
        self.manage('db', 'sync')
        self._begin_ids()
        for role, number in self.daemons:
            # The compute's first word is to a conductor.
            self.spawn(role, number, wait=role == 'conductor')
        for role, number in self.daemons:
            self.wait_ready(role, number)

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to those that do not go."""
        running = [d for d in self.daemons.values() if d.process is not None]
        families = {d.name: descendants(d.process.pid) for d in running if d.process is not None}
        for daemon in running:
            if daemon.alive and daemon.process is not None:
                _signal(daemon.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 15
        for daemon in running:
            assert daemon.process is not None
            try:
                daemon.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                daemon.process.kill()
                daemon.process.wait(5)
            for pid in families[daemon.name]:
                _signal(pid, signal.SIGKILL)
            daemon.process = None
        self._database_do('DROP')
        self._beside = None

    def _begin_ids(self) -> None:
        """Two clouds on one libvirtd would both have an instance-00000001."""
        if 'libvirt' not in self._driver:
            return
        assert self.database.startswith('sqlite'), 'the other databases number their rows otherwise'
        first = FIRST_ID + secrets.randbelow(0x10000000 // IDS_OF_ONE) * IDS_OF_ONE
        engine = sa.create_engine(self.database)
        with engine.begin() as conn:
            conn.execute(sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('instances', :seq)"), {'seq': first})
        engine.dispose()

    def _own_url(self) -> str:
        url = sa.make_url(self._beside or '')
        return url.set(database=f'{url.database}_{self.tag}').render_as_string(hide_password=False)

    def _database_do(self, verb: str) -> None:
        """CREATE or DROP: what one test leaves, none other may find."""
        if self._beside is None:
            return
        engine = sa.create_engine(self._beside, isolation_level='AUTOCOMMIT')
        with engine.connect() as conn:
            conn.exec_driver_sql(f'{verb} DATABASE {sa.make_url(self.database).database}')
        engine.dispose()

    def report(self) -> str:
        """The ends of all logs."""
        return '\n'.join(f'--- {d.name}\n{tail(d.log)}' for d in self.daemons.values())

    # -- one of them -----------------------------------------------------------------

    def spawn(self, role: str, number: int = 0, *, wait: bool = True) -> None:
        daemon = self.daemons[role, number]
        assert not daemon.alive, f'{daemon.name} runs already'
        with open(daemon.log, 'ab') as log:
            daemon.process = subprocess.Popen(
                [str(BIN / f'minicompute-{role}'), '--config-file', str(daemon.config)], env=self._env(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                cwd=self.directory)
        if wait:
            self.wait_ready(role, number)

    def kill(self, role: str, number: int = 0, number_of_signal: int = signal.SIGKILL) -> None:
        """kill -9: the daemon and, of an api, its workers."""
        daemon = self.daemons[role, number]
        assert daemon.process is not None
        family = [daemon.process.pid, *descendants(daemon.process.pid)]
        for pid in family:
            _signal(pid, number_of_signal)
        daemon.process.wait(PATIENCE)
        # A worker that is still dying listens: who asks whether the next api is there would hear yes.
        wait_for(lambda: not any(_comm(pid) for pid in family), PATIENCE, f'the end of the workers of {daemon.name}',
                 0.01)

    def terminate(self, role: str, number: int = 0, seconds: float = PATIENCE) -> int:
        """SIGTERM, as an init system sends it. -> the exit status. Raises TimeoutExpired when the daemon stays, and
        StackError when an api leaves a worker behind."""
        daemon = self.daemons[role, number]
        assert daemon.process is not None
        workers = descendants(daemon.process.pid)
        daemon.process.terminate()
        status = daemon.process.wait(seconds)
        wait_for(lambda: not any(_comm(pid) for pid in workers), PATIENCE, f'the end of the workers of {daemon.name}')
        return status

    def pause(self, role: str, number: int = 0) -> None:
        """A daemon that hangs."""
        daemon = self.daemons[role, number]
        assert daemon.process is not None
        _signal(daemon.process.pid, signal.SIGSTOP)

    def resume(self, role: str, number: int = 0) -> None:
        daemon = self.daemons[role, number]
        assert daemon.process is not None
        _signal(daemon.process.pid, signal.SIGCONT)

    def restart(self, role: str, number: int = 0) -> None:
        self.kill(role, number)
        self.spawn(role, number)

    def host(self, role: str, number: int = 0) -> str:
        """The name that the daemon reports under."""
        return f'{role}{number}-{self.tag}'

    def wait_ready(self, role: str, number: int = 0, seconds: float = PATIENCE) -> None:
        daemon = self.daemons[role, number]

        def ready() -> bool:
            if not daemon.alive:
                raise StackError(f'{daemon.name} ended:\n{tail(daemon.log)}')
            if role == 'api':
                return port_open(self._port_of(number))
            return b' is ready on ' in _since_start(daemon)
        try:
            wait_for(ready, seconds, f'{daemon.name} ready')
        except StackError as error:
            raise StackError(f'{error}\n{tail(daemon.log)}') from None

    def _port_of(self, number: int) -> int:
        return self.port + number

    # -- files and commands ---------------------------------------------------------------

    def _write_config(self, daemon: Daemon) -> None:
        # Who waits for a host to look down says for how long. With all others one that is slow is not to be lost.
        sections: dict[str, dict[str, Any]] = {
            'DEFAULT': {
                'host': self.host(daemon.role, daemon.number), 'transport_url': self.broker.url(self.tag),
                'state_path': self.state, 'compute_driver': self._driver, 'report_interval': 1,
                'service_down_time': 60, 'osapi_compute_listen_port': self._port_of(daemon.number),
                'graceful_shutdown_timeout': 3},
            'api': {'auth_strategy': 'noauth2'},
            'database': {'connection': self.database},
            'conductor': {'sweep_interval': 1, 'ask_again': 5},
            'oslo_messaging_rabbit': {'kombu_reconnect_delay': 0.5}}
        for section, values in self._settings.items():
            sections.setdefault(section, {}).update(values)
        lines = [line for section, values in sections.items()
                 for line in [f'[{section}]', *(f'{name} = {value}' for name, value in values.items()), '']]
        daemon.config.write_text('\n'.join(lines))

    def _env(self) -> dict[str, str]:
        keep = {name: os.environ[name] for name in ('PATH', 'HOME', 'LANG', 'COVERAGE_PROCESS_START')
                if name in os.environ}
        mode = self._concurrency or os.environ.get('MINICOMPUTE_CONCURRENCY')
        return {**keep, **({'MINICOMPUTE_CONCURRENCY': mode} if mode else {})}

    def manage(self, *words: str) -> str:
        """minicompute-manage, with the configuration of the first conductor."""
        daemon = next(iter(self.daemons.values()))
        done = subprocess.run([str(BIN / 'minicompute-manage'), '--config-file', str(daemon.config), *words],
                              env=self._env(), capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            raise StackError(f'minicompute-manage {" ".join(words)}: {done.stderr.strip()}')
        return done.stdout


def _since_start(daemon: Daemon) -> bytes:
    """What this process has logged: lines hold the pid of their writer."""
    assert daemon.process is not None
    mark = f' {daemon.process.pid} '.encode()
    return b'\n'.join(line for line in daemon.log.read_bytes().splitlines() if mark in line)


class Api:
    """A client so plain that it hides nothing. As the operator, unless told otherwise."""

    def __init__(self, endpoint: str, user: str = 'admin', project: str = 'admin') -> None:
        self.endpoint, self.user, self.project = endpoint, user, project

    def request(self, method: str, path: str, body: Any = None, microversion: str = '2.100') -> tuple[int, Any]:
        """-> (status, document). Raises OSError when nobody answers."""
        request = urllib.request.Request(
            self.endpoint + path, method=method, data=None if body is None else json.dumps(body).encode(), headers={
                'Content-Type': 'application/json', 'X-Auth-Token': f'{self.user}:{self.project}',
                'X-OpenStack-Nova-API-Version': microversion,
                'OpenStack-API-Version': f'compute {microversion}'})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text.startswith(b'{') else text.decode(errors='replace')

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        status, document = self.request(method, path, body)
        assert status < 300, f'{method} {path}: {status} {document}'
        return document

    def flavor(self, name: str = 'tiny', ram: int = 64, disk: int = 1, vcpus: int = 1) -> str:
        return str(self.ok('POST', '/flavors', {'flavor': {
            'name': name, 'id': name, 'ram': ram, 'disk': disk, 'vcpus': vcpus}})['flavor']['id'])

    def boot(self, name: str, flavor: str, image: str, **more: Any) -> dict[str, Any]:
        """-> the answer of the create: the server's id is in it."""
        server = {'name': name, 'flavorRef': flavor, 'imageRef': image, 'networks': 'none', **more}
        return dict(self.ok('POST', '/servers', {'server': server})['server'])

    def servers(self) -> list[dict[str, Any]]:
        """All of them, page by page."""
        return list(self._pages())

    def _pages(self) -> Iterator[dict[str, Any]]:
        marker, size = '', 500
        while page := self.ok('GET', f'/servers/detail?all_tenants=1&limit={size}{marker}')['servers']:
            yield from page
            if len(page) < size:
                return   # a marker that was deleted meanwhile would be refused, as Nova does
            marker = f'&marker={page[-1]["id"]}'

    def wait_status(self, uuid: str, status: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """Raises StackError with the fault when the server goes to ERROR instead."""
        def look() -> dict[str, Any] | None:
            server = dict(self.ok('GET', f'/servers/{uuid}')['server'])
            if server['status'] == 'ERROR' != status:
                raise StackError(f'{uuid} is in ERROR: {server.get("fault")}')
            return server if server['status'] == status else None
        return dict(wait_for(look, seconds, f'{uuid} {status}'))
