"""Whose what was ordered is, by the words of Cinder."""
from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from minicompute.objects import BlockDevice
from minicompute.volume.cinder import MARKER, ORDER, CinderVolumes
from tests.neighbour import Neighbour, forget

SNAPSHOT, VOLUME = 'os-extended-snapshot-attributes:project_id', 'os-vol-tenant-attr:tenant_id'


@pytest.fixture
def cinder(conf: Any) -> Iterator[Neighbour]:
    """It heeds no filter. The service user is of project `service`."""
    def answer(_method: str, path: str, _headers: Any, _body: bytes) -> Any:
        what = 'snapshots' if 'snapshots' in path else 'volumes'
        asked = parse_qs(urlsplit(path).query)
        assert asked['all_tenants'] == ['1'] and json.loads(asked['metadata'][0])
        return 200, {what: [
            {'id': owner, 'volume_id': 'v', 'size': 1, 'status': 'available', SNAPSHOT: owner, VOLUME: owner,
             'metadata': {ORDER: mark, MARKER: mark}} for owner, mark in owners.items()]}
    owners: dict[str, str] = {}
    found = Neighbour(answer)
    found.owners = owners       # type: ignore[attr-defined]
    found.configure(conf, 'cinder')
    yield found
    found.stop()
    forget(conf)


@pytest.mark.parametrize(('owners', 'ours'), [
    ({'demo': 'o', 'other': 'o'}, {'demo'}), ({'service': 'o', 'other': 'o'}, {'service'}),
    ({'demo': 'x', 'service': 'y', 'other': 'o'}, set()), ({'demo': 'o', 'service': 'o'}, {'demo', 'service'})])
def test_no_other_project_can_say_that_its_own_was_ordered(cinder: Any, owners: dict[str, str],
                                                           ours: set[str]) -> None:
    cinder.owners.update(owners)
    assert set(CinderVolumes().snapshots_ordered('o', 'demo')) == ours
    found = CinderVolumes().find_ordered(BlockDevice(uuid='o', source_type='blank', destination_type='volume',
                                                     instance_uuid='i'), 'demo')
    assert (found.id if found else None) == (min(ours) if ours else None)
