"""The libvirt driver on a real libvirtd, with guests that boot.

Needs root, libvirt, QEMU, and the guest of tools/build_guest.sh; what is missing fails, with its name. Runs
under threads, and under eventlet with MINICOMPUTE_CONCURRENCY=eventlet.
"""
from __future__ import annotations

import concurrent.futures
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable

from minicompute import concurrency

concurrency.setup()

import libvirt  # noqa: E402
import pytest  # noqa: E402

from minicompute import exception  # noqa: E402
from minicompute.conf import CONF  # noqa: E402
from minicompute.image.base import ImageSource, Stop, never  # noqa: E402
from minicompute.image.source import LocalSource  # noqa: E402
from minicompute.objects import VIF, FixedIP, Flavor, ImageMeta, Instance, PowerState, Subnet  # noqa: E402
from minicompute.virt.driver import SpawnRequest  # noqa: E402
from minicompute.virt.libvirt.driver import LibvirtDriver  # noqa: E402

IMAGES = pathlib.Path(__file__).parents[2] / 'run' / 'images'
GUEST = 'minicompute-guest.qcow2'
#: a TCG guest on a busy machine
BOOT = 600
#: beyond what a server's id in a test cloud will be, so that names never meet
FIRST_ID = 0xE0000000


def wait_for(what: str, found: Callable[[], object], seconds: float = BOOT) -> object:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f'{what}: not in {seconds} s'
        time.sleep(0.3)
    return value


class CountingSource(ImageSource):
    def __init__(self) -> None:
        self.fetched: list[str] = []

    def fetch(self, image: ImageMeta, path: str, stop: Stop = never) -> None:
        self.fetched.append(str(image.id))
        LocalSource().fetch(image, path, stop)


@pytest.fixture(scope='module')
def libvirtd():
    """Whoever runs it, or we."""
    def answers() -> bool:
        return subprocess.run(['virsh', '-c', 'qemu:///system', 'uri'], capture_output=True).returncode == 0
    if not answers():
        for daemon in ('virtlogd', 'libvirtd'):
            subprocess.run([daemon, '-d'], check=True)
        wait_for('libvirtd', answers, BOOT)
    connection = libvirt.open('qemu:///system')
    yield connection
    connection.close()


@pytest.fixture(scope='module')
def state(libvirtd):
    """Not pytest's own directory: QEMU's user must be able to walk to its disks."""
    path = pathlib.Path(tempfile.mkdtemp(prefix='minicompute-', dir='/var/tmp'))
    path.chmod(0o755)
    CONF.set_override('state_path', str(path))
    CONF.set_override('host', f'itest-{uuid.uuid4().hex[:8]}')
    (path / 'images').mkdir()
    for name in (GUEST, 'minicompute-guest-kernel', 'minicompute-guest-initrd'):
        assert (IMAGES / name).exists(), f'{name} is not there: run tools/build_guest.sh'
        shutil.copy(IMAGES / name, path / 'images' / name)
    yield path
    CONF.clear_override('state_path')
    CONF.clear_override('host')
    shutil.rmtree(path)


@pytest.fixture
def heard():
    return []


@pytest.fixture
def source():
    return CountingSource()


@pytest.fixture
def driver(state, heard, source):
    made = LibvirtDriver(source)
    made.start(lambda uuid, state: heard.append((uuid, state)))
    yield made
    made.sweep(set(), 0)
    made.stop()


