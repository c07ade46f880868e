"""minicompute-manage import hand-back: a host is Nova's again.

The servers that Nova has on the host are forgotten here, with all that our records say of them: Nova's own records were
never touched, and its compute finds the guests by their uuids. Nothing is done to guests, volumes or ports. What was
changed through us since, Nova does not know: that is refused, unless it is forced.
"""
from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import sqlalchemy as sa

from minicompute import servicegroup
from minicompute.cmd.nova import convert
from minicompute.cmd.nova.plan import Refusal
from minicompute.cmd.nova.source import NOVA, Database
from minicompute.db import models, session
from minicompute.db.api import actions, instances, services
from minicompute.objects import Binary, Instance

#: tables of what belongs to a server, by the column that names it
_BY = {'tags': 'resource_id', 'instances': 'uuid'}
#: what keeps its rows: addresses of local networks, which an import never makes, are given back by a delete
_STAY = frozenset(('ports', 'events'))




def run(args: argparse.Namespace) -> tuple[list[list[Any]], list[Refusal]]:
    """-> (a row for each kind of record: its name, how many), what stays ours and why."""
    source = Database(args.nova_database, NOVA, "Nova's database (--nova-database)")
    try:
        with session.read() as conn:
            counts, refusals = _look(conn, source, args.of_host, args.force)
        if args.apply and counts:
            counts, refusals = session.write(_forget, source, args.of_host, args.force)
    finally:
        source.close()
    return [[name, number] for name, number in sorted(counts.items())], refusals


def _forget(conn: sa.Connection, source: Database, host: str, force: bool) -> tuple[Counter[str], list[Refusal]]:
    uuids, refusals = _which(conn, source, host, force)
    counts = Counter({name: found.rowcount for name, found in (
        (table.name, conn.execute(table.delete().where(where))) for table, where in _parts(uuids)) if found.rowcount})
    counts += _forget_host(conn, host)
    return counts, refusals


def _look(conn: sa.Connection, source: Database, host: str, force: bool) -> tuple[Counter[str], list[Refusal]]:
    uuids, refusals = _which(conn, source, host, force)
    counts: Counter[str] = Counter()
    for table, where in _parts(uuids):
        counts[table.name] = int(conn.scalar(sa.select(sa.func.count()).select_from(table).where(where)) or 0)
    return +counts, refusals


def _parts(uuids: list[str]) -> list[tuple[sa.Table, Any]]:
    """(table, which of its rows), what hangs on another first."""
    actions_of = sa.select(models.instance_actions.c.id).where(models.instance_actions.c.instance_uuid.in_(uuids))
    found: list[tuple[sa.Table, Any]] = [
        (models.instance_actions_events, models.instance_actions_events.c.action_id.in_(actions_of))]
    for table in reversed(models.metadata.sorted_tables):
        by = _BY.get(table.name, 'instance_uuid')
        if by in table.c and table.name not in _STAY:
            found.append((table, table.c[by].in_(uuids)))
    return found


def _forget_host(conn: sa.Connection, host: str) -> Counter[str]:
    """Nobody is sent to a host that has gone back; one that has servers of ours still is ours. Its service stays: it
    keeps a compute of ours, started there once more, from removing guests that it finds in no record."""
    left = conn.scalar(sa.select(sa.func.count()).select_from(models.instances).where(
        models.instances.c.host == host, models.instances.c.deleted == 0))
    if left:
        return Counter()
    nodes = conn.execute(models.compute_nodes.delete().where(models.compute_nodes.c.host == host)).rowcount
    back = conn.execute(models.services.update().where(
        models.services.c.host == host, models.services.c.binary == Binary.COMPUTE,
        sa.func.coalesce(models.services.c.disabled_reason, '') != services.HANDED_BACK).values(
            disabled=True, disabled_reason=services.HANDED_BACK)).rowcount
    return +Counter(compute_nodes=nodes, services=back)


def _which(conn: sa.Connection, source: Database, host: str, force: bool) -> tuple[list[str], list[Refusal]]:
    """Servers of the host that can go back, and why others cannot."""
    ours = instances.get_many(conn, conn.scalars(sa.select(models.instances.c.uuid).where(
        models.instances.c.host == host, models.instances.c.deleted == 0)))
    runs = not servicegroup.down_hosts(conn, {host}, silent=True)
    theirs = {row.uuid: row for row in source.rows('instances', ours, by='uuid')}
    devices, caches = (source.grouped(name, ours) for name in ('block_device_mapping', 'instance_info_caches'))
    extra = source.grouped('instance_extra', ours)
    uuids, refusals = [], []
    for uuid, one in sorted(ours.items()):
        reason = None
        if runs:
            reason = f'minicompute-compute on {host} still reports: stop it first, two must not have one guest'
        elif actions.any_running(conn, [uuid]):
            reason = 'something is being done with it: wait for the end'
        elif uuid not in theirs:
            reason = 'Nova does not know it: it was made here. Delete it, or move it to a host that stays'
        elif not force:
            changed = _changes(one, theirs[uuid], devices[uuid], caches[uuid], extra[uuid])
            reason = f'changed here since, and Nova does not know: {", ".join(changed)}' if changed else None
        if reason is None:
            uuids.append(uuid)
        else:
            refusals.append(Refusal('server', f'{uuid} ({one.display_name})', reason))
    return uuids, refusals


def _changes(one: Instance, row: Any, devices: list[Any], caches: list[Any], extra: list[Any]) -> list[str]:
    """What Nova would do wrong by its own record. Whether the guest runs it finds out by itself."""
    flavor = convert.flavors(extra[0].flavor)[0] if extra else None
    mine, its = one.flavor, flavor
    volumes = {(device.volume_id, device.attachment_id) for device in one.block_devices if device.volume_id}
    known = {(device.volume_id, device.attachment_id) for device in devices if device.volume_id}
    cards = {card.id for card in (convert.cards(caches[0].network_info) if caches else ())}
    found = {
        'its host': one.host != row.host, 'its state': one.vm_state != row.vm_state and 'rescued' in (
            one.vm_state, row.vm_state), 'its image': one.image_ref != (row.image_ref or ''),
        'its flavor': mine is not None and (its is None or (mine.vcpus, mine.memory_mb, mine.root_gb) != (
            its.vcpus, its.memory_mb, its.root_gb)),
        'its volumes': volumes != known, 'its ports': {card.id for card in one.network_info} != cards}
    return [name for name, differs in found.items() if differs]
