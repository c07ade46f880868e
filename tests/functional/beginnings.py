"""How a server comes into the state that a flow starts from. A flow that starts from a server which just runs needs
nothing here."""
from __future__ import annotations

import dataclasses
import uuid as uuidlib
from collections.abc import Callable
from typing import Any

from minicompute.compute.api import volumes as volumes_api
from minicompute.conductor.flow import Flow
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import block_devices, instances, migrations, networks, services, volume_snapshots, volumes
from minicompute.image import base as image
from minicompute.network import local
from minicompute.objects import Flavor, ImageMeta, Migration, Volume, VolumeSnapshot, to_primitive
from tests.functional.bench import Bench

LARGER = Flavor('2', 'larger', 128, 2, 2)


def stopped(bench: Bench, uuid: str) -> dict[str, Any]:
    run(bench, uuid, 'stop')
    return {}


def after(name: str) -> Callable[[Bench, str], dict[str, Any]]:
    """Where the flow `name` leaves a server."""
    def ready(bench: Bench, uuid: str) -> dict[str, Any]:
        run(bench, uuid, name)
        return {}
    return ready


def with_password(bench: Bench, uuid: str) -> dict[str, Any]:
    return {'secret': {'admin_password': 's3cret'}}


def to_resize(bench: Bench, uuid: str) -> dict[str, Any]:
    """What the API writes when it accepts a resize."""
    server = bench.server(uuid)
    migration = Migration(uuid=str(uuidlib.uuid4()), instance_uuid=uuid, migration_type='resize',
                          status='pre-migrating', source_compute=server.host, source_node=server.node)
    session.write(migrations.create, migration)
    return {'migration': migration.uuid, 'source': {'host': server.host, 'node': server.node},
            'flavor': to_primitive(LARGER), 'old_vm_state': server.vm_state, 'ignore': [server.host]}


def resized(bench: Bench, uuid: str) -> dict[str, Any]:
    run(bench, uuid, 'resize', **to_resize(bench, uuid))
    with session.read() as conn:
        found = migrations.of_instance(conn, uuid, ['finished'])[0]
    return migrations.ending(found, bench.server(uuid))


def to_live_migrate(bench: Bench, uuid: str, kind: str = 'live-migration') -> dict[str, Any]:
    """What the API writes when it accepts a live migration, or an evacuation."""
    server = bench.server(uuid)
    migration = Migration(uuid=str(uuidlib.uuid4()), instance_uuid=uuid, migration_type=kind, status='accepted',
                          source_compute=server.host, source_node=server.node)
    session.write(migrations.create, migration)
    return {'migration': migration.uuid, 'source': {'host': server.host, 'node': server.node}}


def on_lost_host(bench: Bench, uuid: str) -> dict[str, Any]:
    """The operator says that the host is down. (Here it is not, and cleans up as it would when it is back.)"""
    data = to_live_migrate(bench, uuid, 'evacuation')

    def write(conn: Any) -> None:
        services.update(conn, services.find(conn, data['source']['host'], services.COMPUTE), forced_down=True)
    for host in bench.computes:     # what an earlier round of the test has said
        session.write(lambda conn, host=host: services.update(
            conn, services.find(conn, host, services.COMPUTE), forced_down=False))
    session.write(write)
    return data


def to_image(bench: Bench, uuid: str) -> dict[str, Any]:
    """What the API writes when it accepts a backup."""
    image_id = str(uuidlib.uuid4())
    insert = image.load().reserve(admin_context(), ImageMeta(id=image_id, name='copy', owner='p'))
    assert insert is not None
    session.write(insert)
    return {'image_id': image_id, 'rotation': 1, 'backup_type': 'daily'}


