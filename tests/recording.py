"""With MINICOMPUTE_API_RECORD=DIRECTORY, which handlers the tests reach: a line `operation|version|code|test` each.

docs/api-coverage.md is made of it (tests/unit/api/inventory.py).
"""
from __future__ import annotations

import functools
import os
import pathlib
from typing import Any


def start(directory: str) -> None:
    """Of this process, from now on."""
    from minicompute.api.openstack import router, wsgi

    place = pathlib.Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    file = (place / f'{os.getpid()}.record').open('a', buffering=1)
    seen: set[str] = set()
    call = wsgi.Operation.__call__

    @functools.wraps(call)
    def recorded(self: wsgi.Operation, req: Any, args: dict[str, Any], body: Any = None) -> Any:
        code: object = 'error'
        try:
            answer = call(self, req, args, body)
            code = answer.code
            return answer
        except Exception as error:
            code = getattr(error, 'code', 500)
            raise
        finally:
            test = os.environ.get('PYTEST_CURRENT_TEST', '?').split(' ')[0]
            operation = ' '.join(filter(None, (req.environ.get(router.ENV_ROUTE), self.promise.action)))
            line = f'{operation}|{req.api_version}|{code}|{test}\n'
            if line not in seen:
                seen.add(line)
                file.write(line)
    wsgi.Operation.__call__ = recorded    # type: ignore[method-assign]
