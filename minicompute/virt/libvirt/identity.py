"""Who this node is, whatever its name is called: a uuid in `state_path`/compute_id, made once."""
from __future__ import annotations

import os
import uuid

from minicompute import exception
from minicompute.conf import CONF


def node_uuid() -> str:
    """Raises ConfigurationError when the file holds something else: a new identity would orphan all
    servers."""
    path = os.path.join(CONF.state_path, 'compute_id')
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    os.makedirs(CONF.state_path, exist_ok=True)
    temp = f'{path}.{os.getpid()}'
    with open(temp, 'w', encoding='ascii') as writer:
        writer.write(f'{uuid.uuid4()}\n')
        writer.flush()
        os.fsync(writer.fileno())
    try:
        os.link(temp, path)   # unlike a rename this never overwrites what another daemon made meanwhile
    except FileExistsError:
        pass
    finally:
        os.unlink(temp)
    return _read(path)


def _read(path: str) -> str:
    with open(path, encoding='ascii', errors='replace') as reader:
        text = reader.read().strip()
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise exception.ConfigurationError(
            reason=f'{path} does not hold a uuid: restore it from a backup; '
                   'remove it only if this host has no servers') from None