def to_snapshots(bench: Bench, uuid: str) -> dict[str, Any]:
    """What the API writes when it accepts a createImage of a server with a volume."""
    run(bench, uuid, 'attach_volume', **with_volume(bench, uuid))
    volume_id = str(next(device.volume_id for device in bench.server(uuid).block_devices if device.volume_id))
    copies = {volume_id: str(uuidlib.uuid4())}
    session.write(volume_snapshots.insert, [VolumeSnapshot(id=copies[volume_id], volume_id=volume_id, project_id='p',
                                                           size=1)])
    return {'image_id': to_image(bench, uuid)['image_id'], 'copies': copies}


def on_shelf(bench: Bench, uuid: str) -> dict[str, Any]:
    CONF.set_override('shelved_offload_time', -1)
    run(bench, uuid, 'shelve', **to_image(bench, uuid))
    return {}


def offloaded(bench: Bench, uuid: str) -> dict[str, Any]:
    run(bench, uuid, 'shelve', **to_image(bench, uuid))
    return {'offloaded': True}


def to_rebuild(bench: Bench, uuid: str) -> dict[str, Any]:
    with session.read() as conn:
        spec = instances.specs(conn, [uuid])[uuid]
    return {'image': to_primitive(ImageMeta(id='new')), 'new_image': True,
            'before': {'columns': {'image_ref': 'old'}, 'spec': to_primitive(spec)}}


def to_rebuild_volume(bench: Bench, uuid: str) -> dict[str, Any]:
    data = with_volume(bench, uuid)
    run(bench, uuid, 'attach_volume', **data)
    return {**to_rebuild(bench, uuid), 'bdm': data['bdm'], 'reimage': True}


def with_volume(bench: Bench, uuid: str, state: str = 'attaching', key: str = 'bdm') -> dict[str, Any]:
    """What the API writes when it accepts an attachment."""
    made = Volume(id=str(uuidlib.uuid4()), project_id='p', size=1)
    device = volumes_api.mapping(made, state=state, instance_uuid=uuid, device_name='/dev/vdb')

    def write(conn: Any) -> None:
        volumes.insert(conn, [made])
        block_devices.insert(conn, device)
    session.write(write)
    return {key: device.uuid, 'volume_id' if key == 'bdm' else 'new_volume_id': made.id}


def to_detach_volume(bench: Bench, uuid: str) -> dict[str, Any]:
    data = with_volume(bench, uuid)
    run(bench, uuid, 'attach_volume', **data)
    with session.read() as conn:
        device = block_devices.get(conn, data['bdm'])
    assert device is not None
    session.write(block_devices.set_state, device, 'detaching')
    return data


def to_swap_volume(bench: Bench, uuid: str) -> dict[str, Any]:
    return {**to_detach_volume(bench, uuid), **with_volume(bench, uuid, 'swapping', 'new')}


def with_port(bench: Bench, uuid: str) -> dict[str, Any]:
    """What the API writes when it accepts a network card."""
    backend = local.LocalNetworks()
    resolved = backend.resolve_one(admin_context(), 'p', {'id': lan()})
    return {'port': session.write(backend.reserve_port, resolved, bench.server(uuid))}


def lan() -> str:
    """-> id of a network that all may use"""
    with session.read() as conn:
        found = networks.list_networks(conn)
    if found:
        return found[0].id
    made = local.new_network(name='lan', project_id='p', shared=True)
    session.write(networks.insert_network, made)
    wanted = networks.with_cidr(dataclasses.replace(made, subnet_id=str(uuidlib.uuid4())), '10.3.0.0/24')
    session.write(networks.set_subnet, wanted)
    return made.id


def to_detach_interface(bench: Bench, uuid: str) -> dict[str, Any]:
    data = with_port(bench, uuid)
    run(bench, uuid, 'attach_interface', **data)
    return data


def with_grown_volume(bench: Bench, uuid: str) -> dict[str, Any]:
    """What is known when a volume service says that it has grown a volume."""
    data = with_volume(bench, uuid)
    run(bench, uuid, 'attach_volume', **data)
    with session.read() as conn:
        device = block_devices.get(conn, data['bdm'])
    assert device is not None
    session.write(volumes.update, str(device.volume_id), size=2)
    return {'volume_id': device.volume_id}


