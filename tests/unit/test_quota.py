from __future__ import annotations

import pytest
import sqlalchemy as sa

from minicompute import exception, quota
from minicompute.db import session
from minicompute.db.api import instances, quotas
from minicompute.db.models import projects
from minicompute.objects import Flavor, Instance, RequestSpec

FLAVOR = Flavor(flavorid='1', name='f', memory_mb=100, vcpus=2, root_gb=1)


def both(reservations, user, limits, flavor, least, most):
    count = reservations.room(user, limits, flavor, least, most)
    reservations.take(user, flavor, count)
    return count


def reserve(conn, least, most, user='u'):
    return both(quota.Reservations(conn, 'p'), user, quota.limits(conn, 'p', user), FLAVOR, least, most)


def add(conn, number, user='u'):
    many = [Instance(uuid=f'{user}{n}', project_id='p', user_id=user, flavor=FLAVOR) for n in range(number)]
    instances.create(conn, [(many, RequestSpec(project_id='p', user_id=user))])


@pytest.fixture
def limited(database):
    def write(conn):
        quotas.put(conn, {'instances': 5, 'cores': 8, 'ram': -1}, 'p')
        add(conn, 1)
    session.write(write)


def test_as_many_as_fit(limited):
    assert session.write(reserve, 1, 2) == 2
    assert session.write(reserve, 1, 9) == 3      # eight cores, two are used


def test_too_many(limited):
    with pytest.raises(exception.TooManyInstances, match='for cores: Requested 8, but already used 2 of 8 cores'):
        session.write(reserve, 4, 4)
    with pytest.raises(exception.TooManyInstances, match='cores, instances: Requested 18, 5-9, .* used 2, 1 of 8, 5'):
        session.write(reserve, 5, 9)


def test_a_user_of_its_own(limited):
    session.write(quotas.put, {'instances': 2}, 'p', scope=quotas.USER, user_id='v')
    session.write(add, 1, 'v')
    assert session.write(reserve, 1, 9, 'v') == 1
    assert session.write(reserve, 1, 9) == 2


def test_what_one_transaction_reserves_counts_for_the_next(limited):
    session.write(quotas.put, {'instances': 3}, 'p', scope=quotas.USER, user_id='v')

    def write(conn):
        reservations = quota.Reservations(conn, 'p')
        found = [both(reservations, 'u', quota.limits(conn, 'p', 'u'), FLAVOR, 1, 1)]
        found.append(both(reservations, 'v', quota.limits(conn, 'p', 'v'), FLAVOR, 1, 9))
        with pytest.raises(exception.TooManyInstances):
            both(reservations, 'u', quota.limits(conn, 'p', 'u'), FLAVOR, 1, 1)
        return found
    assert session.write(write) == [1, 2]     # eight cores: one server was there, one is reserved, two are left


def test_what_is_refused_after_all_takes_no_room(limited):
    def write(conn):
        reservations = quota.Reservations(conn, 'p')
        limits = quota.limits(conn, 'p', 'u')
        return [reservations.room('u', limits, FLAVOR, 1, 9), reservations.room('u', limits, FLAVOR, 1, 9)]
    assert session.write(write) == [3, 3]


def test_without_bounds_nobody_waits(database):
    session.write(quotas.put, dict.fromkeys(quota.RESOURCES, -1), 'p')

    def write(conn):
        assert reserve(conn, 1, 50) == 50
        return conn.execute(sa.select(projects)).all()
    assert session.write(write) == []


def test_a_flavor_without_cores_is_bound_by_number_only(limited):
    free = Flavor(flavorid='2', name='g', memory_mb=0, vcpus=0, root_gb=0)

    def write(conn):
        return both(quota.Reservations(conn, 'p'), 'u', quota.limits(conn, 'p', 'u'), free, 1, 9)
    assert session.write(write) == 4


def test_two_at_once_do_not_share_the_last_place(limited):
    """Each counts under the lock, in the transaction that inserts."""
    import threading
    won, lost = [], []

    def attempt(number):
        def write(conn):
            reserve(conn, 1, 1)
            server = Instance(uuid=f't{number}', project_id='p', user_id='u', flavor=FLAVOR)
            instances.create(conn, [([server], RequestSpec(project_id='p', user_id='u'))])
        try:
            session.write(write)
            won.append(number)
        except exception.TooManyInstances:
            lost.append(number)
    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (3, 5)
