"""What a domain has used, in both forms, from what libvirt says of a real one."""
from __future__ import annotations

import datetime
from typing import Any

import pytest

from minicompute.objects import VIF, Instance
from minicompute.utils import utcnow
from minicompute.virt.libvirt import guest, statistics

SAID = {
    'vcpu.current': 2, 'vcpu.0.time': 1500, 'vcpu.1.time': 70, 'balloon.current': 65536, 'balloon.maximum': 131072,
    'balloon.rss': 40960, 'balloon.swap_in': 0, 'balloon.last-update': 12, 'net.count': 1, 'net.0.name': 'tap1',
    'net.0.rx.bytes': 90, 'net.0.rx.pkts': 1, 'net.0.rx.errs': 0, 'net.0.rx.drop': 3, 'net.0.tx.bytes': 0,
    'net.0.tx.pkts': 0, 'net.0.tx.errs': 0, 'net.0.tx.drop': 0, 'block.count': 1, 'block.0.name': 'vda',
    'block.0.rd.reqs': 10, 'block.0.rd.bytes': 5120, 'block.0.wr.reqs': 2, 'block.0.wr.bytes': 1024,
}


@pytest.fixture
def instance(monkeypatch: Any) -> Instance:
    class Found:
        def statistics(self) -> dict[str, Any]:
            return SAID

        def power_state(self) -> int:
            return 1
    monkeypatch.setattr(guest, 'find', lambda host, uuid: Found())
    return Instance(uuid='u', project_id='p', user_id='u', launched_at=utcnow() - datetime.timedelta(seconds=100),
                    network_info=[VIF(id='1', network_id='n', network_name='net', mac_address='52:54:00:00:00:01')])


def test_the_fixed_form(instance: Instance) -> None:
    found = statistics.read(None, instance, 'kvm')     # type: ignore[arg-type]
    assert (found['hypervisor'], found['hypervisor_os'], found['state']) == ('kvm', 'linux', 'running')
    assert 100 <= found['uptime'] < 200
    assert [cpu['time'] for cpu in found['cpu_details']] == [1500, 70]
    (card,) = found['nic_details']
    assert card['mac_address'] == '52:54:00:00:00:01' and card['rx_octets'] == 90 and card['rx_drop'] == 3
    assert found['memory_details'] == {'maximum': 128, 'used': 40}


def test_the_old_names(instance: Instance) -> None:
    found = statistics.read_old(None, instance)     # type: ignore[arg-type]
    assert found == {
        'cpu0_time': 1500, 'cpu1_time': 70, 'vda_read_req': 10, 'vda_read': 5120, 'vda_write_req': 2,
        'vda_write': 1024, 'vda_errors': -1, 'tap1_rx': 90, 'tap1_rx_packets': 1, 'tap1_rx_errors': 0,
        'tap1_rx_drop': 3, 'tap1_tx': 0, 'tap1_tx_packets': 0, 'tap1_tx_errors': 0, 'tap1_tx_drop': 0,
        'memory': 131072, 'memory-actual': 65536, 'memory-rss': 40960, 'memory-swap_in': 0, 'memory-last_update': 12}


def test_a_server_that_was_never_launched_has_no_age(instance: Instance) -> None:
    instance.launched_at = None
    assert statistics.read(None, instance)['uptime'] is None     # type: ignore[arg-type]