class Cloud:
    """Gives out servers whose ids, networks and addresses meet nobody else's."""

    def __init__(self) -> None:
        self.number = 0
        self.subnet = f'10.{os.getpid() % 100 + 100}.{os.getpid() // 100 % 250}'
        self.tag = f'{os.getpid() % 100000:05}'

    def vif(self) -> VIF:
        return VIF(
            id=str(uuid.uuid4()),
            network_id='n',
            network_name='net',
            kind='network',
            mtu=1450,
            mac_address='fa:16:3e:%02x:%02x:%02x' % (os.getpid() >> 8 & 255, os.getpid() & 255, self.number),
            subnets=[Subnet('s', f'{self.subnet}.0/24', gateway=f'{self.subnet}.1')],
            fixed_ips=[FixedIP(f'{self.subnet}.{self.number + 10}', 's')],
            details={
                'libvirt_network': f'minicompute-{self.tag}',
                'bridge': f'mct{self.tag}',
                'gateway': f'{self.subnet}.1',
                'prefix': 24,
                'cidr': f'{self.subnet}.0/24',
                'dns': [],
                'forward': 'nat',
            },
        )

    def server(self, flavor: dict | None = None, network: bool = True, **changes) -> Instance:
        self.number += 1
        size = {'flavorid': '1', 'name': 'm1', 'memory_mb': 160, 'vcpus': 1, 'root_gb': 1, **(flavor or {})}
        facts = {'uuid': str(uuid.uuid4()), 'project_id': 'p', 'user_id': 'u', 'image_ref': GUEST,
                 'id': FIRST_ID + os.getpid() % 65536 * 256 + self.number, 'hostname': f'vm{self.number}',
                 'flavor': Flavor(**size), 'network_info': [self.vif()] if network else []}
        return Instance(**{**facts, **changes})


@pytest.fixture(scope='module')
def cloud():
    return Cloud()


def image(name: str = GUEST, fmt: str = 'qcow2') -> ImageMeta:
    return ImageMeta(id=name, disk_format=fmt, size=(IMAGES / name).stat().st_size)


def request(instance: Instance, **more) -> SpawnRequest:
    return SpawnRequest(instance, image=image(), **more)


def up(driver: LibvirtDriver, instance: Instance) -> str:
    """Wait for the guest's own word, the whole line of it, which comes letter by letter; -> its console."""
    def look() -> str | None:
        text = driver.console_output(instance, None)
        return text if '\n' in text.partition('minicompute-guest: up')[2] else None
    return str(wait_for('the guest', look))


def reachable(instance: Instance) -> bool:
    address = instance.network_info[0].fixed_ips[0].address
    try:
        socket.create_connection((address, 22), timeout=2).close()
    except OSError:
        return False
    return True


def left_of(libvirtd, state, instance: Instance) -> list[str]:
    """Everything of the server that a host could still have."""
    found = [d.name() for d in libvirtd.listAllDomains() if d.UUIDString() == instance.uuid]
    found += [str(path) for path in (state / 'instances').glob(f'{instance.uuid}*')]
    found += [str(path) for path in pathlib.Path('/var/lib/libvirt/qemu/nvram').glob(f'{instance.name}*')]
    macs = [card.mac_address for card in instance.network_info]
    found += [
        network.name()
        for network in libvirtd.listAllNetworks()
        if any(mac in network.XMLDesc() for mac in macs)
    ]
    found += [
        name for name in os.listdir('/sys/class/net') if name in [c.devname for c in instance.network_info]
    ]
    return found


# -- the life of a server ------------------------------------------------------------------------

def test_a_server_from_birth_to_death(driver, cloud, libvirtd, state, heard):
    instance = cloud.server({'ephemeral_gb': 1, 'swap': 64}, config_drive=True, display_name='<&>"\x01')
    driver.spawn(request(instance, admin_password='s3cret'))
    console = up(driver, instance)
    assert f'instance={instance.uuid}' in console and 'source=config-drive' in console
    assert instance.network_info[0].fixed_ips[0].address in console
    wait_for('ssh', lambda: reachable(instance))
    number = libvirtd.lookupByUUIDString(instance.uuid).ID()

    driver.spawn(request(instance))
    assert libvirtd.lookupByUUIDString(instance.uuid).ID() == number, 'spawning what runs must not touch it'
    said = driver.diagnostics(instance)
    assert (said['state'], said['num_disks'], said['num_nics']) == ('running', 4, 1)
    place = driver.console(instance, 'vnc')
    with socket.create_connection((place.host, place.port), timeout=BOOT) as screen:
        assert screen.recv(4) == b'RFB '
    assert [d.ours for d in driver.domains() if d.uuid == instance.uuid] == [True]

    driver.reboot(instance, hard=False)
    up(driver, instance)
    driver.power_off(instance, timeout=60)
    assert driver.power_state(instance.uuid) == PowerState.SHUTDOWN
    driver.power_off(instance)
    driver.power_on(instance)
    driver.power_on(instance)
    driver.reboot(instance, hard=True)
    up(driver, instance)
    wait_for('ssh', lambda: reachable(instance))

    driver.destroy(instance)
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []
    with pytest.raises(exception.DomainNotFound):
        driver.power_state(instance.uuid)
    # Guests of other installations on this libvirtd may come and go meanwhile.
    assert [news for news in heard if news[0] == instance.uuid] == [], 'our own verbs are no news'


