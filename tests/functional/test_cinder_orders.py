"""Volumes that are ordered for many servers at once."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.compute.api import volume_orders
from tests.functional.cinder_server import CinderServer, slow
from tests.functional.cloud import Cloud

BLANK = {'source_type': 'blank', 'destination_type': 'volume', 'volume_size': 1, 'boot_index': -1,
         'delete_on_termination': True}


@pytest.fixture
def cloud(cinder: CinderServer, conf: Any) -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.stop()


def many(cloud: Cloud, count: int) -> list[str]:
    """-> servers that are to have a blank volume each"""
    image = cloud.image()
    root = {'source_type': 'image', 'uuid': image, 'destination_type': 'local', 'boot_index': 0}
    cloud.boot(imageRef=image, block_device_mapping_v2=[root, BLANK], min_count=count, max_count=count,
               flavorRef=cloud.flavor(disk=1))
    return [one['id'] for one in cloud.api('GET', '/servers')['servers']]


def test_the_last_of_many_is_waited_for(cloud: Cloud, cinder: CinderServer, monkeypatch: Any) -> None:
    """A volume may take three seconds here; to order them all takes five."""
    monkeypatch.setattr(volume_orders, 'AT_ONCE', 1)
    monkeypatch.setattr(volume_orders, 'TELL', 0.1)
    cinder.faults['create'] = slow(0.5)
    for uuid in many(cloud, 10):
        cloud.wait(uuid)
    assert len(cinder.attachments) == 10


def test_several_are_ordered_at_once(cloud: Cloud, cinder: CinderServer, conf: Any) -> None:
    """And nobody asks whether they were, for the api says so."""
    conf.set_override('block_device_allocate_retries', 6000)
    under_way, most = [], []

    def fault(name: str, done: bool) -> None:
        if not done:
            under_way.append(name)
            most.append(len(under_way))
            slow(0.3)(name, done)
        else:
            under_way.pop()
    cinder.faults['create'] = fault
    for uuid in many(cloud, 6):
        cloud.wait(uuid)
    assert max(most) > 1
    assert cinder.count('create') == 6 and cinder.count('list') == 0


def test_an_order_of_an_api_that_died_is_found(cloud: Cloud, cinder: CinderServer, monkeypatch: Any) -> None:
    """It had ordered the volume, and nobody knows."""
    monkeypatch.setattr(volume_orders, '_note_made', lambda conn, uuid, volume_id: True)
    (uuid,) = many(cloud, 1)
    cloud.wait(uuid)
    assert cinder.count('create') == 1 and len(cinder.volumes) == 1 and cinder.count('list') > 0


def test_an_id_is_one_part_of_a_path(cloud: Cloud, cinder: CinderServer) -> None:
    """And no wish for more: Cinder would delete the snapshots as well."""
    one = cinder.volume()
    cloud.api('DELETE', f'/os-volumes/{one}%3Fcascade=true', version='2.35', expect=404)
    cloud.api('DELETE', '/os-snapshots/%2E%2E', version='2.35', expect=404)
    assert one in cinder.volumes
