"""Images that the operator wants on this host before a server needs them."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from oslo_log import log as logging

from minicompute import exception
from minicompute.conductor import rpcapi as conductor
from minicompute.objects import ImageMeta
from minicompute.virt.driver import ComputeDriver

LOG = logging.getLogger(__name__)

#: seconds between two lines that say how far it is, and that it goes on at all
SAY_EVERY = 2.0


class ImageCaching:
    """`submit(work)` runs it in a thread, sooner or later. A request that runs or waits is not begun again."""

    def __init__(self, host: str, driver: ComputeDriver, submit: Callable[[Callable[[], None]], Any]) -> None:
        self._host, self._driver, self._submit = host, driver, submit
        self._lock = threading.Lock()
        self._ids: set[int] = set()

    def admit(self, request_id: int, image: ImageMeta) -> None:
        with self._lock:
            if request_id in self._ids:
                waits = True
            else:
                waits = False
                self._ids.add(request_id)
        if waits:
            self._say(request_id, 'caching')
        else:
            self._submit(lambda: self._cache(request_id, image))

    def _cache(self, request_id: int, image: ImageMeta) -> None:
        said = {'at': float('-inf')}

        def progress(stage: str, percent: int | None) -> None:
            if time.monotonic() - said['at'] >= SAY_EVERY:
                said['at'] = time.monotonic()
                self._say(request_id, 'caching', percent)
        try:
            self._say(request_id, 'caching')
            fetched = self._driver.cache_image(image, progress)
            self._say(request_id, 'cached' if fetched else 'existing', 100)
        except exception.NotImplementedHere:
            self._say(request_id, 'unsupported', message='the driver of this host caches no images')
        except Exception as error:
            ours = isinstance(error, exception.ComputeException)
            (LOG.warning if ours else LOG.exception)('Image %s cannot be cached: %s', image.id, error)
            self._say(request_id, 'error', message=str(error) if ours else type(error).__name__)
        finally:
            with self._lock:
                self._ids.discard(request_id)

    def _say(self, request_id: int, status: str, percent: int | None = None, message: str | None = None) -> None:
        conductor.image_cached({'id': request_id, 'host': self._host, 'status': status, 'percent': percent,
                                'message': message})
