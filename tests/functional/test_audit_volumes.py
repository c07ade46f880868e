"""Local volumes are compared with their files, and nothing of either is removed; what the command sees of both and of
hosts."""
from __future__ import annotations

import argparse
import os
import pathlib
import uuid as uuidlib
from typing import Any

import pytest

from minicompute.cmd import manage
from minicompute.conductor import auditor
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import volumes as volume_rows
from minicompute.db.models import volumes
from minicompute.objects import Volume
from minicompute.virt.fake import FakeDriver
from minicompute.volume import files
from tests.functional.cloud import Cloud
from tests.functional.test_audit import GONE, deleted_server, execute, hasty, healthy, home_of, quiet_cloud, stray

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


def test_connections_of_nobody_do_not_wait_for_the_sweep(quiet_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes each 40 minutes, and never where images are kept for good; what lies on hosts is told each 20 s."""
    uuid, _ = healthy(quiet_cloud)
    home, gone = home_of(quiet_cloud, uuid), deleted_server(quiet_cloud)
    other = 'compute2' if home == 'compute1' else 'compute1'
    monkeypatch.setattr(FakeDriver, 'connected', lambda driver: {uuid, gone, GONE})
    left: list[tuple[str, str]] = []
    monkeypatch.setattr(FakeDriver, 'disconnect', lambda driver, one: left.append((driver.host, one)))
    for name in (home, other):
        quiet_cloud.services[name].manager.housekeeping.tell_present()    # type: ignore[attr-defined]
    assert sorted(left) == sorted([(home, gone), (other, gone), (other, uuid)])


def test_the_command_asks_the_hosts(quiet_cloud: Cloud, capsys: Any) -> None:
    """It shows what they would mend, and touches nothing."""
    uuid, _ = healthy(quiet_cloud)
    home = home_of(quiet_cloud, uuid)
    other = 'compute2' if home == 'compute1' else 'compute1'
    FakeDriver(home).undefine(uuid)
    stray(uuid, other)
    stray(GONE, other)
    lost = [local_volume(), local_volume(file=False)][1]
    with pytest.raises(SystemExit) as ended:
        manage.audit_records(argparse.Namespace(mend=False, timeout=10))
    said = capsys.readouterr().out.splitlines()
    assert ended.value.code == manage.FOUND and len(said) == 5
    for kind, subject, fate in (
            ('server without a domain', uuid, 'its host mends it'),
            ('server of another place', uuid, 'its host mends it'), ('server without a record', GONE, 'yours'),
            ('volume without its file', lost, 'yours')):
        assert any(line.startswith(kind) and subject in line and fate in line for line in said), (kind, said)
    assert uuid in {domain.uuid for domain in FakeDriver(other).domains()}


def test_a_host_that_does_not_answer_is_named(quiet_cloud: Cloud, capsys: Any) -> None:
    quiet_cloud.stop('compute2')
    with pytest.raises(SystemExit) as ended:
        manage.audit_records(argparse.Namespace(mend=False, timeout=0.5))
    said = capsys.readouterr().out
    assert ended.value.code == manage.FOUND and 'host without an answer' in said and 'compute2' in said
    quiet_cloud.force_down('compute2')
    manage.audit_records(argparse.Namespace(mend=False, timeout=10))
    heard = capsys.readouterr()
    assert heard.out == 'Nothing is wrong.\n' and 'compute2' in heard.err
