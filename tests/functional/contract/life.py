"""What a server's life should be like, written down beside the code and not taken from it.

`Life` says what becomes of a server when an action succeeds; which actions are legal is said by compute/states.py, the
one table that it has in common with the API.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from minicompute.compute import states
from minicompute.objects import PowerState
from minicompute.objects import VMState as VM

SHOWN = {VM.ACTIVE: 'ACTIVE', VM.STOPPED: 'SHUTOFF', VM.PAUSED: 'PAUSED', VM.SUSPENDED: 'SUSPENDED',
         VM.RESCUED: 'RESCUE', VM.RESIZED: 'VERIFY_RESIZE', VM.SHELVED: 'SHELVED',
         VM.SHELVED_OFFLOADED: 'SHELVED_OFFLOADED', VM.SOFT_DELETED: 'SOFT_DELETED', VM.ERROR: 'ERROR'}
POWER = {VM.ACTIVE: PowerState.RUNNING, VM.STOPPED: PowerState.SHUTDOWN, VM.PAUSED: PowerState.PAUSED,
         VM.SUSPENDED: PowerState.SHUTDOWN, VM.RESCUED: PowerState.RUNNING,
         VM.SOFT_DELETED: PowerState.SHUTDOWN}


@dataclasses.dataclass
class Life:
    """The server as it should be."""

    state: str = VM.ACTIVE
    locked: bool = False
    large: bool = False
    before_resize: tuple[str, bool] = (VM.ACTIVE, False)    # state, large
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    tags: set[str] = dataclasses.field(default_factory=set)
    volumes: set[str] = dataclasses.field(default_factory=set)

    def legal(self, action: str) -> bool:
        """`action`: its name in the table of states."""
        allowed = states.ACTIONS[action].vm
        return allowed is None or self.state in allowed


Effect = Callable[[Life], None]


@dataclasses.dataclass(frozen=True)
class Deed:
    """One thing that a user may ask for. `name` in the table of states; `becomes`: what it makes of the server."""

    name: str
    body: dict[str, Any]
    code: int = 202
    becomes: Effect = lambda life: None
    #: it fails for another reason than the state: the code
    refused: Callable[[Life], int | None] = lambda life: None
    #: what a lock does not stop
    past_lock: bool = False
    admin: bool = False
    #: where the model does not know what comes of it, it is not asked for
    foreseen: Callable[[Life], bool] = lambda life: True


def to(state: str) -> Effect:
    def become(life: Life) -> None:
        life.state = state
    return become


def _resized(life: Life) -> None:
    life.before_resize = (life.state, life.large)
    life.state, life.large = VM.RESIZED, not life.large


def _migrated(life: Life) -> None:
    life.before_resize = (life.state, life.large)
    life.state = VM.RESIZED


def _confirmed(life: Life) -> None:
    life.state = life.before_resize[0]


def _reverted(life: Life) -> None:
    life.state, life.large = life.before_resize


def _rebuilt(life: Life) -> None:
    life.state = VM.STOPPED if life.state == VM.STOPPED else VM.ACTIVE


def _locked(life: Life) -> None:
    life.locked = True


def _unlocked(life: Life) -> None:
    life.locked = False


def deeds(image: str, small: str, large: str) -> list[Deed]:
    """All but what needs another resource. Resizes depend on the size: see `sizes`."""
    return [
        Deed('start', {'os-start': None}, becomes=to(VM.ACTIVE)),
        Deed('stop', {'os-stop': None}, becomes=to(VM.STOPPED)),
        Deed('reboot', {'reboot': {'type': 'SOFT'}}, becomes=to(VM.ACTIVE)),
        Deed('reboot_hard', {'reboot': {'type': 'HARD'}}, becomes=to(VM.ACTIVE)),
        Deed('pause', {'pause': None}, becomes=to(VM.PAUSED)),
        Deed('unpause', {'unpause': None}, becomes=to(VM.ACTIVE)),
        Deed('suspend', {'suspend': None}, becomes=to(VM.SUSPENDED)),
        Deed('resume', {'resume': None}, becomes=to(VM.ACTIVE)),
        Deed('rescue', {'rescue': {}}, 200, becomes=to(VM.RESCUED)),
        Deed('unrescue', {'unrescue': None}, becomes=to(VM.ACTIVE)),
        Deed('crash_dump', {'trigger_crash_dump': None}),
        Deed('set_password', {'changePassword': {'adminPass': 's3cret'}}),
        Deed('rebuild', {'rebuild': {'imageRef': image}}, becomes=_rebuilt),
        Deed('snapshot', {'createImage': {'name': 'life'}}, past_lock=True),
        Deed('backup', {'createBackup': {'name': 'life', 'backup_type': 'daily', 'rotation': 1}},
             past_lock=True),
        Deed('shelve', {'shelve': None}, becomes=to(VM.SHELVED)),
        Deed('shelve_offload', {'shelveOffload': None}, becomes=to(VM.SHELVED_OFFLOADED), admin=True),
        Deed('unshelve', {'unshelve': None}, becomes=to(VM.ACTIVE)),
        Deed('resize', {'resize': {'flavorRef': large}}, becomes=_resized,
             refused=lambda life: 400 if life.large else None),
        Deed('resize', {'resize': {'flavorRef': small}}, becomes=_resized,
             refused=lambda life: None if life.large else 400),
        Deed('migrate', {'migrate': None}, becomes=_migrated, admin=True),
        Deed('confirm_resize', {'confirmResize': None}, 204, becomes=_confirmed),
        Deed('revert_resize', {'revertResize': None}, becomes=_reverted),
        Deed('live_migrate', {'os-migrateLive': {'host': None, 'block_migration': 'auto'}}, admin=True),
        Deed('restore', {'restore': None}, becomes=to(VM.ACTIVE)),
        Deed('lock', {'lock': None}, becomes=_locked, past_lock=True),
        Deed('unlock', {'unlock': None}, becomes=_unlocked, past_lock=True),
        Deed('reset', {'os-resetState': {'state': 'error'}}, becomes=to(VM.ERROR), past_lock=True, admin=True,
             foreseen=lambda life: life.state in (VM.ACTIVE, VM.STOPPED, VM.PAUSED, VM.SUSPENDED, VM.ERROR)),
        Deed('reset', {'os-resetState': {'state': 'active'}}, becomes=to(VM.ACTIVE), past_lock=True, admin=True,
             foreseen=lambda life: life.state == VM.ACTIVE),
    ]


#: no row of the table: whatever the server is
ALWAYS_LEGAL = frozenset(('lock', 'unlock', 'reset'))
