"""Looks at a disk image that a stranger made, before any tool sees it.

    info = inspect_file('/path', 'qcow2', image_id=image.id)

    inspector = StreamInspector('qcow2', image_id=image.id)
    for chunk in download:
        inspector.feed(chunk)            # raises at the first hostile fact
    info = inspector.finish()

Both raise `exception.ImageUnacceptable` and nothing else about the content.
Each format is one module with one generator that asks for the bytes that it
needs (`plan.Read`, `plan.AtEnd`); `engine` serves these from a file or from
a stream, so there is one parser for both and memory stays below 1 MiB.
"""
from __future__ import annotations

from minicompute.image.inspection.engine import StreamInspector, inspect_file
from minicompute.image.inspection.plan import ImageInfo

__all__ = ['ImageInfo', 'StreamInspector', 'inspect_file']
