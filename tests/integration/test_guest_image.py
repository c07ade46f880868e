"""The guest image, booted by QEMU without any of our daemons: boot, metadata, SSH, power button.

Needs qemu-system-x86, ovmf, genisoimage, dosfstools, mtools and an SSH client; emulation only, no KVM.
"""

from __future__ import annotations

import collections.abc
import contextlib
import functools
import http.server
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import typing

import pytest

from tests.integration.stack import free_port

REPO = pathlib.Path(__file__).resolve().parents[2]
GUEST = REPO / 'tools' / 'guest' / 'root' / 'lib' / 'guest'
BUSYBOX = REPO / 'run' / 'guest-build' / 'packages' / 'bin' / 'busybox'
OVMF = pathlib.Path('/usr/share/OVMF')

# How long anything may take before the test gives up; emulation on a busy machine is slow.
PATIENCE = 600
UUID = '83679162-1378-4288-a2d4-70e13ec132aa'
MAC = '52:54:00:12:34:57'
UP = re.compile(
    r'minicompute-guest: up hostname=(?P<hostname>\S+) instance=(?P<instance>\S+)'
    r' addresses=(?P<addresses>\S+) keys=(?P<keys>\d+) source=(?P<source>\S+)\r?\n'
)
# Connects its standard input and output to the HTTP server: what QEMU runs for a guest's connection.
RELAY = """
import os, socket, sys, threading
server = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
def upwards():
    while data := os.read(0, 65536):
        server.sendall(data)
threading.Thread(target=upwards, daemon=True).start()
while data := server.recv(65536):
    os.write(1, data)
"""


def wait_until(condition: collections.abc.Callable[[], typing.Any], what: str) -> typing.Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.1)
    raise AssertionError(f'no {what} after {PATIENCE} seconds')


class Guest:
    """A running QEMU: its console, its monitor, an SSH client."""

    def __init__(
        self, folder: pathlib.Path, key: pathlib.Path, arguments: list[str], memory: int = 128
    ) -> None:
        self.log, self.monitor, self.key = folder / 'console.log', folder / 'monitor', key
        self.port = free_port()
        command = [
            'qemu-system-x86_64',
            '-accel',
            'tcg',
            '-m',
            str(memory),
            '-display',
            'none',
            '-nodefaults',
            '-serial',
            f'file:{self.log}',
            '-qmp',
            f'unix:{self.monitor},server=on,wait=off',
        ]
        self.process = subprocess.Popen(
            command + [word.replace('@PORT@', str(self.port)) for word in arguments]
        )

    def console(self) -> str:
        return self.log.read_text(errors='replace') if self.log.exists() else ''

    def wait_for(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        def found() -> re.Match[str] | None:
            assert self.process.poll() is None, f'QEMU ended: {self.console()}'
            return re.search(pattern, self.console())

        try:
            return wait_until(found, f'{pattern} on the console')
        except AssertionError as error:
            raise AssertionError(f'{error}: {self.console()}') from None

    def ssh(self, *command: str) -> str:
        options = [
            'StrictHostKeyChecking=no',
            'UserKnownHostsFile=/dev/null',
            'BatchMode=yes',
            'LogLevel=ERROR',
            f'ConnectTimeout={PATIENCE}',
        ]
        words = [word for option in options for word in ('-o', option)]
        return subprocess.run(
            ['ssh', '-i', str(self.key), '-p', str(self.port), *words, 'root@127.0.0.1', *command],
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        ).stdout

    def facts(self) -> dict[str, str]:
        return dict(line.split('=', 1) for line in self.ssh('guest-test').splitlines())

    def press_power_button(self) -> None:
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self.monitor))
            stream = monitor.makefile('rw')
            for command in ('qmp_capabilities', 'system_powerdown'):
                stream.write(json.dumps({'execute': command}) + '\n')
                stream.flush()
                while 'return' not in json.loads(stream.readline()):
                    pass

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


Boot = collections.abc.Callable[..., Guest]


@pytest.fixture(scope='module')
def images() -> pathlib.Path:
    """The folder with the images, built if they are older than their sources."""
    subprocess.run([REPO / 'tools' / 'build_guest.sh'], check=True, timeout=600)
    return REPO / 'run' / 'images'


