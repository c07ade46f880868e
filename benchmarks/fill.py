#!/usr/bin/env python3
"""Clones of one ACTIVE server, written straight into the database: what the lists are measured with.

    benchmarks/fill.py URL COUNT PROJECT      until the project has COUNT servers; 0 takes the clones away

The clone's row is the server's but for its uuid, its name and its time (each a little older than the one before);
its block devices come along. Clones have no domain at a compute and no allocation: they are for reading. The tables
are analysed afterwards, as a database does by itself after a while.
"""
from __future__ import annotations

import datetime
import sys
import uuid
from typing import Any

import sqlalchemy as sa

CHUNK = 500


def main(url: str, count: int, project: str) -> None:
    engine = sa.create_engine(url)
    metadata = sa.MetaData()
    metadata.reflect(engine, only=['instances', 'block_device_mappings'])
    servers, devices = metadata.tables['instances'], metadata.tables['block_device_mappings']
    with engine.begin() as conn:
        remove(conn, servers, devices)
        mine = (servers.c.project_id == project) & (servers.c.deleted == 0)
        have = conn.scalar(sa.select(sa.func.count()).select_from(servers).where(mine)) or 0
        models = [dict(row) for row in conn.execute(sa.select(servers).where(
            mine, servers.c.vm_state == 'active').order_by(servers.c.id).limit(4)).mappings()]
        if count > have and not models:
            raise SystemExit(f'project {project} has no ACTIVE server to clone')
        attached = {model['uuid']: [dict(row) for row in conn.execute(sa.select(devices).where(
            devices.c.instance_uuid == model['uuid'])).mappings()] for model in models}
        for start in range(0, max(0, count - have), CHUNK):
            add(conn, servers, devices, models, attached, range(start, min(start + CHUNK, count - have)))
    analyse(engine)


def remove(conn: sa.Connection, servers: sa.Table, devices: sa.Table) -> None:
    clones = servers.c.reservation_id == 'r-clone'
    conn.execute(devices.delete().where(devices.c.instance_uuid.in_(sa.select(servers.c.uuid).where(clones))))
    conn.execute(servers.delete().where(clones))


def add(conn: sa.Connection, servers: sa.Table, devices: sa.Table, models: list[dict[str, Any]],
        attached: dict[str, list[dict[str, Any]]], numbers: range) -> None:
    rows, disks = [], []
    for number in numbers:
        model, name = models[number % len(models)], str(uuid.uuid4())
        rows.append({**without_id(model), 'uuid': name, 'display_name': f'clone-{number}',
                     'hostname': f'clone-{number}', 'reservation_id': 'r-clone',
                     'created_at': model['created_at'] - datetime.timedelta(milliseconds=number)})
        disks += [{**without_id(disk), 'uuid': str(uuid.uuid4()), 'instance_uuid': name}
                  for disk in attached[model['uuid']]]
    conn.execute(servers.insert(), rows)
    if disks:
        conn.execute(devices.insert(), disks)


def without_id(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != 'id'}


def analyse(engine: sa.Engine) -> None:
    with engine.connect().execution_options(isolation_level='AUTOCOMMIT') as conn:
        for name in ('instances', 'block_device_mappings'):
            conn.exec_driver_sql(f'ANALYZE TABLE {name}' if engine.dialect.name == 'mysql' else f'ANALYZE {name}')


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
