from __future__ import annotations

import re

import pytest

from minicompute import exception
from minicompute.db.api.instance_list import address_pattern

DOCUMENT = '[{"mac_address":"fa:16:3e:00:00:01","fixed_ips":[{"address":"10.0.0.15","version":4},' \
           '{"address":"fe80::5","version":6}],"gateway":"10.9.9.9"}]'


@pytest.mark.parametrize('version, text, found', [
    (4, '10', True), (4, '10.0.0.15', True), (4, '^10\\.0\\.0\\.15$', True), (4, '10.0.0.1$', False),
    (4, '0.0', False), (4, '10.9', False), (4, 'fa', False), (4, 'fe80', False), (6, 'fe80', True),
    (6, '10', False), (4, '10.*5$', True), (4, '10.*9', False), (4, '(9|10)\\.', True), (4, '.*', True),
    (4, '1\\d.0', True), (6, '.*5$', True)])
def test_addresses(version, text, found):
    assert bool(re.search(address_pattern(version, text), DOCUMENT)) is found


@pytest.mark.parametrize('text', ['"', '[^1]', '\\D', '\\S', ' ', 'g', '1^0', '1$0', '\\\\', 'é'])
def test_what_could_leave_the_address(text):
    with pytest.raises(exception.Invalid, match='query parameters ip'):
        address_pattern(4, text)