def test_a_soft_reboot_that_the_guest_does_not_hear_becomes_a_hard_one(driver, cloud):
    CONF.set_override('wait_soft_reboot_seconds', 1, 'libvirt')
    try:
        instance = cloud.server(network=False)
        driver.spawn(request(instance))
        driver.reboot(instance, hard=False)   # the firmware is still at work
        assert driver.power_state(instance.uuid) == PowerState.RUNNING
        driver.destroy(instance)
    finally:
        CONF.clear_override('wait_soft_reboot_seconds', 'libvirt')


def test_power_on_brings_back_what_a_reboot_of_the_host_took(driver, cloud, libvirtd, state):
    instance = cloud.server()
    driver.spawn(request(instance))
    driver.power_off(instance)
    libvirtd.networkLookupByName(instance.network_info[0].details['libvirt_network']).destroy()
    libvirtd.lookupByUUIDString(instance.uuid).undefine()
    driver.power_on(instance)
    up(driver, instance)
    wait_for('ssh', lambda: reachable(instance))
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


def test_what_is_not_whole_is_told(driver, cloud, libvirtd, state):
    instance, other = cloud.server(network=False), cloud.server(network=False)
    for one in (instance, other):
        driver.spawn(request(one))
    disk = state / 'instances' / instance.uuid / 'disk'
    whole = driver.holdings()
    assert whole.present == {instance.uuid, other.uuid} and not whole.undefined | whole.diskless
    disk.rename(disk.with_name('elsewhere'))
    found = driver.holdings()
    assert (found.present, found.undefined, found.diskless) == (whole.present, set(), {instance.uuid})
    disk.with_name('elsewhere').rename(disk)
    domain = libvirtd.lookupByUUIDString(instance.uuid)
    domain.destroy()
    domain.undefine()
    found = driver.holdings()
    assert (found.present, found.undefined, found.diskless) == (whole.present, {instance.uuid}, set())


def test_a_half_made_server_is_made_anew(driver, cloud, libvirtd, state):
    instance = cloud.server(network=False)
    directory = state / 'instances' / instance.uuid
    directory.mkdir()
    (directory / 'disk').write_bytes(b'half')
    driver.spawn(request(instance))
    up(driver, instance)
    driver.power_off(instance)
    driver.spawn(request(instance))   # a domain that was defined, and does not run
    up(driver, instance)
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


@pytest.mark.parametrize('flaw, error', [
    ({'image_ref': 'gone'}, exception.ImageNotFound),
    ({'image_properties': {'hw_machine_type': 'sun4m'}}, exception.InvalidInput),
    # libvirt itself refuses: there is no IDE on q35
    ({'image_properties': {'hw_machine_type': 'q35', 'hw_disk_bus': 'ide'}}, exception.InternalError),
])
def test_a_failed_build_leaves_nothing(driver, cloud, libvirtd, state, flaw, error):
    instance = cloud.server(**flaw)
    wanted = ImageMeta(id='gone', disk_format='qcow2') if instance.image_ref == 'gone' else image()
    with pytest.raises(error):
        driver.spawn(SpawnRequest(instance, image=wanted))
    assert left_of(libvirtd, state, instance) == []


def test_many_at_once_share_image_and_network(driver, cloud, libvirtd, state, source):
    servers = [cloud.server() for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda server: driver.spawn(request(server)), servers))
        assert len(source.fetched) <= 1
        network = libvirtd.networkLookupByName(servers[0].network_info[0].details['libvirt_network'])
        assert network.XMLDesc().count('<host mac=') == 4
        for server in servers:
            up(driver, server)
        wait_for('ssh', lambda: all(reachable(server) for server in servers))
        list(pool.map(driver.destroy, servers))
    assert [left_of(libvirtd, state, server) for server in servers] == [[]] * 4
    assert network.name() not in [n.name() for n in libvirtd.listAllNetworks()]


