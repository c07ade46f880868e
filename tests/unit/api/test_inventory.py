"""Our handlers against the inventory of Nova 34: which there are, when, and with which codes."""
from __future__ import annotations

import pytest

from minicompute.api.openstack import api_version_request as versions
from tests.unit.api import inventory

HANDLERS = inventory.handlers()


@pytest.fixture(scope='module')
def ours():
    return inventory.operations()


def test_the_inventory_is_whole():
    assert len(HANDLERS) == len({one.operation for one in HANDLERS}) == 265
    assert sum(1 for one in HANDLERS if not one.codes) == 54


@pytest.mark.parametrize('handler', HANDLERS, ids=lambda one: one.operation)
def test_each_handler_promises_what_it_says(ours, handler):
    if handler.operation != inventory.ROOT:     # tests/unit/api/test_core.py
        assert list(inventory.differences(handler, ours.get(handler.operation, ()))) == []


@pytest.mark.parametrize('handler', HANDLERS, ids=lambda one: one.operation)
def test_each_handler_is_asked_by_some_test_that_names_its_version(handler):
    """Beside those that ask all of them at their edges."""
    found = inventory.asked_for().get(handler.operation)
    assert found and found['files'] and any(
        handler.first <= versions.parse(version) <= handler.last for version in found['versions']), (
        'write one, and record again: see tests/unit/api/inventory.py')


def test_there_is_no_other(ours):
    assert set(ours) - {one.operation for one in HANDLERS} == set()


def test_the_document_is_up_to_date():
    assert inventory.DOCUMENT.read_text() == inventory.document(), 'run python -m tests.unit.api.inventory'
