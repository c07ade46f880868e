"""tools/lab.sh: hosts that boot guests, can be hurt, and leave nothing behind."""
from __future__ import annotations

import os
import pathlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.lab import BOOT, ROOT, SCRIPT, UP, Lab, kill_family, named_lab
from tests.integration.stack import wait_for

pytestmark = pytest.mark.long

GUEST = ROOT / 'run' / 'images' / 'minicompute-guest.qcow2'


@pytest.fixture
def whole(lab: Lab) -> Iterator[Lab]:
    """For tests that hurt it."""
    yield lab
    lab.restore()


# -- without a lab ---------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path: pathlib.Path) -> Lab:
    return Lab('itnone', '10.98.210.0/24', tmp_path / 'lab')


def test_status_of_nothing_says_so_and_makes_nothing(nowhere: Lab) -> None:
    done = nowhere.command('status')
    assert done.returncode == 1
    assert 'api            down' in done.stdout
    assert not nowhere.directory.exists()


@pytest.mark.parametrize('words, complaint', [
    (['sideways'], "unknown word 'sideways'"), (['up', '--hosts', '0'], '--hosts wants a number up to 50'),
    (['up', '--hosts', 'x; reboot'], '--hosts wants a number up to 50'), (['up', '--wipe'], "unknown option '--wipe'"),
    (['kill', '../../etc'], "there is no host '../../etc'"), (['exec', 'host1', 'true'], "there is no host 'host1'"),
    (['start', 'host1'], 'there is no lab')])
def test_a_wrong_word_is_one_line(nowhere: Lab, words: list[str], complaint: str) -> None:
    done = nowhere.command(*words)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert complaint in done.stderr
    assert nowhere.leftovers() in ({}, {'files': [str(nowhere.directory)]})


@pytest.mark.parametrize('name, value', [
    ('LAB_NAME', 'a name'), ('LAB_NAME', 'muchtoolongaword'), ('LAB_SUBNET', '10.0.0.0/8'), ('LAB_SUBNET', 'nonsense'),
    ('LAB_HOME', '/tmp/a b')])
def test_a_name_that_cannot_be_is_refused(nowhere: Lab, name: str, value: str) -> None:
    done = subprocess.run([str(SCRIPT), 'status'], env={**nowhere.environment, name: value}, text=True,
                          capture_output=True, timeout=60)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert name in done.stderr


def test_a_script_killed_half_way_leaves_nothing_that_down_does_not_find() -> None:
    lab = named_lab('h', 2)
    lab.down()
    with subprocess.Popen([str(SCRIPT), 'up', '--hosts', '2'], env=lab.environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, start_new_session=True) as script:
        try:
            wait_for(lambda: lab.command('exec', 'host1', 'pgrep', '-x', 'libvirtd').returncode == 0, 120,
                     'a first libvirtd')
        finally:
            kill_family(script)
            left = lab.leftovers()
            lab.down()
    assert {'processes', 'links', 'files'} <= set(left)
    assert lab.leftovers() == {}


# -- what it is ------------------------------------------------------------------------


def test_real_guests_boot_on_each_host(lab: Lab) -> None:
    servers = {host: lab.boot(f'on-{host}', host, wait=False)['id'] for host in lab.hosts}
    assert len(servers) == 3
    for host, uuid in servers.items():
        assert lab.api.wait_status(uuid, 'ACTIVE', BOOT)['OS-EXT-SRV-ATTR:hypervisor_hostname'] == host
    for host, uuid in servers.items():
        lab.wait_console(uuid, UP)
        lab.wait_console(uuid, f'instance={uuid}')
        assert lab.running_on(uuid) == [host]
        assert lab.path(host, 'state', 'instances', uuid, 'disk').exists()
    lab.delete(*servers.values())
    for host, uuid in servers.items():
        assert uuid not in lab.virsh(host, 'list', '--all', '--uuid')
        assert not lab.path(host, 'state', 'instances', uuid).exists()


def test_hosts_are_told_apart(lab: Lab) -> None:
    hypervisors = lab.api.ok('GET', '/os-hypervisors/detail')['hypervisors']
    assert sorted(entry['hypervisor_hostname'] for entry in hypervisors) == lab.hosts
    assert {entry['host_ip'] for entry in hypervisors} == {lab.address(host) for host in lab.hosts}
    assert len({lab.execute(host, 'cat', '/etc/machine-id') for host in lab.hosts}) == 3
    assert len({lab.virsh(host, 'capabilities').split('<uuid>')[1][:36] for host in lab.hosts}) == 3
    assert {lab.execute(host, 'hostname').strip() for host in lab.hosts} == set(lab.hosts)


def test_up_again_changes_nothing(lab: Lab) -> None:
    before = lab.processes()
    lab.up()
    assert set(before) <= set(lab.processes())
    assert lab.command('status').returncode == 0


# -- who may come in ---------------------------------------------------------------------


