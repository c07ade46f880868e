"""The lab of tools/lab.sh for tests: several real hosts, each with its libvirtd, on this machine.

    def test_something(lab: Lab) -> None:
        server = lab.boot('one', host='host1')
        lab.kill('host1', 'all')

`lab` has three hosts, `shared_lab` two whose instances lie on one directory; both are up for the whole session and are
not a user's own lab. LAB_TEST_NAME, LAB_TEST_SUBNET and LAB_TEST_HOME put them elsewhere.
"""
from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.stack import BIN, Api, tail, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'tools' / 'lab.sh'
#: what the guest says when it is up
UP = 'minicompute-guest: up'
#: seconds that a guest under emulation may take on a busy machine
BOOT = 600


class Lab:

    def __init__(self, name: str, subnet: str, directory: pathlib.Path) -> None:
        """`subnet` is like 10.98.7.0/24. QEMU's user must be able to reach `directory`, or the script lets it in."""
        self.name, self.subnet, self.directory = name, subnet, directory
        self.prefix = subnet.rsplit('.', 1)[0]
        self.port = 20000 + int(subnet.split('.')[2]) * 10
        self.api = Api(f'http://127.0.0.1:{self.port}/v2.1')

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, 'LAB_NAME': self.name, 'LAB_SUBNET': self.subnet, 'LAB_HOME': str(self.directory),
                'MINICOMPUTE_VENV': str(BIN.parent)}

    def command(self, *words: str, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(SCRIPT), *words], env=self.environment, text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=seconds)

    def do(self, *words: str, seconds: float = 600) -> str:
        """-> what it printed. Fails with what it complained of."""
        done = self.command(*words, seconds=seconds)
        assert done.returncode == 0, f'lab.sh {" ".join(words)}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}'
        return done.stdout

    # -- the whole ---------------------------------------------------------------------

    def up(self, *options: str) -> None:
        self.do('up', *options)

    def down(self) -> None:
        self.do('down', '--wipe')

    def leftovers(self) -> dict[str, list[str]]:
        """Empty when nothing of this lab is on the machine."""
        found = {
            'processes': sorted(self.processes().values()),
            'links': [name for name in os.listdir('/sys/class/net') if re.match(rf'{self.name}-(br|[hn]\d+)$', name)],
            'mounts': [line for line in pathlib.Path('/proc/self/mounts').read_text().splitlines()
                       if f'{self.directory}/' in line],
            'rules': [line for table in ('filter', 'nat') for line in _output(
                'iptables', '-w', '-t', table, '-S').splitlines() if f' {self.name}-br ' in line],
            'files': [str(self.directory)] if self.directory.exists() else []}
        return {kind: values for kind, values in found.items() if values}

    def processes(self) -> dict[int, str]:
        """{pid: command line} of whatever runs in this lab's directory or names it, QEMU and dnsmasq too."""
        found = {}
        for entry in pathlib.Path('/proc').iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and int(entry.name) != os.getpid():
                    line = (entry / 'cmdline').read_bytes().replace(b'\0', b' ').decode(errors='replace').strip()
                    mounts = (entry / 'mounts').read_text()
                    if f'{self.directory}/' in f'{line} {os.readlink(entry / "cwd")}/ {mounts}':
                        found[int(entry.name)] = line
        return found

    # -- one host ------------------------------------------------------------------------

    @property
    def hosts(self) -> list[str]:
        return sorted(path.name for path in (self.directory / 'hosts').glob('host*'))

    def address(self, host: str) -> str:
        return f'{self.prefix}.{10 + int(host.removeprefix("host"))}'

    def path(self, host: str, *parts: str) -> pathlib.Path:
        """Where this machine sees what the host has under `node`."""
        return self.directory.joinpath('hosts', host, 'node', *parts)

    def uri(self, host: str) -> str:
        """How one host of the lab reaches the libvirtd of another."""
        return f'qemu+tls://{host}/system?pkipath={self.directory}/node/pki/libvirt'

    def execute(self, host: str, *command: str, seconds: float = 300) -> str:
        return self.do('exec', host, *command, seconds=seconds)

    def virsh(self, host: str, *words: str, seconds: float = 300) -> str:
        return self.execute(host, 'virsh', '-q', *words, seconds=seconds).strip()

    def partition(self, host: str) -> None:
        self.do('partition', host)

    def heal(self, host: str) -> None:
        self.do('heal', host)

    def kill(self, host: str, what: str = 'daemon') -> None:
        self.do('kill', host, what)

    def start(self, host: str) -> None:
        self.do('start', host)

    def restore(self) -> None:
        """All hosts joined, all daemons running: what the next test expects."""
        for host in self.hosts:
            self.heal(host)
        self.up()
        for host in self.hosts:
            self.wait_service(host, 'up')

    # -- services and servers ------------------------------------------------------------

    def service_state(self, host: str) -> str:
        services = self.api.ok('GET', f'/os-services?binary=nova-compute&host={host}')['services']
        return str(services[0]['state']) if services else 'unknown'

    def wait_service(self, host: str, state: str, seconds: float = BOOT) -> None:
        wait_for(lambda: self.service_state(host) == state, seconds, f'{host} {state}', pause=0.5)

    def boot(self, name: str, host: str | None = None, *, flavor: str = '42', wait: bool = True,
             **more: Any) -> dict[str, Any]:
        """A guest with an address and a config drive. -> the server, ACTIVE unless told not to wait."""
        more = {'networks': 'auto', 'config_drive': True, **more}
        if host is not None:
            more['host'] = host
        server = self.api.boot(name, flavor, self.image(), **more)
        return self.api.wait_status(server['id'], 'ACTIVE', BOOT) if wait else server

    def image(self) -> str:
        status, document = self.api.request('GET', '/images', microversion='2.1')
        assert status == 200, document
        return str(next(image['id'] for image in document['images'] if image['name'] == 'minicompute-guest'))

    def console(self, server_id: str) -> str:
        """All of it that the API gives; empty while the host cannot be asked."""
        status, document = self.api.request('POST', f'/servers/{server_id}/action', {'os-getConsoleOutput': {}})
        return str(document['output']).replace('\r', '') if status == 200 else ''

    def wait_console(self, server_id: str, words: str, seconds: float = BOOT) -> str:
        def look() -> str | None:
            text = self.console(server_id)
            return text if words in text else None
        return str(wait_for(look, seconds, f'{words!r} on the console of {server_id}', pause=0.5))

    def counts(self, server_id: str) -> list[int]:
        """The numbers that a guest with `count=true` in its metadata said aloud, as far as the API has them."""
        return [int(number) for number in re.findall(r'minicompute-guest: count=(\d+)', self.console(server_id))]

    def running_on(self, server_id: str) -> list[str]:
        """The hosts on which a domain of the server runs: never two."""
        return [host for host in self.hosts if self.is_on(host)
                and server_id in self.virsh(host, 'list', '--uuid', '--state-running').split()]

    def is_on(self, host: str) -> bool:
        return self.command('exec', host, 'true').returncode == 0

    def delete(self, *server_ids: str) -> None:
        for server_id in server_ids:
            self.api.request('DELETE', f'/servers/{server_id}')
        for server_id in server_ids:
            wait_for(lambda uuid=server_id: self.api.request('GET', f'/servers/{uuid}')[0] == 404, BOOT,
                     f'the end of {server_id}')

    def report(self) -> str:
        """The ends of the daemons' logs."""
        names = ('conductor', 'compute', 'scheduler', 'api')
        logs = sorted(path for path in (self.directory / 'log').glob('*.log') if path.name.startswith(names))
        return '\n'.join(f'--- {path.name}\n{tail(path)}' for path in logs)


