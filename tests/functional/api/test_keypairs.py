import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.functional.api.client import Client, fault


@pytest.fixture(scope='module')
def key():
    from cryptography.hazmat.primitives.asymmetric import ed25519
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode() + ' me'


def wanted(name='k1', **more):
    return {'keypair': {'name': name, **more}}


def test_import_show_list_delete(member, key):
    made = member.post('/os-keypairs', wanted(public_key=key), code=201, version='2.92')['keypair']
    assert made['user_id'] == 'alice' and made['type'] == 'ssh' and 'private_key' not in made
    assert len(made['fingerprint'].split(':')) == 16
    shown = member.get('/os-keypairs/k1')['keypair']
    assert shown['public_key'] == key and shown['deleted'] is False and 'type' not in shown
    assert member.get('/os-keypairs', version='2.2')['keypairs'][0]['keypair']['type'] == 'ssh'
    assert member.delete('/os-keypairs/k1', code=202) is None
    member.delete('/os-keypairs/k1', code=404, version='2.2')
    assert fault(member.get('/os-keypairs/k1', code=404))[2] == 'Keypair k1 not found for user alice'


def test_generated_below_2_92(member):
    made = member.post('/os-keypairs', wanted())['keypair']
    private = serialization.load_pem_private_key(made['private_key'].encode(), None)
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert made['public_key'].startswith(public.decode())
    assert 'private_key' not in member.get('/os-keypairs/k1')['keypair']
    answer = fault(member.post('/os-keypairs', wanted('k2'), code=400, version='2.92'))
    assert "'public_key' is a required property" in answer[2]


def test_generated_x509(member):
    made = member.post('/os-keypairs', wanted(type='x509'), code=201, version='2.2')['keypair']
    certificate = x509.load_pem_x509_certificate(made['public_key'].encode())
    assert 'CN=alice' in certificate.subject.rfc4514_string()
    assert len(made['fingerprint'].split(':')) == 20 and made['type'] == 'x509'
    member.post('/os-keypairs', wanted('again', type='x509', public_key=made['public_key']), code=201, version='2.2')


def test_bad_keys(member, key):
    algorithm, blob, _ = key.split()
    for text in ('ssh-rsa', 'ssh-rsa AAAA', f'ssh-rsa {blob}', f'{key}\n{key}', 'no key at all',
                 f'{algorithm} {blob[:-8]}'):
        answer = member.post('/os-keypairs', wanted(public_key=text), code=400)
        assert 'Keypair data is invalid' in fault(answer)[2]
    member.post('/os-keypairs', wanted(public_key=key, type='x509'), code=400, version='2.2')
    member.post('/os-keypairs', wanted(public_key=key, type='dsa'), code=400, version='2.2')


def test_names(member, key):
    for name, version, code in (('a@b.c', '2.91', 400), ('a@b.c', '2.92', 201), ('a b_c-d', '2.91', 201),
                                ('', '2.92', 400), (' a', '2.92', 400), ('a' * 256, '2.92', 400),
                                ('a/b', '2.92', 400), ('ü', '2.92', 400)):
        member.post('/os-keypairs', wanted(name, public_key=key), code=code, version=version)
    member.post('/v2/os-keypairs', wanted(' x ', public_key=key, hello=1))
    member.get('/v2/os-keypairs/x')


def test_conflict_and_quota(member, conf, key):
    member.post('/os-keypairs', wanted(public_key=key))
    assert fault(member.post('/os-keypairs', wanted(public_key=key), code=409))[2] == "Key pair 'k1' already exists."
    conf.set_override('key_pairs', 1, 'quota')
    answer = fault(member.post('/os-keypairs', wanted('k2', public_key=key), code=403))
    assert answer == ('forbidden', 403, 'Quota exceeded, too many key pairs.')
    conf.clear_override('key_pairs', 'quota')


def test_pages(member, key):
    for name in 'cab':
        member.post('/os-keypairs', wanted(name, public_key=key))
    assert [one['keypair']['name'] for one in member.get('/os-keypairs?limit=1')['keypairs']] == ['a', 'b', 'c']
    page = member.get('/os-keypairs?limit=2', version='2.35')
    assert [one['keypair']['name'] for one in page['keypairs']] == ['a', 'b']
    assert 'marker=b' in page['keypairs_links'][0]['href']
    rest = member.get('/os-keypairs?limit=2&marker=b', version='2.35')
    assert [one['keypair']['name'] for one in rest['keypairs']] == ['c'] and 'keypairs_links' not in rest
    member.get('/os-keypairs?marker=nope', version='2.35', code=400)


def test_keys_belong_to_users(app, api, member, key):
    member.post('/os-keypairs', wanted(public_key=key))
    other = Client(app, user='carol', project='demo')
    other.get('/os-keypairs/k1', code=404)
    other.get('/os-keypairs/k1?user_id=alice', version='2.10', code=403)
    other.get('/os-keypairs/k1?user_id=alice', version='2.9', code=404)
    other.post('/os-keypairs', wanted('k2', public_key=key, user_id='alice'), version='2.10', code=403)
    other.delete('/os-keypairs/k1?user_id=alice', version='2.10', code=403)
    assert api.get('/os-keypairs?user_id=alice', version='2.10')['keypairs'][0]['keypair']['name'] == 'k1'
    api.post('/os-keypairs', wanted('k2', public_key=key, user_id='alice'), version='2.10', code=201)
    member.get('/os-keypairs/k2')
    api.delete('/os-keypairs/k2?user_id=alice', version='2.10')
