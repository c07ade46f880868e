"""The rules against a table of Nova 34's, older policy files, and what explains a no."""
from __future__ import annotations

import pathlib
import re

import pytest
from oslo_policy import generator

from minicompute import conf as conf_module
from minicompute import policies, policy
from minicompute.cmd import manage
from minicompute.context import RequestContext

TABLE = pathlib.Path(__file__).with_name('policies_of_nova.txt')
SAMPLE = pathlib.Path(__file__).parents[2] / 'etc' / 'minicompute' / 'policy.yaml.sample'
SHOW = 'os_compute_api:servers:show'
ROWS = [[cell.strip() for cell in line.split('|')] for line in TABLE.read_text().splitlines()
        if not line.startswith('#')]


def paths(operations):
    """Without the names of the variables, which are nobody's contract."""
    return sorted({re.sub(r'{[^}]*}', '{}', one.strip()) for one in operations if one.strip()})


@pytest.mark.parametrize('row', ROWS, ids=[row[0] for row in ROWS])
def test_a_rule_is_as_nova_has_it(row):
    name, check, scopes, older, its_check, operations = [*row, '', '', ''][:6]
    rule = {one.name: one for one in policies.list_rules()}[name]
    before = rule.deprecated_rule
    assert (rule.check_str, ','.join(rule.scope_types or [])) == (check, scopes)
    assert ((before.name, before.check_str) if before else ('', '')) == (older, its_check)
    assert paths(f'{one["method"]} {one["path"]}' for one in getattr(rule, 'operations', ())) == paths(
        operations.split(';'))


def test_what_is_our_own_has_our_name():
    ours = {rule.name for rule in policies.list_rules() if not rule.name.startswith('minicompute:')}
    assert ours == {row[0] for row in ROWS}
    assert len(ROWS) == 214


def test_the_sample_is_what_the_rules_are(tmp_path):
    """Write it again with `minicompute-manage policy sample`."""
    conf = generator.cfg.ConfigOpts()
    generator.generate_sample(['--namespace', 'minicompute', '--output-file', str(tmp_path / 'sample')], conf=conf)
    assert (tmp_path / 'sample').read_text() == SAMPLE.read_text()


# -- policy files ----------------------------------------------------------------------

@pytest.fixture
def rules(conf, tmp_path):
    """rules('the file's text', enforce_new_defaults=False)"""
    def write(text, **options):
        (tmp_path / 'policy.yaml').write_text(text)
        conf_module.setup([], 'tests', [])
        policy.reset()
        policy.oslo_policy.Enforcer(conf)       # registers the options
        conf.set_override('policy_file', str(tmp_path / 'policy.yaml'), 'oslo_policy')
        for name, value in options.items():
            conf.set_override(name, value, 'oslo_policy')
    yield write
    policy.reset()


def who(roles, project='own', **more):
    context = RequestContext(user_id='me', project_id=project, roles=roles.split(), overwrite=False, **more)
    context.is_admin = policy.is_admin(context)
    return context


def test_defaults(rules):
    rules('')
    own, foreign = {'project_id': 'own', 'user_id': 'me'}, {'project_id': 'other', 'user_id': 'you'}
    assert policy.allowed(who('reader'), SHOW, own) and not policy.allowed(who('reader'), SHOW, foreign)
    assert policy.allowed(who('admin'), SHOW, foreign) and not policy.allowed(who('nothing'), SHOW, own)
    events = 'os_compute_api:os-server-external-events:create'
    assert policy.allowed(who('service'), events) and policy.allowed(who('admin'), events)
    assert not policy.allowed(who('manager'), events)
    assert not policy.allowed(who('admin', system_scope='all'), SHOW, own)


def test_an_older_name_decides_for_the_newer(rules):
    rules('"os_compute_api:os-services": "role:auditor"\n"os_compute_api:os-services:delete": "role:admin"\n')
    services = 'os_compute_api:os-services:'
    assert policy.allowed(who('auditor'), services + 'list') and not policy.allowed(who('admin'), services + 'list')
    assert policy.allowed(who('admin'), services + 'delete') and not policy.allowed(who('auditor'), services + 'delete')