def _output(*words: str) -> str:
    return subprocess.run(words, text=True, capture_output=True, check=True, timeout=60).stdout


def kill_family(process: subprocess.Popen[Any]) -> None:
    """kill -9 of a script that leads a session, and of what it runs just now."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def named_lab(suffix: str = '', number: int = 0) -> Lab:
    """The same names each time, so that a run which was killed is cleaned by the next one."""
    name = os.environ.get('LAB_TEST_NAME', 'itlab') + suffix
    first, second, third = os.environ.get('LAB_TEST_SUBNET', '10.98.200.0/24').split('.')[:3]
    home = pathlib.Path(os.environ.get('LAB_TEST_HOME', '/var/tmp/minicompute-itlab') + suffix)
    return Lab(name, f'{first}.{second}.{int(third) + number}.0/24', home)


@contextlib.contextmanager
def running(lab: Lab, *options: str, settings: str = '') -> Iterator[Lab]:
    """One run of the tests at a time; the lab is made, and leaves nothing. `settings`: its local.conf"""
    with _alone(pathlib.Path(f'{lab.directory}.lock')):
        try:
            lab.down()
            if settings:
                lab.directory.mkdir(parents=True, exist_ok=True)
                (lab.directory / 'local.conf').write_text(settings)
            lab.up(*options)
            yield lab
        finally:
            lab.down()
        assert lab.leftovers() == {}


@contextlib.contextmanager
def _alone(path: pathlib.Path) -> Iterator[None]:
    """A lock whose file is gone afterwards: who gets it on a file that another removed meanwhile tries again."""
    while True:
        with open(path, 'w') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                try:
                    yield
                finally:
                    path.unlink()
                return


@pytest.fixture(scope='session')
def lab() -> Iterator[Lab]:
    with running(named_lab(), '--hosts', '3') as made:
        yield made


@pytest.fixture(scope='session')
def shared_lab() -> Iterator[Lab]:
    with running(named_lab('s', 1), '--hosts', '2', '--shared-instances') as made:
        yield made
