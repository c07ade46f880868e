"""One microversion of the Compute API as an OpenAPI 3.1 document.

Everything in it is read from the promises of the handlers (versions, codes, schemas), from the policy rules
(what an operation is for, who may do it) and from the modules' docstrings: there is nothing to keep in step.

What OpenAPI has no words for: an /action path is one operation whose body is one of many, and `x-actions` says what
each takes and answers by itself; `x-unknown-parameters` says what becomes of query parameters that are not named;
`x-policy` names the rules that are asked.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from minicompute.api.openapi import parts, summaries
from minicompute.api.openapi.parts import Json, Shelf
from minicompute.api.openstack.api_version_request import MAX, MIN, APIVersionRequest
from minicompute.api.openstack.router import Router
from minicompute.api.openstack.wsgi import ActionResource, Operation

GONE = 410
BASE = '/v2.1'


class Entry(NamedTuple):
    """One operation of one microversion."""

    method: str
    path: str
    operation: Operation
    #: what the path is below, where the policy rules name it with that
    root: str = ''

    @property
    def name(self) -> str:
        """'POST /servers/{id}/action os-stop'"""
        action = self.operation.promise.action
        return f'{self.method} {self.path}{" " + action if action else ""}'


def microversions() -> list[APIVersionRequest]:
    return [APIVersionRequest(MIN.major, minor) for minor in range(MIN.minor, MAX.minor + 1)]


def entries(router: Router, version: APIVersionRequest, root: str = '') -> list[Entry]:
    """What there is at `version`, by path."""
    found = []
    for key, resource in router.resources.items():
        method, _, path = key.partition(' ')
        found += [Entry(method, path, one, root) for one in resource.operations if one.covers(version)]
    return sorted(found, key=lambda entry: (entry.path, entry.method, entry.operation.promise.action or ''))


def document(router: Router, version: APIVersionRequest, base: str = BASE, name: str = '') -> Json:
    """`base`: the path that the router's paths are below; `name`: the document's version, else the microversion."""
    shelf = Shelf(version)
    found = entries(router, version, '' if base == BASE else base)
    paths: dict[str, Json] = {}
    for key, group in _by_path(found):
        method, path = key
        actions = isinstance(router.resources[f'{method} {path}'], ActionResource)
        described = _actions(shelf, group) if actions else _operation(shelf, group[0])
        paths.setdefault(path, {'parameters': _path_parameters(path)})[method.lower()] = described
    tags = {summaries.tag(entry.operation): summaries.tag_text(entry.operation) for entry in found}
    return {
        'openapi': '3.1.0',
        'info': {'title': 'minicompute Compute API', 'version': name or str(version), 'summary': parts.SUMMARY,
                 'description': parts.DESCRIPTION, 'license': {'name': 'Apache-2.0', 'identifier': 'Apache-2.0'}},
        'servers': [{'url': base}],
        'security': [{'token': []}],
        'tags': [{'name': name, 'description': text} for name, text in sorted(tags.items())],
        'paths': paths,
        'components': {**parts.components(version), 'schemas': {**parts.SCHEMAS, **shelf.schemas}},
    }


def _by_path(found: list[Entry]) -> Iterator[tuple[tuple[str, str], list[Entry]]]:
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in found:
        groups.setdefault((entry.method, entry.path), []).append(entry)
    yield from groups.items()


def _path_parameters(path: str) -> list[Json]:
    return [{'name': name, 'in': 'path', 'required': True, 'schema': {'type': 'string', 'minLength': 1}}
            for name in re.findall(r'{(\w+)}', path)]


def _about(entry: Entry) -> Json:
    """What an operation and an action have in common."""
    operation = entry.operation
    path = entry.root + entry.path
    rules = summaries.rules(entry.method, path, operation.promise.action)
    about: Json = {'summary': summaries.summary(entry.method, path, operation)}
    if rules:
        about['x-policy'] = [{'rule': rule.name, 'default': rule.default, 'allows': rule.text} for rule in rules]
    if GONE in operation.promise.errors:
        about['deprecated'] = True
    return about


def _operation(shelf: Shelf, entry: Entry) -> Json:
    operation = entry.operation
    described: Json = {'operationId': operation.label if GONE not in operation.promise.errors else _slug(entry.name),
                       'tags': [summaries.tag(operation)], **_about(entry),
                       'parameters': [parts.VERSION_PARAMETER, *shelf.query(operation)]}
    if operation.promise.query is not None:
        described['x-unknown-parameters'] = 'refused' if shelf.strict_query(operation) else 'ignored'
    body = shelf.body(operation)
    if body is not None:
        described['requestBody'] = _content(body, required=not shelf.may_be_empty(operation))
    described['responses'] = _responses(shelf, [operation])
    return described


def _slug(name: str) -> str:
    return re.sub(r'\W+', '_', name).strip('_').lower()


def _actions(shelf: Shelf, group: list[Entry]) -> Json:
    bodies, described = [], {}
    for entry in group:
        operation = entry.operation
        name = operation.promise.action or ''
        body = shelf.body(operation) or shelf.keep(f'{operation.label}.body', {
            'type': 'object', 'required': [name], 'properties': {name: {}}, 'additionalProperties': False})
        bodies.append(body)
        described[name] = {**_about(entry), 'body': body, 'tag': summaries.tag(operation),
                           'responses': _responses(shelf, [operation])}
    path = group[0].path
    return {'operationId': _slug(group[0].method + path), 'tags': sorted({one['tag'] for one in described.values()}),
            'summary': 'One action, named by the only key of the body.', 'parameters': [parts.VERSION_PARAMETER],
            'requestBody': _content({'oneOf': bodies}), 'x-actions': described,
            'responses': _responses(shelf, [entry.operation for entry in group])}


def _content(schema: Json, required: bool = True) -> Json:
    return {'required': required, 'content': {'application/json': {'schema': schema}}}


def _responses(shelf: Shelf, operations: list[Operation]) -> Json:
    """By code: what any of the operations may answer."""
    found: dict[int, Json] = {}
    for code in sorted({code for one in operations for code in shelf.codes(one)}):
        answers = [shelf.answer(one) for one in operations if code in shelf.codes(one)]
        bodies = [one for place, one in enumerate(answers) if one is not None and one not in answers[:place]]
        response: Json = {'description': parts.phrase(code), 'headers': parts.HEADERS}
        if bodies and code != 204:
            response['content'] = {'application/json': {'schema': bodies[0] if len(bodies) == 1 else {'anyOf': bodies}}}
            if None in answers:
                response['description'] += ' Some actions answer nothing.'
        found[code] = response
    for code in sorted({code for one in operations for code in parts.faults_of(one)}):
        found[code] = {'$ref': f'#/components/responses/{parts.fault_name(code)}'}
    return {str(code): response for code, response in sorted(found.items())}
