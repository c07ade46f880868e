"""All flows. Importing this package registers them."""
from minicompute.conductor.flows import (
    admin,
    assist,
    attach,
    build,
    delete,
    evacuate,
    external,
    guest,
    live_migrate,
    power,
    rebuild,
    rebuild_volume,
    resize,
    shelve,
    snapshot,
    snapshot_volume,
    snapshot_volumes,
    soft_delete,
)

__all__ = ['admin', 'assist', 'attach', 'build', 'delete', 'evacuate', 'external', 'guest',
           'live_migrate', 'power', 'rebuild', 'rebuild_volume', 'resize', 'shelve', 'snapshot', 'snapshot_volume',
           'snapshot_volumes', 'soft_delete']
