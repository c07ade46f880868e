from __future__ import annotations

import pytest

from minicompute.api.openstack import router


@pytest.fixture(scope='session')
def table() -> router.Router:
    """All routes that there are."""
    return router.Router(row for module in router.load_modules() for row in module.ROUTES)
