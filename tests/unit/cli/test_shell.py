from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from minicompute.cli import errors, shell, verbs
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake, fault


def test_help_names_verbs_and_exit_codes(run: Run) -> None:
    result = run('--help')
    assert result.code == 0
    assert 'exit codes:' in result.out and 'flavor-list' in result.out


def test_nothing_is_help(run: Run) -> None:
    assert 'Commands' in run().out


@pytest.mark.parametrize('verb', sorted(verbs.VERBS))
def test_every_verb_has_help(run: Run, fake: Fake, verb: str) -> None:
    result = run(verb, '--help')
    assert result.code == 0 and f'usage: minicompute {verb}' in result.out
    assert not fake.requests


@pytest.mark.parametrize('argv', [
    ['frobnicate'], ['--frobnicate', 'list'], ['list', '--frobnicate'], ['boot', 'x'], ['show'],
    ['boot', 'x', '--flavor', '1'], ['list', '--limit', 'x'], ['--microversion', '3.1', 'list'],
    ['--microversion', '2.01', 'list'], ['list', '-c', 'Nonsense'], ['list', '--sort', 'name:up'],
    ['boot', 'x', '--flavor', '1', '--boot-volume', 'v', '--user-data', '/nonexistent'],
    ['boot', 'x', '--flavor', '1', '--boot-volume', 'v', '--meta', 'novalue'],
    ['boot', 'x', '--flavor', '1', '--boot-volume', 'v', '--min-count', '3', '--max-count', '2'],
])
def test_usage_errors_are_2_and_one_line(run: Run, argv: list[str]) -> None:
    result = run(*argv)
    assert result.code == errors.USAGE
    assert result.err.count('\n') == 1 and result.err.startswith('minicompute: ')
    assert not result.out


def test_unknown_verb_suggests(run: Run) -> None:
    assert 'did you mean' in run('flavour-list').err


def test_fault_is_one_line(run: Run, fake: Fake) -> None:
    fake.canned['GET', '/v2.1/servers/detail'] = fault(403, 'forbidden', 'Policy\n says no')
    result = run('list')
    assert (result.code, result.err) == (1, 'minicompute: Policy says no (HTTP 403) (Request-ID: req-1)\n')


def test_router_404_is_understood(run: Run, fake: Fake) -> None:
    assert 'The resource could not be found. (HTTP 404)' in run('limits').err


def test_debug_gives_the_traceback(run: Run, fake: Fake) -> None:
    assert 'Traceback' in run('--debug', 'limits').err


def test_refused_credentials_are_5(run: Run, fake: Fake) -> None:
    fake.canned['GET', '/v2.1/servers/detail'] = fault(401, 'unauthorized', 'no')
    assert run('list').code == errors.UNAUTHENTICATED


