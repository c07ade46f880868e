"""A Linux bridge between a card and Open vSwitch, where Neutron filters by iptables (`ovs_hybrid_plug`).

    tap (libvirt's) -- qbr (bridge) -- qvb = qvo (veth) -- br-int (Open vSwitch)

The names are those that Neutron's agent looks for, each with the first letters of the port's id.
"""
from __future__ import annotations

import subprocess

from minicompute import exception
from minicompute.objects import VIF

_TIMEOUT = 20


def wanted(vif: VIF) -> bool:
    return vif.kind == 'ovs' and bool(vif.details.get('ovs_hybrid_plug'))


def bridge(vif: VIF) -> str:
    return _name('qbr', vif)


def _name(prefix: str, vif: VIF) -> str:
    return (prefix + vif.id)[:14]


def plug(vif: VIF, server: str) -> None:
    """Twice is once. Raises InternalError."""
    here, lower, upper = bridge(vif), _name('qvb', vif), _name('qvo', vif)
    if not _there(here):
        _run('ip', 'link', 'add', here, 'type', 'bridge', 'forward_delay', '0', 'stp_state', '0', 'mcast_snooping', '0')
    if not _there(lower):
        _run('ip', 'link', 'add', lower, 'type', 'veth', 'peer', 'name', upper)
    for name in (lower, upper):
        _run('ip', 'link', 'set', name, *(('mtu', str(vif.mtu)) if vif.mtu else ()), 'promisc', 'on', 'up')
    _run('ip', 'link', 'set', lower, 'master', here)
    _run('ip', 'link', 'set', here, 'up')
    _run('ovs-vsctl', '--timeout', str(_TIMEOUT), '--', '--may-exist', 'add-port', vif.details['bridge'], upper,
         '--', 'set', 'Interface', upper, f'external-ids:iface-id={vif.id}', 'external-ids:iface-status=active',
         f'external-ids:attached-mac={vif.mac_address}', f'external-ids:vm-uuid={server}')


def unplug(vif: VIF) -> None:
    """What is not there is gone. Raises InternalError."""
    _run('ovs-vsctl', '--timeout', str(_TIMEOUT), '--', '--if-exists', 'del-port', vif.details['bridge'],
         _name('qvo', vif))
    for name in (_name('qvb', vif), bridge(vif)):
        if _there(name):
            _run('ip', 'link', 'delete', name)


def _there(name: str) -> bool:
    return subprocess.run(['ip', 'link', 'show', 'dev', name], capture_output=True, timeout=_TIMEOUT).returncode == 0


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT + 5)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise exception.InternalError(reason=f'{command[0]}: {error}') from error
    if done.returncode:
        raise exception.InternalError(reason=f'{" ".join(command)}: {done.stderr.strip()[:500]}')
