"""quota-*, usage, usage-list, instance-usage-audit-log."""
from __future__ import annotations

from typing import Any

from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake

SET = {'quota_set': {'id': 'p', 'cores': 20, 'instances': 10, 'ram': -1}}


def test_show(run: Run, fake: Fake) -> None:
    fake.canned['GET', '/v2.1/os-quota-sets/p'] = (200, SET)
    assert run('quota-show', '--tenant', 'p', '--user', 'u', '-f', 'value').out == 'instances 10\ncores 20\nram -1\n'
    assert fake.requests[-1].query == {'user_id': ['u']}
    fake.canned['GET', '/v2.1/os-quota-sets/admin'] = (200, SET)
    assert run('quota-show').code == 0      # of the project that we work in
    fake.canned['GET', '/v2.1/os-quota-sets/p/detail'] = (200, {'quota_set': {
        'id': 'p', 'cores': {'limit': 20, 'in_use': 3, 'reserved': 0}}})
    assert run('quota-show', '--tenant', 'p', '--detail', '-f', 'value').out == 'cores 20 3 0\n'
    fake.canned['GET', '/v2.1/os-quota-sets/p/defaults'] = (200, SET)
    assert 'cores 20' in run('quota-defaults', '--tenant', 'p', '-f', 'value').out


def test_update(run: Run, fake: Fake) -> None:
    fake.canned['PUT', '/v2.1/os-quota-sets/p'] = (200, SET)
    assert run('quota-update', 'p', '--cores', '5', '--server-groups', '-1', '--user', 'u', '--force').code == 0
    assert fake.requests[-1].body == {'quota_set': {'cores': 5, 'server_groups': -1, 'force': True}}
    assert fake.requests[-1].query == {'user_id': ['u']}
    asked = len(fake.requests)
    assert run('quota-update', 'p').code == 0 and len(fake.requests) == asked
    assert run('quota-update', 'p', '--cores', 'many').code == 2


def test_what_a_version_has_not_got(run: Run, fake: Fake) -> None:
    fake.canned['PUT', '/v2.1/os-quota-sets/p'] = (200, SET)
    fake.canned['PUT', '/v2.1/os-quota-class-sets/c'] = (200, SET)
    for option, last, first in (('--fixed-ips', '2.35', '2.36'), ('--injected-files', '2.56', '2.57')):
        assert run('--microversion', last, 'quota-update', 'p', option, '1').code == 0
        answer = run('--microversion', first, 'quota-update', 'p', option, '1')
        assert answer.code == 2 and f'before {first}' in answer.err
    assert run('--microversion', '2.49', 'quota-class-update', 'c', '--fixed-ips', '1').code == 0
    assert fake.requests[-1].body == {'quota_class_set': {'fixed_ips': 1}}
    assert run('--microversion', '2.50', 'quota-class-update', 'c', '--fixed-ips', '1').code == 2


def test_delete_and_classes(run: Run, fake: Fake) -> None:
    fake.canned['DELETE', '/v2.1/os-quota-sets/p'] = (202, None)
    assert run('quota-delete', '--tenant', 'p', '--user', 'u').code == 0
    assert fake.requests[-1].query == {'user_id': ['u']}
    assert run('quota-delete').code == 2
    fake.canned['GET', '/v2.1/os-quota-class-sets/default'] = (200, {'quota_class_set': {'id': 'default', 'cores': 3}})
    assert run('quota-class-show', 'default', '-f', 'value').out == 'cores 3\n'


def usage(*servers: str, hours: float = 24.0) -> dict[str, Any]:
    return {'tenant_id': 'p', 'total_hours': hours, 'total_memory_mb_usage': 1024 * hours,
            'total_vcpus_usage': 2 * hours, 'total_local_gb_usage': 0.0,
            'server_usages': [{'instance_id': one} for one in servers]}


def test_usage(run: Run, fake: Fake) -> None:
    fake.canned['GET', '/v2.1/os-simple-tenant-usage/p'] = (200, {'tenant_usage': usage('a', 'b')})
    answer = run('usage', '--tenant', 'p', '--start', '2020-01-02', '--end', '2020-01-03', '-f', 'value')
    assert answer.out.endswith('2 24576.0 48.0 0.0\n') and 'from 2020-01-02 to 2020-01-03' in answer.out
    assert fake.requests[-1].query == {'start': ['2020-01-02T00:00:00'], 'end': ['2020-01-03T00:00:00']}
    fake.canned['GET', '/v2.1/os-simple-tenant-usage/p'] = (200, {'tenant_usage': {}})
    assert run('-q', 'usage', '--tenant', 'p', '-f', 'value').out.strip() == ''
    assert run('usage', '--start', 'yesterday').code == 2


def test_usage_list_sums_its_pages(run: Run, fake: Fake, monkeypatch: Any) -> None:
    pages = [{'tenant_usages': [usage('a')], 'tenant_usages_links': [{'rel': 'next', 'href': 'x'}]},
             {'tenant_usages': [usage('b', 'c')]}]
    plain = Fake._answer

    def paged(self: Fake, request: Any) -> Any:
        if request.path == '/v2.1/os-simple-tenant-usage':
            return 200, pages['marker' in request.query]
        return plain(self, request)
    monkeypatch.setattr(Fake, '_answer', paged)
    assert run('-q', 'usage-list', '-f', 'value').out == 'p 3 49152.0 96.0 0.0\n'
    assert fake.requests[-1].query['marker'] == ['a'] and fake.requests[-1].query['detailed'] == ['1']


def test_audit_log(run: Run, fake: Fake) -> None:
    path = '/v2.1/os-instance_usage_audit_log'
    fake.canned['GET', path] = (200, {'instance_usage_audit_logs': {'num_hosts': 2}})
    assert run('instance-usage-audit-log', '-f', 'json').out.replace(' ', '').strip() == '{\n"num_hosts":2\n}'
    fake.canned['GET', f'{path}/2015-08-27 09:49:58'] = (200, {'instance_usage_audit_log': {'num_hosts': 1}})
    assert run('instance-usage-audit-log', '--before', '2015-08-27 09:49:58').code == 0
