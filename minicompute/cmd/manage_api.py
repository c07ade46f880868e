"""minicompute-manage api: the contract, for who upgrades a client or reviews a change. Needs no database."""
from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from collections.abc import Iterator
from typing import Any

from minicompute.api.openapi import diff as differences
from minicompute.api.openapi import document as documents
from minicompute.api.openapi import summaries
from minicompute.api.openstack import api_version_request as versions
from minicompute.api.openstack import router

SIGNS = {'+': 'added', '-': 'removed', '~': 'changed'}


def the_table() -> router.Router:
    return router.the_router().router


def diff(args: argparse.Namespace) -> None:
    """By operation; with --json each change as an object."""
    before, after = versions.negotiate(args.before), versions.negotiate(args.after)
    table = the_table()
    found = differences.changes(documents.document(table, before), documents.document(table, after))
    if args.json:
        print(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
        return
    print(f'{before} -> {after}: {_count(found)}')
    for line in lines(found):
        print(line)


def _count(found: list[differences.Change]) -> str:
    """'1 operation added, 2 changed'"""
    whole = {sign: sum(not one.part and one.sign == sign for one in found) for sign in '+-'}
    whole['~'] = len({one.operation for one in found if one.part})
    told = [f'{number} {SIGNS[sign]}' for sign, number in whole.items() if number]
    return f'operations: {", ".join(told)}' if told else 'requests and answers look alike'


def lines(found: list[differences.Change]) -> Iterator[str]:
    for operation, group in itertools.groupby(found, key=lambda one: one.operation):
        changes = list(group)
        yield f'{"~" if changes[0].part else changes[0].sign} {operation}'
        for part, some in itertools.groupby((one for one in changes if one.part), key=lambda one: one.part):
            for place, one in enumerate(some):
                yield f'    {"" if place else part:8}{one.text.removeprefix(part).lstrip()}'


def document(args: argparse.Namespace) -> None:
    print(json.dumps(documents.document(the_table(), versions.negotiate(args.version)), indent=2))


def routes(args: argparse.Namespace) -> Iterator[list[Any]]:
    """-> rows: method, path, action, versions, success, faults, summary. All, or those of one microversion."""
    table = the_table()
    wanted = versions.negotiate(args.version) if args.version else None
    for key, resource in sorted(table.resources.items(), key=lambda item: item[0].split()[::-1]):
        method, path = key.split()
        for one in resource.operations:
            if wanted is not None and not one.covers(wanted):
                continue
            promise = one.promise
            codes = [] if documents.GONE in promise.errors else [promise.code.at(wanted or promise.last), *promise.also]
            yield [method, path, promise.action, f'{promise.first}-{promise.last}', ' '.join(map(str, codes)),
                   ' '.join(map(str, sorted(promise.errors))), summaries.summary(method, path, one)]
