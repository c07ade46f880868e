"""Every route, asked by callers who may nothing: no success that is not meant, and never a 500."""
from __future__ import annotations

import pytest

from minicompute.api.openstack import router
from minicompute.api.openstack.wsgi import ActionResource
from tests.functional.api.client import Client

FOREIGN = '00000000-0000-4000-8000-000000000000'
#: what anybody with a token may read: catalogues, the own limits and the own keys
OPEN = {'/flavors', '/flavors/detail', '/extensions', '/limits', '/os-availability-zone', '/os-keypairs', '/images',
        '/images/detail', '/os-floating-ip-pools', '/os-quota-sets/{id}/defaults'}
#: of what is not there, Nova's own
NOT_IMPLEMENTED = 501
VERSIONS = ('2.1', '2.35', '2.52', '2.104')


def every_request():
    table = router.Router(row for module in router.load_modules() for row in module.ROUTES)
    for key, resource in table.resources.items():
        method, path = key.split()
        concrete = path
        for name in ('{id}', '{server_id}', '{flavor_id}', '{image_id}', '{domain_id}'):
            concrete = concrete.replace(name, FOREIGN)
        if isinstance(resource, ActionResource):
            for name in resource.by_name:
                yield method, path, concrete, {name: None}
                yield method, path, concrete, {name: {}}
        elif method in ('POST', 'PUT'):
            yield method, path, concrete, {}
        else:
            yield method, path, concrete, None


@pytest.mark.parametrize('version', VERSIONS)
def test_a_caller_without_roles(app, version):
    nobody = Client(app, user='eve', project='nowhere', roles='nothing')
    for method, path, concrete, body in every_request():
        answer = nobody.call(method, concrete, body, version=version)
        assert answer.status_int < 500, f'{method} {path} {body}: {answer.text}'
        if method != 'GET' or path not in OPEN:
            assert answer.status_int >= 400, f'{method} {path} {body}: {answer.status}'


@pytest.mark.parametrize('version', VERSIONS)
def test_garbage_is_never_a_500(app, version):
    operator = Client(app)
    for method, path, concrete, _body in every_request():
        for body in (b'', b'{', b'[]', b'{"a": "\\u0000"}', b'\xff\xfe') if method in ('POST', 'PUT') else (None,):
            answer = operator.call(method, concrete, body, version=version)
            said = f'{method} {path} {body}: {answer.text}'
            assert answer.status_int < 500 or answer.status_int == NOT_IMPLEMENTED, said
        for identity in ('%00', '%ff', 'x' * 5000, "';--", '%E2%80%AE', '-1', '9' * 40):
            answer = operator.call(method, concrete.replace(FOREIGN, identity), {} if body is not None else None,
                                   version=version)
            said = f'{method} {path} {identity}: {answer.text}'
            assert answer.status_int < 500 or answer.status_int == NOT_IMPLEMENTED, said
