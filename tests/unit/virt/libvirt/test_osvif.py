"""What os-vif is told of a card; tests/integration/test_osvif.py looks at what it does."""
from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute import exception
from minicompute.objects import VIF
from minicompute.virt.libvirt import osvif, vif

from .conftest import make_instance, make_vif

SERVER = '00000000-0000-4000-8000-0000000000aa'


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any, Any]]]:
    library = pytest.importorskip('os_vif')
    said: list[tuple[str, Any, Any]] = []
    for verb in ('plug', 'unplug'):
        monkeypatch.setattr(library, verb, lambda card, server, verb=verb: said.append((verb, card, server)))
    yield said


def card(kind: str = 'ovs', **details: Any) -> VIF:
    made: VIF = make_vif(kind=kind, details={'bridge': 'br-int', 'port_filter': True, **details})
    made.network_id, made.mtu = '6d1f7a4e-0000-4000-8000-000000000001', 1400
    return made


def test_a_card_of_open_vswitch(told: Any) -> None:
    one = card(datapath_type='netdev')
    osvif.plug(one, SERVER)
    (verb, said, server), = told
    assert (verb, type(said).__name__, said.plugin, server.uuid) == ('plug', 'VIFOpenVSwitch', 'ovs', SERVER)
    assert (said.id, said.vif_name, said.address) == (one.id, one.devname, one.mac_address)
    assert (said.network.bridge, said.network.mtu) == ('br-int', 1400)
    assert (said.port_profile.interface_id, said.port_profile.datapath_type) == (one.id, 'netdev')
    osvif.unplug(one, SERVER)
    assert [one[0] for one in told] == ['plug', 'unplug']


def test_a_card_behind_a_linux_bridge(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = card(ovs_hybrid_plug=True)
    osvif.plug(one, SERVER)
    (_, said, _), = told
    assert (type(said).__name__, said.bridge_name) == ('VIFBridge', ('qbr' + one.id)[:14])
    monkeypatch.setattr(osvif, '_there', lambda name: name.startswith('qvo'))
    osvif.plug(one, SERVER)
    assert [verb for verb, *_ in told] == ['plug', 'unplug', 'plug'], 'half of it was there, and no guest'
    monkeypatch.setattr(osvif, '_there', lambda name: True)
    osvif.plug(one, SERVER)
    assert [verb for verb, *_ in told][3:] == ['plug'], 'a guest uses it'


def test_a_failure_is_ours(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError('no switch')
    monkeypatch.setattr(osvif.library(), 'plug', fail)
    with pytest.raises(exception.InternalError, match='no switch'):
        osvif.plug(card(), SERVER)
    monkeypatch.setattr(osvif.library(), 'unplug', fail)
    osvif.unplug(card(), SERVER)        # nothing is left but what Neutron takes away: no delete fails by that
    with pytest.raises(exception.InternalError, match='no switch'):
        osvif.unplug(card(ovs_hybrid_plug=True), SERVER)


def test_a_host_without_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **more: Any) -> Any:
        if name == 'os_vif':
            raise ImportError(name)
        return real(name, *args, **more)
    monkeypatch.setattr(builtins, '__import__', missing)
    osvif.library.cache_clear()
    with pytest.raises(exception.InternalError, match='without os-vif'):
        osvif.plug(card(), SERVER)
    osvif.library.cache_clear()


def test_cards_of_others_are_none_of_its_business(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not osvif.wanted(make_vif()) and not osvif.wanted(card('bridge', bridge='br0'))
    assert osvif.wanted(card('bridge', bridge='brq0123'))
    monkeypatch.setattr(osvif, 'library', lambda: pytest.fail('it is not wanted'))
    networks = vif.Networks(None)       # type: ignore[arg-type]
    local = make_instance(network_info=[card('bridge', bridge='br0')])
    networks.plug(local)
    networks.unplug(local)
