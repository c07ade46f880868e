"""The rows of local volumes, and their files, compared. What is wrong is told: both may be all that is left of data.

A deletion says so in the row, then removes the file, then the row; a volume is made the other way round.  So whoever
looks twice, at the one and then at the other, is not deceived by what goes on meanwhile.
"""
from __future__ import annotations

import os
from collections.abc import Iterator

from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import volumes as db
from minicompute.volume import files
from minicompute.volume.base import Doubt

#: volumes that are told of at most, and that the records are asked for at a time
MOST = 500


def look() -> Iterator[Doubt]:
    try:
        there = files.everyone()
    except OSError as error:
        there, why = {}, f': {error.strerror}'
    else:
        why = ''
    with session.read() as conn:
        wanted = db.with_files(conn)
    if wanted and not there:    # not each of them is lost
        yield Doubt('volumes without their directory', CONF.local_volumes.path,
                    f'none of the files of {len(wanted)} volumes can be seen here{why}; is it mounted?')
        return
    yield from _lost(sorted(wanted - there.keys())[:MOST])
    yield from _strays({one: path for one, path in there.items() if one not in wanted})


def _lost(ids: list[str]) -> Iterator[Doubt]:
    gone = [one for one in ids if not os.path.lexists(files.path_of(one))]
    with session.read() as conn:
        still = db.with_files(conn, gone) if gone else set()
    for one in gone:
        if one in still:
            yield Doubt('volume without its file', one, f'{files.path_of(one)} is not there; bring it back, or detach '
                        'the volume and delete it')


def _strays(found: dict[str, str]) -> Iterator[Doubt]:
    ids, told = sorted(found), 0
    for start in range(0, len(ids), MOST):
        part = ids[start:start + MOST]
        with session.read() as conn:
            known = db.get_many(conn, part)
        for one in part:
            if one not in known and os.path.lexists(found[one]) and told < MOST:
                told += 1
                yield Doubt('file of no volume', one, f'no volume has {found[one]}, but the records may be older than '
                            'it is; see what it is, and remove it by hand')
