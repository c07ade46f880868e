"""Images of a real Glance: booted, made, shared; and a Glance, or a token, that ends in the middle."""
from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests
from openstack import exceptions

from tests.integration.openstack.conftest import GUEST, Lab

Cleaned = Callable[[str, str], str]
FLAVOR = 'm1.nano'
UP = 'minicompute-guest: up'
#: of the conductor: what is not there is given up soon
HASTE = '[conductor]\nbuild_deadline = 15\nimage_deadline = 15\nstep_deadline = 8\n'


def upload(lab: Lab, user: str, cleaned: Cleaned, *options: str) -> str:
    """A fresh image, which no host has. -> its id"""
    return cleaned(user, lab.made(user, 'image', 'create', f'guest-{uuid.uuid4().hex[:8]}', '--file', str(GUEST),
                                  '--disk-format', 'qcow2', '--container-format', 'bare', *options)['id'])


def boot(lab: Lab, user: str, image: str, cleaned: Cleaned, name: str = 'of-images') -> str:
    """-> the id of a server that is being built"""
    compute = lab.of(user).compute
    flavor = compute.find_flavor(FLAVOR).id
    return cleaned(user, compute.create_server(name=name, image_id=image, flavor_id=flavor, networks='none').id)


def snapshot(lab: Lab, user: str, server: str, cleaned: Cleaned) -> str:
    return cleaned(user, lab.of(user).compute.create_server_image(server, 'of-' + server[:8]).id)


def action(lab: Lab, user: str, server: str, name: str) -> Any:
    """The newest action of this name."""
    listed = lab.of(user).compute.get(f'/servers/{server}/os-instance-actions').json()['instanceActions']
    return next((one for one in listed if one['action'] == name), None)


def said(lab: Lab, user: str, server: str) -> str:
    return str(lab.of(user).compute.get_server_console_output(server)['output'])


def test_a_guest_its_image_and_a_guest_of_that(lab: Lab, cleaned: Cleaned) -> None:
    """All by the unmodified client, as a plain user."""
    image = upload(lab, 'demo', cleaned, '--property', 'hw_disk_bus=scsi')
    first = cleaned('demo', lab.made('demo', 'server', 'create', 'first', '--image', image, '--flavor', FLAVOR,
                                     '--no-network', '--wait')['id'])
    lab.until(lambda: UP in said(lab, 'demo', first), 'the guest to come up')
    admins = lab.of('admin').compute.get(f'/servers/{first}', headers={'OpenStack-API-Version': 'compute 2.3'})
    assert admins.json()['server']['OS-EXT-SRV-ATTR:root_device_name'] == '/dev/sda'
    made = cleaned('demo', lab.made('demo', 'server', 'image', 'create', first, '--name', 'of-first', '--wait')['id'])
    shown = lab.of('demo').image.get(f'/images/{made}').json()
    assert (shown['status'], shown['disk_format'], shown['visibility']) == ('active', 'qcow2', 'private')
    assert shown['owner'] == lab.of('demo').current_project_id and shown['size'] > GUEST.stat().st_size // 2
    assert shown['instance_uuid'] == first and shown['base_image_ref'] == image and shown['hw_disk_bus'] == 'scsi'
    second = cleaned('demo', lab.made('demo', 'server', 'create', 'second', '--image', made, '--flavor', FLAVOR,
                                      '--no-network', '--wait')['id'])
    lab.until(lambda: UP in said(lab, 'demo', second), 'the second guest to come up')
    lab.client('demo', 'server', 'delete', '--wait', first, second)
    lab.client('demo', 'image', 'delete', made)
    assert first not in lab.client('admin', 'server', 'list', '--all-projects', '-f', 'value', '-c', 'ID')


def refused(lab: Lab, user: str, image: str) -> str:
    flavor = lab.of(user).compute.find_flavor(FLAVOR).id
    with pytest.raises(exceptions.BadRequestException) as caught:
        lab.of(user).compute.create_server(name='no', image_id=image, flavor_id=flavor, networks='none')
    return str(caught.value)


def test_images_of_other_projects(lab: Lab, cleaned: Cleaned) -> None:
    image = upload(lab, 'demo', cleaned, '--private')
    assert 'Can not find requested image' in refused(lab, 'other', image)
    proxy = lab.of('other').compute.get(f'/images/{image}', headers={'OpenStack-API-Version': 'compute 2.1'})
    assert proxy.status_code == 404
    shared = lab.of('demo').image
    shared.update_image(image, visibility='shared')
    shared.add_member(image, member_id=lab.of('other').current_project_id)
    lab.wait('other', boot(lab, 'other', image, cleaned), 'ACTIVE')
    shared.update_image(image, visibility='private')
    assert 'Can not find requested image' in refused(lab, 'other', image)
    shared.update_image(image, visibility='community')
    lab.wait('other', boot(lab, 'other', image, cleaned), 'ACTIVE')
    lab.of('admin').image.deactivate_image(image)
    assert 'is not active' in refused(lab, 'other', image)


