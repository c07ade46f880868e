"""What is not a matter of one point: many kills, long silences, a full disk, a delete in the middle of everything,
moves whose hosts are both lost."""
from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tests.integration.kill_matrix.actions import (
    ACTIONS,
    BY_NAME,
    TASK,
    Things,
    ask_all,
    force_down,
    servers_for,
)
from tests.integration.kill_matrix.cases import Case
from tests.integration.kill_matrix.runner import Runner, all_problems, fail_word, hold_word
from tests.integration.kill_matrix.site import Site
from tests.integration.stack import StackError, wait_for

#: what users do to servers in the storm, from the status that they are in
DEEDS: dict[str, tuple[str, ...]] = {
    'ACTIVE': ('stop', 'reboot', 'reboot-hard', 'pause', 'suspend', 'rescue', 'rebuild', 'snapshot', 'resize',
               'migrate', 'live-migrate', 'shelve', 'attach-interface', 'detach-interface', 'attach-volume',
               'detach-volume', 'swap-volume', 'backup', 'password', 'crash-dump'),
    'SHUTOFF': ('start',), 'PAUSED': ('unpause',), 'SUSPENDED': ('resume',), 'RESCUE': ('unrescue',),
    'VERIFY_RESIZE': ('confirm-resize', 'revert-resize'), 'SHELVED': ('shelve-offload', 'unshelve'),
    'SHELVED_OFFLOADED': ('unshelve',)}
#: seconds after the last kill for everything to end
QUIET = 90
#: files that a full disk has room for, its root among them
FULL_AT = 6


@dataclasses.dataclass(slots=True, frozen=True)
class Scenario:
    """`run(site, size)` -> a line of figures. Raises when a promise is broken."""

    run: Callable[[Site, int], str]
    size: int
    settings: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)


def quiet(site: Site, seconds: float = QUIET) -> float:
    """Until nothing is under way and nothing is wrong. -> seconds that it took"""
    began = time.monotonic()

    def look() -> bool:
        try:
            return not all_problems(site)
        except (OSError, AssertionError):
            return False     # the API, or what it needs, is just coming back
    try:
        wait_for(look, seconds, 'everything to end', pause=0.5)
    except StackError:
        raise StackError(f'not quiet after {seconds} s: {all_problems(site)}') from None
    return time.monotonic() - began


