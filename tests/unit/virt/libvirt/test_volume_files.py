"""Files of a volume that lie in chains, as the guest and libvirt see them."""
from __future__ import annotations

import pathlib
from typing import Any

import libvirt
import pytest

from minicompute import exception
from minicompute.objects import BlockDevice
from minicompute.virt import images
from minicompute.virt.libvirt import guest, shares
from minicompute.virt.libvirt.verbs.volume_files import LibvirtVolumeFiles

from .conftest import make_instance

EXPORT = '127.0.0.1:/share'
VOLUME = '00000000-0000-4000-8000-00000000000a'


class Domain:
    """What libvirt knows of a guest whose disk is this chain; `end` is what its job does to it before it is gone."""

    def __init__(self, *chain: str, running: bool = True, saved: bool = False, end: Any = None) -> None:
        self.chain, self.runs, self.kept, self.end = list(chain), running, saved, end
        self.asked: list[str] = []
        self.job = 0

    def state(self) -> list[int]:
        return [libvirt.VIR_DOMAIN_RUNNING if self.runs else libvirt.VIR_DOMAIN_SHUTOFF]

    def hasManagedSaveImage(self, flags: int) -> int:
        return int(self.kept)

    def XMLDesc(self, flags: int) -> str:
        below = '<backingStore/>'
        for path in reversed(self.chain[1:]):
            below = f"<backingStore type='file'><source file='{path}'/>{below}</backingStore>"
        own = f"<source file='{self.chain[0]}'/>{below}" if self.chain else ''
        return f"<domain><devices><disk type='file'>{own}<target dev='vdb'/></disk></devices></domain>"

    def blockJobInfo(self, target: str, flags: int) -> dict[str, int]:
        self.job -= 1
        if self.job == 0 and self.end:
            self.end(self.chain)
        return {'cur': 1} if self.job > 0 else {}

    def blockCommit(self, target: str, base: str, top: str, bandwidth: int, flags: int) -> None:
        self.asked.append('commit')
        self.job = 3

    def blockRebase(self, target: str, base: str, bandwidth: int, flags: int) -> None:
        self.asked.append('pull')
        self.job = 3

    def blockJobAbort(self, target: str, flags: int) -> None:
        self.asked.append('abort')
        self.job = 0

    def snapshotCreateXML(self, xml: str, flags: int) -> None:
        self.asked.append('branch')


@pytest.fixture
def share(conf: Any, tmp_path: pathlib.Path, monkeypatch: Any) -> pathlib.Path:
    conf.set_override('nfs_mount_point_base', str(tmp_path), 'libvirt')
    monkeypatch.setattr(shares, 'is_mounted', lambda where: True)
    monkeypatch.setattr(guest, 'POLL', 0)
    made = pathlib.Path(shares.directory_of(EXPORT))
    made.mkdir()
    images.create(str(made / 'base'), 'qcow2', 1 << 20)
    for name, below in (('one', 'base'), ('two', 'one'), ('three', 'two')):
        images.create_overlay(str(made / name), str(made / below), 'qcow2')
    return made


def driver(domain: Domain, monkeypatch: Any) -> LibvirtVolumeFiles:
    found = guest.Guest(None, domain, 'u')  # type: ignore[arg-type]
    monkeypatch.setattr(guest, 'find', lambda host, uuid: found)
    made = LibvirtVolumeFiles.__new__(LibvirtVolumeFiles)
    made._host = None  # type: ignore[assignment]
    return made


def device(name: str) -> BlockDevice:
    return BlockDevice(source_type='volume', destination_type='volume', volume_id=VOLUME, device_name='/dev/vdb',
                       connection_info={'connection': {'driver_volume_type': 'nfs', 'export': EXPORT, 'name': name,
                                                       'format': 'qcow2'}})


def chain(share: pathlib.Path, *names: str) -> list[str]:
    return [str(share / name) for name in names]


@pytest.mark.parametrize(('top', 'base', 'left'), [
    ('one', 'base', ('two', 'base')), ('base', None, ('two', 'base')), (None, None, ('two',))])
def test_a_merge_is_done_when_the_chain_says_so(share: pathlib.Path, monkeypatch: Any, top: str | None,
                                                base: str | None, left: tuple[str, ...]) -> None:
    def done(files: list[str]) -> None:
        files[:] = chain(share, *left)

    verb = 'commit' if base else 'pull'
    domain = Domain(*chain(share, 'two', 'one', 'base'), end=done)
    driver(domain, monkeypatch).merge_volume(make_instance(), device('two'), top, base)
    assert domain.asked == [verb]
    failed = Domain(*chain(share, 'two', 'one', 'base'))     # such as with a disk that is full
    with pytest.raises(exception.DeviceNotAttached, match='before its time'):
        driver(failed, monkeypatch).merge_volume(make_instance(), device('two'), top, base)
    stopped = Domain(*chain(share, 'two', 'one', 'base'))
    with pytest.raises(exception.DeviceNotAttached, match='stopped'):
        driver(stopped, monkeypatch).merge_volume(make_instance(), device('two'), top, base, lambda: True)
    assert stopped.asked == [verb, 'abort']


def test_a_guest_that_would_go_on_with_the_old_file_is_not_branched(share: pathlib.Path, monkeypatch: Any) -> None:
    asleep = Domain(*chain(share, 'two', 'one', 'base'), running=False, saved=True)
    with pytest.raises(exception.InstanceNotRunning):
        driver(asleep, monkeypatch).branch_volume(make_instance(), device('two'), 'three')
    elsewhere = Domain(*chain(share, 'one', 'base'))
    with pytest.raises(exception.DeviceNotAttached, match='does not use the file'):
        driver(elsewhere, monkeypatch).branch_volume(make_instance(), device('two'), 'three')
    for domain, asked in ((Domain(*chain(share, 'three', 'two', 'one', 'base')), []),     # it was, unheard
                          (Domain(*chain(share, 'two', 'one', 'base')), ['branch']), (Domain(running=False), [])):
        made = driver(domain, monkeypatch).branch_volume(make_instance(), device('two'), 'three')
        assert made['name'] == 'three' and domain.asked == asked


def test_what_a_guest_has_open_is_not_rewritten_from_outside(share: pathlib.Path, monkeypatch: Any) -> None:
    running = Domain(*chain(share, 'three', 'two', 'one', 'base'))
    before = (share / 'two').read_bytes()
    with pytest.raises(exception.DeviceNotAttached, match='does not use the file'):
        driver(running, monkeypatch).merge_volume(make_instance(), device('two'), None, None)
    assert (share / 'two').read_bytes() == before
    off = Domain(running=False)
    driver(off, monkeypatch).merge_volume(make_instance(), device('two'), None, None)
    assert images.info(str(share / 'two'), 'qcow2').backing_file is None


@pytest.mark.parametrize(('has', 'running'), [('three', True), ('three', False), ('two', True), ('two', False)])
def test_the_host_knows_which_file_the_guest_has(share: pathlib.Path, monkeypatch: Any, has: str,
                                                 running: bool) -> None:
    """Nobody heard what became of a branch."""
    domain = Domain(*chain(share, has, 'one', 'base'), running=running)
    found = driver(domain, monkeypatch).volume_file(make_instance(), device('two'), 'three')
    assert (found['name'], found['format']) == (has, 'qcow2')
