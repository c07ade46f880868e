"""Volumes and cards over REST, real daemons and a real guest, with a compute that is killed in the middle."""
from __future__ import annotations

import base64
import os
import pathlib
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.stack import Api, Broker, Stack, wait_for
from tests.integration.test_devices import SCRIPT
from tests.integration.test_libvirt_driver import BOOT, GUEST, IMAGES, libvirtd  # noqa: F401  (fixture)


@pytest.fixture
def stack(broker: Broker, libvirtd: Any) -> Iterator[Stack]:  # noqa: F811
    path = pathlib.Path(tempfile.mkdtemp(prefix='minicompute-', dir='/var/tmp'))
    path.chmod(0o755)
    settings = {'libvirt': {'virt_type': 'qemu'}, 'conductor': {'sweep_interval': 1, 'ask_again': 3}}
    try:
        with Stack(path, broker, driver='libvirt.LibvirtDriver', settings=settings) as running:
            yield running
    finally:
        for domain in libvirtd.listAllDomains():    # of a test that failed
            if f'{path}/' in domain.XMLDesc():
                if domain.isActive():
                    domain.destroy()
                domain.undefine()
        shutil.rmtree(path)


def upload(stack: Stack) -> str:
    api = Api(stack.endpoint.replace('/v2.1', '/image/v2'))
    image = api.ok('POST', '/images', {'name': 'guest', 'disk_format': 'qcow2', 'container_format': 'bare'})['id']
    request = urllib.request.Request(f'{api.endpoint}/images/{image}/file', method='PUT', headers={
        'Content-Type': 'application/octet-stream', 'X-Auth-Token': 'admin:admin'}, data=(IMAGES / GUEST).read_bytes())
    with urllib.request.urlopen(request, timeout=BOOT) as answer:
        assert answer.status == 204
    return str(image)


def lan(stack: Stack) -> str:
    api, number = Api(stack.endpoint.replace('/v2.1', '/network/v2.0')), os.getpid() % 200
    network = api.ok('POST', '/networks', {'network': {'name': 'lan', 'shared': True}})['network']['id']
    api.ok('POST', '/subnets', {'subnet': {'network_id': network, 'cidr': f'10.95.{number}.0/24', 'ip_version': 4}})
    return str(network)


def says(stack: Stack, uuid: str, text: str) -> None:
    def look() -> bool:
        status, answer = stack.api.request('POST', f'/servers/{uuid}/action', {'os-getConsoleOutput': {}})
        return status == 200 and text in answer['output']
    wait_for(look, BOOT, text)


def test_devices_come_and_go_though_a_compute_dies(stack: Stack) -> None:
    api, network = stack.api, lan(stack)
    flavor = api.flavor(ram=160)
    made = api.boot('vm', flavor, upload(stack), networks=[{'uuid': network}], config_drive=True,
                    user_data=base64.b64encode(SCRIPT.encode()).decode())['id']
    api.wait_status(made, 'ACTIVE', BOOT)
    says(stack, made, 'minicompute-guest: up')
    volume = api.ok('POST', '/v3/volumes', {'volume': {'size': 1, 'name': 'data'}})['volume']['id']
    path = f'/servers/{made}/os-volume_attachments'
    api.ok('POST', path, {'volumeAttachment': {'volumeId': volume, 'delete_on_termination': True}})
    card = api.ok('POST', f'/servers/{made}/os-interface', {'interfaceAttachment': {}})['interfaceAttachment']
    stack.kill('compute')
    stack.spawn('compute')
    says(stack, made, 'vdb holds <hello>')
    says(stack, made, f" {card['fixed_ips'][0]['ip_address']}/")

    def volume_is(status: str) -> None:
        wait_for(lambda: api.ok('GET', f'/v3/volumes/{volume}')['volume']['status'] == status, BOOT, status)
    volume_is('in-use')
    api.ok('DELETE', f"/servers/{made}/os-interface/{card['port_id']}")
    api.ok('DELETE', f'{path}/{volume}')
    stack.kill('compute')
    stack.spawn('compute')
    volume_is('available')
    says(stack, made, 'hotplug remove vdb')
    cards = f'/servers/{made}/os-interface'
    wait_for(lambda: len(api.ok('GET', cards)['interfaceAttachments']) == 1, BOOT, 'the card to be gone')

    api.ok('POST', path, {'volumeAttachment': {'volumeId': volume, 'delete_on_termination': True}})
    volume_is('in-use')
    file = stack.state / 'volumes' / f'{volume}.qcow2'
    assert file.exists()
    api.ok('DELETE', f'/servers/{made}')
    wait_for(lambda: api.request('GET', f'/v3/volumes/{volume}')[0] == 404, BOOT, 'the volume to be gone')
    assert not file.exists()