class Storm:
    """Users who do things to servers, whatever the answers."""

    def __init__(self, site: Site, servers: int = 24, users: int = 6) -> None:
        self.things, self.accepted, self.count = Things(site), Counter[str](), 0
        self._servers, self._stopped, self._lock = servers, threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._user, args=(number,)) for number in range(users)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(90)

    def _user(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self._stopped.is_set():
            try:
                self._deed(chance)
            except (OSError, AssertionError, KeyError, IndexError):
                time.sleep(0.2)     # nobody answers: the API, or what it stands on, is dead just now

    def _deed(self, chance: random.Random) -> None:
        there = self.things.api.servers()
        idle = [server for server in there if not server[TASK]]
        name = 'build' if len(there) < self._servers else 'delete' if chance.random() < 0.1 else ''
        if name == 'build':
            self.things.boot(f'storm{chance.randrange(10 ** 6)}')
        elif not idle:
            time.sleep(0.2)
            return
        else:
            server = chance.choice(idle)
            name = name or chance.choice(DEEDS.get(server['status'], ('delete',)))
            if BY_NAME[name].ask(self.things, server['id']) >= 300:
                return
        with self._lock:
            self.accepted[name] += 1
            self.count += 1


def storm(site: Site, operations: int) -> str:
    """So many accepted operations while a daemon dies each half second (and comes back at once)."""
    users, chance, kills = Storm(site), random.Random(1), Counter[str]()
    users.start()
    try:
        while users.count < operations:
            role = chance.choice(('conductor', 'conductor', 'scheduler', 'compute', 'compute', 'compute'))
            number = chance.randrange(3 if role == 'compute' else 2)
            if site.stack.daemons[role, number].alive:
                site.stack.kill(role, number)
                kills[role] += 1
            time.sleep(0.5)
            for daemon in site.stack.daemons.values():
                if not daemon.alive:
                    site.stack.spawn(daemon.role, daemon.number, wait=False)
    finally:
        users.stop()
    site.revive()
    took = quiet(site)
    states = Counter(row.state for row in site.rows('SELECT state FROM instance_actions'))
    assert set(states) <= {'done', 'failed'}, states
    _clear(site, users.things)
    return (f'{users.count} operations ({dict(users.accepted)}), {sum(kills.values())} kills ({dict(kills)}): '
            f'{states["done"]} done, {states["failed"]} failed with a reason, quiet after {took:.1f} s')


def broker_down(site: Site, seconds: int) -> str:
    """The broker is away while users go on."""
    users = Storm(site)
    users.start()
    try:
        wait_for(lambda: users.count > 30, 120, 'some operations')
        site.broker.kill()
        time.sleep(seconds)
        before = users.count
        site.broker.start()
        wait_for(lambda: users.count > before + 20, 120, 'operations to be accepted again')
    finally:
        users.stop()
    took = quiet(site, QUIET + 40)
    _clear(site, users.things)
    return f'{users.count} operations, the broker away for {seconds} s: quiet {took:.1f} s after the last one'


def frozen(site: Site, seconds: int) -> str:
    """SIGSTOP of a conductor and of a compute in the middle of work, for longer than their leases last."""
    users, late = Storm(site), 0
    users.start()
    try:
        wait_for(lambda: users.count > 20, 120, 'some operations')
        for role in ('conductor', 'compute'):
            site.stack.pause(role, 0)
            time.sleep(seconds)
            site.stack.resume(role, 0)
            time.sleep(3)
    finally:
        users.stop()
    took = quiet(site)
    log = site.stack.daemons['conductor', 0].log.read_text() + site.stack.daemons['compute', 0].log.read_text()
    late = log.count('is not written') + log.count('is refused: its fence')
    assert site.rows('SELECT COUNT(*) AS n FROM instance_actions WHERE generation > 1')[0].n, 'nothing was taken over'
    _clear(site, users.things)
    return (f'{users.count} operations, each frozen for {seconds} s, {late} late writes refused: '
            f'quiet after {took:.1f} s')


def deletes(site: Site, _size: int) -> str:
    """A delete is sent while each action is held at each of its steps, forward and backward; it wins, and nothing is
    left."""
    runner, tried, names = Runner(site), 0, set()
    acts = [act for act in ACTIONS if 'DELETED' not in act.done]
    cases, _ = runner.discover(acts)
    for alone in (False, True):
        steps: dict[str, list[Case]] = {}
        for case in cases:
            if (case.executor == case.role != 'scheduler' and case.when == 'before'
                    and BY_NAME[case.action].alone == alone):
                steps.setdefault(f'{case.action} {case.fail}', []).append(case)
        for number in range(max(map(len, steps.values()), default=0)):
            tried += _delete_at(runner, {name: some[number] for name, some in steps.items() if number < len(some)})
        names |= {name.split(' ')[0] for name in steps}
    return f'{tried} deletes sent while one of {len(names)} actions was at one of its steps: all won, nothing left'


def _delete_at(runner: Runner, now: dict[str, Case]) -> int:
    """-> how many actions arrived at their points and were deleted there."""
    site, wanted = runner.site, {name: BY_NAME[case.action] for name, case in now.items()}
    uuids, refused = servers_for(runner.things, wanted)
    ready = {name: act for name, act in wanted.items() if name not in refused}
    words = {name: hold_word(now[name], uuids.get(name, '*')) for name in ready}
    site.arm([*words.values(), *(fail_word(now[name].fail, uuids.get(name, '*')) for name in ready if now[name].fail)])
    ask_all(runner.things, ready, uuids)
    _arrive(site, len(words))
    arrived = len(site.hits().keys() & {word.replace('/', '_') for word in words.values()})
    for uuid in uuids.values():
        assert runner.things.ask(uuid, 'forceDelete') == 202
    site.disarm()
    runner.things.clean(list(uuids.values()))
    runner.bring_back(list(wanted.values()))
    quiet(site, 30)
    return arrived


def disk_full(site: Site, servers: int) -> str:
    """A compute has no room left, for its fences neither: its servers are built elsewhere, and deletes work."""
    things, stack = Things(site), site.stack
    host = stack.host('compute', 0)
    places = [pathlib.Path(stack.state, kind, host) for kind in ('fake-domains', 'fences')]
    stack.kill('compute', 0)
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size=64k,nr_inodes={FULL_AT}', 'tmpfs', str(place)], check=True)
    try:
        stack.spawn('compute', 0)
        uuids = [things.boot(f'vm{number}') for number in range(servers)]
        for uuid in uuids:
            things.wait(uuid, 'ACTIVE')
        took = quiet(site)
        log = stack.daemons['compute', 0].log.read_text()
        full = log.count('No space left')
        assert full, 'the disk was never full'
        things.clean(uuids)
        quiet(site, 40)
    finally:
        for place in places:
            subprocess.run(['umount', '-l', str(place)], check=False)
    return f'{servers} servers booted although one of three hosts was full ({full} refusals): quiet after {took:.1f} s'


#: of a live migration that was given up: what it does when its hosts are back, where its guest has stayed, and where
#: it has gone
_ASKED = [('compute', 'migrate.undo', when) for when in ('before', 'after', 'before-report')]
_JUDGED = ('before', 'after', 'before-commit', 'after-commit')
STAYED = [*_ASKED, *(('conductor', place, when) for place in ('migrate.undo', 'claim_destination.undo')
                     for when in _JUDGED),
          *(('compute', 'prepare_destination.undo', when) for when in ('before', 'after', 'before-report'))]
GONE = [*_ASKED, *(('conductor', place, when) for place in ('migrate.undo', 'confirm_copy', 'switch')
                   for when in _JUDGED),
        *(('compute', place, when) for place in ('find_at_destination', 'finish_destination', 'clean_source')
          for when in ('before', 'after', 'before-report'))]


def lost_moves(site: Site, servers: int) -> str:
    """Both hosts of live migrations are dead, and the state of each server is reset while conductors die; then the
    hosts come back, and they and the conductors die again at each point of what goes on. Of one half the copy has
    ended."""
    things, (source, dest) = Things(site), (site.stack.host('compute', number) for number in (2, 1))
    uuids = [things.boot(f'vm{number}', host=source) for number in range(servers)]
    points = {}
    for number, uuid in enumerate(uuids):
        things.wait(uuid, 'ACTIVE')
        points[uuid] = [STAYED, GONE][number % 2][number // 2 % len([STAYED, GONE][number % 2])]
        assert things.ask(uuid, 'os-migrateLive', {'host': dest, 'block_migration': 'auto'}) == 202
    there = pathlib.Path(site.stack.state, 'fake-domains', source)
    wait_for(lambda: len(list(there.glob('.live.*'))) == servers, 120, 'all to be copied')
    for number in (1, 2):
        force_down(things, True, number, power=True)
    for uuid in uuids[1::2]:
        site.end_copy(uuid, source)
    site.arm([f'conductor:live-migration.migrate.undo:{_JUDGED[number % 4]}/{uuid}!kill'
              for number, uuid in enumerate(uuids[:16])])
    with _reviving(site, 'compute1', 'compute2'):
        for uuid in uuids:
            assert things.ask(uuid, 'os-resetState', {'state': 'active'}) == 202
        for uuid in uuids:
            things.wait(uuid, 'ACTIVE')
    kills = len(site.hits())
    site.disarm()
    for uuid in uuids:
        assert things.ask(uuid, 'reboot', {'type': 'HARD'}) == 409, 'a second guest might have been started'
    site.arm([f'{role}:live-migration.{place}:{when}/{uuid}!kill' for uuid, (role, place, when) in points.items()])
    with _reviving(site):
        for number in (1, 2):
            force_down(things, False, number)
        wait_for(lambda: not site.rows("SELECT id FROM instances WHERE system_metadata LIKE '%undecided%'"), 180,
                 'all moves to end')
    took, reached = quiet(site), len(site.hits())
    site.disarm()
    homes = {row.uuid: row.host for row in site.rows('SELECT uuid, host FROM instances WHERE deleted = 0')}
    assert homes == {uuid: (source, dest)[number % 2] for number, uuid in enumerate(uuids)}, homes
    _clear(site, things)
    return (f'{servers} live migrations whose hosts were dead, reset under {kills} kills of conductors, ended under '
            f'{reached} more when the hosts were back: each with its guest where that was, quiet after {took:.1f} s')


@contextlib.contextmanager
def _reviving(site: Site, *but: str) -> Iterator[None]:
    """Whoever dies is started again at once."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.1):
            for daemon in site.stack.daemons.values():   # a compute is ready when a conductor is: nobody waits for one
                if not daemon.alive and daemon.name not in but:
                    site.stack.spawn(daemon.role, daemon.number, wait=False)
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(90)
    site.revive(*but)


def _arrive(site: Site, count: int) -> None:
    """Those that never get there are deleted somewhere else on their way."""
    with contextlib.suppress(StackError):
        wait_for(lambda: len(site.hits()) >= count, 12, 'all to arrive')


def _clear(site: Site, things: Things) -> None:
    """After a storm everything can still be deleted, and then nothing is left."""
    found = [row.uuid for row in site.rows('SELECT uuid FROM instances WHERE deleted = 0')]
    things.clean(found)
    quiet(site, 40)


SCENARIOS = {
    'storm': Scenario(storm, 1000, {'DEFAULT': {'service_down_time': 60}}),
    'broker-down': Scenario(broker_down, 120, {'DEFAULT': {'service_down_time': 60}}),
    'frozen': Scenario(frozen, 20, {'DEFAULT': {'service_down_time': 60}}),
    'deletes': Scenario(deletes, 1),
    'disk-full': Scenario(disk_full, 40),
    'lost-moves': Scenario(lost_moves, 2 * len(GONE), {
        'fake': {'live_migration_seconds': 3600}, 'DEFAULT': {'max_concurrent_builds': 0}}),
}
