"""The two systems: how each is started, stopped and filled. One runs at a time."""
from __future__ import annotations

import contextlib
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from harness.load import Load

HERE = pathlib.Path(__file__).resolve().parent.parent
REPO = HERE.parent
#: Ports of the real Nova's broker that its own default does not have: 25672 is where the machine's own RabbitMQ
#: node, if there is one, meets other nodes.
PEER = {'P_AMQP': '35672', 'P_AMQP_DIST': '35673', 'PEER_HOST_SUBSET': '4', 'PEER_AUTH': 'noauth'}


#: what its daemons need until they are gone
INFRASTRUCTURE = ('mariadb', 'rabbitmq', 'memcached')


class TargetError(RuntimeError):
    """A system did not start or stop; the message has the end of what it said."""


def command(words: list[str], env: dict[str, str], seconds: float) -> str:
    """-> standard output. Raises TargetError."""
    # Not into pipes: daemons that a script starts may keep them open, and one would wait for ever.
    log = pathlib.Path(env['BENCH_LOG'])
    with open(log, 'w+b') as out:
        try:
            done = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                  timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise TargetError(f'{" ".join(words)}: not within {seconds} s: {tail(log)}') from None
    if done.returncode:
        raise TargetError(f'{" ".join(words)}: {tail(log)}')
    return log.read_text(errors='replace')


def tail(log: pathlib.Path) -> str:
    return ' | '.join(log.read_text(errors='replace').splitlines()[-6:])


def assigned(text: str, name: str) -> str:
    """The value of NAME="..." in a shell file."""
    found = re.search(rf'^{name}="([^"]*)"', text, re.MULTILINE)
    if not found:
        raise TargetError(f'no {name} in {text[:200]!r}')
    return found[1]


class Ours:
    """minicompute, by benchmarks/stack.sh."""

    name = 'ours'

    def __init__(self, generator: ModuleType, home: pathlib.Path, port: int) -> None:
        self.generator, self.home = generator, home
        home.mkdir(parents=True, exist_ok=True)
        self.env = {**os.environ, 'BENCH_HOME': str(home), 'BENCH_PORT': str(port),
                    'BENCH_LOG': str(home / 'stack.out')}
        venv = pathlib.Path(sys.executable).parent.parent
        # Without minicompute in this environment stack.sh makes the one that tools/ make.
        if (venv / 'bin' / 'minicompute-api').exists():
            self.env.setdefault('MINICOMPUTE_VENV', str(venv))
        self.options: dict[str, Any] | None = None
        self.port = port

    @property
    def running(self) -> bool:
        return self.options is not None

    def start(self, options: dict[str, Any] | None = None) -> bool:
        """Options are those of stack.sh. Without the data of before. -> False: it ran already, with just these."""
        options = {'computes': 4, 'hollow': 0, 'database': 'mariadb', **(options or {})}
        if self.options == options:
            return False
        self.stop()
        words = [word for name, value in options.items() for word in (f'--{name}', str(value))]
        command([str(HERE / 'stack.sh'), 'up', *words], self.env, 1200)
        self.options = options
        return True

    def stop(self) -> None:
        self.options = None
        command([str(HERE / 'stack.sh'), 'down', '--wipe'], self.env, 240)

    def load(self) -> Load:
        return Load(self.generator, assigned((self.home / 'loadgen.env').read_text(), 'LG_ARGS'))

    @property
    def database(self) -> str:
        """Its URL."""
        return assigned((self.home / 'loadgen.env').read_text(), 'BENCH_DATABASE')

    @property
    def pids(self) -> pathlib.Path:
        return self.home / 'pids'

    @property
    def venv(self) -> pathlib.Path:
        return pathlib.Path(self.env.get('MINICOMPUTE_VENV', REPO / '.venv'))

    def fill(self, servers: int) -> None:
        """Clones of an ACTIVE server until loadgen's project has so many; 0 takes the clones away."""
        command([sys.executable, str(HERE / 'fill.py'), self.database, str(servers), 'loadgen'], self.env, 600)


class Nova:
    """The real Nova, by the scripts of its folder, which are left as they are."""

    name = 'nova'

    def __init__(self, generator: ModuleType, peer: pathlib.Path, work: pathlib.Path) -> None:
        self.generator, self.peer = generator, peer
        work.mkdir(parents=True, exist_ok=True)
        base = {**os.environ, **{name: os.environ.get(name, value) for name, value in PEER.items()},
                'BENCH_LOG': str(work / 'nova.out')}
        said = subprocess.run(['bash', '-c', f'. "{peer}/common.sh" && env -0'], env=base, capture_output=True,
                              check=True)
        self.env = dict(pair.split('=', 1) for pair in said.stdout.decode().split('\0') if '=' in pair)
        self.home, self.running = pathlib.Path(self.env['PEER_HOME']), False

    def start(self, _options: dict[str, Any] | None = None) -> bool:
        """It has no options. -> False: it ran already."""
        if self.running:
            return False
        # Slow the first time: it installs Nova.
        command(['bash', str(self.peer / 'setup.sh')], self.env, 1800)
        self.running = True
        return True

    def version(self) -> str:
        said = subprocess.run([f'{self.env["V"]}/bin/pip', 'show', 'nova'], capture_output=True, text=True, check=False)
        found = re.search(r'^Version: (.*)', said.stdout, re.MULTILINE)
        return found[1] if found else self.env['PEER_NOVA_VERSION']

    def stop(self) -> None:
        """Its daemons all at once: one after the other they take minutes. Then stop.sh, for what is left."""
        daemons = [path.stem for path in self.pids.glob('*.pid') if path.stem not in INFRASTRUCTURE]
        ending = [subprocess.Popen(['bash', str(self.peer / 'svc.sh'), 'stop', name], env=self.env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                  for name in daemons]
        for one in ending:
            one.wait(120)
        command(['bash', str(self.peer / 'stop.sh')], self.env, 240)
        self.running = False

    def load(self) -> Load:
        return Load(self.generator, assigned((self.home / 'loadgen.env').read_text(), 'LG_ARGS'))

    @property
    def pids(self) -> pathlib.Path:
        return self.home / 'run'

    def fake(self, *words: str) -> str:
        """fakehosts.py: clones of hosts and servers in Nova's databases."""
        return command([f'{self.env["V"]}/bin/python', str(self.peer / 'fakehosts.py'), *words], self.env, 900)

    def fill(self, servers: int) -> None:
        self.fake('servers', str(servers), 'loadgen')

    def script(self, name: str) -> str:
        return command(['bash', str(self.peer / name)], self.env, 600)

    @contextlib.contextmanager
    def heartbeats(self) -> Iterator[None]:
        """Of the hosts that are only rows."""
        beat = subprocess.Popen([f'{self.env["V"]}/bin/python', str(self.peer / 'fakehosts.py'), 'beat'], env=self.env,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            beat.terminate()
            beat.wait(10)