def _accepted(lab: Lab, host: str, certificate: pathlib.Path | None, key: pathlib.Path | None = None) -> bool:
    """Whether libvirtd says its first byte, which it does once it knows who calls."""
    context = ssl.create_default_context(cafile=str(lab.directory / 'pki' / 'libvirt-ca.pem'))
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    try:
        with (socket.create_connection((lab.address(host), 16514), timeout=20) as plain,
              context.wrap_socket(plain, server_hostname=lab.address(host)) as wire):
            return wire.recv(1) == b'\1'
    except ssl.SSLError:
        return False


def test_libvirtd_takes_only_those_with_a_certificate_for_it(lab: Lab, tmp_path: pathlib.Path) -> None:
    pki = lab.path('host2', 'pki')
    assert _accepted(lab, 'host1', pki / 'libvirt' / 'cert.pem', pki / 'libvirt' / 'key.pem')
    assert not _accepted(lab, 'host1', None)
    # A guest that broke out of its QEMU has this one.
    assert not _accepted(lab, 'host1', pki / 'qemu' / 'cert.pem', pki / 'qemu' / 'key.pem')
    stranger = tmp_path / 'stranger.pem', tmp_path / 'stranger.key'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                    '-subj', '/O=minicompute lab/CN=host2', '-out', stranger[0], '-keyout', stranger[1]],
                   check=True, capture_output=True)
    assert not _accepted(lab, 'host1', *stranger)


def test_qemu_cannot_read_the_key_of_libvirt(lab: Lab) -> None:
    keys = f'{lab.directory}/node/pki'
    may = [lab.command('exec', 'host1', 'runuser', '-u', 'libvirt-qemu', '--', 'test', '-r', f'{keys}/{name}/key.pem')
           for name in ('qemu', 'libvirt')]
    assert [done.returncode for done in may] == [0, 1]


def _listening(lines: str) -> set[tuple[str, int]]:
    """(address, port) of the TCP sockets that `ss -Htln` lists."""
    return {(address.strip('[]'), int(port)) for address, port in
            (line.split()[3].rsplit(':', 1) for line in lines.splitlines())}


def test_only_loopback_and_the_bridge_listen(lab: Lab) -> None:
    said = subprocess.run(['ss', '-Htln'], text=True, capture_output=True, check=True).stdout
    ours = {pair for pair in _listening(said)
            if lab.port <= pair[1] < lab.port + 10 or pair[0].startswith(f'{lab.prefix}.')}
    assert ours == {(f'{lab.prefix}.1', 5672), *(('127.0.0.1', lab.port + n) for n in range(3))}
    for host in lab.hosts:
        listening = _listening(lab.execute(host, 'ss', '-Htln'))
        assert (lab.address(host), 16514) in listening
        assert {address for address, port in listening if port not in (53, 5900, 5901, 5902)} == {lab.address(host)}


