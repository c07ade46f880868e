"""A disk that moves to another file under a running guest: what libvirt is asked, and when."""
from __future__ import annotations

from xml.etree import ElementTree

import pytest

from minicompute import exception
from minicompute.virt.libvirt import blockcopy

OLD, NEW, OTHER = '/v/old.qcow2', '/v/new.qcow2', '/v/other.qcow2'


class Domain:
    """A guest with one disk and perhaps a copy of it; the copy is ready after so many looks."""

    uuid = 'u'

    def __init__(self, *, mirror: str = '', looks: int = 1000, runs: bool = True) -> None:
        self.file, self.mirror, self.looks, self.runs = OLD, mirror, looks, runs
        self.asked: list[str] = []

    def running(self) -> bool:
        return self.runs

    def tree(self, inactive: bool = False) -> ElementTree.Element:
        self.looks -= 1
        ready = "ready='yes'" if self.looks <= 0 else ''
        mirror = f"<mirror type='file' job='copy' {ready}><source file='{self.mirror}'/></mirror>"
        mirror = mirror if self.mirror else ''
        return ElementTree.fromstring(f"<domain><devices><disk><source file='{self.file}'/>{mirror}"
                                      "<target dev='vdb'/></disk></devices></domain>")

    def copy_disk(self, target: str, xml: str) -> None:
        self.asked.append('copy')
        self.mirror = xml

    def end_copy(self, target: str, pivot: bool) -> None:
        self.asked.append('pivot' if pivot else 'end')
        self.file, self.mirror = self.mirror if pivot else self.file, ''

    def copied(self, target: str) -> int:
        return 50


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockcopy, 'POLL', 0)


def replace(domain: Domain, told: list[tuple[str, int | None]], stop: bool = False) -> None:
    blockcopy.replace(domain, OLD, NEW, NEW, lambda: domain.asked.append('make'),  # type: ignore[arg-type]
                      lambda *said: told.append(said), lambda: stop)


def test_it_goes_over_when_the_copy_is_whole() -> None:
    domain, told = Domain(looks=6), []
    replace(domain, told)
    assert domain.asked == ['make', 'copy', 'pivot'] and domain.file == NEW
    assert told and set(told) == {('swap', 50)}


def test_what_is_newer_ends_it() -> None:
    domain = Domain()
    with pytest.raises(exception.DeviceNotAttached, match='stopped'):
        replace(domain, [], stop=True)
    assert domain.asked == ['make', 'copy', 'end'] and domain.file == OLD


@pytest.mark.parametrize(('path', 'ended'), [(OLD, True), (NEW, True), (OTHER, False)])
def test_a_volume_that_goes_is_not_written_any_more(path: str, ended: bool) -> None:
    domain = Domain(mirror=NEW)
    blockcopy.end(domain, path)  # type: ignore[arg-type]
    assert domain.asked == (['end'] if ended else [])


def test_there_is_nothing_to_end() -> None:
    for domain in (Domain(), Domain(mirror=NEW, runs=False)):
        blockcopy.end(domain, OLD)  # type: ignore[arg-type]
        assert domain.asked == []
