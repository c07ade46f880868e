"""A real Keystone from PyPI, and a minicompute-api daemon that trusts it.

Keystone has a venv of its own (kept between runs), SQLite, fernet tokens and one gunicorn worker on
loopback.  All that starts here is ended by its process id, and no wait is without an end.
"""
from __future__ import annotations

import base64
import fcntl
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack
import requests
from cryptography.fernet import Fernet

from tests.integration.stack import free_port

REPO = pathlib.Path(__file__).resolve().parents[2]
WORK = REPO / 'run' / 'test'
PACKAGES = ('keystone', 'gunicorn')
PATIENCE = 120.0        # seconds until we give up on what takes one or two
INSTALLATION = 900.0    # the same for pip

# One process runs all commands: to import Keystone takes far longer than to do any of them.
BOOTSTRAP = """
import os, sys
from keystone.cmd import manage
config, password, url = sys.argv[1:]
user = ('--keystone-user', str(os.getuid()), '--keystone-group', str(os.getgid()))
for command in (('db_sync',), ('fernet_setup', *user),
                ('bootstrap', '--bootstrap-password', password, '--bootstrap-region-id', 'RegionOne',
                 '--bootstrap-public-url', url, '--bootstrap-internal-url', url, '--bootstrap-admin-url', url)):
    child = os.fork()
    if not child:
        sys.argv = ['keystone-manage', '--config-file', config, *command]
        manage.main()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f'keystone-manage {command[0]} failed')
"""

KEYSTONE_CONF = """
[DEFAULT]
use_stderr = true
[database]
connection = sqlite:///{folder}/keystone.sqlite
[token]
provider = fernet
[fernet_tokens]
key_repository = {folder}/fernet-keys
[identity]
password_hash_rounds = 4
"""

# Read from the working directory: Keystone would take gunicorn's arguments for its own.
# One thread: at two log-ins at once Keystone on SQLite answers 500, 'database is locked'.
GUNICORN_CONF = """
wsgi_app = 'keystone.wsgi.api:application'
bind = '127.0.0.1:{port}'
worker_class = 'gthread'
threads = 1
control_socket_disable = True
"""

API_CONF = """
[DEFAULT]
osapi_compute_listen = 127.0.0.1
osapi_compute_listen_port = {port}
state_path = {folder}/state
transport_url = fake://
[database]
connection = {database}
[api]
auth_strategy = keystone
[keystone_authtoken]
www_authenticate_uri = {keystone}
auth_type = password
auth_url = {keystone}
username = minicompute
password = {password}
user_domain_name = Default
project_name = service
project_domain_name = Default
service_type = compute
token_cache_time = {cache}
http_connect_timeout = {timeout}
http_request_max_retries = 1
"""


def script(name: str) -> str:
    """A console script of the environment that the tests run in."""
    return str(pathlib.Path(sys.executable).with_name(name))


