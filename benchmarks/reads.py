"""What a read of the API costs: over real HTTP with keep-alive, and in statements.

    benchmarks/reads.py [--database URL] [--servers 1000] [--clients 1,8] [--seconds 3] [--only WORDS] [--out FILE]

Fills an empty database (default: a new SQLite file; what the URL names is emptied first), starts `minicompute-api`
before it and asks for each path in turn.  CPU is the daemon's, all its processes, from /proc; with --database-pid
also the database server's.  One JSON object on the last line:
{"cases": {"NAME clients=N": {"per_s", "cpu_ms", "database_cpu_ms", "p50_ms", "p95_ms", "bytes", "statements"}}}
"""
from __future__ import annotations

import argparse
import datetime
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from minicompute import concurrency

concurrency.setup()

import sqlalchemy as sa  # noqa: E402

from minicompute import conf  # noqa: E402
from minicompute.db import migration, session  # noqa: E402
from minicompute.db.api import flavors, instances  # noqa: E402
from minicompute.db.models import instances as table  # noqa: E402
from minicompute.db.models import metadata  # noqa: E402
from minicompute.objects import VIF, FixedIP, Flavor, Instance, RequestSpec  # noqa: E402
from minicompute.wsgi import paste  # noqa: E402

TICK = os.sysconf('SC_CLK_TCK')
PROJECT = 'admin'
HEADERS = {'X-Auth-Token': 'admin:admin', 'X-User-Id': 'admin', 'X-Project-Id': PROJECT,
           'X-Roles': 'admin,member,reader', 'OpenStack-API-Version': 'compute 2.96',
           'Accept': 'application/json'}
CONFIG = """[DEFAULT]
osapi_compute_listen = 127.0.0.1
osapi_compute_listen_port = {port}
state_path = {home}
transport_url = fake://
[api]
auth_strategy = noauth2
[database]
connection = {database}
"""


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix='reads-') as home:
        port = free_port()
        database = options.database or f'sqlite:///{home}/reads.sqlite'
        config = pathlib.Path(home, 'minicompute.conf')
        config.write_text(CONFIG.format(port=port, home=home, database=database))
        conf.setup(['--config-file', str(config)], 'reads')
        fill(options.servers, options.addresses)
        paths = {name: path for name, path in cases().items() if not options.only or options.only in name}
        counts = {name: statements(path) for name, path in paths.items()}
        session.dispose()
        with open(pathlib.Path(home, 'api.log'), 'wb') as log:
            daemon = subprocess.Popen([sys.executable, '-m', 'minicompute.cmd.api', '--config-file', str(config)],
                                      stdout=log, stderr=log)
        try:
            wait_for(port, daemon)
            measured = dict(measure(options, port, daemon.pid, paths, counts))
        finally:
            daemon.terminate()
            daemon.wait(20)
    line = json.dumps({'database': database.split(':')[0], 'servers': options.servers, 'cases': measured})
    if options.out:
        with open(options.out, 'a', encoding='utf-8') as file:
            file.write(line + '\n')
    print(line)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--database', help='SQLAlchemy URL; its tables are emptied')
    parser.add_argument('--database-pid', type=int)
    parser.add_argument('--servers', type=int, default=1000)
    parser.add_argument('--addresses', type=int, default=0, help='cards of each server')
    parser.add_argument('--clients', type=lambda text: [int(word) for word in text.split(',')], default=[1, 8])
    parser.add_argument('--seconds', type=float, default=3.0)
    parser.add_argument('--only', default='', help='only the cases whose name holds this')
    parser.add_argument('--out', help='append the line to this file')
    return parser.parse_args()


def free_port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as listening:
        return int(listening.getsockname()[1])


# -- the records -----------------------------------------------------------------