# -- hardware ----------------------------------------------------------------------------------------

@pytest.mark.parametrize(
    'properties, specs',
    [
        ({'hw_machine_type': 'q35', 'hw_cdrom_bus': 'sata'}, {'hw:watchdog_action': 'reset'}),
        ({'hw_firmware_type': 'uefi', 'hw_machine_type': 'q35'}, {}),
        (
            {'hw_disk_bus': 'scsi', 'hw_scsi_model': 'virtio-scsi', 'hw_vif_model': 'e1000'},
            {'hw:cpu_cores': '2'},
        ),
        (
            {'hw_disk_bus': 'sata', 'hw_machine_type': 'q35', 'hw_video_model': 'virtio'},
            {'quota:cpu_shares': '512'},
        ),
        (
            {
                'hw_disk_bus': 'ide',
                'hw_video_model': 'cirrus',
                'hw_vif_model': 'rtl8139',
                'hw_pointer_model': 'ps2mouse',
            },
            {'hw_rng:allowed': 'false', 'quota:disk_total_iops_sec': '2000'},
        ),
        ({'hw_qemu_guest_agent': 'yes', 'hw_vif_multiqueue_enabled': 'yes'}, {'hw_rng:rate_bytes': '4096'}),
    ],
)
def test_hardware_that_boots(driver, cloud, libvirtd, state, properties, specs):
    instance = cloud.server({'vcpus': 2, 'memory_mb': 256, 'extra_specs': specs}, config_drive=True,
                            image_properties=properties)
    driver.spawn(request(instance))
    assert 'source=config-drive' in up(driver, instance)
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


def test_a_secure_boot_machine_starts(driver, cloud, libvirtd, state):
    instance = cloud.server({'memory_mb': 256}, network=False, image_properties={
        'hw_firmware_type': 'uefi', 'hw_machine_type': 'q35', 'os_secure_boot': 'required'})
    driver.spawn(request(instance))
    assert driver.power_state(instance.uuid) == PowerState.RUNNING
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


def test_direct_boot_with_the_command_line_of_the_image(driver, cloud, libvirtd, state):
    instance = cloud.server(
        network=False,
        kernel_id='minicompute-guest-kernel',
        ramdisk_id='minicompute-guest-initrd',
        image_properties={'os_command_line': 'console=ttyS0 mark=direct-boot'},
    )
    driver.spawn(
        request(instance, kernel=image(instance.kernel_id, 'aki'), ramdisk=image(instance.ramdisk_id, 'ari'))
    )
    up(driver, instance)
    assert 'mark=direct-boot' in driver.console_output(instance, None)
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


def test_raw_disks(driver, cloud):
    CONF.set_override('images_type', 'raw', 'libvirt')
    try:
        instance = cloud.server(network=False)
        driver.spawn(request(instance))
        up(driver, instance)
    finally:
        CONF.clear_override('images_type', 'libvirt')
    driver.reboot(instance, hard=True)   # the option has changed since
    up(driver, instance)
    driver.destroy(instance)


# -- what happens by itself ----------------------------------------------------------------------------

def test_a_change_that_nobody_asked_for_is_told_once(driver, cloud, libvirtd, heard):
    instance = cloud.server(network=False)
    driver.spawn(request(instance))
    domain = libvirtd.lookupByUUIDString(instance.uuid)

    def news() -> list:      # other guests of this libvirtd may have theirs
        return [one for one in heard if one[0] == instance.uuid]
    domain.suspend()
    wait_for('news', news)
    domain.resume()
    wait_for('news', lambda: len(news()) > 1)
    domain.destroy()
    wait_for('news', lambda: len(news()) > 2)
    assert news() == [
        (instance.uuid, state) for state in (PowerState.PAUSED, PowerState.RUNNING, PowerState.SHUTDOWN)
    ]
    driver.destroy(instance)