def wait_for(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """-> the first true value of `condition`."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.1)
    raise AssertionError(f'no {what} after {patience} seconds')


def install(work: pathlib.Path = WORK) -> pathlib.Path:
    """-> the venv with Keystone; made by pip when it is not there, by one of us at a time."""
    venv, stamp = work / 'keystone-venv', f'{sys.version} {PACKAGES}'
    work.mkdir(parents=True, exist_ok=True)
    with open(work / 'keystone-venv.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        marker = venv / 'complete'
        if marker.is_file() and marker.read_text() == stamp:
            return venv
        run([sys.executable, '-m', 'venv', '--clear', str(venv)], work / 'keystone-pip.log')
        run([str(venv / 'bin' / 'pip'), 'install', '--quiet', *PACKAGES], work / 'keystone-pip.log', INSTALLATION)
        marker.write_text(stamp)
    return venv


def run(command: Sequence[str], log: pathlib.Path, patience: float = PATIENCE) -> None:
    with open(log, 'ab') as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, timeout=patience,
                              stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f'{command[0]} failed:\n{log.read_text()[-3000:]}'


class Daemon:
    """A process with a log that answers at `url`."""

    def __init__(self, command: Sequence[str], url: str, log: pathlib.Path,
                 environ: Mapping[str, str] | None = None) -> None:
        self.command, self.url, self.log = list(command), url, log
        self.environ = {**os.environ, **(environ or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self.log, 'ab') as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL, env=self.environ, cwd=self.log.parent,
                                            start_new_session=True)
        try:
            wait_for(self.answers, f'answer from {self.url}')
        except AssertionError:
            self.stop()
            raise AssertionError(f'{self.command[0]} does not serve:\n{self.text()[-3000:]}') from None

    def answers(self) -> bool:
        assert self.process and self.process.poll() is None, f'{self.command[0]} ended:\n{self.text()[-3000:]}'
        try:
            requests.get(self.url, timeout=20)
        except requests.RequestException:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """To the process and its workers: they are one group, which is ours."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def stop(self) -> None:
        if self.process is None:
            return
        self.signal(signal.SIGCONT)
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait(15)
        self.process = None

    def text(self) -> str:
        return self.log.read_text(errors='replace') if self.log.exists() else ''


class Keystone(Daemon):
    """`api` speaks to it as its administrator; `token` asks it for a token as anyone."""

    def __init__(self, folder: pathlib.Path, venv: pathlib.Path) -> None:
        self.folder, self.venv, self.port = folder, venv, free_port()
        self.base = f'http://127.0.0.1:{self.port}/v3'
        self.password = secrets.token_hex(12)
        self.keys = folder / 'fernet-keys'
        self._admin: str | None = None
        folder.mkdir(parents=True)
        config = folder / 'keystone.conf'
        config.write_text(KEYSTONE_CONF.format(folder=folder))
        (folder / 'gunicorn.conf.py').write_text(GUNICORN_CONF.format(port=self.port))
        super().__init__([str(venv / 'bin' / 'gunicorn')], self.base, folder / 'keystone.log',
                         {'OS_KEYSTONE_CONFIG_DIR': str(folder), 'OS_KEYSTONE_CONFIG_FILES': str(config)})

    def bootstrap(self) -> None:
        self.keys.mkdir(mode=0o700)
        run([str(self.venv / 'bin' / 'python'), '-c', BOOTSTRAP, str(self.folder / 'keystone.conf'),
             self.password, self.base], self.folder / 'bootstrap.log')

    # -- its API -----------------------------------------------------------------

    def api(self, method: str, path: str, body: Any = None, token: str | None = None,
            headers: Mapping[str, str] | None = None) -> Any:
        """-> the answer's document (None when empty), as the administrator unless `token` is given."""
        if self._admin is None:
            self._admin = self.token('admin', project='admin')
        answer = requests.request(method, self.base + path, json=body, timeout=PATIENCE,
                                  headers={'X-Auth-Token': token or self._admin, **(headers or {})})
        assert answer.ok, f'{method} {path}: {answer.status_code} {answer.text}'
        return answer.json() if answer.content else None

    def token(self, user: str, *, project: str | None = None, domain: str | None = None,
              system: bool = False) -> str:
        """Scoped to what is named, else unscoped."""
        scope: Any = 'unscoped'
        if project is not None:
            scope = {'project': {'name': project, 'domain': {'id': 'default'}}}
        elif domain is not None:
            scope = {'domain': {'id': domain}}
        elif system:
            scope = {'system': {'all': True}}
        password = {'user': {'name': user, 'domain': {'id': 'default'}, 'password': self.password}}
        return self.authenticate({'methods': ['password'], 'password': password}, scope)

    def authenticate(self, identity: Mapping[str, Any], scope: Any = None) -> str:
        auth = {'identity': identity, **({'scope': scope} if scope else {})}
        answer = requests.post(f'{self.base}/auth/tokens', json={'auth': auth}, timeout=PATIENCE)
        assert answer.status_code == 201, answer.text
        return answer.headers['X-Subject-Token']

    def create_project(self, name: str) -> str:
        return str(self.api('POST', '/projects', {'project': {'name': name, 'domain_id': 'default'}})['project']['id'])

    def create_user(self, name: str, project_id: str, *roles: str) -> str:
        """All users have the one password."""
        user = self.api('POST', '/users', {'user': {'name': name, 'password': self.password,
                                                    'domain_id': 'default'}})['user']
        for role in roles:
            self.grant(f'/projects/{project_id}/users/{user["id"]}', role)
        return str(user['id'])

    def grant(self, where: str, role: str) -> None:
        """`where`: '/projects/ID/users/ID' or '/domains/ID/users/ID' or '/system/users/ID'."""
        (found,) = self.api('GET', f'/roles?name={role}')['roles']
        self.api('PUT', f'{where}/roles/{found["id"]}')

    def create_endpoints(self, kind: str, name: str, url: str) -> None:
        service = self.api('POST', '/services', {'service': {'type': kind, 'name': name}})['service']
        for interface in ('public', 'internal', 'admin'):
            self.api('POST', '/endpoints', {'endpoint': {'service_id': service['id'], 'interface': interface,
                                                         'url': url, 'region_id': 'RegionOne'}})

    def revoke(self, token: str) -> None:
        self.api('DELETE', '/auth/tokens', headers={'X-Subject-Token': token})

    # -- what only it may do: its keys -----------------------------------------------

    def forge(self, token: str, *, key: bytes | None = None, expires: float | None = None) -> str:
        """The same token, signed by `key` (default: Keystone's own), with another time of expiry."""
        primary = max(self.keys.iterdir(), key=lambda path: int(path.name)).read_bytes()
        payload = msgpack.unpackb(Fernet(primary).decrypt(padded(token)))
        if expires is not None:
            payload = [expires if isinstance(part, float) else part for part in payload]
        return Fernet(key or primary).encrypt(msgpack.packb(payload)).rstrip(b'=').decode()


def padded(token: str) -> bytes:
    return token.encode() + b'=' * (-len(token) % 4)


def flipped(token: str) -> str:
    """With one bit of the ciphertext changed."""
    raw = bytearray(base64.urlsafe_b64decode(padded(token)))
    raw[len(raw) // 2] ^= 1
    return base64.urlsafe_b64encode(raw).rstrip(b'=').decode()


class Api(Daemon):
    """The real minicompute-api behind Keystone. `call` -> the answer; paths as they are on the wire."""

    def __init__(self, folder: pathlib.Path, keystone: Keystone, database: str, port: int | None = None,
                 concurrency: str = 'threading', cache: int = 2, timeout: int = 30,
                 password: str | None = None) -> None:
        port = port or free_port()
        self.base = f'http://127.0.0.1:{port}'
        folder.mkdir(parents=True)
        self.database, self.config = database, folder / 'minicompute.conf'
        self.config.write_text(API_CONF.format(folder=folder, port=port, database=database, keystone=keystone.base,
                                          password=password or keystone.password, cache=cache,
                                               timeout=timeout))
        super().__init__([script('minicompute-api'), '--config-file', str(self.config)], self.base,
                         folder / 'api.log', {'MINICOMPUTE_CONCURRENCY': concurrency})

    def call(self, method: str, path: str, token: str | None = None, body: Any = None, *,
             version: str = '2.104', headers: Mapping[str, str] | None = None) -> requests.Response:
        sent = {'OpenStack-API-Version': f'compute {version}', **(headers or {})}
        if token is not None:
            sent['X-Auth-Token'] = token
        return requests.request(method, self.base + path, json=body, headers=sent, timeout=PATIENCE,
                                allow_redirects=False)

    def get(self, path: str, token: str | None = None, code: int = 200, **kwargs: Any) -> Any:
        return document(self.call('GET', path, token, **kwargs), code)

    def post(self, path: str, token: str, body: Any, code: int = 200, **kwargs: Any) -> Any:
        return document(self.call('POST', path, token, body, **kwargs), code)


def document(answer: requests.Response, code: int) -> Any:
    assert answer.status_code == code, f'{answer.request.method} {answer.url}: {answer.status_code} {answer.text}'
    return answer.json() if answer.content else None
