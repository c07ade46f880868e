"""Volumes of Cinder when nobody knows what a guest does with them, when the way back is closed, and what waits until
Cinder is through with what it does."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.db import session
from minicompute.db.models import services
from tests.functional.cinder_server import CinderServer
from tests.functional.cloud import Cloud
from tests.functional.test_broken_off import held, record, reset
from tests.functional.test_cinder import attach, mapped, plugged, quiet


@pytest.fixture
def cinder(database: str) -> Iterator[CinderServer]:
    with CinderServer() as made:
        yield made


@pytest.fixture
def cloud(cinder: CinderServer, conf: Any) -> Iterator[Cloud]:
    made = Cloud()
    made.services['conductor1'].manager.engine._steady = lambda: True      # type: ignore[attr-defined]
    yield made
    made.stop()


@pytest.fixture
def server(cloud: Cloud) -> str:
    return str(cloud.wait(cloud.boot()['id'])['id'])


def silence(cloud: Cloud, uuid: str, down: bool = True) -> None:
    host = record(uuid).host
    session.write(lambda conn: conn.execute(services.update().where(services.c.host == host).values(
        forced_down=down)))


def attachments(cinder: CinderServer, uuid: str) -> set[tuple[str, str]]:
    return {(one['volume_id'], one['id']) for one in cinder.of_server(uuid)}


def known(uuid: str) -> set[tuple[str | None, str | None]]:
    """As `attachments`, by the record; each with what its host needs."""
    found = mapped(uuid)
    assert all(one.connection_info['state'] == 'attached' and one.connection_info['connection'] for one in found)
    return {(one.volume_id, one.attachment_id) for one in found}


def test_a_host_that_falls_silent_keeps_its_hold(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    one = cinder.volume()
    with held('attach_volume.after') as there:
        attach(cloud, server, one)
        assert there.wait(20)
        silence(cloud, server)
        cloud.until(lambda: 'locks' not in cloud.leaks(), 'the attachment to end')
    assert plugged(cloud, server) == {one}
    assert len(cinder.attachments) == 1 and attachments(cinder, server) == known(server)
    assert cinder.volumes[one]['status'] != 'available'


def test_a_swap_on_a_host_that_falls_silent_keeps_both(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    engine: Any = cloud.services['conductor1'].manager.engine      # type: ignore[attr-defined]
    old, new = cinder.volume(), cinder.volume()
    attach(cloud, server, old)
    quiet(cloud)
    with held('swap_volume.after') as there:
        cloud.api('PUT', f'/servers/{server}/os-volume_attachments/{old}', {'volumeAttachment': {'volumeId': new}},
                  expect=202, version='2.84')
        assert there.wait(20)
        silence(cloud, server)
        cloud.until(lambda: engine.load()['waiting'], 'the swap to be undone, and to wait')
        reset(cloud, server)
        cloud.until(lambda: 'locks' not in cloud.leaks(), 'the swap to be given up')
    assert len(cinder.attachments) == 2 and attachments(cinder, server) == known(server)


def test_a_build_on_a_host_that_falls_silent_keeps_its_hold(cloud: Cloud, cinder: CinderServer) -> None:
    one = cinder.volume(bootable='true')
    with held('spawn.after') as there:
        made = cloud.boot(block_device_mapping_v2=[{'source_type': 'volume', 'uuid': one, 'boot_index': 0,
                                                    'destination_type': 'volume'}], flavorRef=cloud.flavor(disk=0))
        assert there.wait(20)
        silence(cloud, made['id'])
        cloud.until(lambda: cloud.show(made['id'])['status'] == 'ERROR', 'the build to fail')
        quiet(cloud)
        assert len(cinder.of_server(made['id'])) == 1 and cinder.volumes[one]['status'] != 'available'
    cloud.api('DELETE', f"/servers/{made['id']}", expect=204)
    cloud.wait_gone(made['id'])
    assert not cinder.attachments and cinder.volumes[one]['status'] == 'available'


def test_what_cinder_has_back_is_not_plugged_in_again(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    """The proxy before Cinder says that it failed, and an operator loses patience."""
    one = cinder.volume()
    attach(cloud, server, one)
    quiet(cloud)
    cinder.faults['give_back'] = lambda _name, done: 504 if done else None
    cinder.faults['attachments'] = lambda _name, done: 504 if 'give_back' in cinder.asked else None
    cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{one}', expect=202)
    cloud.until(lambda: 'give_back' in cinder.asked, 'the volume to be given back')
    reset(cloud, server)
    cinder.faults.clear()
    quiet(cloud)
    assert plugged(cloud, server) == set() and not mapped(server) and not cinder.attachments
