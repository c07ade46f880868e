from __future__ import annotations

import pathlib

import pytest

from minicompute import exception
from minicompute.virt import link_local

ARP = '''IP address       HW type     Flags       HW address            Mask     Device
10.0.0.5         0x1         0x2         FA:16:3e:00:00:01     *        mcbr1
10.0.0.5         0x1         0x2         fa:16:3e:00:00:02     *        mcbr2
'''


def test_the_card_of_an_address_is_that_on_the_bridge(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'arp'
    path.write_text(ARP)
    assert link_local.mac_of('mcbr1', '10.0.0.5', str(path)) == 'fa:16:3e:00:00:01'
    assert link_local.mac_of('mcbr2', '10.0.0.5', str(path)) == 'fa:16:3e:00:00:02'
    assert link_local.mac_of('mcbr1', '10.0.0.6', str(path)) is None
    assert link_local.mac_of('mcbr', '10.0.0.5', str(path)) is None


@pytest.mark.parametrize('name', ['', 'a b', '-x y', 'x' * 16, '../x', 'a\nb'])
def test_only_names_of_bridges_reach_a_command(name: str) -> None:
    with pytest.raises(exception.InternalError):
        link_local.listen(name)
    assert not link_local.exists('nosuchbridge0')


def test_two_that_capture_a_bridge_are_both_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second finds the rule that the first has added since it looked; what fails otherwise is told."""
    looks: list[set[str]] = [set(), {'br0'}, set(), set()]
    added = []

    def ip(*words: str) -> str:
        if words[:2] == ('rule', 'add'):
            added.append(words)
            raise exception.InternalError(reason='RTNETLINK answers: File exists')
        return ''
    monkeypatch.setattr(link_local, 'rules', lambda: looks.pop(0))
    monkeypatch.setattr(link_local, '_ip', ip)
    link_local.capture('br0')
    assert len(added) == 1
    with pytest.raises(exception.InternalError):
        link_local.capture('br0')
