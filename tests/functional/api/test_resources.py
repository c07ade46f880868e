"""Extensions, limits, removed paths, and the small ones."""
import pytest

from tests.functional.api.client import Client, fault


def test_extensions(api):
    found = api.get('/extensions')['extensions']
    assert {'os-keypairs', 'OS-EXT-AZ', 'os-volumes'} <= {one['alias'] for one in found} and len(found) == 99
    assert len(api.get('/v2/extensions')['extensions']) == 100      # OS-EXT-VIF-NET is of /v2 alone
    assert api.get('/extensions/os-keypairs')['extension']['name'] == 'Keypairs'
    api.get('/extensions/nope', code=404)
    api.get('/extensions?x=1', version='2.101')
    api.get('/extensions?x=1', version='2.102', code=400)


@pytest.mark.parametrize('version', ['2.1', '2.36', '2.39', '2.57', '2.75', '2.104'])
def test_limits(api, version):
    absolute = api.get('/limits', version=version)['limits']['absolute']
    assert absolute['maxTotalInstances'] == 10 and absolute['totalInstancesUsed'] == 0
    minor = int(version.split('.')[1])
    assert ('maxSecurityGroups' in absolute) == (minor < 36)
    assert ('maxImageMeta' in absolute) == (minor < 39)
    assert ('maxPersonality' in absolute) == (minor < 57)


def test_limits_of_others(api, member):
    member.get('/limits?tenant_id=demo', code=403)      # the parameter is the administrator's, whatever it says
    member.get('/limits?tenant_id=other', code=403)
    api.get('/limits?tenant_id=other')
    api.get('/limits?nope=1', version='2.74')
    api.get('/limits?nope=1', version='2.75', code=400)


def test_version_documents(member):
    assert member.get('/versions/v2.1')['version']['id'] == 'v2.1'
    member.get('/versions/v3', code=404)


def test_removed(api):
    for method, path in (('GET', '/os-agents'), ('POST', '/os-cells'), ('DELETE', '/os-networks/1'),
                         ('GET', '/servers/1/os-virtual-interfaces'),
                         ('GET', '/os-cells/capacities'), ('POST', '/os-networks/add')):
        answer = api.call(method, path, version='2.104')
        assert answer.status_int == 410 and answer.json['computeFault']['code'] == 410


def test_removed_actions(api):
    assert api.call('POST', '/servers/1/action', {'resetNetwork': None}).status_int == 410
    assert api.call('POST', '/servers/1/action', {'os-getRDPConsole': {}}).status_int == 400
    assert api.call('POST', '/servers/1/action', {'os-getRDPConsole': {}}, version='2.6').status_int == 404


def test_the_database_is_away(app, conf, monkeypatch):
    from oslo_db import exception as db_exc

    from minicompute.db import session

    def broken():
        raise db_exc.DBConnectionError('mysql://user:secret@host')
    monkeypatch.setattr(session, 'engines', broken)
    name, code, message = fault(Client(app).get('/flavors', code=503))
    assert name == 'serviceUnavailable' and 'secret' not in message


def test_what_nobody_foresaw_says_no_secret(app, monkeypatch):
    from minicompute.db import session

    def broken():
        raise RuntimeError('password=hunter2')
    monkeypatch.setattr(session, 'engines', broken)
    answer = Client(app).call('GET', '/flavors')
    name, code, message = fault(answer.json)
    assert (name, code) == ('computeFault', 500)
    assert message.startswith('Unexpected API Error.') and "<class 'builtins.RuntimeError'>" in message
    assert answer.headers['x-openstack-request-id'] in message and 'hunter2' not in message
