from tests.functional.api.client import fault

SMALL = {'name': 'm1.small', 'id': '1', 'ram': 512, 'vcpus': 1, 'disk': 1}


def make(api, version=None, **changes):
    return api.post('/flavors', {'flavor': {**SMALL, **changes}}, version=version)['flavor']


def test_create_show_delete(api, member):
    made = make(api, 'latest', description='for tests')
    assert made['id'] == '1' and made['ram'] == 512 and made['description'] == 'for tests'
    assert made['extra_specs'] == {} and made['swap'] == 0
    assert 'rxtx_factor' not in made and 'OS-FLV-DISABLED:disabled' not in made
    shown = member.get('/flavors/1')['flavor']
    assert shown['rxtx_factor'] == 1.0 and shown['OS-FLV-DISABLED:disabled'] is False
    assert shown['swap'] == '' and 'description' not in shown and 'extra_specs' not in shown
    assert shown['links'][0] == {'rel': 'self', 'href': 'http://localhost/v2.1/flavors/1'}
    assert shown['links'][1] == {'rel': 'bookmark', 'href': 'http://localhost/flavors/1'}
    api.delete('/flavors/1', code=202)
    assert fault(member.get('/flavors/1', code=404)) == ('itemNotFound', 404, 'Flavor 1 could not be found.')
    api.delete('/flavors/1', code=404)


def test_every_version_keeps_its_answer(api):
    """The answers are checked against the schemas by the stack."""
    make(api)
    for version in ('2.1', '2.54', '2.55', '2.61', '2.74', '2.75', '2.101', '2.102', '2.104'):
        for path in ('/flavors', '/flavors/detail', '/flavors/1'):
            api.get(path, version=version)


def test_conflicts(api):
    make(api)
    assert fault(api.post('/flavors', {'flavor': SMALL}, code=409))[0] == 'conflictingRequest'
    answer = api.post('/flavors', {'flavor': {**SMALL, 'id': '2'}}, code=409)
    assert fault(answer)[2] == 'Flavor with name m1.small already exists.'


def test_auto_id_and_numbers_as_text(api):
    assert make(api, id='auto', name='an id as any other')['id'] == 'auto'      # clients send null for it
    made = make(api, id=None, ram='1024', vcpus='2', disk='0')
    assert len(made['id']) == 36 and made['ram'] == 1024 and made['vcpus'] == 2


def test_bad_bodies_name_the_field(api):
    for changes, field in (({'ram': 0}, 'ram'), ({'vcpus': 'x'}, 'vcpus'), ({'disk': -1}, 'disk'),
                           ({'name': ''}, 'name'), ({'name': ' a'}, 'name'), ({'ram': 2 ** 31}, 'ram'),
                           ({'id': 'a/b'}, 'id'), ({'swap': 1.5}, 'swap'), ({'ram': None}, 'ram'),
                           ({'os-flavor-access:is_public': 'maybe'}, 'os-flavor-access:is_public')):
        answer = api.post('/flavors', {'flavor': {**SMALL, **changes}}, code=400)
        assert f'field/attribute {field}. Value: ' in fault(answer)[2]
    assert "'ram' is a required property" in fault(api.post('/flavors', {'flavor': {'name': 'x'}}, code=400))[2]
    answer = api.post('/flavors', {'flavor': {**SMALL, 'hello': 1}}, code=400)
    assert 'hello' in fault(answer)[2]
    api.post('/flavors', {'flavor': {**SMALL, 'description': 'x'}}, code=400, version='2.54')
    api.post('/flavors', {'flavor': {**SMALL, 'rxtx_factor': 1}}, code=400, version='2.102')


def test_legacy_drops_unknown_keys(api):
    api.post('/v2/flavors', {'flavor': {**SMALL, 'name': ' spaced ', 'hello': 1}, 'and': 2})
    assert api.get('/v2/flavors/1')['flavor']['name'] == 'spaced'


def test_only_administrators_manage(member, reader):
    for who in (member, reader):
        name, code, message = fault(who.post('/flavors', {'flavor': SMALL}, code=403))
        assert (name, code) == ('forbidden', 403)
        assert message == "Policy doesn't allow os_compute_api:os-flavor-manage:create to be performed."


