"""openstackclient, openstacksdk and novaclient as they come from PyPI, after one `. run/openrc`."""
from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.stack import BIN, Stack

TOOLS = pathlib.Path(__file__).resolve().parents[2] / 'tools'
WRITE = '. {tools}/lib/common.sh && . {tools}/lib/config.sh && write_clouds && write_openrc'

Shell = Callable[[str], str]


@pytest.fixture(scope='module')
def shell(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """shell('openstack server list') -> its output, in a shell that has sourced the quickstart's openrc."""
    run = tmp_path_factory.mktemp('run')
    clean = {name: value for name, value in os.environ.items() if not name.startswith(('OS_', 'NOVA_'))}
    clean |= {'MINICOMPUTE_RUN': str(run), 'MINICOMPUTE_PORT': str(stack.port), 'MINICOMPUTE_VENV': str(BIN.parent),
              'HOME': str(run), 'CLIFF_MAX_TERM_WIDTH': '0'}
    subprocess.run(['bash', '-euc', WRITE.format(tools=TOOLS)], env=clean, check=True)

    def execute(command: str) -> str:
        done = subprocess.run(['bash', '-euc', f'. {run}/openrc; {command}'], env=clean, cwd=run, text=True,
                              capture_output=True, timeout=600)
        assert done.returncode == 0, f'{command}: {done.stdout}{done.stderr}\n{stack.report()}'
        return done.stdout
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', str(run / 'disk.qcow2'), '8M'], check=True)
    execute('openstack image create --file disk.qcow2 --disk-format qcow2 --public disk')
    execute('openstack flavor create --ram 64 --disk 1 --vcpus 1 tiny')
    yield execute


def as_json(text: str) -> Any:
    return json.loads(text)


def test_openstack_boots_shows_and_deletes(shell: Shell) -> None:
    made = as_json(shell('openstack server create --image disk --flavor tiny --no-network --wait -f json one'))
    assert made['status'] == 'ACTIVE'
    listed = as_json(shell('openstack server list -f json'))
    assert [(s['Name'], s['Status'], s['Image'], s['Flavor']) for s in listed] == [('one', 'ACTIVE', 'disk', 'tiny')]
    assert as_json(shell('openstack server show one -f json'))['id'] == made['id']
    shell('openstack console log show one')
    shell('openstack server stop one')
    shell('openstack server delete --wait one')
    assert as_json(shell('openstack server list -f json')) == []


def test_openstack_puts_a_server_on_a_network(shell: Shell) -> None:
    shell('openstack network create --share front')
    shell('openstack subnet create --network front --subnet-range 10.91.0.0/24 front')
    made = as_json(shell('openstack server create --image disk --flavor tiny --network front --wait -f json two'))
    assert [address.startswith('10.91.0.') for address in made['addresses']['front']] == [True]
    ports = as_json(shell('openstack port list --network front -f json'))
    assert len(ports) == 1
    shell('openstack server delete --wait two')
    shell('openstack network delete front')


def test_openstack_attaches_and_boots_from_volumes(shell: Shell) -> None:
    shell('openstack network create --share back')
    shell('openstack subnet create --network back --subnet-range 10.92.0.0/24 back')
    volume = as_json(shell('openstack volume create --size 1 -f json data'))
    assert (volume['status'], volume['size']) == ('available', 1)
    shell('openstack server create --image disk --flavor tiny --no-network --wait -f json three')
    until = 'for n in $(seq 300); do [ "$({0} -f value -c {1})" = "{2}" ] && exit 0; sleep 0.5; done; {0}; exit 1'
    added = as_json(shell('openstack server add volume -f json three data'))
    assert (added['Volume ID'], added['Device']) == (volume['id'], '/dev/vdb')
    shell(until.format('openstack volume show data', 'status', 'in-use'))
    assert volume['id'] in shell('nova volume-attachments three') and 'data' in shell('minicompute volume-list')
    shell('openstack server remove volume three data')
    shell(until.format('openstack volume show data', 'status', 'available'))
    shell('openstack server add network three back')
    assert '10.92.0.' in shell('nova interface-list three')
    shell('openstack server delete --wait three')
    shell('openstack volume delete data')
    made = as_json(shell('openstack server create --image disk --boot-from-volume 2 --flavor tiny --no-network '
                         '--wait -f json four'))
    root = as_json(shell('openstack volume list -f json'))
    assert [(one['Size'], one['Status']) for one in root] == [(2, 'in-use')] and made['status'] == 'ACTIVE'
    shell('openstack server delete --wait four')
    shell(f"openstack volume delete {root[0]['ID']}")
    assert as_json(shell('openstack volume list -f json')) == []
    shell('openstack network delete back')


def test_openstack_looks_at_the_service(shell: Shell) -> None:
    services = as_json(shell('openstack compute service list -f json'))
    assert {(s['Binary'], s['State']) for s in services} == {
        ('nova-compute', 'up'), ('nova-conductor', 'up'), ('nova-scheduler', 'up')}
    assert len(as_json(shell('openstack hypervisor list -f json'))) == 2
    assert [f['Name'] for f in as_json(shell('openstack flavor list -f json'))] == ['tiny']
    assert [i['Name'] for i in as_json(shell('openstack image list -f json'))] == ['disk']


def test_openstack_does_what_operators_do(shell: Shell) -> None:
    host = as_json(shell('openstack compute service list --service nova-compute -f json'))[0]['Host']
    shell('openstack aggregate create --zone north --property ssd=true fast')
    shell(f'openstack aggregate add host fast {host}')
    shell('openstack aggregate set --property old=x fast; openstack aggregate unset --property old fast')
    shown = as_json(shell('openstack aggregate show fast -f json'))
    assert shown['hosts'] == [host] and shown['availability_zone'] == 'north' and 'ssd' in str(shown['properties'])
    shell('openstack --os-compute-api-version 2.81 aggregate cache image fast disk')
    one = as_json(shell('openstack server create --image disk --flavor tiny --no-network --availability-zone north '
                        '--wait -f json op'))['id']
    lately = 'openstack --os-compute-api-version 2.73 server'
    shell(f'{lately} lock --reason mine {one}')
    assert as_json(shell(f'{lately} show {one} -f json'))['locked_reason'] == 'mine'
    shell(f'openstack server unlock {one}')
    for state in ('error', 'active'):
        shell(f'openstack server set --auto-approve --state {state} {one}')
        assert as_json(shell(f'openstack server show {one} -f json'))['status'] == state.upper()
    assert 'running' in shell(f'nova diagnostics {one}')
    shell(f'nova lock {one}; nova unlock {one}; nova reset-state --active {one}')
    shell(f'openstack server delete --wait {one}')
    shell(f'openstack aggregate remove host fast {host}; openstack aggregate delete fast')
    assert as_json(shell('openstack aggregate list -f json')) == []


def test_openstack_keypairs(shell: Shell) -> None:
    shell('ssh-keygen -q -t ed25519 -N "" -f key')
    shell('openstack keypair create --public-key key.pub mine')
    assert [k['Name'] for k in as_json(shell('openstack keypair list -f json'))] == ['mine']
    shell('openstack keypair delete mine')


def test_nova_boots_lists_and_deletes(shell: Shell) -> None:
    assert 'ACTIVE' in shell('nova boot --image disk --flavor tiny --nic none --poll three; nova list')
    assert 'three' in shell('nova show three')
    shell('nova stop three')
    shell('nova delete three')
    shell('for n in $(seq 300); do nova show three || exit 0; sleep 0.5; done; exit 1')


def test_all_clients_live_in_one_shell(shell: Shell) -> None:
    out = shell('openstack server list && nova list && minicompute list && openstack image list')
    assert 'disk' in out


SDK = '''
import openstack
cloud = openstack.connect(cloud='minicompute')
server = cloud.create_server('four', image='disk', flavor='tiny', nics=[], network=None, auto_ip=False, wait=True)
print(server.status, [one.name for one in cloud.compute.servers()])
cloud.delete_server('four', wait=True)
'''


def test_openstacksdk(shell: Shell) -> None:
    assert "ACTIVE ['four']" in shell(f"python - <<'PY'\n{SDK}\nPY")
