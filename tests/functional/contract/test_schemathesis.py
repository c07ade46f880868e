"""schemathesis reads the OpenAPI documents and asks for what they say, and for what they do not.

No answer may be a 5xx (but Nova's own 501), have a code, a header or a body that the document does not know.
"""
from __future__ import annotations

import collections
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from minicompute.conf import CONF
from tests.functional.cloud import Cloud
from tests.functional.contract.values import STRATEGIES, There

pytestmark = pytest.mark.generic      # one database tells as much as three

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
          response_schema_conformance]
CALLER = {'X-Auth-Token': 'admin:demo'}

for name, strategy in STRATEGIES.items():
    schemathesis.openapi.format(name, strategy)


def look(operation: Any, there: There, version: str, examples: int, seen: collections.Counter[int]) -> None:
    """Some requests that are right, some that are wrong; half of them for something that is there. `seen` counts the
    answers by their codes."""
    sent = {**CALLER, 'OpenStack-API-Version': f'compute {version}'}    # another one would be another document
    right, wrong = (operation.as_strategy(generation_mode=mode, headers=sent) for mode in (
        schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE))

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(case=st.one_of(right, right, wrong), real=st.booleans())
    def ask(case: Any, real: bool) -> None:
        if real:
            case.path_parameters = {**(case.path_parameters or {}), **there.of(operation.path)}
        answer = case.call(headers=sent)
        seen[answer.status_code] += 1
        if answer.status_code != 501:
            # Of the actions that share a code some answer nothing, which OpenAPI has no words for.
            case.validate_response(answer, checks=CHECKS if answer.content else CHECKS[:2])
    ask()


def ask_all(cloud: Cloud, version: str, examples: int) -> None:
    for resource in ('instances', 'cores', 'ram', 'server_groups'):     # what is there is made again and again
        CONF.set_override(resource, -1, 'quota')
    there = There(cloud)
    schema = schemathesis.openapi.from_wsgi(f'/openapi/{version}.json', cloud.app)
    asked, wrong, seen = 0, [], collections.Counter[int]()
    for found in schema.get_all_operations():
        operation = found.ok()
        asked += 1
        try:
            look(operation, there, version, examples, seen)
        except (Exception, FailureGroup) as error:      # of all operations, not of the first alone
            wrong.append(f'{operation.label}: {error} {getattr(error, "exceptions", "")}')
    print(f'{version}: {asked} operations, {seen.total()} requests: '
          + ', '.join(f'{count} times {code}' for code, count in sorted(seen.items())))
    assert asked > 80
    assert not wrong, '\n\n'.join(wrong)


def test_the_newest_microversion(cloud: Cloud) -> None:
    ask_all(cloud, '2.104', examples=3)


@pytest.mark.long
@pytest.mark.parametrize('version', ['2.1', '2.25', '2.36', '2.53', '2.75', '2.89', '2.104'])
def test_many_requests(cloud: Cloud, version: str) -> None:
    ask_all(cloud, version, examples=40)
