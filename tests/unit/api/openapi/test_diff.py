"""Differences between documents, and the command that shows them."""
from __future__ import annotations

import argparse
import json

import pytest

from minicompute.api.openapi import diff
from minicompute.api.openapi import document as documents
from minicompute.api.openstack import api_version_request as versions
from minicompute.cmd import manage, manage_api


@pytest.fixture
def between(table):
    def compare(before, after):
        return diff.changes(*(documents.document(table, versions.parse(one)) for one in (before, after)))
    return compare


def test_nothing(between):
    assert between('2.60', '2.60') == []


def test_fields_that_came(between):
    found = between('2.60', '2.61')
    assert {one.operation for one in found} == {
        'GET /flavors/detail', 'GET /flavors/{id}', 'POST /flavors', 'PUT /flavors/{id}'}
    assert {(one.sign, one.part, one.field.rpartition('.')[2]) for one in found} == {('+', 'answer', 'extra_specs')}


def test_back_again_is_the_opposite(between):
    there, back = between('2.52', '2.64'), between('2.64', '2.52')
    turned = {'+': '-', '-': '+', '~': '~'}
    assert sorted((one.operation, one.part, one.field, turned[one.sign]) for one in there) == sorted(
        (one.operation, one.part, one.field, one.sign) for one in back)


def test_operations_that_came_and_went(between):
    found = [one for one in between('2.35', '2.36') if not one.part]
    assert diff.Change('GET /images', '-') in found and all(one.sign == '-' for one in found)
    assert diff.Change('GET /servers/{server_id}/tags', '+') in between('2.25', '2.26')


def test_a_long_change_is_told_by_its_words(between):
    (one,) = [one for one in between('2.74', '2.75') if one.operation == 'GET /servers' and one.field == 'sort_key']
    assert one.text.startswith('query ~ sort_key: without ')
    assert 'vm_mode' in one.text and 'display_name' not in one.text


def test_the_command(capsys):
    manage.api_diff(argparse.Namespace(before='2.60', after='2.61', json=False))
    said = capsys.readouterr().out
    assert said.startswith('2.60 -> 2.61: operations: 4 changed\n')
    assert '~ GET /flavors/{id}\n    answer  + flavor.extra_specs: object' in said
    manage.api_diff(argparse.Namespace(before='2.77', after='2.78', json=True))
    (came,) = json.loads(capsys.readouterr().out)
    assert (came['operation'], came['sign'], came['part']) == ('GET /servers/{server_id}/topology', '+', '')


def test_the_routes(capsys):
    manage.api_routes(argparse.Namespace(version=None))
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:4] == ['POST', '/servers/{id}/action', 'trigger_crash_dump', '2.17-2.104']
               for line in lines)
    early = {(row[1], row[2]) for row in manage_api.routes(argparse.Namespace(version='2.16'))}
    assert ('/servers/{id}/action', 'trigger_crash_dump') not in early and ('/servers/{id}/action', 'os-stop') in early


def test_the_document_of_the_command(capsys):
    manage.api_openapi(argparse.Namespace(version='latest'))
    assert json.loads(capsys.readouterr().out)['info']['version'] == versions.MAX_API_VERSION
