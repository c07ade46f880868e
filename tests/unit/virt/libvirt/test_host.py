from __future__ import annotations

import uuid

import pytest

from minicompute import exception
from minicompute.conf import CONF
from minicompute.virt.libvirt import capabilities, console, identity, space
from minicompute.virt.libvirt.config.base import parse
from minicompute.virt.libvirt.driver import LibvirtDriver

CAPABILITIES = parse("""<capabilities><host><cpu><arch>x86_64</arch><model>EPYC</model><vendor>AMD</vendor>
  <topology sockets="1" dies="1" cores="2" threads="2"/><feature name="svm"/>
  <feature name="aes"/></cpu></host>
  <guest><os_type>hvm</os_type><arch name="x86_64"><machine canonical="pc-i440fx-7.2">pc</machine>
  <domain type="qemu"/><domain type="kvm"/></arch></guest></capabilities>""")


def test_no_libvirtd_is_one_clear_line(option):
    option('libvirt', connection_uri='qemu+unix:///system?socket=/nonexistent')
    with pytest.raises(exception.ConfigurationError) as caught:
        LibvirtDriver().start(lambda uuid, state: None)
    assert 'does not answer at qemu+unix' in str(caught.value) and '\n' not in str(caught.value)
    assert 'set [libvirt] connection_uri' in str(caught.value)


def test_node_uuid_is_steady(state):
    first = identity.node_uuid()
    assert first == identity.node_uuid() == str(uuid.UUID(first))
    assert [path.name for path in state.iterdir() if path.is_file()] == ['compute_id']


def test_a_broken_identity_is_not_replaced(state):
    (state / 'compute_id').write_text('oops')
    with pytest.raises(exception.ConfigurationError, match='compute_id'):
        identity.node_uuid()


def test_a_closed_directory_on_the_way_is_found(tmp_path):
    (tmp_path / 'a' / 'b').mkdir(parents=True)
    (tmp_path / 'a').chmod(0o700)
    assert space.closed_directory('/usr/bin') is None
    assert space.closed_directory(str(tmp_path / 'a' / 'b')) is not None


# -- capabilities --------------------------------------------------------------------------

@pytest.mark.parametrize(
    'text, expected',
    [
        ('processor: 0\nflags : fpu vmx sse\n', True),
        ('flags\t\t: fpu svm\n', True),
        ('flags: fpu sse\n', False),
        ('model: my svm\n', False),
        ('', False),
    ],
)
def test_virtualisation_of_the_cpu(tmp_path, text, expected):
    (tmp_path / 'cpuinfo').write_text(text)
    assert capabilities.cpu_has_virtualisation(str(tmp_path / 'cpuinfo')) is expected


@pytest.mark.parametrize(
    'device, flag, libvirt_has, expected',
    [
        (True, True, True, 'kvm'),
        (False, True, True, 'qemu'),
        (True, False, True, 'qemu'),
        (True, True, False, 'qemu'),
    ],
)
def test_auto_is_kvm_only_when_all_three_say_so(monkeypatch, device, flag, libvirt_has, expected):
    monkeypatch.setattr(capabilities.os.path, 'exists', lambda path: device)
    monkeypatch.setattr(capabilities, 'cpu_has_virtualisation', lambda: flag)
    monkeypatch.setattr(capabilities, '_domain_capabilities', lambda *args: object() if libvirt_has else None)
    assert capabilities._virt_type(None, 'x86_64') == expected


def test_virt_type_of_the_configuration_wins(option):
    option('libvirt', virt_type='kvm')
    assert capabilities._virt_type(None, 'x86_64') == 'kvm'


def test_host_facts():
    assert capabilities._cpu_info(CAPABILITIES) == {
        'arch': 'x86_64', 'vendor': 'AMD', 'model': 'EPYC', 'features': ['aes', 'svm'],
        'topology': {'sockets': 1, 'dies': 1, 'cores': 2, 'threads': 2}}
    assert capabilities._supported(CAPABILITIES, 'qemu') == [['x86_64', 'qemu', 'hvm']]
    assert ['x86_64', 'kvm', 'hvm'] in capabilities._supported(CAPABILITIES, 'kvm')
    assert capabilities._machines(CAPABILITIES, 'x86_64') == {'pc', 'pc-i440fx-7.2'}


def test_host_passthrough_needs_kvm(option):
    option('libvirt', cpu_mode='host-passthrough')
    with pytest.raises(exception.ConfigurationError, match='cpu_mode'):
        capabilities._check_cpu_mode(capabilities.Capabilities('qemu', 'x86_64', {}, []))


# -- the serial console ----------------------------------------------------------------------

def test_console_tail(tmp_path, option):
    (tmp_path / 'console.log').write_bytes(b'one\ntwo\nthr\xff\n')
    assert console.tail(str(tmp_path), None) == 'one\ntwo\nthr\ufffd\n'
    assert console.tail(str(tmp_path), 2) == 'two\nthr\ufffd\n'
    assert console.tail(str(tmp_path), 0) == ''
    assert console.tail(str(tmp_path), 99).startswith('one')


def test_console_is_bounded_and_goes_on_in_the_older_file(tmp_path, option):
    option('serial_console', log_max_bytes=1024)
    (tmp_path / 'console.log').write_bytes(b'new\n')
    (tmp_path / 'console.log.0').write_bytes(b'x' * 5000 + b'old\n')
    text = console.tail(str(tmp_path), None)
    assert len(text) == CONF.serial_console.log_max_bytes and text.endswith('old\nnew\n')


def test_console_of_a_guest_that_said_nothing(tmp_path):
    assert console.tail(str(tmp_path), None) == ''


def test_console_follows_no_link(tmp_path):
    (tmp_path / 'secret').write_text('s')
    (tmp_path / 'console.log').symlink_to(tmp_path / 'secret')
    with pytest.raises(OSError):
        console.tail(str(tmp_path), None)
