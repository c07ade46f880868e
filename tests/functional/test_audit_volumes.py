"""Local volumes are compared with their files, and nothing of either is removed."""
from __future__ import annotations

import os
import pathlib
import uuid as uuidlib
from typing import Any

import pytest

from minicompute.conductor import auditor
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import volumes as volume_rows
from minicompute.db.models import volumes
from minicompute.objects import Volume
from minicompute.volume import files
from tests.functional.cloud import Cloud
from tests.functional.test_audit import GONE, execute, hasty, quiet_cloud

__all__ = ['hasty', 'quiet_cloud']


def local_volume(*, made: bool = True, file: bool = True, status: str = 'available') -> str:
    """-> id of a volume that a host has made, and no server has"""
    one = Volume(id=str(uuidlib.uuid4()), project_id='demo', size=1, made=made, status=status)
    session.write(volume_rows.insert, [one])
    if file:
        put_file(one.id)
    return one.id


def put_file(volume_id: str) -> None:
    os.makedirs(CONF.local_volumes.path, exist_ok=True)
    pathlib.Path(files.path_of(volume_id)).write_bytes(b'data')


def test_volumes_and_their_files(quiet_cloud: Cloud) -> None:
    """Rows without a file and files without a row are told, and stay."""
    local_volume()
    local_volume(made=False, file=False)
    local_volume(made=False)
    local_volume(status='deleting', file=False)
    pathlib.Path(CONF.local_volumes.path, 'backup.qcow2').touch()
    assert auditor.doubts() == []
    lost = local_volume(file=False)
    put_file(GONE)
    found = {(one.kind, one.subject): one for one in auditor.doubts()}
    assert set(found) == {('volume without its file', lost), ('file of no volume', GONE)}
    assert not any(one.safe for one in found.values()) and os.path.exists(files.path_of(GONE))


def test_a_directory_that_is_not_mounted_is_one_finding(quiet_cloud: Cloud) -> None:
    assert auditor.doubts() == []
    for _ in range(3):
        local_volume(file=False)
    found = auditor.doubts()
    assert [one.kind for one in found] == ['volumes without their directory'] and '3 volumes' in found[0].reason


@pytest.mark.parametrize('kind', ['volume', 'file'])
def test_what_goes_while_volumes_are_looked_at_is_no_finding(quiet_cloud: Cloud, monkeypatch: pytest.MonkeyPatch,
                                                             kind: str) -> None:
    local_volume()
    going = local_volume()
    first, there = (files, 'everyone') if kind == 'file' else (volume_rows, 'with_files')
    look = getattr(first, there)

    def then_delete(*words: Any) -> Any:
        answer = look(*words)
        execute(volumes.update().where(volumes.c.uuid == going).values(status='deleting'))
        files.remove(going)
        execute(volumes.delete().where(volumes.c.uuid == going))
        return answer
    monkeypatch.setattr(first, there, then_delete)
    assert auditor.doubts() == []


def test_a_conductor_tells_of_volumes_by_itself(hasty: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    local_volume()
    lost = local_volume(file=False)
    hasty.until(lambda: f'left to you: volume without its file: {lost}' in caplog.text, 'somebody to say so')
