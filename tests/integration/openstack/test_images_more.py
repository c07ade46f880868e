"""More of what Glance's images are for: fetched ahead, with a kernel of their own, and made by the shelf."""
from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.openstack.conftest import HOME, REPO, Lab
from tests.integration.openstack.test_images import FLAVOR, UP, Cleaned, boot, said, upload

BASES = HOME / 'state' / 'instances' / '_base'
KERNEL, RAMDISK = (REPO / 'run' / 'images' / f'minicompute-guest-{what}' for what in ('kernel', 'initrd'))


@pytest.fixture
def aggregate(lab: Lab) -> Iterator[Any]:
    """Of this machine's compute alone."""
    compute = lab.of('admin').compute
    (host,) = [one.host for one in compute.services(binary='nova-compute') if not one.host.startswith('host')]
    made = compute.create_aggregate(name=f'cache-{uuid.uuid4().hex[:6]}')
    yield compute.add_host_to_aggregate(made, host)
    compute.remove_host_from_aggregate(made, host)
    compute.delete_aggregate(made)


def test_an_image_is_fetched_ahead(lab: Lab, cleaned: Cleaned, aggregate: Any) -> None:
    """A boot takes what is there."""
    image = upload(lab, 'admin', cleaned, '--public')
    before = set(BASES.glob('*'))
    asked = lab.of('admin').compute.request(f'/os-aggregates/{aggregate.id}/images', 'POST', microversion='2.81',
                                            json={'cache': [{'id': image}]})
    assert asked.status_code == 202, asked.text
    new = lab.until(lambda: {one for one in set(BASES.glob('*.qcow2')) - before}, 'the image to be in the cache')
    (path,) = new
    made = path.stat().st_ino
    asked = lab.of('admin').compute.request('/servers', 'POST', microversion='2.74', json={'server': {
        'name': 'ahead', 'imageRef': image, 'flavorRef': lab.of('admin').compute.find_flavor(FLAVOR).id,
        'networks': 'none', 'host': aggregate.hosts[0]}})
    lab.wait('admin', cleaned('admin', asked.json()['server']['id']), 'ACTIVE')
    # The server's disk stands on another name of the same file.
    assert (path.stat().st_ino, path.stat().st_nlink) == (made, 2)


def test_a_kernel_and_a_ramdisk_of_their_own(lab: Lab, cleaned: Cleaned) -> None:
    def part(kind: str, path: Any) -> str:
        made = lab.made('demo', 'image', 'create', f'{kind}-{uuid.uuid4().hex[:6]}', '--file', str(path),
                        '--disk-format', kind, '--container-format', kind)
        return cleaned('demo', made['id'])
    kernel, ramdisk = part('aki', KERNEL), part('ari', RAMDISK)
    image = upload(lab, 'demo', cleaned, '--property', f'kernel_id={kernel}', '--property', f'ramdisk_id={ramdisk}',
                   '--property', 'os_command_line=console=ttyS0 quiet minicompute.test=kernel')
    server = boot(lab, 'demo', image, cleaned)
    lab.wait('demo', server, 'ACTIVE')
    domain = lab.domain(server)
    assert '<kernel>' in domain and '<initrd>' in domain and 'minicompute.test=kernel' in domain
    lab.until(lambda: UP in said(lab, 'demo', server), 'the guest to come up')


def test_the_shelf_is_an_image(lab: Lab, cleaned: Cleaned) -> None:
    """It is Glance's while the server is shelved, its owner's, and gone when the server is back."""
    server = boot(lab, 'demo', upload(lab, 'demo', cleaned), cleaned, name='shelved-one')
    lab.wait('demo', server, 'ACTIVE')
    compute, images = lab.of('demo').compute, lab.of('demo').image
    compute.shelve_server(server)
    lab.wait('demo', server, 'SHELVED_OFFLOADED')
    (shelf,) = images.get('/images', params={'instance_uuid': server}).json()['images']
    cleaned('demo', shelf['id'])
    assert (shelf['name'], shelf['status'], shelf['owner']) == (
        'shelved-one-shelved', 'active', lab.of('demo').current_project_id)
    compute.unshelve_server(server)
    lab.wait('demo', server, 'ACTIVE')
    lab.until(lambda: UP in said(lab, 'demo', server), 'the guest to come up')
    lab.until(lambda: images.find_image(shelf['id'], ignore_missing=True) is None, 'the image of the shelf to go')
