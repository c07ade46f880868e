"""The actions of the matrix: how a server gets into the state that each starts from, and how it is asked for.

An action that this version's API does not have yet answers 400 or 404 in the first run, and is left out with a line
that says so.
"""
from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.integration.kill_matrix.site import Site
from tests.integration.stack import StackError, wait_for
from tests.integration.test_kill import image, network

TASK = 'OS-EXT-STS:task_state'
#: seconds for one server to get into its state, on a machine that does other things as well
PATIENCE = 240


class Things:
    """What all cases share: flavors, an image, a network."""

    def __init__(self, site: Site) -> None:
        self.site, self.api = site, site.stack.api
        self.small, self.large = self.api.flavor('small'), self.api.flavor('large', ram=128, disk=2, vcpus=2)
        self.image, self.network = image(site.stack), network(site.stack)
        self.kept = {row.uuid for row in site.rows('SELECT uuid FROM images')}

    def ask(self, uuid: str, name: str, argument: Any = None) -> int:
        return self.api.request('POST', f'/servers/{uuid}/action', {name: argument})[0]

    def act(self, uuid: str, name: str, argument: Any = None, until: str = 'ACTIVE') -> None:
        """In one go, for what comes before a case."""
        status = self.ask(uuid, name, argument)
        if status >= 300:
            raise NotThere(f'{name}: {status}')
        self.wait(uuid, until)

    def wait(self, uuid: str, status: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            server = dict(self.api.ok('GET', f'/servers/{uuid}')['server'])
            if server['status'] == 'ERROR' != status and not server[TASK]:
                raise StackError(f'{uuid} is in ERROR: {server.get("fault")}')
            return server if server['status'] == status and not server[TASK] else None
        return dict(wait_for(look, PATIENCE, f'{uuid} {status}'))

    def boot(self, name: str, **more: Any) -> str:
        return str(self.api.boot(name, self.small, self.image, networks=[{'uuid': self.network}], **more)['id'])

    def boot_several(self, name: str, count: int) -> list[str]:
        """By one request: all of them, or none."""
        first = self.boot(name, min_count=count, max_count=count)
        rest = self.site.rows(f"SELECT uuid FROM instances WHERE uuid <> '{first}' AND reservation_id = "
                              f"(SELECT reservation_id FROM instances WHERE uuid = '{first}')")
        return [first, *(row.uuid for row in rest)]

    def boot_on_volume(self, name: str, **more: Any) -> str:
        root = {'source_type': 'image', 'uuid': self.image, 'destination_type': 'volume', 'boot_index': 0,
                'volume_size': 1, 'delete_on_termination': True}
        return str(self.api.boot(name, self.small, '', networks=[{'uuid': self.network}],
                                 block_device_mapping_v2=[root], **more)['id'])

    def volume(self) -> str:
        status, made = self.api.request('POST', '/v3/volumes', {'volume': {'size': 1, 'name': 'data'}})
        if status >= 300:
            raise NotThere(f'volumes: {status}')
        return str(made['volume']['id'])

    def clean(self, uuids: Sequence[str]) -> None:
        """Nothing of a batch is left but what belongs to all."""
        for uuid in uuids:
            self.ask(uuid, 'forceDelete')
        wait_for(lambda: not self._left(uuids), PATIENCE, 'the servers of the batch to be gone', pause=0.3)
        for row in self.site.rows('SELECT uuid FROM images'):
            if row.uuid not in self.kept:
                self.api.request('DELETE', f'/v2/images/{row.uuid}')
        for kind in ('volumes', 'snapshots') if self._has_volumes() else ():
            for one in self.api.request('GET', f'/v3/{kind}')[1].get(kind, ()):
                self.api.request('DELETE', f'/v3/{kind}/{one["id"]}')

    def _has_volumes(self) -> bool:
        return self.api.request('GET', '/v3/volumes')[0] == 200

    def _left(self, uuids: Sequence[str]) -> bool:
        listed = ', '.join(f"'{uuid}'" for uuid in uuids) or "''"
        return bool(self.site.rows(f'SELECT uuid FROM instances WHERE deleted = 0 AND uuid IN ({listed})'))


class NotThere(Exception):
    """This version does not do it."""


Prepare = Callable[[Things, str], None]
Ask = Callable[[Things, str], int]


@dataclasses.dataclass(slots=True, frozen=True)
class Act:
    """`start`: what becomes of a running server first. `ask` -> HTTP status. `done`, `failed`: statuses that the
    server may have when the action says that it is done, or has failed (ERROR is always honest then)."""

    name: str
    ask: Ask
    done: tuple[str, ...] = ('ACTIVE',)
    failed: tuple[str, ...] = ('ACTIVE',)
    start: Prepare | None = None
    #: so many servers its request makes: nothing is booted for it
    boots: int = 0
    #: it wants its host down, and so a batch of its own
    alone: bool = False
    #: its server boots from a volume
    on_volume: bool = False


def plain(name: str, argument: Any = None) -> Ask:
    return lambda things, uuid: things.ask(uuid, name, argument)


def made(*steps: tuple[str, Any, str]) -> Prepare:
    """(action, argument, status after it), one after the other."""
    def prepare(things: Things, uuid: str) -> None:
        for name, argument, status in steps:
            things.act(uuid, name, argument, status)
    return prepare


def delete(things: Things, uuid: str) -> int:
    return things.api.request('DELETE', f'/servers/{uuid}')[0]


def deleted(things: Things, uuid: str) -> None:
    delete(things, uuid)
    things.wait(uuid, 'SOFT_DELETED')


def reclaim(things: Things, uuid: str) -> int:
    """The time in which it can be restored is over."""
    things.site.change(f"UPDATE instances SET due_at = '2026-01-01' WHERE uuid = '{uuid}'")
    wait_for(lambda: things.site.rows(
        f"SELECT id FROM instance_actions WHERE instance_uuid = '{uuid}' AND flow = 'delete'"), PATIENCE, 'a delete')
    return 202


def resize(things: Things, uuid: str) -> int:
    return things.ask(uuid, 'resize', {'flavorRef': things.large})


def resized(things: Things, uuid: str) -> None:
    things.act(uuid, 'resize', {'flavorRef': things.large}, 'VERIFY_RESIZE')


def rebuild(things: Things, uuid: str) -> int:
    return things.ask(uuid, 'rebuild', {'imageRef': things.image})


def attach_interface(things: Things, uuid: str) -> int:
    body = {'interfaceAttachment': {'net_id': things.network}}
    return things.api.request('POST', f'/servers/{uuid}/os-interface', body)[0]


def detach_interface(things: Things, uuid: str) -> int:
    return things.api.request('DELETE', f'/servers/{uuid}/os-interface/{first_port(things, uuid)}')[0]


def attach_volume(things: Things, uuid: str) -> int:
    body = {'volumeAttachment': {'volumeId': things.volume()}}
    return things.api.request('POST', f'/servers/{uuid}/os-volume_attachments', body)[0]


def with_volume(things: Things, uuid: str) -> None:
    status = attach_volume(things, uuid)
    if status >= 300:
        raise NotThere(f'attach a volume: {status}')
    wait_for(lambda: not things.site.rows(
        f"SELECT id FROM instance_actions WHERE instance_uuid = '{uuid}' AND state IN ('queued', 'running')"),
        PATIENCE, 'the volume to be attached')


def resized_with_volume(things: Things, uuid: str) -> None:
    with_volume(things, uuid)
    resized(things, uuid)


def shelved_on_volumes(things: Things, uuid: str) -> None:
    with_volume(things, uuid)
    things.act(uuid, 'shelve', None, 'SHELVED_OFFLOADED')


def detach_volume(things: Things, uuid: str) -> int:
    return things.api.request('DELETE', f'/servers/{uuid}/os-volume_attachments/{first_volume(things, uuid)}')[0]


def swap_volume(things: Things, uuid: str) -> int:
    body = {'volumeAttachment': {'volumeId': things.volume()}}
    return things.api.request('PUT', f'/servers/{uuid}/os-volume_attachments/{first_volume(things, uuid)}', body)[0]


def first_port(things: Things, uuid: str) -> str:
    return str(things.api.ok('GET', f'/servers/{uuid}/os-interface')['interfaceAttachments'][0]['port_id'])


def port_deleted(things: Things, uuid: str) -> int:
    """The network service says that it is gone."""
    event = {'name': 'network-vif-deleted', 'server_uuid': uuid, 'tag': first_port(things, uuid)}
    return things.api.request('POST', '/os-server-external-events', {'events': [event]})[0]


def first_volume(things: Things, uuid: str) -> str:
    return str(things.api.ok('GET', f'/servers/{uuid}/os-volume_attachments')['volumeAttachments'][0]['volumeId'])


def extend_volume(things: Things, uuid: str) -> int:
    body = {'os-extend': {'new_size': 2}}
    return things.api.request('POST', f'/v3/volumes/{first_volume(things, uuid)}/action', body)[0]


def snapshot_volume(things: Things, uuid: str) -> int:
    body = {'snapshot': {'volume_id': first_volume(things, uuid), 'name': 's', 'force': True}}
    return things.api.request('POST', '/v3/snapshots', body)[0]


def rebuild_kept(things: Things, uuid: str) -> int:
    """Before 2.93 a root volume keeps its content."""
    body = {'rebuild': {'imageRef': things.image}}
    return things.api.request('POST', f'/servers/{uuid}/action', body, '2.92')[0]


def reset_state(things: Things, uuid: str) -> int:
    """Where nothing is under way it is one write of the API's; here it ends what is, and goes next."""
    things.ask(uuid, 'os-migrateLive', {'host': None, 'block_migration': 'auto'})
    return things.ask(uuid, 'os-resetState', {'state': 'error'})


def reboot_next(things: Things, uuid: str) -> int:
    """It ends what is done to the guest just now."""
    things.ask(uuid, 'suspend')
    return things.ask(uuid, 'reboot', {'type': 'HARD'})


def backup(things: Things, uuid: str) -> int:
    return things.ask(uuid, 'createBackup', {'name': f'b-{uuid[:8]}', 'backup_type': 'daily', 'rotation': 1})


def snapshot(things: Things, uuid: str) -> int:
    return things.ask(uuid, 'createImage', {'name': f's-{uuid[:8]}'})


STOPPED = made(('os-stop', None, 'SHUTOFF'))
SHELVED = made(('shelve', None, 'SHELVED'))
OFFLOADED = made(('shelve', None, 'SHELVED'), ('shelveOffload', None, 'SHELVED_OFFLOADED'))

ACTIONS: tuple[Act, ...] = (
    Act('build', lambda things, _: 202, boots=1, failed=('ERROR',)),
    Act('build-several', lambda things, _: 202, boots=3, failed=('ERROR',)),
    Act('delete', plain('forceDelete'), done=('DELETED',), failed=()),
    Act('delete-resized', plain('forceDelete'), start=resized, done=('DELETED',), failed=()),
    Act('delete-offloaded', plain('forceDelete'), start=OFFLOADED, done=('DELETED',), failed=()),
    Act('delete-on-volume', plain('forceDelete'), on_volume=True, done=('DELETED',), failed=()),
    Act('reclaim', reclaim, start=deleted, done=('DELETED',), failed=()),
    Act('stop', plain('os-stop'), done=('SHUTOFF',)),
    Act('start', plain('os-start'), start=STOPPED, failed=('SHUTOFF',)),
    Act('reboot', plain('reboot', {'type': 'SOFT'})),
    Act('reboot-hard', plain('reboot', {'type': 'HARD'})),
    Act('reboot-next', reboot_next, failed=('ACTIVE', 'SUSPENDED')),
    Act('pause', plain('pause'), done=('PAUSED',)),
    Act('unpause', plain('unpause'), start=made(('pause', None, 'PAUSED')), failed=('PAUSED',)),
    Act('suspend', plain('suspend'), done=('SUSPENDED',)),
    Act('resume', plain('resume'), start=made(('suspend', None, 'SUSPENDED')), failed=('SUSPENDED',)),
    Act('rescue', plain('rescue'), done=('RESCUE',)),
    Act('unrescue', plain('unrescue'), start=made(('rescue', None, 'RESCUE')), failed=('RESCUE',)),
    Act('crash-dump', plain('trigger_crash_dump')),
    Act('password', plain('changePassword', {'adminPass': 'secret1'})),
    Act('soft-delete', delete, done=('SOFT_DELETED',)),
    Act('restore', plain('restore'), start=deleted, failed=('SOFT_DELETED',)),
    Act('snapshot', snapshot),
    Act('snapshot-volumes', snapshot, on_volume=True),
    Act('backup', backup),
    Act('rebuild', rebuild),
    Act('rebuild-volume', rebuild, on_volume=True),
    Act('rebuild-kept', rebuild_kept, on_volume=True),
    Act('shelve', plain('shelve'), done=('SHELVED',)),
    # What has no disks of its own leaves its host at once.
    Act('shelve-on-volume', plain('shelve'), on_volume=True, done=('SHELVED_OFFLOADED',)),
    Act('shelve-offload', plain('shelveOffload'), start=SHELVED, done=('SHELVED_OFFLOADED',), failed=('SHELVED',)),
    Act('unshelve', plain('unshelve'), start=OFFLOADED, failed=('SHELVED_OFFLOADED',)),
    Act('unshelve-in-place', plain('unshelve'), start=SHELVED, failed=('SHELVED',)),
    Act('resize', resize, done=('VERIFY_RESIZE',)),
    Act('migrate', plain('migrate'), done=('VERIFY_RESIZE',)),
    Act('confirm-resize', plain('confirmResize'), start=resized, failed=('VERIFY_RESIZE',)),
    Act('revert-resize', plain('revertResize'), start=resized, failed=('VERIFY_RESIZE', 'ACTIVE')),
    Act('live-migrate', plain('os-migrateLive', {'host': None, 'block_migration': 'auto'})),
    # Since 2.95 it is left for its owner to start.
    Act('evacuate', plain('evacuate', {}), done=('SHUTOFF',), failed=('ACTIVE', 'ERROR'), alone=True),
    # The same steps, with a root and another volume to carry along.
    Act('unshelve-volumes', plain('unshelve'), on_volume=True, start=shelved_on_volumes,
        failed=('SHELVED_OFFLOADED',)),
    Act('resize-volumes', resize, on_volume=True, start=with_volume, done=('VERIFY_RESIZE',)),
    Act('revert-resize-volumes', plain('revertResize'), on_volume=True, start=resized_with_volume,
        failed=('VERIFY_RESIZE', 'ACTIVE')),
    Act('live-migrate-volumes', plain('os-migrateLive', {'host': None, 'block_migration': 'auto'}), on_volume=True,
        start=with_volume),
    Act('evacuate-volumes', plain('evacuate', {}), on_volume=True, start=with_volume, done=('SHUTOFF',),
        failed=('ACTIVE', 'ERROR'), alone=True),
    Act('attach-interface', attach_interface),
    Act('detach-interface', detach_interface),
    Act('attach-volume', attach_volume),
    Act('detach-volume', detach_volume, start=with_volume),
    Act('swap-volume', swap_volume, start=with_volume),
    Act('extend-volume', extend_volume, start=with_volume),
    Act('snapshot-volume', snapshot_volume, start=with_volume),
    Act('port-deleted', port_deleted),
    Act('inject-network-info', plain('injectNetworkInfo')),
    Act('reset-state', reset_state, done=('ERROR',)),
)
BY_NAME = {act.name: act for act in ACTIONS}


#: a case's name -> its action: several servers of one batch may be about the same
Wanted = dict[str, Act]


def servers_for(things: Things, wanted: Wanted) -> tuple[dict[str, str], dict[str, str]]:
    """A server for each, in its state. -> ({name: uuid}, {name: why there is none})"""
    found: dict[str, str] = {}
    refused: dict[str, str] = {}

    def one(name: str) -> None:
        act = wanted[name]
        try:
            boot = things.boot_on_volume if act.on_volume else things.boot
            found[name] = boot(act.name, **({'host': things.site.stack.host('compute', 2)} if act.alone else {}))
            things.wait(found[name], 'ACTIVE')
            if act.start is not None:
                act.start(things, found[name])
        except (NotThere, StackError, AssertionError, IndexError, KeyError) as error:
            refused[name] = str(error)[:300] or type(error).__name__
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(one, [name for name, act in wanted.items() if not act.boots]))
    return found, refused


