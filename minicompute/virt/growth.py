"""How far a file is that something writes which does not say so itself: qemu-img, a kernel's copy, a download."""
from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from minicompute.virt.request import Progress, no_progress

#: seconds between two looks at the file
INTERVAL = 1.0


@contextlib.contextmanager
def told(path: str, size: int | None, stage: str, progress: Progress) -> Iterator[None]:
    """While it lasts, `progress` is told of `path` in per cent of `size` bytes. Nothing when nobody listens or the
    size is not known."""
    if not size or progress is no_progress:
        yield
        return
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(INTERVAL):
            with contextlib.suppress(FileNotFoundError):
                progress(stage, min(99, 100 * os.stat(path).st_size // size))
    watcher = threading.Thread(target=look, name='growth', daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
