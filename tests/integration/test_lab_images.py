"""Images of real guests and the shelf, between the hosts of the lab: what a guest has written on its disk is found
again on the other one."""
from __future__ import annotations

from typing import Any

import pytest

from tests.integration.lab import BOOT
from tests.integration.stack import wait_for
from tests.integration.test_lab_resize import GIB_SECTORS, HOST, Moves, moves  # noqa: F401

pytestmark = pytest.mark.long

# Fixtures of another module.
# ruff: noqa: F811


def images_named(moves: Moves, name: str) -> list[dict[str, Any]]:
    status, document = moves.api.request('GET', f'/images/detail?name={name}', microversion='2.35')
    assert status == 200, document
    return list(document['images'])


def active(moves: Moves, name: str, number: int = 1) -> list[str]:
    """-> the ids of so many images of this name, once they are there and active"""
    def look() -> list[str] | None:
        found = images_named(moves, name)
        assert all(image['status'] in ('SAVING', 'ACTIVE') for image in found), found
        whole = len(found) == number and all(image['status'] == 'ACTIVE' for image in found)
        return [image['id'] for image in found] if whole else None
    return list(wait_for(look, BOOT, f'{number} images {name}', pause=1))


def rest(moves: Moves, server: str, status: str = 'ACTIVE') -> dict[str, Any]:
    return moves.status(server, status)


def test_an_image_of_a_guest_boots_on_another_host(moves: Moves) -> None:
    server = moves.boot('host1')
    moves.act(server, 'createImage', {'name': moves.word})
    image, = active(moves, moves.word)
    rest(moves, server)
    twin = moves.api.boot('twin', moves.small, image, host='host2', networks='auto', config_drive=True,
                          user_data=moves.api.ok('GET', f'/servers/{server}')['server']['OS-EXT-SRV-ATTR:user_data'])
    moves.servers.append(twin['id'])
    moves.api.wait_status(twin['id'], 'ACTIVE', BOOT)
    moves.wait_seen(twin['id'], moves.word, GIB_SECTORS)
    assert moves.lab.running_on(server) == ['host1'] and moves.lab.running_on(twin['id']) == ['host2']
    assert moves.seen(server) == [('', GIB_SECTORS)], 'the guest ran on'
    assert moves.api.request('DELETE', f'/images/{image}', microversion='2.35')[0] == 204


def test_shelved_on_one_host_unshelved_on_another(moves: Moves) -> None:
    server = moves.boot('host1')
    moves.act(server, 'shelve')
    assert rest(moves, server, 'SHELVED_OFFLOADED')[HOST] is None
    assert moves.directories(server) == [] == moves.domains(server)
    status, document = moves.api.request('POST', f'/servers/{server}/action', {'unshelve': {'host': 'host3'}})
    assert status == 202, document
    assert rest(moves, server)[HOST] == 'host3'
    moves.wait_seen(server, moves.word, GIB_SECTORS)
    assert moves.directories(server) == ['host3'] == moves.domains(server) == moves.lab.running_on(server)
    assert images_named(moves, f'{moves.word}-shelved') == []


def test_backups_take_turns(moves: Moves) -> None:
    """The oldest go, and those of another kind stay."""
    server = moves.boot('host1')
    made: list[str] = []
    for kind, rotation in (('weekly', 1), ('daily', 2), ('daily', 2), ('daily', 2)):
        moves.act(server, 'createBackup', {'name': moves.word, 'backup_type': kind, 'rotation': rotation})
        rest(moves, server)
        made += [image['id'] for image in images_named(moves, moves.word) if image['id'] not in made]
    assert len(made) == 4
    assert set(active(moves, moves.word, 3)) == {made[0], *made[2:]}
    assert moves.lab.running_on(server) == ['host1'] and moves.seen(server) == [('', GIB_SECTORS)], 'it ran on'
    for image in images_named(moves, moves.word):
        assert moves.api.request('DELETE', f"/images/{image['id']}", microversion='2.35')[0] == 204


def test_a_rebuilt_guest_has_a_new_disk_where_it_is(moves: Moves) -> None:
    server = moves.boot('host2')
    moves.act(server, 'reboot', {'type': 'HARD'})
    rest(moves, server)
    moves.wait_seen(server, moves.word, GIB_SECTORS)
    moves.act(server, 'rebuild', {'imageRef': moves.lab.image(), 'metadata': {'rebuilt': 'yes'}})
    assert rest(moves, server)[HOST] == 'host2'
    moves.wait_seen(server, '', GIB_SECTORS)
    assert moves.directories(server) == ['host2'] == moves.domains(server) == moves.lab.running_on(server)
