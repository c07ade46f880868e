"""What an operation is for, in a sentence: the policy rules say it already, and name who may do it."""
from __future__ import annotations

import functools
import re
import sys
from typing import NamedTuple

from oslo_policy.policy import DocumentedRuleDefault

from minicompute import policies
from minicompute.api.openstack.wsgi import Operation

VERBS = {'index': 'List', 'detail': 'List in full:', 'show': 'Show', 'create': 'Create', 'update': 'Change',
         'delete': 'Delete', 'gone': 'Removed for good:'}


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
    found = rules(method, path, operation.promise.action)
    if found:
        return found[0].text
    name = operation.label.rpartition('.')[2]
    if operation.promise.action:
        return f'{operation.promise.action}.'
    return f'{VERBS.get(name, name.replace("_", " ").capitalize())} {path.strip("/").partition("/")[0]}.'


def tag(operation: Operation) -> str:
    """The module of the handler: 'server_tags'."""
    return operation.label.partition('.')[0]


def tag_text(operation: Operation) -> str:
    """The first paragraph of that module's docstring."""
    module = sys.modules[type(operation.method.__self__).__module__]
    return ' '.join((module.__doc__ or '').partition('\n\n')[0].split())