def test_backups_rotate(lab: Lab, cleaned: Cleaned) -> None:
    server = boot(lab, 'demo', upload(lab, 'demo', cleaned), cleaned)
    lab.wait('demo', server, 'ACTIVE')
    compute = lab.of('demo').compute
    for number in range(3):
        compute.backup_server(server, f'backup-{number}', 'daily', 2)
        lab.wait('demo', server, 'ACTIVE')
    found = lab.of('demo').image.get('/images', params={'instance_uuid': server}).json()['images']
    for one in found:
        cleaned('demo', one['id'])
    assert sorted((one['name'], one['status']) for one in found) == [('backup-1', 'active'), ('backup-2', 'active')]


# -- what goes away in the middle -------------------------------------------------------------------

def test_glance_goes_and_comes_back_in_a_boot(lab: Lab, cleaned: Cleaned) -> None:
    image = upload(lab, 'demo', cleaned)
    with lab.stopped('glance'):
        with pytest.raises(exceptions.HttpException) as caught:
            boot(lab, 'demo', image, cleaned)
        assert caught.value.status_code == 503 and 'The Image service is not available' in str(caught.value)
    lab.tool('stop', 'compute')
    try:
        server = boot(lab, 'demo', image, cleaned)
        lab.until(lambda: lab.of('admin').compute.get_server(server).hypervisor_hostname, 'a host for it')
        with lab.stopped('glance'):
            lab.tool('start', 'compute')
            time.sleep(8)       # the compute asks in vain
            assert lab.of('demo').compute.get_server(server).status == 'BUILD'
    finally:
        lab.tool('start', 'compute')
    lab.wait('demo', server, 'ACTIVE')


def test_glance_goes_for_good_in_a_boot(lab: Lab, cleaned: Cleaned) -> None:
    image = upload(lab, 'demo', cleaned)
    with lab.settings(HASTE, 'conductor'):
        lab.tool('stop', 'compute')
        try:
            server = boot(lab, 'demo', image, cleaned)
            lab.until(lambda: lab.of('admin').compute.get_server(server).hypervisor_hostname, 'a host for it')
            with lab.stopped('glance'):
                lab.tool('start', 'compute')
                found = lab.wait('demo', server, 'ERROR')
                assert 'The Image service is not available' in found.fault['message']
        finally:
            lab.tool('start', 'compute')
    lab.client('demo', 'server', 'delete', '--wait', server)


@pytest.fixture
def server(lab: Lab, cleaned: Cleaned) -> str:
    made = boot(lab, 'demo', upload(lab, 'demo', cleaned), cleaned)
    lab.wait('demo', made, 'ACTIVE')
    return made


def test_glance_goes_and_comes_back_in_a_snapshot(lab: Lab, cleaned: Cleaned, server: str) -> None:
    lab.tool('stop', 'compute')
    try:
        image = snapshot(lab, 'demo', server, cleaned)
        with lab.stopped('glance'):
            lab.tool('start', 'compute')
            lab.until(lambda: lab.of('demo').compute.get_server(server).task_state == 'image_uploading',
                      'the upload to be tried')
            time.sleep(5)
    finally:
        lab.tool('start', 'compute')
    lab.wait('demo', server, 'ACTIVE')
    assert lab.of('demo').image.get_image(image).status == 'active'
    assert action(lab, 'demo', server, 'createImage')['message'] is None


def test_glance_goes_for_good_in_a_snapshot(lab: Lab, cleaned: Cleaned, server: str) -> None:
    """The server is its user's again; the image goes when Glance is back."""
    with lab.settings(HASTE, 'conductor'):
        lab.tool('stop', 'compute')
        try:
            image = snapshot(lab, 'demo', server, cleaned)
            with lab.stopped('glance'):
                lab.tool('start', 'compute')
                lab.until(lambda: action(lab, 'demo', server, 'createImage')['message'], 'the action to end')
                lab.wait('demo', server, 'ACTIVE')
                assert 'The Image service is not available' in action(lab, 'demo', server, 'createImage')['message']
        finally:
            lab.tool('start', 'compute')
        lab.until(lambda: lab.of('demo').image.find_image(image, ignore_missing=True) is None, 'the image to be gone')


def test_a_token_that_ends_while_a_guest_is_built(lab: Lab, cleaned: Cleaned) -> None:
    image = upload(lab, 'demo', cleaned)
    connection = lab.of('demo')
    token = connection.session.get_token()
    lab.tool('stop', 'compute')
    try:
        server = boot(lab, 'demo', image, cleaned)
        keystone = connection.session.get_endpoint(service_type='identity')
        gone = requests.delete(f'{keystone.rstrip("/")}/auth/tokens', timeout=60,
                               headers={'X-Auth-Token': token, 'X-Subject-Token': token})
        assert gone.status_code == 204
    finally:
        lab.tool('start', 'compute')
    connection.session.invalidate()
    lab.wait('demo', server, 'ACTIVE')
