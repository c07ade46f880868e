"""Snapshots of volumes that no server has: any host makes them."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from oslo_log import log as logging

from minicompute import exception
from minicompute.conductor import rpcapi as conductor
from minicompute.objects import BlockDevice
from minicompute.virt.driver import ComputeDriver

LOG = logging.getLogger(__name__)

#: seconds between two words that it goes on
SAY_EVERY = 5.0


class VolumeCopies:
    """`submit(work)` runs it in a thread, sooner or later. A copy that is made, or waits, is not begun again."""

    def __init__(self, host: str, driver: ComputeDriver, submit: Callable[[Callable[[], None]], Any]) -> None:
        self._host, self._driver, self._submit = host, driver, submit
        self._lock = threading.Lock()
        self._ids: set[str] = set()

    def admit(self, snapshot_id: str, device: BlockDevice) -> None:
        with self._lock:
            waits = snapshot_id in self._ids
            self._ids.add(snapshot_id)
        self._say(snapshot_id, 'copying')      # it may have to wait for a thread
        if not waits:
            self._submit(lambda: self._copy(snapshot_id, device))

    def _copy(self, snapshot_id: str, device: BlockDevice) -> None:
        said = time.monotonic()

        def go_on() -> bool:
            nonlocal said
            if time.monotonic() - said >= SAY_EVERY:
                said = time.monotonic()
                self._say(snapshot_id, 'copying')
            return False
        try:
            self._driver.copy_volume(device, snapshot_id, go_on)
            self._say(snapshot_id, 'available')
        except Exception as error:
            ours = isinstance(error, exception.ComputeException)
            (LOG.warning if ours else LOG.exception)('Volume %s cannot be copied: %s', device.volume_id, error)
            self._say(snapshot_id, 'error', str(error) if ours else type(error).__name__)
        finally:
            with self._lock:
                self._ids.discard(snapshot_id)

    def _say(self, snapshot_id: str, status: str, message: str | None = None) -> None:
        conductor.volume_copied({'id': snapshot_id, 'host': self._host, 'status': status, 'message': message})