def fill(servers: int, addresses: int) -> None:
    migration.sync()

    def empty(conn: sa.Connection) -> None:
        for each in reversed(metadata.sorted_tables):
            conn.execute(each.delete())
    session.write(empty)
    kinds = [Flavor(flavorid=str(n + 1), name=f'm1.{n}', vcpus=n + 1, memory_mb=512 << n, root_gb=n * 10)
             for n in range(5)]
    session.write(lambda conn: [flavors.create(conn, flavor) for flavor in kinds])
    for start in range(0, servers, 500):
        many = [server(n, kinds[0], addresses) for n in range(start, min(start + 500, servers))]
        spec = RequestSpec(flavor=kinds[0], project_id=PROJECT, user_id='admin')
        session.write(instances.create, [(many, spec)])
    session.write(lambda conn: conn.execute(table.update().values(
        launched_at=session.utcnow(), updated_at=session.utcnow() + datetime.timedelta(seconds=5))))
    with session.engine().connect().execution_options(isolation_level='AUTOCOMMIT') as conn:
        tables = ('instances', 'tags', 'block_device_mappings', 'services')
        for name in tables:
            conn.exec_driver_sql(f'ANALYZE TABLE {name}' if conn.dialect.name == 'mysql' else f'ANALYZE {name}')


def server(number: int, flavor: Flavor, addresses: int) -> Instance:
    cards = [VIF(id=str(uuid.uuid4()), network_id=str(uuid.uuid4()), network_name='private',
                 mac_address=f'fa:16:3e:{card:02x}:{number >> 8 & 255:02x}:{number & 255:02x}',
                 fixed_ips=[FixedIP(address=f'10.{card}.{number >> 8}.{number & 255}', subnet_id='s')])
             for card in range(addresses)]
    return Instance(
        uuid=str(uuid.uuid4()), project_id=PROJECT, user_id='admin', display_name=f'b{number % 7}-{number}',
        hostname=f'b{number % 7}-{number}', reservation_id=f'r-{number:08d}', flavor=flavor, network_info=cards,
        vm_state='active', power_state=1, host=f'c{number % 4}', node=f'c{number % 4}', availability_zone='nova')


def cases() -> dict[str, str]:
    """What is asked for, by name."""
    with session.read() as conn:
        uuids = list(conn.scalars(sa.select(table.c.uuid).order_by(table.c.created_at.desc(), table.c.id.desc())))
        named = list(conn.scalars(sa.select(table.c.uuid).order_by(table.c.display_name, table.c.id)))
    middle, end = len(uuids) // 2, max(0, len(uuids) - 1001)
    detail = '/v2.1/servers/detail?limit=1000'
    by_name = f'{detail}&sort_key=display_name&sort_dir=asc'
    return {
        'versions': '/', 'flavors/detail': '/v2.1/flavors/detail', 'servers/{id}': f'/v2.1/servers/{uuids[0]}',
        'detail first': detail, 'detail middle': f'{detail}&marker={uuids[middle]}',
        'detail last': f'{detail}&marker={uuids[end]}', 'detail by name first': by_name,
        'detail by name middle': f'{by_name}&marker={named[middle]}',
        'detail by name last': f'{by_name}&marker={named[end]}',
        'detail all_tenants middle': f'{detail}&all_tenants=1&marker={uuids[middle]}',
        'detail updated_at middle': f'{detail}&sort_key=updated_at&marker={uuids[middle]}',
        'detail ACTIVE middle': f'{detail}&status=ACTIVE&marker={uuids[middle]}',
        'detail changes-since': f'{detail}&changes-since=2020-01-01T00:00:00Z',
        'detail 20': '/v2.1/servers/detail?limit=20', 'list 1000': '/v2.1/servers?limit=1000',
        'poll BUILD': '/v2.1/servers?status=BUILD&name=b1-&limit=1',
        'poll ACTIVE': '/v2.1/servers?limit=1000&status=ACTIVE&name=b1-'}


# -- counting ----------------------------------------------------------------------

