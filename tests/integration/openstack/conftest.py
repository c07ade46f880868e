"""A real OpenStack (tools/openstack_lab.sh), minicompute in Nova's place; `tools/run_tests.sh openstack` runs these.

A lab that runs already is used and left; one that was started for the tests is ended with them.
"""
from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.lab import Lab as Machines
from tests.integration.lab import running as running_lab

REPO = pathlib.Path(__file__).resolve().parents[3]
TOOL = REPO / 'tools' / 'openstack_lab.sh'
HOME = pathlib.Path(os.environ.get('OPENSTACK_HOME', REPO / 'run' / 'openstack'))
GUEST = REPO / 'run' / 'images' / 'minicompute-guest.qcow2'
#: seconds for anything that takes moments
PATIENCE = 240.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if 'openstack' in item.path.parts:
            item.add_marker(pytest.mark.openstack)
    # Last what needs further hosts: they come up once, and stay to the end.
    items.sort(key=lambda item: 'machines' in getattr(item, 'fixturenames', ()))


class Lab:
    """`client('demo', 'server', 'list')` is the unmodified openstackclient, `of('demo')` openstacksdk's connection."""

    def __init__(self) -> None:
        self._connections: dict[str, Any] = {}

    def tool(self, *words: str) -> str:
        done = subprocess.run([str(TOOL), *words], capture_output=True, text=True, timeout=1800)
        assert done.returncode == 0, f'{TOOL.name} {" ".join(words)}: {done.stdout[-3000:]}{done.stderr[-3000:]}'
        return done.stdout

    def running(self) -> bool:
        return subprocess.run([str(TOOL), 'status'], capture_output=True, timeout=60).returncode == 0

    def client(self, user: str, *words: str, code: int = 0) -> str:
        environ = {name: value for name, value in os.environ.items() if not name.startswith('OS_')}
        program = pathlib.Path(os.environ.get('MINICOMPUTE_VENV', REPO / '.venv')) / 'bin' / 'openstack'
        done = subprocess.run([str(program), '--os-cloud', user, *words], capture_output=True, text=True, timeout=600,
                              stdin=subprocess.DEVNULL, env={
                                  **environ, 'OS_CLIENT_CONFIG_FILE': str(HOME / 'clouds.yaml')})
        assert done.returncode == code, f'openstack {" ".join(words)}: {done.stdout}{done.stderr}'
        return done.stdout + (done.stderr if code else '')

    def made(self, user: str, *words: str) -> Any:
        """The document that the client prints."""
        return json.loads(self.client(user, *words, '-f', 'json'))

    def of(self, user: str) -> Any:
        import openstack
        if user not in self._connections:
            config = openstack.config.OpenStackConfig(config_files=[str(HOME / 'clouds.yaml')])
            self._connections[user] = openstack.connection.Connection(config=config.get_one(user))
        return self._connections[user]

    def until(self, look: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
        end = time.monotonic() + patience
        while True:
            if found := look():
                return found
            assert time.monotonic() < end, f'waited {patience} s for {what}'
            time.sleep(0.5)

    def domain(self, server: str) -> str:
        """libvirt's XML of a guest, wherever it runs."""
        host = self.of('admin').compute.get_server(server).hypervisor_hostname
        words = ['virsh', '-q', 'dumpxml', server]
        if host.startswith('host'):
            return hosts().execute(host, *words)
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout

    def wait(self, user: str, server: str, status: str) -> Any:
        def look() -> Any:
            found = self.of(user).compute.get_server(server)
            assert status == 'ERROR' or found.status != 'ERROR', found.fault
            return found if found.status == status and found.task_state is None else None
        return self.until(look, f'{server} to be {status}')

    @contextlib.contextmanager
    def stopped(self, *names: str) -> Iterator[None]:
        """Services that are away for a while."""
        try:
            for name in names:
                self.tool('stop', name)
            yield
        finally:
            for name in names:
                self.tool('start', name)

    @contextlib.contextmanager
    def settings(self, text: str, *daemons: str) -> Iterator[None]:
        """What local.conf says besides, meanwhile, for these daemons."""
        path = HOME / 'local.conf'
        before = path.read_text()
        path.write_text(before + text)
        try:
            for name in daemons:
                self.tool('stop', name)
                self.tool('start', name)
            yield
        finally:
            path.write_text(before)
            for name in daemons:
                self.tool('stop', name)
                self.tool('start', name)


@pytest.fixture(scope='session')
def lab() -> Iterator[Lab]:
    made = Lab()
    found = made.running()
    if not found:
        made.tool('up')
    yield made
    if not found:
        made.tool('down')


def hosts() -> Machines:
    return Machines('oslab', '10.98.210.0/24', pathlib.Path('/var/tmp/minicompute-oslab'))


@pytest.fixture(scope='session')
def machines(lab: Lab) -> Iterator[Machines]:
    """Two hosts more, `host1` and `host2`: servers move between them. A lab of theirs that runs is used, and left."""
    made = hosts()
    with contextlib.ExitStack() as stack:
        if made.command('status').returncode:
            stack.enter_context(running_lab(made, '--hosts', '2', '--neighbours'))
        yield made


@pytest.fixture(scope='module')
def zone(lab: Lab, machines: Machines) -> Iterator[str]:
    """An availability zone of these two: this machine itself has no keys to move servers to or from it."""
    compute, name = lab.of('admin').compute, f'zone-{uuid.uuid4().hex[:6]}'
    made = compute.create_aggregate(name=name, availability_zone=name)
    for host in machines.hosts:
        compute.add_host_to_aggregate(made, host)
    yield name
    for host in machines.hosts:
        compute.remove_host_from_aggregate(made, host)
    compute.delete_aggregate(made)


@pytest.fixture
def cleaned(lab: Lab) -> Iterator[Callable[[str, str], str]]:
    """cleaned(user, server or image id): gone with the test, whatever became of it. -> the id"""
    from openstack import exceptions
    things: list[tuple[str, str]] = []

    def remember(user: str, one: str) -> str:
        things.append((user, one))
        return one
    yield remember
    for user, one in reversed(things):
        connection = lab.of(user)
        connection.compute.delete_server(one, ignore_missing=True)
        with contextlib.suppress(exceptions.NotFoundException):
            server = connection.compute.get_server(one)
            connection.compute.wait_for_delete(server, wait=PATIENCE)
        connection.image.delete_image(one, ignore_missing=True)
