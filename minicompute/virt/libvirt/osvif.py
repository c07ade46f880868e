"""Neutron's cards are plugged by os-vif, OpenStack's own library for it, before the domain has them and after it.

    ovs                    the bridge is made if it is missing, as `tbr-...` of a trunk usually is; libvirt adds the tap
    ovs, ovs_hybrid_plug   where Neutron filters by iptables: tap -- qbr (Linux bridge) -- qvb = qvo (veth) -- br-int
    bridge                 brq..., the bridge of Neutron's agent for Linux bridges, who may come later than the guest

os-vif has dropped its plugin for Linux bridges, with Neutron's agent for them: that bridge we make ourselves.

This daemon is root: what os-vif does as root it does in this process, and not in a helper of its own. It is imported
when the first card of Neutron's comes: a host without any pays nothing for it.
"""
from __future__ import annotations

import functools
import os
import subprocess
from typing import Any

from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import VIF

LOG = logging.getLogger(__name__)

#: where Open vSwitch's database listens, and the seconds that it has to answer, unless [os_vif_ovs] says otherwise
SOCKET = 'unix:/run/openvswitch/db.sock'
PATIENCE = 20
AGENTS_BRIDGE = 'brq'


def wanted(vif: VIF) -> bool:
    return vif.kind == 'ovs' or _is_agents(vif)


def hybrid(vif: VIF) -> bool:
    return vif.kind == 'ovs' and bool(vif.details.get('ovs_hybrid_plug'))


def bridge(vif: VIF) -> str:
    """The Linux bridge between a card and Open vSwitch."""
    return _name('qbr', vif)


def plug(vif: VIF, server: str) -> None:
    """Twice is once. Raises InternalError."""
    if _is_agents(vif):
        _make_bridge(vif)
        return
    if hybrid(vif) and _there(_name('qvo', vif)) and not _there(vif.devname):
        _do('unplug', vif, server)      # of a plug that was killed half-way os-vif would make nothing but the MTU
    _do('plug', vif, server)


def unplug(vif: VIF, server: str) -> None:
    """What is not there is gone. The agent's bridge is the agent's. Raises InternalError where something would stay."""
    if vif.kind != 'ovs':
        return
    try:
        _do('unplug', vif, server)
    except exception.InternalError as error:
        if hybrid(vif):
            raise
        LOG.warning('libvirt has taken the tap away, and the rest is left to Neutron: %s', error)


def _is_agents(vif: VIF) -> bool:
    return vif.kind == 'bridge' and str(vif.details.get('bridge', '')).startswith(AGENTS_BRIDGE)


def _name(prefix: str, vif: VIF) -> str:
    return (prefix + vif.id)[:14]


def _there(name: str) -> bool:
    return os.path.exists(f'/sys/class/net/{name}')


# -- os-vif ------------------------------------------------------------------------

@functools.cache
def library() -> Any:
    """os-vif with its plugins. Raises InternalError where it is not installed."""
    try:
        import os_vif
        from vif_plug_ovs import ovs, privsep
    except ImportError as error:
        raise exception.InternalError(reason=f'this host plugs no ports of Neutron without os-vif: {error}') from error
    CONF.register_opts(ovs.OvsPlugin.CONFIG_OPTS, group='os_vif_ovs')
    CONF.set_default('ovsdb_connection', SOCKET, group='os_vif_ovs')
    CONF.set_default('ovs_vsctl_timeout', PATIENCE, group='os_vif_ovs')
    privsep.vif_plug.set_client_mode(False)
    os_vif.initialize()
    return os_vif


def _do(verb: str, vif: VIF, server: str) -> None:
    os_vif = library()
    try:
        getattr(os_vif, verb)(_described(os_vif.objects, vif),
                              os_vif.objects.instance_info.InstanceInfo(uuid=server, name=server))
    except Exception as error:
        raise exception.InternalError(reason=f'port {vif.id}: {error}') from error


def _described(objects: Any, vif: VIF) -> Any:
    profile = objects.vif.VIFPortProfileOpenVSwitch(interface_id=vif.id)
    if vif.details.get('datapath_type'):
        profile.datapath_type = vif.details['datapath_type']
    more = {'mtu': vif.mtu} if vif.mtu else {}
    facts: dict[str, Any] = {
        'id': vif.id, 'address': vif.mac_address, 'vif_name': vif.devname, 'plugin': 'ovs', 'active': vif.active,
        'port_profile': profile, 'preserve_on_delete': vif.preserve_on_delete,
        'has_traffic_filtering': bool(vif.details.get('port_filter')),
        'network': objects.network.Network(id=vif.network_id, bridge=vif.details['bridge'], **more)}
    if hybrid(vif):
        return objects.vif.VIFBridge(bridge_name=bridge(vif), **facts)
    return objects.vif.VIFOpenVSwitch(**facts)


# -- Linux bridges -----------------------------------------------------------------

def _make_bridge(vif: VIF) -> None:
    """As the agent makes it, which may do so at the same moment, and connects it once it sees the tap."""
    name = vif.details['bridge']
    if _there(name):
        return
    done = _ip('link', 'add', name, 'type', 'bridge', 'forward_delay', '0', 'stp_state', '0')
    if done.returncode and not _there(name):
        raise exception.InternalError(reason=f'bridge {name}: {done.stderr.strip()[:500]}')
    for change in (('mtu', str(vif.mtu)) if vif.mtu else (), ('up',)):
        if change and (done := _ip('link', 'set', 'dev', name, *change)).returncode:
            raise exception.InternalError(reason=f'bridge {name}: {done.stderr.strip()[:500]}')


def _ip(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(['ip', *words], capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise exception.InternalError(reason=f'ip: {error}') from error
