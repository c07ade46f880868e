"""What Cinder and its volumes cannot be, with the codes of Nova."""
from __future__ import annotations

from typing import Any

import pytest

from minicompute.db import session
from minicompute.db.api import instances
from tests.functional.cinder_server import CinderServer, always
from tests.functional.cloud import Cloud
from tests.functional.test_cinder import attach, boot, cloud, mapped, quiet, server

__all__ = ['cloud', 'server']


# -- what is not to be had -----------------------------------------------------------------

@pytest.mark.parametrize('status', ['reserved', 'attaching', 'detaching', 'in-use', 'error', 'downloading', 'extending',
                                    'maintenance', 'deleting'])
def test_volumes_that_are_not_available(cloud: Cloud, cinder: CinderServer, server: str, status: str) -> None:
    one = cinder.volume(status=status)
    cinder.volumes[one]['previous'], cinder.volumes[one]['pending'] = status, 10**6
    said = attach(cloud, server, one, expect=400)['badRequest']['message']
    assert "status must be 'available'" in said and status in said
    answer = boot(cloud, {'source_type': 'volume', 'uuid': one, 'destination_type': 'volume'},
                  {'source_type': 'image', 'uuid': cloud.image(), 'destination_type': 'local', 'boot_index': 0},
                  imageRef=cloud.image(), expect=400)
    assert status in answer['badRequest']['message'] and not cinder.attachments and not mapped(server)


def test_encrypted_ones_are_refused_wherever_they_come_from(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    one, plain = cinder.volume(encrypted=True, bootable='true'), cinder.volume()
    root = {'source_type': 'volume', 'uuid': one, 'destination_type': 'volume', 'boot_index': 0}
    assert 'is encrypted' in boot(cloud, root, expect=400)['badRequest']['message']
    attach(cloud, server, plain)
    quiet(cloud)
    answer = cloud.request('PUT', f'/servers/{server}/os-volume_attachments/{plain}', {
        'volumeAttachment': {'volumeId': one}})
    assert answer.status_int == 400 and 'is encrypted' in answer.text


def test_names_of_nothing(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    nothing = '00000000-0000-4000-8000-00000000dead'
    assert 'could not be found' in attach(cloud, server, nothing, expect=404)['itemNotFound']['message']
    for source in ('volume', 'snapshot'):
        answer = boot(cloud, {'source_type': source, 'uuid': nothing, 'destination_type': 'volume', 'boot_index': 0},
                      expect=400)
        assert f'failed to get {source} {nothing}' in answer['badRequest']['message']
    unbootable = cinder.volume()
    answer = boot(cloud, {'source_type': 'volume', 'uuid': unbootable, 'destination_type': 'volume', 'boot_index': 0},
                  expect=400)
    assert 'is not bootable' in answer['badRequest']['message']


# -- zones ----------------------------------------------------------------------------

def with_volumes(*ids: str) -> list[dict[str, Any]]:
    return [{'source_type': 'volume', 'uuid': one, 'destination_type': 'volume',
             **({'boot_index': 0} if number == 0 else {})} for number, one in enumerate(ids)]


def test_zones_that_may_not_be_crossed(cloud: Cloud, cinder: CinderServer, conf: Any) -> None:
    conf.set_override('cross_az_attach', False, 'cinder')
    far, near = (cinder.volume(1, bootable='true', availability_zone=zone) for zone in ('far', 'nova'))
    said = boot(cloud, *with_volumes(far, near), expect=400)['badRequest']['message']
    assert 'different availability zones: far, nova' in said
    said = boot(cloud, *with_volumes(far), availability_zone='nova', expect=400)['badRequest']['message']
    assert 'Server is in: nova. Volumes are in: far' in said
    made = cloud.wait(boot(cloud, *with_volumes(near))['id'])
    assert made['OS-EXT-AZ:availability_zone'] == 'nova' and made['pinned_availability_zone'] is None


def test_a_server_goes_where_its_volumes_are(cloud: Cloud, cinder: CinderServer, conf: Any) -> None:
    conf.set_override('cross_az_attach', False, 'cinder')
    made = cloud.api('POST', '/os-aggregates', {'aggregate': {'name': 'a', 'availability_zone': 'far'}})['aggregate']
    cloud.api('POST', f"/os-aggregates/{made['id']}/action", {'add_host': {'host': 'compute2'}})
    far = cinder.volume(1, bootable='true', availability_zone='far')
    shown = cloud.wait(boot(cloud, *with_volumes(far))['id'])
    assert (shown['OS-EXT-AZ:availability_zone'], shown['OS-EXT-SRV-ATTR:host']) == ('far', 'compute2')
    with session.read() as conn:
        assert instances.specs(conn, [shown['id']])[shown['id']].availability_zone == 'far'


# -- what is changed later -------------------------------------------------------------

def test_whether_it_goes_with_its_server(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    goes, stays = cinder.volume(), cinder.volume()
    for one in (goes, stays):
        attach(cloud, server, one)
    quiet(cloud)
    path, body = f'/servers/{server}/os-volume_attachments/{goes}', {
        'volumeAttachment': {'volumeId': goes, 'delete_on_termination': True}}
    assert cloud.request('PUT', path, body, version='2.84').status_int == 400
    cloud.api('PUT', path, body, version='2.85', expect=202)
    shown = cloud.api('GET', path, version='2.85')['volumeAttachment']
    assert shown['delete_on_termination'] is True and cinder.count('reserve') == 2
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    assert set(cinder.volumes) == {stays} and not cinder.attachments


def test_growth_is_told_only_from_2_51_on_and_needs_a_name(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    one = cinder.volume()
    attach(cloud, server, one)
    quiet(cloud)
    cinder.volumes[one]['size'] = 5
    event = {'name': 'volume-extended', 'server_uuid': server, 'tag': one}
    tell = {'events': [event]}
    assert cloud.request('POST', '/os-server-external-events', tell, version='2.50').status_int == 400
    unnamed = cloud.request('POST', '/os-server-external-events', {'events': [
        {name: value for name, value in event.items() if name != 'tag'}]}, version='2.51')
    assert unnamed.status_int == 207 and unnamed.json['events'][0]['code'] == 400
    assert mapped(server)[0].volume_size == 1
    cloud.api('POST', '/os-server-external-events', tell, version='2.51')
    quiet(cloud)
    assert mapped(server)[0].volume_size == 5


def test_a_type_that_cinder_does_not_know(cloud: Cloud, cinder: CinderServer) -> None:
    cinder.faults['create'] = always(404)
    made = boot(cloud, {'source_type': 'image', 'uuid': cloud.image(), 'destination_type': 'volume', 'boot_index': 0,
                        'volume_size': 1, 'volume_type': 'none-such'}, version='2.67')
    assert 'could not be made' in cloud.wait(made['id'], 'ERROR')['fault']['message']
    before = boot(cloud, {'source_type': 'image', 'uuid': cloud.image(), 'destination_type': 'volume', 'boot_index': 0,
                          'volume_size': 1, 'volume_type': 'fast'}, version='2.66', expect=400)
    assert 'volume_type' in before['badRequest']['message']
