"""What of a host that Nova ran is taken over, and what is left as it is."""
from __future__ import annotations

import json
import os
import pathlib
import subprocess
from typing import Any
from unittest.mock import MagicMock

import pytest

from minicompute import exception
from minicompute.objects import Flavor, Instance
from minicompute.virt.libvirt import adoption, disks, guest, layout
from minicompute.virt.libvirt.builder import Builder
from minicompute.virt.libvirt.config import metadata
from minicompute.virt.libvirt.config.base import parse
from minicompute.virt.libvirt.driver import LibvirtDriver
from minicompute.virt.libvirt.imagecache import ImageCache
from minicompute.virt.request import SpawnRequest

UUID = '349ca5b9-440b-48d8-8480-5eda764ebe9d'
NOVAS = '''<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"><nova:package version="34.0.0"/>
<nova:name>web</nova:name></nova:instance>'''
OURS = f'<mc:instance xmlns:mc="{metadata.NAMESPACE}"><mc:host>another</mc:host></mc:instance>'


class Domain:
    """What adoption asks of a Guest."""

    uuid = UUID

    def __init__(self, words: str = NOVAS, name: str = 'instance-0000002a') -> None:
        self._xml = f'<domain><name>{name}</name><uuid>{UUID}</uuid><metadata>{words}</metadata></domain>'
        self.said: list[str] = []

    def tree(self, inactive: bool = False) -> Any:
        return parse(self._xml)

    def say(self, xml: str) -> None:
        self.said.append(xml)


@pytest.fixture
def server(tmp_path: pathlib.Path, option: Any) -> Instance:
    """As Nova leaves it: an overlay on an image in _base, disk.info, console.log."""
    option('DEFAULT', instances_path=str(tmp_path), host='node-7')
    base = tmp_path / '_base' / '356a192b7913b04c54574d18c28d46e6395428ab'
    base.parent.mkdir()
    base.write_bytes(b'\0' * 65536)
    home = tmp_path / UUID
    home.mkdir()
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', str(base), '-F', 'raw', str(home / 'disk')],
                   check=True)
    (home / 'console.log').write_text('login:')
    write_info({'disk': 'qcow2'})
    return Instance(uuid=UUID, id=42, project_id='p', user_id='u', host='node-7', display_name='<web>',
                    flavor=Flavor('1', 'small', 64, 1, 1), image_ref='i')


def write_info(formats: dict[str, str]) -> None:
    path = pathlib.Path(layout.directory(UUID))
    (path / 'disk.info').write_text(json.dumps({str(path / name): kind for name, kind in formats.items()}))


def plan(*names: str, form: str = 'qcow2') -> list[layout.Disk]:
    return [layout.Disk(kind='root', path=os.path.join(layout.directory(UUID), name), format=form, bus='virtio',
                        target='vda') for name in names or ('disk',)]


def test_it_is_ours_from_now_on(server: Instance) -> None:
    domain = Domain()
    assert adoption.adopt(domain, server, plan())  # type: ignore[arg-type]
    assert disks.is_own(UUID)
    [words] = domain.said
    found = parse(words)
    assert found.findtext('host') == 'node-7' and found.findtext('name') == '<web>' and found.tag == 'instance'
    base = pathlib.Path(layout.directory(UUID), 'base')
    assert base.stat().st_nlink == 2 and base.stat().st_ino == next(base.parent.parent.glob('_base/*')).stat().st_ino
    assert adoption.adopt(domain, server, plan())  # type: ignore[arg-type]    # a compute that died meanwhile does it again


@pytest.mark.parametrize(('words', 'ours'), [(OURS, 'another of us'), (NOVAS + OURS, 'adopted'), ('', 'somebody')])
def test_of_others_nothing_is_touched(server: Instance, words: str, ours: str) -> None:
    domain = Domain(words)
    assert not adoption.adopt(domain, server, plan())  # type: ignore[arg-type]
    assert not domain.said and not disks.is_own(UUID), ours
    adoption.check(domain)  # type: ignore[arg-type]