def statements(path: str) -> int:
    """How many statements the request sends, in this process."""
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)
    name, _, query = path.partition('?')
    environ = {'REQUEST_METHOD': 'GET', 'PATH_INFO': name, 'QUERY_STRING': query, 'SERVER_NAME': 'x',
               'SERVER_PORT': '80', 'wsgi.url_scheme': 'http', 'SCRIPT_NAME': '', 'SERVER_PROTOCOL': 'HTTP/1.1',
               **{'HTTP_' + key.upper().replace('-', '_'): value for key, value in HEADERS.items()}}
    codes: list[str] = []
    application = paste.load()
    sa.event.listen(sa.Engine, 'before_cursor_execute', note)
    try:
        application(environ, lambda status, _headers, _info=None: codes.append(status))   # type: ignore[arg-type]
    finally:
        sa.event.remove(sa.Engine, 'before_cursor_execute', note)
    if not codes or codes[0] != '200 OK':
        raise SystemExit(f'{path}: {codes}')
    return len([statement for statement in seen if not statement.startswith('BEGIN')])


# -- asking ------------------------------------------------------------------------

class Caller:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(('127.0.0.1', port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1 << 20)
        self._tail = ''.join(f'{name}: {value}\r\n' for name, value in {'Host': f'127.0.0.1:{port}',
                                                                       **HEADERS}.items())

    def get(self, path: str) -> int:
        """-> bytes of the body"""
        self._socket.sendall(f'GET {path} HTTP/1.1\r\n{self._tail}\r\n'.encode())
        head = b''
        while b'\r\n\r\n' not in head:
            head += self._receive()
        head, _, body = head.partition(b'\r\n\r\n')
        if not head.startswith(b'HTTP/1.1 200'):
            raise SystemExit(f'{path}: {head[:80]!r}')
        length = next(int(line.split(b':')[1]) for line in head.lower().split(b'\r\n')
                      if line.startswith(b'content-length'))
        left = length - len(body)
        while left > 0:
            left -= len(self._receive())
        return length

    def _receive(self) -> bytes:
        count = self._socket.recv_into(self._buffer)
        if not count:
            raise SystemExit('the API closed the connection')
        return bytes(self._buffer[:count])


def wait_for(port: int, daemon: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and daemon.poll() is None:
        try:
            Caller(port).get('/')
            return
        except (ConnectionError, SystemExit):
            time.sleep(0.1)
    raise SystemExit('the API does not come up')


def cpu(root: int | None) -> float:
    """Seconds of a process and its children."""
    total, todo = 0.0, [root] if root else []
    while todo:
        pid = todo.pop()
        fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
        total += sum(map(int, fields[11:15])) / TICK
        todo += [int(word) for task in pathlib.Path(f'/proc/{pid}/task').iterdir()
                 for word in (task / 'children').read_text().split()]
    return total


def measure(options: argparse.Namespace, port: int, daemon: int, paths: dict[str, str],
            counts: dict[str, int]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, path in paths.items():
        for clients in options.clients:
            for caller in [Caller(port) for _ in range(8)]:     # every worker has seen it once or twice
                caller.get(path)
            ours, theirs, began = cpu(daemon), cpu(options.database_pid), time.perf_counter()
            times, size = ask(port, path, clients, options.seconds)
            passed, n = time.perf_counter() - began, len(times)
            row = {'per_s': round(n / passed, 1), 'cpu_ms': round((cpu(daemon) - ours) / n * 1e3, 2),
                   'database_cpu_ms': round((cpu(options.database_pid) - theirs) / n * 1e3, 2),
                   'p50_ms': round(statistics.median(times) * 1e3, 2),
                   'p95_ms': round(sorted(times)[int(n * 0.95)] * 1e3, 2), 'bytes': size,
                   'statements': counts[name]}
            print(f'{name:28} clients={clients:<3}', row, file=sys.stderr)
            yield f'{name} clients={clients}', row


def ask(port: int, path: str, clients: int, seconds: float) -> tuple[list[float], int]:
    times: list[float] = []
    sizes: list[int] = []
    until = time.perf_counter() + seconds

    def work() -> None:
        caller = Caller(port)
        while (began := time.perf_counter()) < until:
            sizes.append(caller.get(path))
            times.append(time.perf_counter() - began)
    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, sizes[-1]


if __name__ == '__main__':
    main()