@pytest.fixture(scope='module')
def key(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp('ssh') / 'key'
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', path], check=True)
    return path


@pytest.fixture
def boot(tmp_path: pathlib.Path, key: pathlib.Path) -> collections.abc.Iterator[Boot]:
    with contextlib.ExitStack() as stack:

        def start(arguments: list[str], memory: int = 128) -> Guest:
            guest = Guest(tmp_path, key, arguments, memory)
            stack.callback(guest.kill)
            return guest

        yield start


def make_disk(images: pathlib.Path, folder: pathlib.Path) -> str:
    """A copy-on-write disk of a flavor with 1 GiB on top of the image."""
    disk = folder / 'disk.qcow2'
    subprocess.run(
        [
            'qemu-img',
            'create',
            '-q',
            '-f',
            'qcow2',
            '-F',
            'qcow2',
            '-b',
            images / 'minicompute-guest.qcow2',
            disk,
            '1G',
        ],
        check=True,
    )
    return str(disk)


def write_metadata(
    folder: pathlib.Path,
    key: pathlib.Path,
    network: dict[str, typing.Any] | None = None,
    user_data: str = '',
    **more: typing.Any,
) -> pathlib.Path:
    latest = folder / 'openstack' / 'latest'
    latest.mkdir(parents=True)
    public = key.with_suffix('.pub').read_text()
    meta = {'uuid': UUID, 'hostname': 'guest-1.novalocal', 'public_keys': {'mine': public}, 'launch_index': 0}
    (latest / 'meta_data.json').write_text(json.dumps(meta | more))
    (latest / 'network_data.json').write_text(
        json.dumps(network or {'links': [], 'networks': [], 'services': []})
    )
    (latest / 'user_data').write_text(user_data)
    return folder


def make_iso(folder: pathlib.Path) -> pathlib.Path:
    iso = folder.with_suffix('.iso')
    subprocess.run(['genisoimage', '-quiet', '-R', '-J', '-V', 'config-2', '-o', iso, folder], check=True)
    return iso


def test_disk_with_config_drive(
    images: pathlib.Path, key: pathlib.Path, tmp_path: pathlib.Path, boot: Boot
) -> None:
    iso = make_iso(
        write_metadata(
            tmp_path / 'config',
            key,
            user_data='#!/bin/sh\necho hello > /root/hello\nexit 3\n',
            meta={'count': 'true', 'x': '$(poweroff)'},
            name='`reboot`"\\\u00e9\n',
        )
    )
    guest = boot(
        [
            '-drive',
            f'file={make_disk(images, tmp_path)},if=virtio,format=qcow2',
            '-uuid',
            UUID,
            '-drive',
            f'file={iso},media=cdrom,readonly=on,format=raw',
            '-netdev',
            'user,id=n,hostfwd=tcp:127.0.0.1:@PORT@-:22',
            '-device',
            'virtio-net-pci,netdev=n',
        ]
    )
    assert guest.wait_for(UP).groupdict() == {
        'hostname': 'guest-1.novalocal',
        'instance': UUID,
        'addresses': '10.0.2.15/24',
        'keys': '1',
        'source': 'config-drive',
    }
    guest.wait_for('minicompute-guest: user_data exit=3')
    guest.wait_for('minicompute-guest: count=2 ')
    guest.wait_for('login: ')
    facts = guest.facts()
    assert facts['uuid'] == facts['dmi_uuid'] == UUID
    assert (facts['disk.vda'], facts['vcpus'], facts['user_data']) == (str(1 << 30), '1', 'exit-3')
    assert (facts['firmware'], facts['password']) == ('bios', 'no')
    seen = guest.ssh('cat /root/hello; grep -cF "root:\\$6\\$locked\\$*:" /etc/shadow')
    assert seen.split() == ['hello', '1']
    guest.press_power_button()
    assert guest.process.wait(PATIENCE) == 0
    assert 'minicompute-guest: powering down' in guest.console()


def test_kernel_and_initrd_alone(images: pathlib.Path, boot: Boot) -> None:
    guest = boot(
        [
            '-kernel',
            str(images / 'minicompute-guest-kernel'),
            '-no-reboot',
            '-initrd',
            str(images / 'minicompute-guest-initrd'),
            '-append',
            'console=ttyS0 panic=5',
        ]
    )
    assert guest.wait_for(UP).groupdict() == {
        'hostname': 'minicompute-guest',
        'instance': 'none',
        'addresses': 'none',
        'keys': '0',
        'source': 'none',
    }
    guest.wait_for('login: ')
    guest.press_power_button()
    assert guest.process.wait(PATIENCE) == 0


def test_static_network_from_a_vfat_drive(
    images: pathlib.Path, key: pathlib.Path, tmp_path: pathlib.Path, boot: Boot
) -> None:
    network = {
        'links': [{'id': 'tap1', 'type': 'ovs', 'ethernet_mac_address': MAC, 'mtu': 1400}],
        'networks': [
            {
                'id': 'network0',
                'type': 'ipv4',
                'link': 'tap1',
                'ip_address': '10.0.2.77',
                'netmask': '255.255.255.0',
                'routes': [{'network': '0.0.0.0', 'netmask': '0.0.0.0', 'gateway': '10.0.2.2'}],
            }
        ],
        'services': [{'type': 'dns', 'address': '10.0.2.3'}, {'type': 'dns', 'address': '; reboot'}],
    }
    folder = write_metadata(
        tmp_path / 'config', key, network, '#cloud-config\n', hostname='a; reboot', admin_pass='x'
    )
    drive = tmp_path / 'config.img'
    with drive.open('wb') as file:
        file.truncate(4 << 20)
    subprocess.run(['mkfs.vfat', '-n', 'config-2', drive], check=True, capture_output=True)
    subprocess.run(['mcopy', '-s', '-i', drive, folder / 'openstack', '::/'], check=True)
    guest = boot(
        [
            '-drive',
            f'file={make_disk(images, tmp_path)},if=none,id=d,format=qcow2',
            '-device',
            'virtio-scsi-pci',
            '-device',
            'scsi-hd,drive=d',
            '-drive',
            f'file={drive},if=virtio,format=raw',
            '-netdev',
            'user,id=n,hostfwd=tcp:127.0.0.1:@PORT@-10.0.2.77:22',
            '-device',
            f'virtio-net-pci,netdev=n,mac={MAC}',
        ]
    )
    assert guest.wait_for(UP).group('hostname', 'addresses') == ('areboot', '10.0.2.77/24')
    guest.wait_for('ignored user_data: cloud-config is not a script')
    facts = guest.facts()
    assert (facts['mtu.eth0'], facts['user_data'], facts['password']) == ('1400', 'ignored', 'yes')
    assert guest.ssh('cat /etc/resolv.conf') == 'nameserver 10.0.2.3\n'
    assert 'default via 10.0.2.2 dev eth0' in guest.ssh('ip route')


def test_metadata_service(
    images: pathlib.Path, key: pathlib.Path, tmp_path: pathlib.Path, boot: Boot
) -> None:
    folder = write_metadata(tmp_path / 'service', key)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    relay = tmp_path / 'relay.py'
    relay.write_text(RELAY)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        forward = f'guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} {relay} {server.server_port}'
        guest = boot(
            [
                '-drive',
                f'file={make_disk(images, tmp_path)},if=virtio,format=qcow2',
                '-netdev',
                f'user,id=n,net=169.254.169.0/24,hostfwd=tcp:127.0.0.1:@PORT@-:22,{forward}',
                '-device',
                'virtio-net-pci,netdev=n',
            ]
        )
        try:
            assert guest.wait_for(UP).group('instance', 'keys', 'source') == (UUID, '1', 'metadata-service')
            assert guest.facts()['hostname'] == 'guest-1.novalocal'
        finally:
            server.shutdown()


def test_uefi_without_virtio(
    images: pathlib.Path, key: pathlib.Path, tmp_path: pathlib.Path, boot: Boot
) -> None:
    iso = make_iso(write_metadata(tmp_path / 'config', key))
    variables = shutil.copy(OVMF / 'OVMF_VARS_4M.fd', tmp_path / 'vars.fd')
    guest = boot(
        [
            '-machine',
            'q35',
            '-drive',
            f'if=pflash,format=raw,readonly=on,file={OVMF / "OVMF_CODE_4M.fd"}',
            '-drive',
            f'if=pflash,format=raw,file={variables}',
            '-drive',
            f'file={make_disk(images, tmp_path)},if=ide,format=qcow2,index=0',
            '-drive',
            f'file={iso},media=cdrom,readonly=on,format=raw,if=ide,index=2',
            '-netdev',
            'user,id=n,hostfwd=tcp:127.0.0.1:@PORT@-:22',
            '-device',
            'e1000,netdev=n',
        ],
        memory=256,
    )
    assert guest.wait_for(UP).group('addresses', 'source') == ('10.0.2.15/24', 'config-drive')
    facts = guest.facts()
    assert (facts['firmware'], facts['disk.sda']) == ('uefi', str(1 << 30))


def flatten(document: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BUSYBOX, 'awk', '-f', GUEST / 'json.awk'],
        check=False,
        input=document,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    'document',
    [
        '',
        '{',
        '{"a":1,}',
        '[1,]',
        '[1 2]',
        '{"a" 1}',
        '{"a":1}}',
        '{"a":"b',
        '{1:2}',
        '"\\x"',
        'maybe',
        '"a\nb"',
    ],
)
def test_json_reader_refuses(images: pathlib.Path, document: str) -> None:
    assert flatten(document).returncode == 1


def test_json_reader(images: pathlib.Path) -> None:
    document = {
        'a/b~': ['x', {'y': 1.5, 'n': None}, [], {}],
        'quote"\\': 'tab\t"quoted"\\\n',
        'e': '',
        'u': 'é€😀',
    }
    expected = 'a~1b~0/0\tx|a~1b~0/1/y\t1.5|quote"\\\\\ttab\\t"quoted"\\\\\\n|e\t|u\té€😀'
    for text in (json.dumps(document), json.dumps(document, indent=2, ensure_ascii=False)):
        done = flatten(text)
        assert done.returncode == 0
        assert done.stdout == ''.join(f'/{line}\n' for line in expected.split('|'))