@pytest.mark.parametrize(('name', 'files', 'info', 'reason'), [
    ('shop-web', ('disk',), {}, 'instance_name_template'),
    ('instance-0000002a', ('disk', 'disk.config'), {}, 'no disk.config'),
    ('instance-0000002a', ('disk.raw',), {}, 'images_type'),
    ('instance-0000002a', ('disk',), {'disk': 'raw'}, 'is raw')])
def test_what_a_start_would_not_find(server: Instance, caplog: Any, name: str, files: tuple[str, ...],
                                     info: dict[str, str], reason: str) -> None:
    """It stays Nova's, and nothing here starts it."""
    write_info(info)
    domain = Domain(name=name)
    assert not adoption.adopt(domain, server, plan(*files))  # type: ignore[arg-type]
    assert reason in caplog.text and not domain.said and not disks.is_own(UUID)
    with pytest.raises(exception.Conflict):
        adoption.check(domain)  # type: ignore[arg-type]


def test_a_base_that_is_none(server: Instance, tmp_path: pathlib.Path) -> None:
    """The header names a file that is no image of the cache: no second name of it is made."""
    other = tmp_path / 'shadow'
    other.write_bytes(b'\0' * 65536)
    disk = os.path.join(layout.directory(UUID), 'disk')
    os.unlink(disk)
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', str(other), '-F', 'raw', disk], check=True)
    domain = Domain()
    with pytest.raises(exception.Conflict):
        adoption.adopt(domain, server, plan())  # type: ignore[arg-type]
    assert not domain.said and not os.path.exists(os.path.join(layout.directory(UUID), 'base'))


def test_novas_images_stay(server: Instance, tmp_path: pathlib.Path) -> None:
    """Those that no server of ours has: Nova may still run beside us."""
    ours = tmp_path / '_base' / 'abc.qcow2'
    ours.write_bytes(b'')
    for path in (tmp_path / '_base').iterdir():
        os.utime(path, (1, 1))
    removed = ImageCache(None).sweep(60)  # type: ignore[arg-type]
    assert removed == [str(ours)]
    assert (tmp_path / '_base' / '356a192b7913b04c54574d18c28d46e6395428ab').exists()


class Running(Domain):
    """What is done to a domain, by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    def running(self) -> bool:
        return True

    def metadata(self) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.done.append(name)


@pytest.mark.parametrize('verb', ['reboot', 'rescue', 'start', 'power_off', 'suspend', 'rebuild', 'live_offer',
                                  'free_root'])
def test_a_guest_of_novas_is_not_stopped(server: Instance, monkeypatch: Any, verb: str) -> None:
    """What could not be started again runs on, and its disks stay nobody's."""
    domain, driver = Running(), LibvirtDriver.__new__(LibvirtDriver)
    driver._host = driver._events = driver._networks = MagicMock()
    monkeypatch.setattr(guest, 'find', lambda *_: domain)
    monkeypatch.setattr(guest, 'define', lambda *_: domain.done.append('define'))
    monkeypatch.setattr(Builder, 'domain', MagicMock())
    monkeypatch.setattr(LibvirtDriver, '_caps', MagicMock())
    with pytest.raises(exception.Conflict, match='made by Nova'):
        if verb == 'reboot':
            driver.reboot(server, hard=True)
        elif verb == 'rescue':
            driver.rescue(server, 0)
        elif verb == 'rebuild':
            monkeypatch.setattr(Builder, 'disks', MagicMock())
            driver.rebuild(SpawnRequest(server), preserve_ephemeral=False, start=True)
        elif verb == 'free_root':
            driver.free_root(server, MagicMock())
        elif verb != 'start':
            getattr(driver, verb)(server)
        else:
            driver._define_and_start(server)
    assert not domain.done and not disks.is_own(UUID) and not driver._networks.plug.called
