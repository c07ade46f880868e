"""The verbs of a compute, by module: what flows ask a host to do."""
from __future__ import annotations

from minicompute.compute.manager.verbs import admin, build, devices, guest, images, live, moves, power, volume_files
from minicompute.compute.manager.verbs.base import Verb, failure, stoppable

VERBS: dict[str, Verb] = {
    **admin.VERBS, **build.VERBS, **devices.VERBS, **guest.VERBS,
    **images.VERBS, **live.VERBS, **moves.VERBS, **power.VERBS, **volume_files.VERBS}
#: verbs that may take minutes: they share the pool of the builds, so that what is quick never waits for them
LONG: frozenset[str] = (build.LONG | devices.LONG | guest.LONG | images.LONG | live.LONG | moves.LONG
                        | volume_files.LONG)

__all__ = ['LONG', 'VERBS', 'Verb', 'failure', 'stoppable']