def test_pages(api, count_queries):
    for number in range(5):
        make(api, id=str(number), name=f'f{number}', ram=100 - number)
    first = api.get('/flavors?limit=2&sort_key=memory_mb&sort_dir=asc')
    assert [row['id'] for row in first['flavors']] == ['4', '3']
    href = first['flavors_links'][0]['href']
    assert href.startswith('http://localhost/v2.1/flavors?') and 'marker=3' in href and 'limit=2' in href
    second = api.get(href.removeprefix('http://localhost'))
    assert [row['id'] for row in second['flavors']] == ['2', '1']
    third = api.get('/flavors?limit=2&sort_key=memory_mb&marker=1')
    assert [row['id'] for row in third['flavors']] == ['0'] and 'flavors_links' not in third
    down = api.get('/flavors?sort_dir=desc&marker=3')
    assert [row['id'] for row in down['flavors']] == ['2', '1', '0']
    nulls = api.get('/flavors?sort_key=description&limit=1&marker=1')
    assert [row['id'] for row in nulls['flavors']] == ['2']
    with count_queries() as seen:
        api.get('/flavors/detail')
    assert len(seen) == 1
    assert api.get('/flavors?limit=0') == {'flavors': []}


def test_filters(api):
    make(api)
    make(api, id='2', name='m1.large', ram=8192, disk=80)
    assert [row['id'] for row in api.get('/flavors?minRam=1000')['flavors']] == ['2']
    assert [row['id'] for row in api.get('/flavors?minDisk=80')['flavors']] == ['2']
    for below in ('minRam=-5', 'minDisk=-99999999999', 'minDisk=0'):
        assert len(api.get(f'/flavors?{below}')['flavors']) == 2
    assert api.get('/flavors?minRam=99999999999')['flavors'] == []
    assert [row['id'] for row in api.get('/flavors?sort_key=vcpu_weight&sort_dir=desc')['flavors']] == ['2', '1']
    for query in ('is_public=TRUE', 'is_public=y', 'is_public=None', 'is_public=%20on'):
        assert len(api.get(f'/flavors?{query}')['flavors']) == 2


def test_names_are_regular_expressions_from_2_102(api):
    make(api)
    make(api, id='2', name='m1.large')
    for name, found in (('lar', ['2']), ('^m1', ['1', '2']), ('m1.(small|tiny)$', ['1']), ('%25', []), ('', ['1', '2']),
                        ('LARGE', [])):
        assert [row['id'] for row in api.get(f'/flavors?name={name}', version='2.102')['flavors']] == found
        assert [row['id'] for row in api.get(f'/flavors/detail?name={name}', version='2.104')['flavors']] == found
    assert 'name' in fault(api.get('/flavors?name=(', version='2.102', code=400))[2]
    nested = '(' * 5 + '.?' + '){50}' * 5 + 'x'     # which `regex` would compile for years
    assert api.call('GET', f'/flavors?name={nested}', version='2.102').status_int in (200, 400)


def test_bad_queries(api):
    for query in ('limit=-1', 'limit=x', 'minRam=x', 'sort_key=nope', 'sort_dir=up', 'marker=nope', 'is_public=maybe',
                  'limit=%ff', 'marker=a%00b'):
        answer = api.get(f'/flavors?{query}', code=400)
        assert fault(answer)[0] == 'badRequest'
    api.get('/flavors?unknown=1', version='2.74')
    assert "'unknown' was unexpected" in fault(api.get('/flavors?unknown=1', code=400, version='2.75'))[2]
    api.get('/flavors?name=x', code=400, version='2.101')


def test_update(api):
    make(api)
    api.put('/flavors/1', {'flavor': {'description': 'x'}}, code=404, version='2.54')
    assert api.put('/flavors/1', {'flavor': {'description': 'x'}}, version='2.55')['flavor']['description'] == 'x'
    assert api.put('/flavors/1', {'flavor': {'description': None}}, version='2.61')['flavor']['description'] is None
    api.put('/flavors/1', {'flavor': {'name': 'x'}}, code=400, version='2.61')
    api.put('/flavors/9', {'flavor': {'description': 'x'}}, code=404, version='2.61')


