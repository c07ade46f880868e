"""Files that arrive through a libvirtd: content, holes, owner, and what a copy leaves that was broken off. Source and
destination are one host here; test_lab_resize.py has two."""
from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
import uuid as uuidlib
from collections.abc import Iterator

import libvirt
import pytest

from minicompute import exception
from minicompute.conf import CONF
from minicompute.virt.libvirt import carrier, layout
from minicompute.virt.libvirt.host import Host
from tests.integration.test_libvirt_driver import libvirtd  # noqa: F401

MIB = 1 << 20


@pytest.fixture
def host(libvirtd, conf) -> Iterator[Host]:  # noqa: F811
    path = tempfile.mkdtemp(prefix='minicompute-', dir='/var/tmp')
    conf.set_override('instances_path', path)
    conf.set_override('remote_uri', 'qemu:///system', 'libvirt')
    made = Host('qemu:///system')
    made.start()
    yield made
    made.stop()
    shutil.rmtree(path)


class Move:
    """A landing for one server, and what a source is told of it."""

    def __init__(self, host: Host) -> None:
        self.uuid = str(uuidlib.uuid4())
        self.landing = carrier.Landing(host, self.uuid)
        self.landing.mark()
        os.makedirs(layout.directory(self.uuid), mode=0o755)
        self.dest = {'address': 'here', 'pool': self.landing.open(), 'uid': os.getuid(), 'gid': os.getgid()}
        self.told: list[int | None] = []

    def send(self, files: dict[str, str], stop=lambda: False) -> int:
        return carrier.send(self.dest, files, lambda stage, percent=None: self.told.append(percent), stop)

    def path(self, name: str) -> pathlib.Path:
        return pathlib.Path(layout.directory(self.uuid), name)


@pytest.fixture
def move(host) -> Iterator[Move]:
    made = Move(host)
    yield made
    made.landing.close()
    assert not [name for name in os.listdir(CONF.instances_path) if name.startswith('.moving')]
    with pytest.raises(libvirt.libvirtError):
        host.connection().storagePoolLookupByName(made.dest['pool'])


@pytest.fixture
def sparse(tmp_path) -> str:
    """30 MiB, 4 of them data"""
    with open(tmp_path / 'sparse', 'wb') as file:
        for at in (0, 11, 29):
            file.seek(at * MIB)
            file.write(os.urandom(MIB if at else 2 * MIB))
    return str(tmp_path / 'sparse')


def test_content_and_holes_arrive(move, sparse, tmp_path):
    (tmp_path / 'small').write_bytes(b'kernel')
    (tmp_path / 'empty').write_bytes(b'')
    sent = move.send({'disk': sparse, 'kernel': str(tmp_path / 'small'), 'empty': str(tmp_path / 'empty')})
    arrived = move.path('disk')
    assert arrived.read_bytes() == pathlib.Path(sparse).read_bytes()
    assert sent == 4 * MIB + 6 and arrived.stat().st_blocks * 512 < 6 * MIB
    assert (move.path('kernel').read_bytes(), move.path('empty').read_bytes()) == (b'kernel', b'')
    facts = arrived.stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o777) == (os.getuid(), os.getgid(), 0o644)
    assert move.told[-1] == 100 and move.told == sorted(move.told)


def test_it_is_broken_off_and_sent_again(move, sparse):
    with pytest.raises(exception.Conflict):
        move.send({'disk': sparse}, stop=lambda: len(move.told) > 3)
    assert move.send({'disk': sparse}) == 4 * MIB
    assert move.path('disk').read_bytes() == pathlib.Path(sparse).read_bytes()


def test_a_landing_may_be_opened_again(move, sparse):
    """Who opened it died."""
    assert move.landing.open() == move.dest['pool']
    assert move.send({'disk': sparse}) == 4 * MIB


def test_no_landing(move, sparse):
    move.landing.close()
    with pytest.raises(exception.InternalError):
        move.send({'disk': sparse})
    move.landing.mark()


def test_nobody_there(move, sparse, conf):
    conf.set_override('remote_uri', 'qemu+unix:///system?socket=/nowhere', 'libvirt')
    with pytest.raises(exception.Unavailable):
        move.send({'disk': sparse})
