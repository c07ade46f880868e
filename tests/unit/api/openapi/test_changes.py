"""What each microversion changed in Nova, field by field, against what our documents say it changed.

`changes.txt` was taken from the JSON schemas of Nova 34: + a field that came, - one that went, =refused where query
parameters that are not named are refused from then on, ... where there are more.
"""
from __future__ import annotations

import collections
import pathlib

import pytest

from minicompute.api.openapi import document as documents
from minicompute.api.openapi import fields

HERE = pathlib.Path(__file__).parent
MORE = '...'
Place = tuple[str, str, str]     # operation, part, version

#: where ours differ, and why
DIFFERENT: dict[str, str] = {
    'GET /os-hypervisors/detail answer 2.88': 'disk_available_least is in the schema of Nova, and not in its answer',
    'GET /os-hypervisors/{id} answer 2.88': 'the same',
    'GET /os-migrations query 2.59': 'what Nova does not name and still filters by up to 2.58, ours names',
    'GET /servers answer 2.69': 'rows of cells that cannot be reached: there are no cells here',
    'GET /os-volumes_boot answer 2.69': 'the same',
    'POST /servers/{id}/action migrate request 2.56': 'its body was anything, and became an object or null',
}


def known() -> dict[Place, set[str]]:
    found = {}
    for line in (HERE / 'changes.txt').read_text().splitlines():
        operation, place, words = line.split(' | ')
        part, version = place.split()
        found[operation, part, version] = set(words.split())
    return found


@pytest.fixture(scope='module')
def told(table) -> dict[Place, set[str]]:
    """The same, of our documents."""
    found: dict[Place, set[str]] = collections.defaultdict(set)
    before: dict[str, fields.Shape] = {}
    for version in documents.microversions():
        now = fields.shapes(documents.document(table, version))
        for name in before.keys() & now.keys():
            for part in ('query', 'request', 'answer'):
                old, new = getattr(before[name], part), getattr(now[name], part)
                found[name, part, str(version)] |= {f'+{field}' for field in new.keys() - old.keys()}
                found[name, part, str(version)] |= {f'-{field}' for field in old.keys() - new.keys()}
                if (old.get(fields.OTHER), new.get(fields.OTHER)) == ('ignored', 'refused'):
                    found[name, part, str(version)].add('=refused')
        before = now
    return {place: words for place, words in found.items() if words}


def topmost(words: set[str]) -> set[str]:
    """Without what is inside of something that came or went as a whole."""
    return {word for word in words if not any(
        word != other and word.startswith((f'{other}.', f'{other}[')) for other in words)}


def test_each_change_is_there_and_no_other(told, table):
    ours = {f'{key}{" " + one.promise.action if one.promise.action else ""}'
            for key, resource in table.resources.items() for one in resource.operations}
    nova, wrong = known(), []
    for place in sorted({*told, *nova}):
        name, part, version = place
        if name not in ours:
            continue                       # tests/unit/api/test_inventory.py says what is missing
        theirs = nova.get(place, set())
        lacks = topmost(theirs - {MORE}) - topmost(told.get(place, set()))
        excess = set() if MORE in theirs else topmost(told.get(place, set())) - topmost(theirs)
        if f'{name} {part} {version}' not in DIFFERENT and (lacks or excess):
            wrong.append(f'{name} {part} {version}: lacks {sorted(lacks)}, has {sorted(excess)}')
    assert not wrong, '\n'.join(wrong)