def sibling(name: str, number: int) -> str:
    """What the servers that one request makes are called; the first as the request."""
    return f'{name} +{number}' if number else name


def ask_all(things: Things, wanted: Wanted, uuids: dict[str, str]) -> dict[str, int]:
    """All at the same moment. Adds the servers of builds to `uuids`. -> {name: HTTP status}"""
    if any(act.alone for act in wanted.values()):
        force_down(things, True)

    def one(name: str) -> tuple[str, int]:
        act = wanted[name]
        try:
            if act.boots:
                for number, uuid in enumerate(things.boot_several(act.name, act.boots)):
                    uuids[sibling(name, number)] = uuid
                return name, 202
            return name, act.ask(things, uuids[name])
        except (OSError, AssertionError) as error:
            print(f'{name}: {error}', flush=True)
            return name, 599
        except NotThere:
            return name, 404
    with ThreadPoolExecutor(16) as pool:
        return dict(pool.map(one, wanted))


def force_down(things: Things, down: bool, number: int = 2, *, power: bool = False) -> None:
    """A compute, by default the one whose servers are evacuated: dead for real before somebody says so, and its guests
    with it unless its machine still has `power`."""
    stack = things.site.stack
    host = stack.host('compute', number)
    if down:
        stack.kill('compute', number)
        if not power:
            things.site.lose_power(host)
    found = [one for one in things.api.ok('GET', '/os-services?binary=nova-compute')['services'] if one['host'] == host]
    things.api.ok('PUT', f'/os-services/{found[0]["id"]}', {'forced_down': down})
    time.sleep(0.2)
