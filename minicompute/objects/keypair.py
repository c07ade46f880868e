from __future__ import annotations

import datetime

from minicompute.objects.base import record


@record
class KeyPair:
    """`type`: ssh or x509."""

    name: str
    user_id: str
    public_key: str
    fingerprint: str
    type: str = 'ssh'
    id: int | None = None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
