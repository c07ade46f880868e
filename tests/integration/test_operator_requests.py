"""What operators ask a host for, on a real libvirtd with a guest that boots."""
from __future__ import annotations

import libvirt
import pytest

from minicompute import exception
from minicompute.api.openstack.api_version_request import parse
from minicompute.api.openstack.compute.schemas import server_diagnostics as schema
from minicompute.objects import ImageMeta
from tests.integration.test_libvirt_driver import (  # noqa: F401
    cloud,
    driver,
    heard,
    image,
    left_of,
    libvirtd,
    reachable,
    request,
    source,
    state,
    up,
    wait_for,
)


def test_diagnostics_in_both_forms(driver, cloud, libvirtd, state):  # noqa: F811
    instance = cloud.server({'vcpus': 2})
    driver.spawn(request(instance))
    up(driver, instance)
    said = driver.diagnostics(instance)
    assert schema.answer.wrong(said, parse('2.104')) is None
    assert said['num_cpus'] == 2 and all(cpu['time'] > 0 for cpu in said['cpu_details'])
    assert said['disk_details'][0]['read_bytes'] > 0 and said['memory_details']['maximum'] == 160
    assert said['nic_details'][0]['mac_address'] == instance.network_info[0].mac_address
    old = driver.old_diagnostics(instance)
    assert schema.answer.wrong(old, parse('2.47')) is None
    card = instance.network_info[0].devname
    assert old['cpu0_time'] > 0 and old['vda_read'] > 0 and old['memory'] == 160 * 1024 and f'{card}_rx' in old
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []


def test_networks_are_brought_up_again(driver, cloud, libvirtd, state):  # noqa: F811
    """Somebody has taken the guest's address out of libvirt's DHCP server."""
    instance = cloud.server()
    driver.spawn(request(instance))
    up(driver, instance)
    card = instance.network_info[0]
    network = libvirtd.networkLookupByName(card.details['libvirt_network'])
    network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1,
                   f"<host mac='{card.mac_address}' ip='{card.fixed_ips[0].address}'/>", 0)
    assert card.mac_address not in network.XMLDesc()
    for _ in range(2):
        driver.inject_network_info(instance)
        assert network.XMLDesc().count(card.mac_address) == 1
    wait_for('ssh', lambda: reachable(instance))
    driver.destroy(instance)
    with pytest.raises(exception.DomainNotFound):
        driver.inject_network_info(instance)
    assert left_of(libvirtd, state, instance) == []


def test_an_image_is_there_before_a_server_needs_it(driver, cloud, source):  # noqa: F811
    driver.sweep(set(), 0)
    assert driver.cache_image(image()) is True
    assert driver.cache_image(image()) is False
    assert len(source.fetched) == 1
    instance = cloud.server(network=False)
    driver.spawn(request(instance))
    assert len(source.fetched) == 1, 'the build found it'
    driver.destroy(instance)
    assert not driver.sweep(set(), 3600), 'it is kept while it is young'
    assert any('image' in line for line in driver.sweep(set(), 0))
    with pytest.raises(exception.ImageNotFound):
        driver.cache_image(ImageMeta(id='gone', disk_format='qcow2'))
