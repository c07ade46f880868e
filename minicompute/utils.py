"""Small things that every floor needs."""
from __future__ import annotations

import datetime


def utcnow() -> datetime.datetime:
    """UTC without zone, as the database's columns hold it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