def test_a_host_reaches_nothing_of_this_machine_but_the_broker(lab: Lab) -> None:
    def reached(port: int) -> bool:
        return lab.command('exec', 'host1', 'timeout', '3', 'bash', '-c', f': > /dev/tcp/{lab.prefix}.1/{port}'
                           ).returncode == 0
    with socket.create_server(('0.0.0.0', 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection((f'{lab.prefix}.1', port), timeout=5).close()
        assert not reached(port)
    assert reached(5672)


def test_a_host_does_not_reach_the_broker_of_another_lab(lab: Lab) -> None:
    """Which listens on the same port of another address of this machine."""
    other = '10.98.249.1'
    connect = ('exec', 'host1', 'timeout', '3', 'bash', '-c', f': > /dev/tcp/{other}/5672')
    subprocess.run(['ip', 'address', 'replace', f'{other}/32', 'dev', 'lo'], check=True)
    try:
        with socket.create_server((other, 5672)):
            socket.create_connection((other, 5672), timeout=5).close()
            lab.execute('host1', 'ip', 'route', 'replace', other, 'via', f'{lab.prefix}.1')
            assert lab.command(*connect).returncode == 124, 'neither an answer nor a refusal'
    finally:
        lab.command('exec', 'host1', 'ip', 'route', 'delete', other)
        subprocess.run(['ip', 'address', 'delete', f'{other}/32', 'dev', 'lo'], check=True)


# -- what can be done to it --------------------------------------------------------------


def test_a_host_that_is_cut_off_is_down_until_it_is_healed(whole: Lab) -> None:
    whole.partition('host3')
    whole.wait_service('host3', 'down')
    assert whole.service_state('host1') == 'up'
    assert whole.command('status').returncode == 1
    assert 'cut off' in whole.command('status').stdout
    assert whole.is_on('host3')
    whole.heal('host3')
    whole.wait_service('host3', 'up')
    assert whole.command('status').returncode == 0


def test_a_host_whose_power_was_cut_comes_back(whole: Lab) -> None:
    uuid = whole.boot('cut', 'host2')['id']
    whole.wait_console(uuid, UP)
    whole.kill('host2', 'all')
    assert not whole.is_on('host2')
    assert not [line for line in whole.processes().values() if uuid in line]
    whole.wait_service('host2', 'down')
    whole.start('host2')
    whole.wait_service('host2', 'up')
    assert whole.running_on(uuid) == []
    whole.api.wait_status(uuid, 'SHUTOFF', 90)
    whole.api.ok('POST', f'/servers/{uuid}/action', {'os-start': None})
    whole.api.wait_status(uuid, 'ACTIVE', BOOT)
    wait_for(lambda: whole.running_on(uuid) == ['host2'], 60, 'the guest on host2')
    whole.delete(uuid)


def test_guests_outlive_their_daemons(whole: Lab) -> None:
    uuid = whole.boot('outlives', 'host1')['id']
    process = next(pid for pid, line in whole.processes().items() if uuid in line and 'qemu-system' in line)
    for daemon in ('daemon', 'libvirtd'):
        whole.kill('host1', daemon)
        assert whole.command('kill', 'host1', daemon).returncode == 1, 'it is dead already'
        assert pathlib.Path(f'/proc/{process}').exists()
        whole.start('host1')
        whole.wait_service('host1', 'up')
        assert whole.running_on(uuid) == ['host1']
    whole.delete(uuid)
    assert not pathlib.Path(f'/proc/{process}').exists()


@pytest.mark.parametrize('what', ['conductor-1', 'api', 'rabbitmq', 'mariadb'])
def test_the_control_plane_can_be_hurt_too(whole: Lab, what: str) -> None:
    whole.do('kill', 'control', what)
    assert f'{what:<14} down' in whole.command('status').stdout
    whole.do('start', 'control')
    assert f'{what:<14} up' in whole.command('status').stdout
    uuid = whole.boot(f'after-{what}', wait=False)['id']
    whole.api.wait_status(uuid, 'ACTIVE', BOOT)
    whole.delete(uuid)


# -- what it is for ----------------------------------------------------------------------

PROBE = """
<domain type='qemu'>
  <name>lab-probe</name>
  <memory unit='MiB'>128</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='{directory}/disk'/><target dev='vda' bus='virtio'/>
    </disk>
    <serial type='file'><source path='{directory}/console.log'/></serial>
  </devices>
</domain>
"""


@pytest.fixture
def probe(lab: Lab) -> Iterator[str]:
    """A guest that minicompute does not know, on host1, up; host2 has room for its disk. -> its directory."""
    inside = f'{lab.directory}/node/probe'
    for host in ('host1', 'host2'):
        place = lab.path(host, 'probe')
        place.mkdir()
        shutil.copy(GUEST, place / 'disk')
    lab.path('host1', 'probe', 'xml').write_text(PROBE.format(directory=inside))
    # Nothing of the copy that the destination has already may be what it boots or reads from.
    size = GUEST.stat().st_size
    os.unlink(lab.path('host2', 'probe', 'disk'))
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', lab.path('host2', 'probe', 'disk'), '64M'], check=True)
    assert lab.path('host2', 'probe', 'disk').stat().st_size < size / 10
    lab.virsh('host1', 'create', f'{inside}/xml')
    wait_for(lambda: UP in lab.path('host1', 'probe', 'console.log').read_text(errors='replace'), BOOT, 'the probe up')
    yield inside
    for host in ('host1', 'host2'):
        lab.command('exec', host, 'virsh', 'destroy', 'lab-probe')
        shutil.rmtree(lab.path(host, 'probe'))


def test_a_guest_moves_with_its_disk_over_tls(lab: Lab, probe: str) -> None:
    words = ['migrate', '--live', '--p2p', '--tls', '--copy-storage-all', 'lab-probe', lab.uri('host2')]
    lab.virsh('host1', *words)
    assert 'lab-probe' not in lab.virsh('host1', 'list', '--all', '--name')
    assert lab.virsh('host2', 'domstate', 'lab-probe') == 'running'
    assert lab.path('host2', 'probe', 'disk').stat().st_size > GUEST.stat().st_size / 2
    # It hears its power button, and says so on the console that it has now.
    lab.virsh('host2', 'shutdown', 'lab-probe')
    wait_for(lambda: 'lab-probe' not in lab.virsh('host2', 'list', '--name'), 120, 'the end of the probe')
    assert 'powering down' in lab.path('host2', 'probe', 'console.log').read_text(errors='replace')


def test_nothing_moves_in_the_clear(lab: Lab, probe: str) -> None:
    done = lab.command('exec', 'host1', 'virsh', 'migrate', '--live', '--p2p', '--copy-storage-all', 'lab-probe',
                       lab.uri('host2'))
    assert done.returncode == 1
    assert 'TLS' in done.stderr
    assert lab.virsh('host1', 'domstate', 'lab-probe') == 'running'
