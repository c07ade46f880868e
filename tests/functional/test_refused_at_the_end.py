"""A neighbour that refuses to take back what a server had: the server is gone, or has let go, all the same. What is
left is owed, tried less and less often, and in the end it is the operator's."""
from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute import exception
from minicompute.cmd import manage, manage_debts, status
from minicompute.conductor import debts
from minicompute.db import session
from minicompute.db.api import owed
from tests.functional.cinder_server import CinderServer, always, once
from tests.functional.cloud import Cloud
from tests.functional.test_cinder import attach, boot, mapped, plugged, quiet

AGAIN = '2026-01-01'


@pytest.fixture
def cloud(cinder: CinderServer, conf: Any) -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.stop()


@pytest.fixture
def server(cloud: Cloud) -> str:
    return str(cloud.wait(cloud.boot()['id'])['id'])


def owing() -> list[Any]:
    with session.read() as conn:
        return owed.of_neighbours(conn, 100)


def due() -> None:
    """The next look comes at once."""
    session.write(owed.put_off, [(row, {**row.data, 'not_before': AGAIN}, row.reason) for row in owing()])


@pytest.mark.parametrize('status_code', [400, 403, 409])
def test_a_delete_ends(cloud: Cloud, cinder: CinderServer, status_code: int) -> None:
    goes, stays = cinder.volume(bootable='true'), cinder.volume()
    made = boot(cloud, {'source_type': 'volume', 'uuid': goes, 'destination_type': 'volume', 'boot_index': 0,
                        'delete_on_termination': True},
                {'source_type': 'volume', 'uuid': stays, 'destination_type': 'volume'})
    cloud.wait(made['id'])
    cinder.faults['give_back'] = always(status_code)
    cloud.api('DELETE', f"/servers/{made['id']}", expect=204)
    cloud.wait_gone(made['id'])
    quiet(cloud)
    assert {row.verb for row in owing()} == {f'volume {goes}', f'volume {stays}'}
    assert all('planned' in row.reason for row in owing())
    cinder.faults.clear()
    debts.pay()
    assert not owing() and not cinder.attachments and set(cinder.volumes) == {stays}


def test_what_is_refused_keeps_nothing_else(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    ids = [cinder.volume() for _ in range(3)]
    for one in ids:
        attach(cloud, server, one)
        quiet(cloud)
    bad = next(one['id'] for one in cinder.attachments.values() if one['volume_id'] == ids[0])
    real = cinder._give_back

    def refuse(request: Any, body: Any, one: str) -> tuple[int, Any]:
        return (409, {}) if one == bad else real(request, body, one)
    cinder._give_back = refuse      # type: ignore[method-assign]
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    assert set(cinder.attachments) == {bad}


def test_a_list_that_is_refused(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    attach(cloud, server, cinder.volume())
    quiet(cloud)
    cinder.faults['attachments'] = always(403)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    cinder.faults.clear()
    debts.pay()
    assert not owing() and not cinder.attachments


def test_a_refusal_of_a_moment_is_no_debt(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    attach(cloud, server, cinder.volume())
    quiet(cloud)
    cinder.faults['give_back'] = once(409)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    assert not owing() and not cinder.attachments


def test_a_detach_ends(cloud: Cloud, cinder: CinderServer, server: str) -> None:
    one = cinder.volume()
    attach(cloud, server, one)
    quiet(cloud)
    cinder.faults['give_back'] = always(409)
    cloud.api('DELETE', f'/servers/{server}/os-volume_attachments/{one}', expect=202)
    quiet(cloud)
    assert not mapped(server) and plugged(cloud, server) == set() and len(cinder.attachments) == 1
    (event,) = [event for event in cloud.api(
        'GET', f'/servers/{server}/os-instance-actions/{last_action(cloud, server)}')['instanceAction']['events']
        if event['event'] == 'give_back_volumes']
    assert event['result'] == 'Success' and 'owed' in event['details'] and 'planned' in event['details']
    cinder.faults.clear()
    debts.pay()
    assert not owing() and cinder.volumes[one]['status'] == 'available'


def last_action(cloud: Cloud, server: str) -> str:
    return str(cloud.api('GET', f'/servers/{server}/os-instance-actions')['instanceActions'][0]['request_id'])


def test_it_is_not_tried_for_ever(cloud: Cloud, cinder: CinderServer, server: str, monkeypatch: Any,
                                  capsys: Any) -> None:
    monkeypatch.setattr(owed, 'MOST_REFUSED', 3)
    one = cinder.volume()
    attach(cloud, server, one)
    quiet(cloud)
    cinder.faults['give_back'] = always(409)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    for _ in range(3):
        assert debts.pay() == 0
        due()
    asked = cinder.count('give_back')
    for _ in range(3):
        assert debts.pay() == 0
        due()
    assert cinder.count('give_back') == asked
    assert status.check_debts().code == status.WARNING
    manage.debt_list(argparse.Namespace())
    said = capsys.readouterr().out
    assert f'volume {one}' in said and server in said and 'planned' in said and 'given up' in said
    cinder.faults.clear()
    manage_debts.retry(argparse.Namespace(id=owing()[0].id))
    assert debts.pay() == 1 and not owing() and not cinder.attachments
    assert status.check_debts().code == status.SUCCESS


def test_an_operator_forgets_one(cloud: Cloud, cinder: CinderServer, server: str, capsys: Any) -> None:
    one = cinder.volume()
    attach(cloud, server, one)
    quiet(cloud)
    cinder.faults['give_back'] = always(409)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    (row,) = owing()
    manage_debts.forget(argparse.Namespace(id=row.id))
    assert not owing() and one in capsys.readouterr().out
    with pytest.raises(exception.DebtNotFound):
        manage_debts.forget(argparse.Namespace(id=row.id))
