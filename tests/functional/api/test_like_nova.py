"""Small things in which a real Nova 34 was found to answer otherwise. Each names its microversions."""
import pytest

from tests.functional.api.client import fault

KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8Hk4vO2wMmnC7T3qY3o9x8oTz1c7q6l9k0m7b8n5xQ me@here\n'


def message(answer):
    return fault(answer)[2]


@pytest.mark.parametrize('kind', ['text/plain', 'application/vnd.openstack.compute+json'])
def test_other_names_of_json(api, kind):
    answer = api.post('/flavors', {'a': 1}, code=400, headers={'Content-Type': kind}, version='2.1')
    assert message(answer) == "'flavor' is a required property"


def test_406_varies(api):
    answer = api.call('GET', '/flavors', version='2.999')
    assert answer.status_int == 406
    assert answer.headers.getall('Vary') == ['OpenStack-API-Version', 'X-OpenStack-Nova-API-Version']


def test_a_query_parameter_has_one_name_and_a_readable_rule(api):
    assert message(api.get('/os-server-groups?limit=x', code=400, version='2.1')) == (
        "Invalid input for query parameters limit. Value: x. 'x' does not match '^[0-9]{1,18}$'")


def test_of_alternatives_the_telling_one_is_said(api):
    body = {'server': {'name': 'x', 'flavorRef': '1', 'networks': 'none', 'accessIPv4': 'x'}}
    assert message(api.post('/servers', body, code=400, version='2.37')).endswith("'x' is not a 'ipv4'")


@pytest.mark.parametrize('given, kept', [(-1, '-1'), (1.5, '1.5'), (0, None)])
def test_any_number_is_a_flavor_id(api, given, kept):
    body = {'flavor': {'name': 'f', 'id': given, 'ram': 1, 'vcpus': 1, 'disk': 1}}
    made = api.post('/flavors', body, version='2.1')['flavor']['id']
    assert made == kept if kept else len(made) == 36


def test_sorting_by_rxtx_factor_ends_at_2_102(api):
    api.get('/flavors?sort_key=rxtx_factor', version='2.101')
    api.get('/flavors?sort_key=rxtx_factor', version='2.102', code=400)


def test_a_key_stays_as_it_was_sent(member):
    made = member.post('/os-keypairs', {'keypair': {'name': 'k', 'public_key': KEY}}, version='2.1')
    assert made['keypair']['public_key'] == KEY
    assert member.get('/os-keypairs/k', version='2.1')['keypair']['public_key'] == KEY


def test_no_limit_of_server_groups(member):
    member.post('/os-server-groups', {'server_group': {'name': 'g', 'policies': ['affinity']}}, version='2.1')
    assert len(member.get('/os-server-groups?limit=0', version='2.1')['server_groups']) == 1


def test_more_directions_than_keys(member):
    member.get('/servers?sort_dir=asc', version='2.1')
    member.get('/servers?sort_dir=asc&sort_dir=desc', version='2.1', code=400)


def test_changes_of_services_look_for_the_service_first(api):
    nobody = 'aaaaaaaa-0000-4000-8000-00000000dead'
    assert message(api.put('/os-services/enable', {}, version='2.53', code=400)) == 'Invalid uuid enable'
    api.put(f'/os-services/{nobody}', {}, version='2.53', code=404)
    body = {'host': 'c1', 'binary': 'nova-compute'}
    assert message(api.put('/os-services/bogus', body, version='2.52', code=404)) == 'Unknown action'
