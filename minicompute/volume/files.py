"""Where the files of the local volumes, and of their snapshots, lie. A compute makes and grows them, the owner of the
record removes them."""
from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator

from minicompute.conf import CONF

FORMAT = 'qcow2'
SNAPSHOT = 'snapshot-'


def path_of(volume_id: str) -> str:
    """Raises ValueError for what is no UUID: an id becomes a file's name."""
    return os.path.join(CONF.local_volumes.path, f'{uuid.UUID(volume_id)}.{FORMAT}')


def snapshot_path(snapshot_id: str) -> str:
    """Raises ValueError for what is no UUID."""
    return os.path.join(CONF.local_volumes.path, f'{SNAPSHOT}{uuid.UUID(snapshot_id)}.{FORMAT}')


def remove_snapshot(snapshot_id: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(snapshot_path(snapshot_id))


def snapshots() -> Iterator[tuple[str, str]]:
    """(id, path) of all files of snapshots that are there."""
    try:
        names = os.listdir(CONF.local_volumes.path)
    except FileNotFoundError:
        return
    for name in names:
        if name.startswith(SNAPSHOT) and name.endswith(f'.{FORMAT}'):
            with contextlib.suppress(ValueError):       # what somebody else has put there
                one = str(uuid.UUID(name[len(SNAPSHOT):-len(FORMAT) - 1]))
                yield one, snapshot_path(one)


def everyone() -> dict[str, str]:
    """{id: path} of all files of volumes that are there. Raises OSError without a directory."""
    found = {}
    for name in os.listdir(CONF.local_volumes.path):
        if name.endswith(f'.{FORMAT}') and not name.startswith(SNAPSHOT):
            with contextlib.suppress(ValueError):       # what somebody else has put there
                one = str(uuid.UUID(name[:-len(FORMAT) - 1]))
                found[one] = path_of(one)
    return found


def remove(volume_id: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path_of(volume_id))
