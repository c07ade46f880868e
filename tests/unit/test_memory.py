"""What a daemon has in its memory before it does anything: libraries that its role has no use for stay out."""
from __future__ import annotations

import subprocess
import sys

import pytest

#: a dialect, for those who have that database
PG = 'sqlalchemy.dialects.postgresql'
#: a compute has no database, only the scheduler counts in arrays, and clients of other services load when one is asked
UNUSED = {
    'api': {'alembic', 'numpy', 'libvirt', 'openstack', 'eventlet.patcher', PG},
    'conductor': {'alembic', 'numpy', 'libvirt', 'openstack', 'eventlet.patcher', PG},
    'scheduler': {'alembic', 'libvirt', 'openstack', 'eventlet.patcher', PG},
    'compute': {'sqlalchemy', 'oslo_db.api', 'alembic', 'numpy', 'libvirt', 'openstack', 'eventlet.patcher'},
}


def loaded(role: str, backend: str) -> set[str]:
    code = f'import sys, minicompute.cmd.{role}; print(*(n for n, m in sys.modules.items() if m is not None))'
    done = subprocess.run([sys.executable, '-c', code], env={'MINICOMPUTE_CONCURRENCY': backend, 'PATH': ''},
                          capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize('role', UNUSED)
def test_a_daemon_loads_what_it_uses(role: str) -> None:
    assert not loaded(role, 'threading') & UNUSED[role]


def test_eventlet_is_there_when_it_was_chosen() -> None:
    assert 'eventlet.patcher' in loaded('compute', 'eventlet')
