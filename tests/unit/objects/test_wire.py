"""Records cross the wire, also between two versions."""
from __future__ import annotations

import datetime

import orjson
import pytest

from minicompute.objects import VIF, FixedIP, Flavor, Instance, from_primitive, to_primitive


def full() -> Instance:
    flavor = Flavor('1', 'small', 64, 1, 1, extra_specs={'hw:cpu_policy': 'shared'})
    vif = VIF(id='p', network_id='n', network_name='net', mac_address='aa', fixed_ips=[FixedIP('10.0.0.1', 's')])
    return Instance(uuid='u', project_id='p', user_id='x', flavor=flavor, network_info=[vif],
                    created_at=datetime.datetime(2026, 1, 2, 3, 4, 5, 678901), metadata={'~': 'tilde'})


def test_there_and_back() -> None:
    instance = full()
    instance.metadata = {'a': 'b'}
    assert from_primitive(orjson.loads(orjson.dumps(to_primitive(instance)))) == instance


def test_a_users_key_cannot_pose_as_a_type() -> None:
    """Metadata is the user's: a key that looks like ours must come back as it went."""
    instance = full()
    assert from_primitive(to_primitive(instance)).metadata == {'~': 'tilde'}
    instance.metadata = {'~': 'Flavor', 'name': 'x'}
    assert from_primitive(to_primitive(instance)).metadata == {'~': 'Flavor', 'name': 'x'}


def test_unknown_fields_are_ignored_and_new_ones_have_defaults() -> None:
    wire = to_primitive(Flavor('1', 'small', 64, 1, 1))
    wire['from_the_future'] = 1
    del wire['swap']
    assert from_primitive(wire).swap == 0


def test_an_unknown_record_is_refused() -> None:
    with pytest.raises(KeyError):
        from_primitive({'~': 'Spaceship'})


def test_what_is_no_record_is_not_sent() -> None:
    with pytest.raises(TypeError):
        to_primitive(object())
