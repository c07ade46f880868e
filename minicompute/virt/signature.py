"""How a proxy proves that it may say whose metadata is asked for: Neutron's way, with a secret that both know."""
from __future__ import annotations

import hashlib
import hmac

INSTANCE, PROJECT, SIGNATURE = 'X-Instance-ID', 'X-Tenant-ID', 'X-Instance-ID-Signature'


def sign(secret: str, instance_uuid: str) -> str:
    return hmac.new(secret.encode(), instance_uuid.encode('utf-8', 'surrogatepass'), hashlib.sha256).hexdigest()
