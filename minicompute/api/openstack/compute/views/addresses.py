"""The addresses of a server, by network, from the document that the network backend's cards are kept in."""
from __future__ import annotations

from typing import Any

import orjson

Addresses = dict[str, list[dict[str, Any]]]


def build(network_info: str | None, *, extended: bool) -> Addresses:
    """{network's name: [{'version', 'addr'}]}; `extended` adds what kind it is and the card's MAC."""
    found: Addresses = {}
    if not network_info or network_info == '[]':
        return found
    for vif in orjson.loads(network_info):
        cards = found.setdefault(vif['network_name'], [])
        for ip in vif['fixed_ips']:
            cards.append(_one(ip['address'], ip['version'], 'fixed', vif['mac_address'], extended))
            cards += [_one(floating, 4, 'floating', vif['mac_address'], extended)
                      for floating in ip.get('floating_ips', ())]
    return found


def _one(address: str, version: int, kind: str, mac: str, extended: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {'version': version, 'addr': address}
    if extended:
        shown['OS-EXT-IPS:type'] = kind
        shown['OS-EXT-IPS-MAC:mac_addr'] = mac
    return shown
