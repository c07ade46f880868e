"""The stories of tests/functional/stories: a resource each, told at several microversions.

They are gabbi's YAML, with three words more: `about` and `microversions` of a story, and `since` and `until` of a step
that is told only from, or up to, a microversion. Each story leaves the cloud as it was.

What a story finds in its environment: IMAGE, FLAVOR and NETWORK (ids), PUBLIC_KEY, VERSION, ROOT (the API without
/v2.1) and BLOCKS (the volume service).
"""
from __future__ import annotations

import copy
import io
import pathlib
import unittest
from typing import Any

import pytest
import yaml
from gabbi import handlers, suitemaker

from minicompute.api.openstack import api_version_request as versions
from tests.functional.beginnings import lan
from tests.functional.cloud import Cloud

STORIES = sorted((pathlib.Path(__file__).parents[1] / 'stories').glob('*.yaml'))
HOST = 'cloud.test'
ROOT = f'http://{HOST}'
KEY = ('ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDx8nkQv/zgGgB4rMYmIf+6A4l6Rr+o/6lHBQdW5aYd44bd8JttDCE/F/pNRr0lRE'
       '+PiqSPO8nDPHw0010JeMH9gYgnnFlyY3/OcJ02RhIPyyxYpv9FhY+2YiUkpwFOcLImyrxEsYXpD/0d3ac30bNH6Sw9JD9UZHYcpSxsIbECHw== '
       'story')
POLLS = 400
METHODS = ('GET', 'POST', 'PUT', 'DELETE')


def steps(story: dict[str, Any], version: str) -> list[dict[str, Any]]:
    """Those that are told at `version`, without our words, and with more patience than a reader has."""
    at, found = versions.parse(version), []
    for step in copy.deepcopy(story['tests']):      # gabbi writes into what it is given
        since, until = step.get('since', versions.MIN_API_VERSION), step.get('until', versions.MAX_API_VERSION)
        if versions.parse(since) <= at <= versions.parse(until):
            told = {name: f'/v2.1{value}' if name in METHODS and value.startswith('/') else value
                    for name, value in step.items() if name not in ('since', 'until')}
            if 'poll' in told:
                told['poll'] = {**told['poll'], 'count': POLLS}
            found.append(told)
    return found


def tell(story: dict[str, Any], name: str, version: str, app: Any) -> None:
    """Raises AssertionError with what each step that failed has said."""
    suite = suitemaker.test_suite_from_dict(
        unittest.defaultTestLoader, name, {
            'defaults': {'request_headers': {'content-type': 'application/json', 'x-auth-token': 'admin:demo',
                                             'openstack-api-version': f'compute {version}'}},
            'tests': steps(story, version)},
        '.', HOST, None, None, lambda: app, handlers=[one() for one in handlers.RESPONSE_HANDLERS])
    result = unittest.TextTestRunner(stream=io.StringIO(), failfast=True).run(suite)
    assert result.testsRun and not result.skipped
    assert result.wasSuccessful(), f'{name} at {version}: ' + '\n'.join(
        f'{test}\n{text}' for test, text in [*result.failures, *result.errors])


@pytest.mark.every_case
@pytest.mark.parametrize('path', STORIES, ids=lambda path: path.stem)
def test_story(cloud: Cloud, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = yaml.safe_load(path.read_text())
    environment = {'IMAGE': cloud.image(), 'FLAVOR': cloud.flavor(disk=1), 'NETWORK': lan(), 'PUBLIC_KEY': KEY,
                   'ROOT': ROOT, 'BLOCKS': f'{ROOT}/volume/v3'}
    for version in story['microversions']:
        for name, value in {**environment, 'VERSION': version}.items():
            monkeypatch.setenv(name, value)
        tell(story, path.stem, version, cloud.app)
        cloud.until(lambda: not cloud.leaks(), 'nothing to be held')


def test_every_step_is_told_at_some_version() -> None:
    """Else its words say nothing."""
    assert STORIES
    for path in STORIES:
        story = yaml.safe_load(path.read_text())
        assert story['about'].strip()
        told = [step['name'] for version in story['microversions'] for step in steps(story, version)]
        assert {step['name'] for step in story['tests']} == set(told), path.name
