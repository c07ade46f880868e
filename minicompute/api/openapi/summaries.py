"""What an operation is for, in a sentence: the policy rules say it already, and name who may do it."""
from __future__ import annotations

import functools
import re
import sys
from typing import NamedTuple

from oslo_policy.policy import DocumentedRuleDefault

from minicompute import policies
from minicompute.api.openstack.wsgi import Operation

REMOVED = 'Removed for good.'
#: what asks no rule of its own
WITHOUT_RULES = {
    'GET /extensions/{}': 'Show an extension.',
    'GET /flavors': 'List flavors.',
    'GET /flavors/detail': 'List flavors in full.',
    'GET /flavors/{}': 'Show a flavor.',
    'GET /images': 'List images.',
    'GET /images/detail': 'List images in full.',
    'GET /images/{}': 'Show an image.',
    'DELETE /images/{}': 'Delete an image.',
    'GET /images/{}/metadata': 'List the properties of an image.',
    'POST /images/{}/metadata': 'Add properties to an image.',
    'PUT /images/{}/metadata': 'Replace the properties of an image.',
    'GET /images/{}/metadata/{}': 'Show a property of an image.',
    'PUT /images/{}/metadata/{}': 'Set a property of an image.',
    'DELETE /images/{}/metadata/{}': 'Delete a property of an image.',
    'GET /os-hypervisors/{}/uptime': 'Show how long a hypervisor has been up.',
    'GET /versions/{}': 'Show a version of the API.',
}


class Rule(NamedTuple):
    name: str
    default: str
    text: str


def plain(path: str) -> str:
    """'/servers/{server_id}/tags' -> '/servers/{}/tags': variables have different names in different tables."""
    return re.sub(r'{\w*}', '{}', path)


@functools.cache
def _rules() -> dict[str, list[Rule]]:
    """{'POST /servers/{}/action (os-stop)': the rules that it asks, the main one first}"""
    found: dict[str, list[Rule]] = {}
    documented = [rule for rule in policies.list_rules() if isinstance(rule, DocumentedRuleDefault)]
    # A rule about one field is about every operation that shows it; the main one is about its own.
    for rule in sorted(documented, key=lambda rule: len(rule.operations)):
        for operation in rule.operations:
            key = f'{operation["method"]} {plain(operation["path"])}'
            found.setdefault(key, []).append(Rule(rule.name, rule.check_str, rule.description))
    return found


def rules(method: str, path: str, action: str | None) -> list[Rule]:
    suffix = f' ({action})' if action else ''
    return _rules().get(f'{method} {plain(path)}{suffix}', [])


def summary(method: str, path: str, operation: Operation) -> str:
    """'Stop a server.'"""
    if 410 in operation.promise.errors:
        return REMOVED
    key = f'{method} {plain(path)}'
    said = WITHOUT_RULES.get(key)
    if said is None:
        found = rules(method, path, operation.promise.action)
        said = found[0].text if found else f'{operation.promise.action or key}.'
    return said


def tag(operation: Operation) -> str:
    """The module of the handler: 'server_tags'."""
    return operation.label.partition('.')[0]


def tag_text(operation: Operation) -> str:
    """The first paragraph of that module's docstring."""
    module = sys.modules[type(operation.method.__self__).__module__]
    return ' '.join((module.__doc__ or '').partition('\n\n')[0].split())
