"""The stories of tests/functional/stories leave no resource out."""
from __future__ import annotations

import pathlib
import re

import pytest
import yaml

from minicompute.api.beyond.app import the_router
from minicompute.api.openstack import router

STORIES = pathlib.Path(__file__).parents[2] / 'functional' / 'stories'
METHODS = ('GET', 'POST', 'PUT', 'DELETE')
OURS = "$ENVIRON['ROOT']/minicompute/v1"
VARIABLE = re.compile(r'\{[^}]*\}')


def resources() -> set[str]:
    """The paths of both route tables, each up to its last word: `/servers/{server_id}/ips/{id}` is of
    `/servers/{server_id}/ips`."""
    nova = [row[1] for module in router.load_modules() for row in module.ROUTES]
    ours = [OURS + key.split()[1] for key in the_router().router.resources]
    return {re.sub(r'/\{[^}]*\}$', '', path) for path in (*nova, *ours)}


@pytest.fixture(scope='module')
def told() -> set[str]:
    """The paths of all steps. (`$LAST_URL` is the path of a step before.)"""
    steps = [step for path in sorted(STORIES.glob('*.yaml')) for step in yaml.safe_load(path.read_text())['tests']]
    return {step[method].partition('?')[0] for step in steps for method in METHODS if method in step}


@pytest.mark.parametrize('resource', sorted(resources()))
def test_each_resource_has_a_story(told, resource):
    words = [re.escape(word) for word in VARIABLE.split(resource)]
    pattern = re.compile('[^/]+'.join(words) + '(/[^/]+)?')
    assert any(pattern.fullmatch(path) for path in told), f'no step of {STORIES.name}/*.yaml goes to {resource}'