def test_no_credentials_are_5(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('OS_ENDPOINT_OVERRIDE')
    result = run('list')
    assert result.code == errors.UNAUTHENTICATED and 'OS_ENDPOINT_OVERRIDE' in result.err
    monkeypatch.delenv('OS_AUTH_TYPE')
    result = run('list')
    assert result.code == errors.UNAUTHENTICATED and result.err.count('\n') == 1


def test_unreachable_is_4(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OS_ENDPOINT_OVERRIDE', 'http://127.0.0.1:1/v2.1')
    for argv in (['list'], ['--microversion', '2.1', 'list']):
        result = run(*argv)
        assert result.code == errors.UNREACHABLE and result.err.count('\n') == 1


def test_no_image_endpoint_is_4(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('OS_IMAGE_ENDPOINT_OVERRIDE')
    result = run('image-create', 'x')
    assert result.code == errors.UNREACHABLE and 'OS_IMAGE_ENDPOINT_OVERRIDE' in result.err


@pytest.mark.parametrize('server_max, asked, used', [
    ('2.104', None, '2.104'), ('2.110', None, '2.104'), ('2.96', None, '2.96'), ('2.96', 'latest', '2.96'),
    ('2.104', '2.53', '2.53'), ('2.9', None, '2.9')])
def test_microversion(run: Run, fake: Fake, server_max: str, asked: str | None, used: str) -> None:
    fake.max_version = server_max
    run(*(['--microversion', asked] if asked else []), 'list')
    assert fake.sent('GET', '/v2.1/servers/detail')[0].microversion == f'compute {used}'


def test_microversion_from_env_and_novaclients_option(run: Run, fake: Fake,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    run('--os-compute-api-version', '2.60', 'list')
    monkeypatch.setenv('OS_COMPUTE_API_VERSION', '2.61')
    run('list')
    assert [r.microversion for r in fake.sent('GET', '/v2.1/servers/detail')] == ['compute 2.60',
                                                                                  'compute 2.61']


def test_a_known_microversion_needs_no_discovery(run: Run, fake: Fake) -> None:
    run('--microversion', '2.1', 'list')
    assert len(fake.requests) == 1


def test_too_old_a_microversion_is_said(run: Run) -> None:
    result = run('--microversion', '2.10', 'list', '--tags', 'a')
    assert result.code == errors.USAGE and '2.26' in result.err


def test_json_anywhere(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    for argv in (['--json', 'list'], ['list', '--json'], ['list', '-f', 'json']):
        assert json.loads(run(*argv).out)[0]['ID'] == server['id']
    assert run('--json', 'list', '-f', 'value', '-c', 'Name').out == 'a\n'


def test_noauth_says_who(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    run('list')
    assert fake.requests[-1].headers['x-auth-token'] == 'admin:admin'
    monkeypatch.setenv('OS_USERNAME', 'joe')
    monkeypatch.setenv('OS_PROJECT_ID', 'p1')
    run('list')
    assert fake.requests[-1].headers['x-auth-token'] == 'joe:p1'
    assert fake.requests[-1].headers['x-roles'] == 'member,reader'


def test_clouds_yaml(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ('OS_AUTH_TYPE', 'OS_ENDPOINT_OVERRIDE', 'OS_IMAGE_ENDPOINT_OVERRIDE',
                 'OS_NETWORK_ENDPOINT_OVERRIDE'):
        monkeypatch.delenv(name)
    cloud: dict[str, Any] = {
        'auth_type': 'none', 'auth': {'project_id': 'p9'}, 'compute_endpoint_override': f'{fake.url}/v2.1',
        'image_endpoint_override': f'{fake.url}/image/v2',
        'network_endpoint_override': f'{fake.url}/network/v2.0'}
    (tmp_path / 'clouds.yaml').write_text(json.dumps({'clouds': {'here': cloud}}))
    monkeypatch.setenv('OS_CLIENT_CONFIG_FILE', str(tmp_path / 'clouds.yaml'))
    server, image = fake.server('a'), fake.image('i')
    assert server['id'] in run('--os-cloud', 'here', 'list').out
    assert fake.requests[-1].headers['x-auth-token'] == 'admin:p9'
    monkeypatch.setenv('OS_CLOUD', 'here')
    assert image['id'] in run('image-list').out
    assert fake.requests[-1].headers['x-auth-token'] == 'admin:p9'


def test_sdk_options_over_env(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    url = fake.url
    monkeypatch.delenv('OS_AUTH_TYPE')
    monkeypatch.delenv('OS_ENDPOINT_OVERRIDE')
    server = fake.server('a')
    result = run('--os-auth-type', 'none', '--os-endpoint', f'{url}/v2.1', 'list')
    assert server['id'] in result.out, result.err
    result = run('--os-auth-type', 'none', '--os-endpoint-override', f'{url}/v2.1', 'list')
    assert server['id'] in result.out, result.err


def test_admin_token(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OS_AUTH_TYPE', 'admin_token')
    monkeypatch.setenv('OS_ENDPOINT', f'{fake.url}/v2.1')
    monkeypatch.setenv('OS_TOKEN', 'u:p')
    monkeypatch.delenv('OS_ENDPOINT_OVERRIDE')
    result = run('list')
    assert result.code == 0, result.err
    assert fake.requests[-1].headers['x-auth-token'] == 'u:p'


def test_completion(run: Run) -> None:
    out = run('complete').out
    assert 'flavor-list' in out and 'complete -F _minicompute minicompute' in out


def test_no_verb_loads_before_it_is_used() -> None:
    assert set(verbs.MODULES) >= {'servers', 'boot'}
    assert not [name for name in vars(shell) if name in verbs.MODULES]


def test_version(run: Run) -> None:
    with pytest.raises(SystemExit) as ended:
        run('--version')
    assert ended.value.code == 0
