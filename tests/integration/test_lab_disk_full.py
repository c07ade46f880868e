"""A host of the lab whose disk is full: what is asked of it ends, says why, and leaves nothing."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.lab import BOOT, UP, Lab
from tests.integration.stack import wait_for
from tests.integration.test_lab_resize import HOST, Moves, moves  # noqa: F401

pytestmark = pytest.mark.long

# Fixtures of another module.
# ruff: noqa: F811

#: MiB: room for some guests, and then for none
ROOM, NONE = 600, 20
FULL = 'host3'


class Tight:
    """The directory of instances on `FULL`, whose size can be changed."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.path = lab, f'{lab.directory}/node/state/instances'

    def mount(self) -> None:
        self.lab.execute(FULL, 'mount', '-t', 'tmpfs', '-o', f'size={ROOM}m,mode=755', 'tmpfs', self.path)

    def unmount(self) -> None:
        self.lab.execute(FULL, 'umount', self.path)

    def resize(self, mebibytes: int) -> None:
        self.lab.execute(FULL, 'mount', '-o', f'remount,size={mebibytes}m', self.path)

    def used(self) -> int:
        """MiB"""
        return int(self.lab.execute(FULL, 'du', '-sm', self.path).split()[0])

    def files(self) -> set[str]:
        """All but base images, which are cached, and locks."""
        found = self.lab.execute(FULL, 'find', self.path, '-type', 'f', '-not', '-name', '*.lock').split()
        return {name.removeprefix(self.path) for name in found}

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        self.resize(self.used() + NONE)
        try:
            yield
        finally:
            self.resize(ROOM)


@pytest.fixture
def tight(lab: Lab) -> Iterator[Tight]:
    made = Tight(lab)
    made.mount()
    yield made
    made.unmount()


@pytest.fixture
def guests(tight: Tight, moves: Moves) -> Moves:
    """Servers that take what their image takes, on hosts of which one is tight."""
    moves.small = moves.api.flavor(f'{moves.small}-0', ram=128, disk=0)
    return moves


def boot(guests: Moves, host: str, wait: bool = True) -> str:
    server = guests.lab.boot(guests.word, host, flavor=guests.small, wait=wait, metadata={'count': 'true'})
    guests.servers.append(server['id'])
    if wait:
        guests.lab.wait_console(server['id'], UP)
    return str(server['id'])


def told(guests: Moves, server: str) -> str:
    """What the action log says of the newest action's errors."""
    events: list[dict[str, Any]] = guests.why(server)['instanceAction']['events']
    return ' '.join(str(event['details']) for event in events if event['result'] == 'Error')


def test_a_build_says_why_and_leaves_nothing(guests: Moves, tight: Tight) -> None:
    before = tight.files()
    with tight.full():
        server = boot(guests, FULL, wait=False)
        shown = guests.api.wait_status(server, 'ERROR', BOOT)
        assert 'no space left' in shown['fault']['message'].lower(), shown['fault']
        assert guests.domains(server) == [] and tight.files() == before
    guests.lab.delete(server)
    assert boot(guests, FULL)


def test_an_image_is_not_made_and_the_guest_runs_on(guests: Moves, tight: Tight) -> None:
    server = boot(guests, FULL)
    before = tight.files()
    with tight.full():
        guests.act(server, 'createImage', {'name': guests.word})
        guests.status(server, 'ACTIVE')
        assert 'No space left' in told(guests, server), guests.why(server)
        last = guests.lab.counts(server)[-1]
        wait_for(lambda: guests.lab.counts(server)[-1] > last, BOOT, 'the guest to count on', pause=1)
    assert tight.files() == before
    status, document = guests.api.request('GET', f'/images?name={guests.word}', microversion='2.35')
    assert (status, document['images']) == (200, [])


def test_a_server_does_not_move_there_and_stays(guests: Moves, tight: Tight) -> None:
    server = boot(guests, 'host1')
    before = tight.files()
    with tight.full():
        guests.act(server, 'migrate', {'host': FULL})
        assert guests.status(server, 'ACTIVE')[HOST] == 'host1'
        assert 'No space left' in told(guests, server), guests.why(server)
        assert tight.files() == before and FULL not in guests.domains(server)
        guests.act(server, 'os-migrateLive', {'host': FULL, 'block_migration': 'auto'})
        assert guests.status(server, 'ACTIVE')[HOST] == 'host1'
        assert 'No space left' in told(guests, server), guests.why(server)
    assert tight.files() == before and FULL not in guests.domains(server)
    assert guests.lab.running_on(server) == ['host1']