def test_older_words(rules):
    rules(f'"{SHOW}": "rule:admin_or_owner"\n"os_compute_api:servers:delete": "rule:admin_api"\n')
    assert policy.allowed(who('nothing'), SHOW) and not policy.allowed(who('nothing'), SHOW, {'project_id': 'other'})
    assert policy.allowed(who('admin'), 'os_compute_api:servers:delete')
    assert not policy.allowed(who('member'), 'os_compute_api:servers:delete')


def test_older_defaults(rules):
    rules('', enforce_new_defaults=False)
    assert policy.allowed(who('nothing'), SHOW) and not policy.allowed(who('nothing'), SHOW, {'project_id': 'other'})


def test_who_is_admin_is_a_rule(rules):
    rules('"context_is_admin": "role:chief"\n')
    assert who('chief').is_admin and not who('admin').is_admin
    assert policy.allowed(who('chief'), 'os_compute_api:os-services:list')
    assert not policy.allowed(who('admin'), 'os_compute_api:os-services:list')


# -- the commands ------------------------------------------------------------------------

@pytest.fixture
def command(rules, capsys, monkeypatch):
    """command('policy', 'check', ...) -> (exit status, what it printed)"""
    def run(*words, file=''):
        rules(file)
        parser = manage.argparse.ArgumentParser()
        manage.add_parsers(parser.add_subparsers())
        args = parser.parse_args(words)
        try:
            args.function(args)
        except SystemExit as end:
            return end.code, capsys.readouterr().out
        return 0, capsys.readouterr().out
    return run


def test_check(command):
    assert command('policy', 'check', SHOW, '--user-roles', 'reader', '--project', 'a') == (0, f'yes: {SHOW}\n')
    code, said = command('policy', 'check', SHOW, '--user-roles', 'reader', '--project', 'a', '--target-project', 'b')
    assert code == 1 and said.splitlines()[0] == f'no: {SHOW}'
    assert "project_id:%(project_id)s: the caller's project_id is a, wanted is b" in said
    assert 'role:admin: the caller has the roles reader' in said and 'role:reader' not in said


def test_check_implied_roles(command):
    delete = 'os_compute_api:servers:delete'
    assert command('policy', 'check', delete, '--user-roles', 'manager')[0] == 0
    assert command('policy', 'check', delete, '--user-roles', 'manager', '--exact-roles')[0] == 1
    assert command('policy', 'check', delete, '--user-roles', 'admin', '--target-project', 'b')[0] == 0
    code, said = command('policy', 'check', delete, '--user-roles', 'admin', '--system-scope')
    assert code == 1 and 'scope project: the token is for a system' in said


def test_explain(command):
    code, said = command('policy', 'explain', SHOW, '--user-roles', 'reader', '--project', 'a')
    assert code == 0 and said.splitlines()[0] == f'yes {SHOW}'
    assert 'yes role:reader: the caller has the roles reader' in said and 'no  role:admin' in said
    code, said = command('policy', 'explain', 'compute:servers:resize:cross_cell', '--user-roles', 'admin')
    assert 'no  !: nobody' in said


def test_explain_files(command):
    file = f'"{SHOW}": "not role:guest and user_id:%(user_id)s and rule:nope and color:blue"\n'
    _, said = command('policy', 'explain', SHOW, '--user-roles', 'guest', '--target-user', 'x', file=file)
    for part in ("user_id:%(user_id)s: the caller's user_id is u1, wanted is x", 'no  not', 'there is no such rule',
                 "color:blue: the caller's color is None, wanted is blue"):
        assert part in said


def test_list(command):
    _, said = command('policy', 'list', 'os-services', file='"os_compute_api:os-services": "role:auditor"\n')
    rows = [re.split('  +', line) for line in said.splitlines()]
    assert rows[0] == ['Rule', 'Check', 'From', 'Requests']
    assert ['os_compute_api:os-services:list', 'role:auditor', 'file, as os_compute_api:os-services',
            'GET /os-services'] in rows


def test_an_unknown_rule(command):
    with pytest.raises(manage.exception.NotFound, match='no rule nope'):
        command('policy', 'check', 'nope')
