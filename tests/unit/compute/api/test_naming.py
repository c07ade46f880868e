from __future__ import annotations

import pytest

from minicompute.compute.api import naming


@pytest.mark.parametrize('name, expected', [
    ('web', 'web'), ('Web Server_1', 'web-server-1'), ('a.b.c', 'a-b-c'), ('--a--', 'a'), ('é€', 'Server-U'),
    ('m\u00fcller', 'mller'), ('a' * 80, 'a' * 63), ('!' * 5, 'Server-U'), ('1.2.3.4', '1-2-3-4')])
def test_hostname(name, expected):
    assert naming.hostname(name, 'U') == expected


def test_names_of_many():
    assert naming.display_name('n', 0, 1) == 'n'
    assert [naming.display_name('n', place, 2) for place in range(2)] == ['n-1', 'n-2']
    assert len(naming.display_name('n' * 255, 99, 100)) == 255


def test_passwords(conf):
    for _ in range(50):
        made = naming.password()
        assert len(made) == 12 and any(c.isdigit() for c in made)
        assert any(c.isupper() for c in made) and any(c.islower() for c in made)
    assert len({naming.reservation_id() for _ in range(50)}) == 50
