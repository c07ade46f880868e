from __future__ import annotations

import pytest

from minicompute import exception
from minicompute.compute import states
from minicompute.objects import VMState

ALL = {value for name, value in vars(VMState).items() if name.isupper()}


@pytest.mark.parametrize('action', sorted(states.ACTIONS))
def test_the_table_decides(action):
    legal = states.ACTIONS[action]
    task = None if legal.task is None else legal.task[0]
    for vm_state in ALL:
        if legal.vm is None or vm_state in legal.vm:
            states.check(action, 'u', vm_state, task)
        else:
            with pytest.raises(exception.InstanceInvalidState, match=f'vm_state {vm_state}$'):
                states.check(action, 'u', vm_state, task)


def test_what_a_server_does_may_be_in_the_way():
    with pytest.raises(exception.InstanceInvalidState, match="Cannot 'halt' instance u while it is in task_state x"):
        states.check('stop', 'u', 'active', 'x', method='halt')
    states.check('reboot_hard', 'u', 'active', 'rebooting')
    states.check('delete', 'u', 'building', 'spawning')


def test_every_action_of_a_known_state_only():
    for legal in states.ACTIONS.values():
        assert legal.vm is None or set(legal.vm) <= ALL
