"""The documents are OpenAPI, at each microversion, and say what the handlers promise."""
from __future__ import annotations

import json

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.schemas import openapi_v31_schema_validator
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from minicompute.api.beyond import app as beyond
from minicompute.api.openapi import document as documents
from minicompute.api.openapi import fields
from minicompute.api.openstack import api_version_request as versions

ALL = documents.microversions()


def every(document, key):
    """All values of `key`, however deep."""
    found, left = [], [document]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            found += [value[key]] if key in value else []
            left += value.values()
        elif isinstance(value, list):
            left += value
    return found


def read_again(table, version):
    """As a reader gets it."""
    return json.loads(json.dumps(documents.document(table, version)))


@pytest.mark.parametrize('version', ALL, ids=str)
def test_it_has_the_form_of_openapi(table, version):
    document = read_again(table, version)
    openapi_v31_schema_validator.validate(document)
    assert document['info']['version'] == str(version)


def with_all_its_schemas(table, version):
    """Each schema in it is looked at, too: a second of CPU."""
    OpenAPIV31SpecValidator(read_again(table, version)).validate()


@pytest.mark.parametrize('version', [ALL[0], ALL[-1]], ids=str)
def test_it_is_openapi(table, version):
    with_all_its_schemas(table, version)


def what_is_new(document, seen):
    """The document with those paths only that `seen` has not, each with all that it refers to; now it has them."""
    needed = {}

    def closure(value):
        for reference in every(value, '$ref'):
            if reference not in needed and not reference.startswith('#/components/parameters/'):
                needed[reference] = None
                place = document
                for name in reference.removeprefix('#/').split('/'):
                    place = place[name]
                needed[reference] = place
                closure(place)
    paths, kept = {}, {}
    for path, item in document['paths'].items():
        needed.clear()
        closure(item)
        text = json.dumps([path, item, sorted(needed.items())], sort_keys=True)
        if text not in seen:
            seen.add(text)
            paths[path] = item
            kept.update(needed)
    components = {kind: dict(some) if kind != 'schemas' else {} for kind, some in document['components'].items()}
    for reference, value in kept.items():
        _, _, kind, name = reference.split('/')
        components[kind][name] = value
    return {**document, 'paths': paths, 'components': components}


def test_each_is_openapi(table):
    """What two microversions have in common is looked at once: all of it is a minute of CPU."""
    seen, looked_at = set(), 0
    for version in ALL:
        part = what_is_new(read_again(table, version), seen)
        looked_at += len(part['paths'])
        if part['paths']:
            OpenAPIV31SpecValidator(part).validate()
    assert len(documents.document(table, ALL[0])['paths']) < looked_at == len(seen)


def test_a_mistake_of_one_microversion_shows(table):
    seen = set()
    for version in ALL[:20]:
        part = what_is_new(read_again(table, version), seen)
    document = read_again(table, ALL[20])
    document['components']['schemas'][next(iter(
        name for name in document['components']['schemas'] if name.endswith('.answer')))]['type'] = 'nothing'
    part = what_is_new(document, seen)
    assert part['paths']
    with pytest.raises(OpenAPIValidationError):
        OpenAPIV31SpecValidator(part).validate()


@pytest.mark.parametrize('version', [ALL[0], versions.parse('2.53'), ALL[-1]], ids=str)
def test_every_reference_leads_somewhere(table, version):
    document = documents.document(table, version)
    found = every(document, '$ref')
    assert found
    for reference in found:
        place = document
        for name in reference.removeprefix('#/').split('/'):
            place = place[name]


def test_operations_have_names_of_their_own(table):
    for version in ALL:
        found = every(documents.document(table, version), 'operationId')
        assert len(found) == len(set(found)) > 80


def test_all_that_is_there_is_in_it_and_nothing_else(table):
    for version in (ALL[0], versions.parse('2.36'), versions.parse('2.53'), ALL[-1]):
        shown = set(fields.shapes(documents.document(table, version)))
        assert shown == {entry.name for entry in documents.entries(table, version)}


def test_what_goes_is_gone_and_what_comes_comes_when_it_does(table):
    def there(minor):
        return set(fields.shapes(documents.document(table, versions.parse(f'2.{minor}'))))
    assert 'GET /images' in there(35) and 'GET /images' not in there(36)
    assert 'PUT /flavors/{id}' not in there(54) and 'PUT /flavors/{id}' in there(55)
    trigger = 'POST /servers/{id}/action trigger_crash_dump'
    assert trigger not in there(16) and trigger in there(17)


def test_an_action_is_one_key(table):
    """So that of the alternatives of a body exactly one fits."""
    for version in ALL[::12]:
        document = documents.document(table, version)
        for actions in every(document, 'x-actions'):
            for name, described in actions.items():
                schema = fields.resolve(document, described['body'])
                assert list(schema['properties']) == [name] and schema['required'] == [name], (str(version), name)


def test_a_body_an_answer_and_its_faults(table):
    document = documents.document(table, versions.parse('2.60'))
    create = document['paths']['/flavors']['post']
    assert create['summary'] == 'Create a flavor.' and create['tags'] == ['flavors']
    assert create['x-policy'][0]['rule'] == 'os_compute_api:os-flavor-manage:create'
    shape = fields.shapes(document)['POST /flavors']
    assert shape.request['flavor.description'].startswith('string or null')
    assert 'flavor.extra_specs' not in shape.answer and shape.answer['flavor.vcpus'] == 'integer, required'
    assert {'200', '400', '401', '403', '409', '413', '415'} <= shape.codes


def test_a_query(table):
    old = fields.shapes(documents.document(table, versions.parse('2.74')))['GET /servers'].query
    new = fields.shapes(documents.document(table, versions.parse('2.75')))['GET /servers'].query
    assert old[fields.OTHER] == 'ignored' and new[fields.OTHER] == 'refused'
    assert 'changes-before' in old and 'tags-any' in old


def test_what_was_removed_says_so(table):
    document = documents.document(table, ALL[-1])
    gone = document['paths']['/os-cells']['get']
    assert gone['deprecated'] and '410' in gone['responses'] and '200' not in gone['responses']


def test_patterns_are_for_everybody(table):
    """Python alone needs to be told that `$` is the end."""
    patterns = every(documents.document(table, ALL[-1]), 'pattern')
    assert patterns and not any(r'(?!\n)' in pattern for pattern in patterns)


def test_what_stands_beside_nova():
    document = json.loads(json.dumps(documents.document(beyond.the_router().router, ALL[-1], '/minicompute/v1', 'v1')))
    OpenAPIV31SpecValidator(document).validate()
    assert document['servers'] == [{'url': '/minicompute/v1'}] and document['info']['version'] == 'v1'
    dry_run = document['paths']['/placement']['post']
    assert dry_run['x-policy'] and 'requestBody' in dry_run
