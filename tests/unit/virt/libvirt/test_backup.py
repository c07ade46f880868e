"""The copy of a running disk: what libvirt is asked, and what each of its answers comes to."""
from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import libvirt
import pytest

from minicompute import exception
from minicompute.virt.libvirt import backup
from tests.unit.virt.libvirt.conftest import make_instance

RUNNING = {'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED, 'disk_total': 200, 'disk_processed': 50}
DISKS = "<domain><devices><disk><target dev='vda'/></disk><disk><target dev='vdb'/></disk></devices></domain>"


class Domain:
    """A guest with a job, as its libvirt tells of it."""

    uuid = 'u'

    def __init__(self, *jobs: dict[str, Any] | None, ended: dict[str, Any] | None = None, runs: bool = True,
                 agent: bool = False) -> None:
        self.jobs, self.ended, self.runs, self.agent = list(jobs), ended or {}, runs, agent
        self.asked: list[str] = []

    def job(self) -> dict[str, Any] | None:
        return self.jobs.pop(0) if self.jobs else None

    def ended_job(self) -> dict[str, Any]:
        return self.ended

    def abort_job(self) -> None:
        self.asked.append('abort')
        self.jobs.clear()

    def begin_backup(self, xml: str) -> None:
        if not self.runs:
            raise libvirt.libvirtError('off')
        self.asked.append(xml)

    def running(self) -> bool:
        return self.runs

    def tree(self) -> ElementTree.Element:
        return ElementTree.fromstring(DISKS)

    def freeze(self) -> None:
        if not self.agent:
            raise libvirt.libvirtError('no agent')
        self.asked.append('freeze')

    def thaw(self) -> None:
        self.asked.append('thaw')


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, 'POLL', 0)


def copy(domain: Domain, told: list[Any] | None = None, stop: Any = lambda: False, **says: str) -> bool:
    instance = make_instance(image_properties=says)
    return backup.copy(domain, instance, {'vda': '/nowhere/x&y'}, lambda *said: (told or []).append(said), stop)  # type: ignore[arg-type]


DONE = {'type': libvirt.VIR_DOMAIN_JOB_COMPLETED, 'success': True}


def test_only_the_one_disk_and_every_name_escaped() -> None:
    told: list[Any] = [None]
    domain = Domain(None, RUNNING, None, ended=DONE)
    assert copy(domain, told)
    tree = ElementTree.fromstring(domain.asked[0])
    assert tree.get('mode') == 'push' and tree.find('disks/disk/target').get('file') == '/nowhere/x&y'
    assert [(disk.get('name'), disk.get('backup')) for disk in tree.findall('disks/disk')] == [
        ('vda', 'yes'), ('vdb', 'no')]
    assert told[1:] == [('extract', 25)]


def test_what_an_earlier_daemon_left_is_ended_first() -> None:
    domain = Domain(RUNNING, None, None, ended=DONE)
    assert copy(domain) and domain.asked[0] == 'abort'


def test_a_guest_that_ended_meanwhile_is_copied_otherwise() -> None:
    assert not copy(Domain(runs=False))


@pytest.mark.parametrize('ended, why', [
    ({'type': libvirt.VIR_DOMAIN_JOB_FAILED, 'errmsg': 'No space'}, 'No space'), ({}, 'did not complete'),
    ({'type': libvirt.VIR_DOMAIN_JOB_COMPLETED, 'success': False}, 'did not complete')])
def test_a_job_that_failed(ended: dict[str, Any], why: str) -> None:
    with pytest.raises(exception.ImageToolFailed, match=why):
        copy(Domain(None, RUNNING, None, ended=ended))


def test_broken_off() -> None:
    domain = Domain(None, RUNNING, RUNNING, None, ended=DONE)
    with pytest.raises(exception.ImageToolFailed, match='stopped'):
        copy(domain, stop=lambda: True)
    assert 'abort' in domain.asked


def test_a_guest_with_an_agent_stands_still_for_a_moment() -> None:
    domain = Domain(None, ended=DONE, agent=True)
    assert copy(domain, hw_qemu_guest_agent='yes')
    assert (domain.asked[0], domain.asked[2]) == ('freeze', 'thaw')
    assert copy(Domain(None, ended=DONE), hw_qemu_guest_agent='yes'), 'without its agent it is copied as it is'
    with pytest.raises(exception.InstanceQuiesceFailed, match='quiesce'):
        copy(Domain(None, ended=DONE), os_require_quiesce='true')
