"""minicompute-manage and minicompute-status on real records."""
from __future__ import annotations

import argparse
from typing import Any

import pytest

from minicompute import exception, servicegroup
from minicompute.cmd import manage, status
from minicompute.conductor.flow import Flow
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import actions, image_caching, instances, stuck
from minicompute.objects import Action, ActionState, Flavor, ImageMeta, Instance, RequestSpec, VMState

UUID = '5c3b8f0a-0000-4000-8000-000000000001'


def arguments(**values: Any) -> argparse.Namespace:
    return argparse.Namespace(**values)


@pytest.fixture
def stuck_action(database: str) -> int:
    """A stop that is stuck while it unwinds, and its server."""
    def write(conn: Any) -> int:
        flavor = Flavor('1', 'tiny', 64, 1, 1)
        server = Instance(uuid=UUID, project_id='p', user_id='u', flavor=flavor)
        instances.create(conn, [([server], RequestSpec(project_id='p', user_id='u'))])
        action = Action(action='stop', flow='stop', instance_uuid=UUID, request_id='req-1', step='power_off',
                        busy=UUID)
        action_id = actions.begin(conn, [action])[0]
        action.state, action.message = ActionState.STUCK, 'the disk is full'
        actions.save_many(conn, [action], session.now(conn), 10)
        return action_id
    return session.write(write)


def look(action_id: int) -> Action:
    with session.read() as conn:
        return stuck.get(conn, action_id)


def test_a_stuck_action_is_listed_with_its_reason(stuck_action: int, capsys: Any) -> None:
    manage.action_list(arguments(stuck=True))
    assert 'the disk is full' in capsys.readouterr().out
    assert status.check_stuck().code == status.WARNING


def test_retry_gives_it_back_to_the_conductors(stuck_action: int) -> None:
    manage.action_retry(arguments(id=stuck_action))
    action = look(stuck_action)
    assert (action.state, action.owner, action.busy) == (ActionState.UNWINDING, None, UUID)
    with session.read() as conn:
        assert actions.unclaimed(conn, 'c1', Flow.known()) == [stuck_action]


def test_retry_of_what_is_not_stuck_is_refused(stuck_action: int) -> None:
    manage.action_retry(arguments(id=stuck_action))
    with pytest.raises(exception.Conflict, match='not stuck'):
        manage.action_retry(arguments(id=stuck_action))


def test_abandon_frees_the_server_and_says_why(stuck_action: int) -> None:
    manage.action_abandon(arguments(id=stuck_action, reason='disk replaced'))
    assert (look(stuck_action).state, look(stuck_action).busy) == (ActionState.FAILED, None)
    with session.read() as conn:
        server = instances.get(conn, UUID)
    assert (server.vm_state, server.task_state) == (VMState.ERROR, None)
    assert 'disk replaced' in server.fault['message']


def test_an_unknown_action_is_named(database: str) -> None:
    with pytest.raises(exception.ActionNotFound, match='77'):
        manage.action_show(arguments(id=77))


def test_show_has_fields_and_steps(stuck_action: int, capsys: Any) -> None:
    manage.action_show(arguments(id=stuck_action))
    assert 'power_off' in capsys.readouterr().out


def test_a_daemon_that_is_up_is_not_deleted(database: str, capsys: Any) -> None:
    session.write(servicegroup.report, 'h1', 'nova-conductor', 'conductor')
    with pytest.raises(exception.Conflict, match='stop it first'):
        manage.service_delete(arguments(service_host='h1', binary='nova-conductor', force=False))
    manage.service_list(arguments())
    assert 'h1' in capsys.readouterr().out
    manage.service_delete(arguments(service_host='h1', binary='nova-conductor', force=True))


def test_quota_is_set_and_shown(database: str, capsys: Any) -> None:
    manage.quota_set(arguments(project='p', resource='cores', limit=7))
    manage.quota_show(arguments(project='p'))
    assert 'cores' in (out := capsys.readouterr().out) and ' 7\n' in out


def test_database_and_configuration_are_checked(database: str) -> None:
    assert status.check_database().code == status.SUCCESS
    assert status.check_services().code == status.SUCCESS
    CONF.set_override('auth_strategy', 'noauth2', 'api')
    CONF.set_override('osapi_compute_listen', '192.0.2.1')
    assert status.check_configuration().code == status.FAILURE


def test_a_daemon_that_nobody_reports_as_is_a_warning(database: str) -> None:
    session.write(servicegroup.report, 'h1', 'nova-conductor', 'conductor')
    assert 'nova-scheduler' in status.check_services().details



def test_what_hosts_were_asked_to_cache_is_listed(database: str, capsys: Any) -> None:
    image = ImageMeta(id=UUID, name='debian')
    session.write(lambda conn: image_caching.ask(conn, 7, ['c1', 'c2'], [image], down={'c2'}))
    manage.image_cache_list(arguments())
    heads, first, second = capsys.readouterr().out.splitlines()
    assert heads.split()[:4] == ['Host', 'Image', 'Aggregate', 'Status']
    assert first.split()[:4] == ['c1', UUID, '7', 'queued']
    assert second.split()[:4] == ['c2', UUID, '7', 'skipped'] and second.endswith('the host was down')


def test_no_word_is_an_option() -> None:
    """oslo.config refuses to tell what a subcommand was given under the name of an option, and only then."""
    words = {options.get('dest', name.lstrip('-').replace('-', '_'))
             for _, _, _, _, arguments_ in manage.COMMANDS for name, options in arguments_}
    assert not [word for word in words if word in CONF]