def with_wanted_snapshot(bench: Bench, uuid: str) -> dict[str, Any]:
    """What the API writes when it accepts a snapshot of a volume that a server has."""
    data = with_volume(bench, uuid)
    run(bench, uuid, 'attach_volume', **data)
    with session.read() as conn:
        device = block_devices.get(conn, data['bdm'])
    assert device is not None
    wanted = VolumeSnapshot(id=str(uuidlib.uuid4()), volume_id=str(device.volume_id), project_id='p', size=1)
    session.write(volume_snapshots.insert, [wanted])
    return {'volume_id': device.volume_id, 'snapshot_id': wanted.id}


def with_a_chain(bench: Bench, uuid: str) -> dict[str, Any]:
    """What a volume service of files in shares asks for."""
    data = with_volume(bench, uuid)
    run(bench, uuid, 'attach_volume', **data)
    with session.read() as conn:
        device = block_devices.get(conn, data['bdm'])
    assert device is not None
    return {'volume_id': device.volume_id, 'snapshot_id': str(uuidlib.uuid4()), 'new_file': 'volume.1', 'top': 'volume'}


#: flow -> (bench, uuid of a server that runs) -> data of the action
READY: dict[str, Callable[[Bench, str], dict[str, Any]]] = {
    'attach_volume': with_volume,
    'detach_volume': to_detach_volume,
    'swap_volume': to_swap_volume,
    'extend_volume': with_grown_volume,
    'branch_volume': with_a_chain,
    'merge_volume': with_a_chain,
    'port_deleted': to_detach_interface,
    'attach_interface': with_port,
    'detach_interface': to_detach_interface,
    'start': stopped,
    'restore': after('soft_delete'),
    'reset_state': lambda bench, uuid: {'vm_state': 'active'},
    'unpause': after('pause'),
    'resume': after('suspend'),
    'unrescue': after('rescue'),
    'set_password': with_password,
    'resize': to_resize,
    'confirm-resize': resized,
    'revert-resize': resized,
    'snapshot': to_image,
    'snapshot_volumes': to_snapshots,
    'snapshot_volume': with_wanted_snapshot,
    'rebuild': to_rebuild,
    'rebuild_volume': to_rebuild_volume,
    'shelve': to_image,
    'live-migration': to_live_migrate,
    'evacuate': on_lost_host,
    'shelve_offload': on_shelf,
    'unshelve': offloaded,
}


#: flow -> (the step that does what cannot be undone, steps that find out about it): a failure of these is no failure
GONE = {'live-migration': ('migrate', 'find_at_source', 'find_at_destination', 'confirm_copy')}


def begin(bench: Bench, name: str) -> tuple[str, int]:
    """A server in the state that the flow starts from. -> (uuid, action id)"""
    if name == 'build':
        action_id = bench.new_server()[0]
        return bench.action(action_id).instance_uuid, action_id
    uuid = bench.built()
    data = READY[name](bench, uuid) if name in READY else {}
    return uuid, bench.new_action(uuid, name, **data)


def run(bench: Bench, uuid: str, name: str, **data: Any) -> None:
    """One flow from its start to its good end."""
    engine = bench.engine(f'before-{name}')
    action_id = bench.new_action(uuid, name, **data)
    engine.ring([action_id])
    assert bench.finish([action_id]) == ['done'], bench.action(action_id)
    engine.stop()
    engine.dead.set()


def last_way_back(name: str) -> str:
    """The last step whose failure unwinds the flow."""
    if name in GONE:
        return GONE[name][0]
    steps = Flow.registry[name].steps
    always = [step.name for step in steps if step.when is None]
    return next((step.name for step in steps if step.pivot), always[-1])