def test_access(api, member):
    make(api, **{'os-flavor-access:is_public': False})
    member.get('/flavors/1', code=404)
    assert member.get('/flavors')['flavors'] == [] and api.get('/flavors')['flavors'] == []
    assert len(api.get('/flavors?is_public=none')['flavors']) == 1
    assert len(api.get('/flavors?is_public=False')['flavors']) == 1
    assert member.get('/flavors?is_public=none')['flavors'] == []
    grant = {'addTenantAccess': {'tenant': 'demo'}}
    given = api.post('/flavors/1/action', grant)
    assert given == {'flavor_access': [{'flavor_id': '1', 'tenant_id': 'demo'}]}
    assert api.get('/flavors/1/os-flavor-access') == given
    api.post('/flavors/1/action', grant, code=409)
    assert len(member.get('/flavors')['flavors']) == 1
    member.get('/flavors/1')
    assert api.post('/flavors/1/action', {'removeTenantAccess': {'tenant': 'demo'}}) == {'flavor_access': []}
    api.post('/flavors/1/action', {'removeTenantAccess': {'tenant': 'demo'}}, code=404)
    member.post('/flavors/1/action', grant, code=403)
    api.post('/flavors/1/action', {'addTenantAccess': {'tenant': '../x'}}, code=400)


def test_access_of_public_flavors(api):
    make(api)
    api.get('/flavors/1/os-flavor-access', code=404)
    api.post('/flavors/1/action', {'addTenantAccess': {'tenant': 'demo'}}, version='2.7', code=409)
    api.post('/flavors/1/action', {'addTenantAccess': {'tenant': 'demo'}}, version='2.6')


def test_unknown_actions(api):
    make(api)
    assert 'no such action: jump' in fault(api.post('/flavors/1/action', {'jump': None}, code=400))[2]
    api.post('/flavors/1/action', {}, code=400)
    api.post('/flavors/1/action', {'addTenantAccess': {}, 'removeTenantAccess': {}}, code=400)


def test_extra_specs(api, member):
    make(api)
    specs = '/flavors/1/os-extra_specs'
    # the answer is what was sent, the record is text
    assert api.post(specs, {'extra_specs': {'a:b': 'c', 'n': 2}}) == {'extra_specs': {'a:b': 'c', 'n': 2}}
    assert member.get(specs) == {'extra_specs': {'a:b': 'c', 'n': '2'}}
    assert api.put(f'{specs}/n', {'n': 3}) == {'n': 3}
    assert member.get(f'{specs}/n') == {'n': '3'}
    api.put(f'{specs}/n', {'m': '3'}, code=400)
    api.put(f'{specs}/n', {'m': '3', 'n': '4'}, code=400)
    api.put(f'{specs}/n', {}, code=400)
    api.delete(f'{specs}/n', code=200)
    api.delete(f'{specs}/n', code=404)
    assert 'has no extra specs with key n' in fault(member.get(f'{specs}/n', code=404))[2]
    api.post('/flavors/9/os-extra_specs', {'extra_specs': {'a': 'b'}}, code=404)
    member.post(specs, {'extra_specs': {'a': 'b'}}, code=403)
    assert member.get('/flavors/1', version='2.61')['flavor']['extra_specs'] == {'a:b': 'c'}


def test_known_extra_specs_are_checked_from_2_86(api):
    make(api)
    for name, value in (('hw:cpu_policy', 'sometimes'), ('hw:nonsense', '1'), ('trait:HW_X', 'maybe')):
        body = {'extra_specs': {name: value}}
        assert name in fault(api.post('/flavors/1/os-extra_specs', body, version='2.86', code=400))[2]
        api.post('/flavors/1/os-extra_specs', body, version='2.85')
    for name, value in (('hw:cpu_policy', 'dedicated'), ('mine:any', 'x'), ('resources:VCPU', '4'),
                        ('trait:HW_CPU_X86_AVX2', 'required'), ('quota:disk_read_iops_sec', '100'),
                        ('hw:mem_page_size', 'large'), ('capabilities:hypervisor_type', 's== QEMU')):
        api.post('/flavors/1/os-extra_specs', {'extra_specs': {name: value}}, version='2.86')