def test_sweep_removes_our_orphans_and_spares_all_others(driver, cloud, libvirtd, state):
    kept, left = cloud.server(network=False), cloud.server()
    other = cloud.server(network=False)
    for server in (kept, left):
        driver.spawn(request(server))
    host = CONF.host
    CONF.set_override('host', 'somebody-else')
    driver.spawn(request(other))
    CONF.set_override('host', host)
    removed = driver.sweep({kept.uuid, other.uuid}, 3600)
    assert [line.split()[0] for line in removed] == ['domain', 'directory', 'network']
    assert left_of(libvirtd, state, left) == []
    driver.power_state(kept.uuid)
    driver.sweep({kept.uuid}, 3600)
    driver.power_state(other.uuid)
    CONF.set_override('host', 'somebody-else')      # whose disks nobody else removes
    driver.destroy(other)
    CONF.set_override('host', host)
    driver.destroy(kept)
    assert any('image' in line for line in driver.sweep(set(), 0))


WIRE = '''
import socket, sys, threading

def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    source.close()
    target.close()

server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
while True:
    near, far = server.accept()[0], socket.socket(socket.AF_UNIX)
    far.connect('/var/run/libvirt/libvirt-sock')
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
'''


class Wire:
    """Carries a connection to libvirtd, and can be cut: to the driver libvirtd has died."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.process: subprocess.Popen | None = None

    def join(self) -> None:
        self.process = subprocess.Popen(['python3', '-c', WIRE, self.path])
        wait_for('the wire', lambda: os.path.exists(self.path), BOOT)

    def cut(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            os.unlink(self.path)
            self.process = None


def test_libvirtd_goes_and_comes_back(state, cloud, libvirtd, heard, source):
    wire = Wire(str(state / 'wire'))
    wire.join()
    CONF.set_override('connection_uri', f'qemu+unix:///system?socket={wire.path}', 'libvirt')
    driver = LibvirtDriver(source)
    try:
        driver.start(lambda uuid, state: heard.append((uuid, state)))
        instance, other = cloud.server(network=False), cloud.server(network=False)
        driver.spawn(request(instance))
        wire.cut()
        libvirtd.lookupByUUIDString(instance.uuid).destroy()   # while nobody listens
        waiting = threading.Thread(target=driver.spawn, args=(request(other),))
        waiting.start()   # a verb waits for libvirtd too
        time.sleep(1)
        wire.join()
        wait_for('what was missed', lambda: (instance.uuid, PowerState.SHUTDOWN) in heard, BOOT)
        waiting.join(BOOT)
        assert driver.power_state(other.uuid) == PowerState.RUNNING
        libvirtd.lookupByUUIDString(other.uuid).destroy()
        wait_for('news on the new connection', lambda: (other.uuid, PowerState.SHUTDOWN) in heard, BOOT)
        for server in (instance, other):
            driver.destroy(server)
    finally:
        CONF.clear_override('connection_uri', 'libvirt')
        driver.stop()
        wire.cut()


def test_a_guest_cannot_take_the_address_of_another(driver, cloud):
    """The rules that libvirt made for the card: only its own hardware and network address get through."""
    instance = cloud.server()
    driver.spawn(request(instance))
    card = instance.network_info[0]
    rules = subprocess.run(['ebtables-save'], capture_output=True, text=True, check=True).stdout
    own = [line for line in rules.splitlines() if card.devname in line]
    assert any(f'--ip-src {card.fixed_ips[0].address} -j RETURN' in line for line in own)
    assert any(f'-s {card.mac_address} -j RETURN' in line for line in own)
    driver.destroy(instance)


def test_inventory(driver, libvirtd):
    node = driver.inventory()
    assert node.vcpus == os.cpu_count() and node.hypervisor_type == 'QEMU'
    assert node.hypervisor_version == libvirtd.getVersion()
    assert node.memory_mb == os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 20
    assert node.uuid == driver.inventory().uuid
    assert ['x86_64', node.capabilities['virt_type'], 'hvm'] in node.supported_instances
    assert set(node.cpu_info) == {'arch', 'vendor', 'model', 'topology', 'features'}
