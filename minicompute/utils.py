"""Small things that every floor needs."""
from __future__ import annotations

import calendar
import datetime


def utcnow() -> datetime.datetime:
    """UTC without zone, as the database's columns hold it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def audit_period(unit: str, before: datetime.datetime) -> tuple[datetime.datetime, datetime.datetime]:
    """The last period that was over before `before`. `unit`: hour, day, month or year, and behind an @ where in the
    next larger unit one begins: 'month@15', 'day@18'; what a month has not is its last day. Raises ValueError,
    OverflowError near the year 1."""
    name, _, offset = unit.partition('@')
    end = _beginning(name, int(offset or 0), before)
    if end >= before:
        end = _one_before(name, int(offset or 0), end)
    return _one_before(name, int(offset or 0), end), end


def _beginning(unit: str, offset: int, when: datetime.datetime) -> datetime.datetime:
    """Where a period begins within the hour, day, month or year of `when`."""
    hour = when.replace(minute=0, second=0, microsecond=0)
    if unit == 'hour':
        return hour.replace(minute=min(offset, 59))
    if unit == 'day':
        return hour.replace(hour=min(offset, 23))
    if unit == 'month':
        days = calendar.monthrange(when.year, when.month)[1]
        return hour.replace(hour=0, day=min(offset or 1, days))
    return hour.replace(hour=0, day=1, month=min(offset or 1, 12))


def _one_before(unit: str, offset: int, begun: datetime.datetime) -> datetime.datetime:
    if unit in ('hour', 'day'):
        return begun - datetime.timedelta(**{f'{unit}s': 1})
    if unit == 'month':
        return _beginning(unit, offset, begun.replace(day=1) - datetime.timedelta(days=1))
    return begun.replace(year=begun.year - 1)
