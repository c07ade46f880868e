"""Runs a format's parser over a file, or over a stream as it passes by."""
from __future__ import annotations

import os
from typing import BinaryIO

from minicompute import exception
from minicompute.image.inspection import formats, plan
from minicompute.image.inspection.plan import AtEnd, Facts, ImageInfo, Read, Refused

UNNAMED = '(no id)'


class _Run:
    """A parser under way: the request that waits for an answer, and the rules."""

    def __init__(self, claimed_format: str, image_id: str, allow_luks: bool) -> None:
        self.claimed = claimed_format
        self.image_id = image_id
        self.facts = Facts()
        self.request: Read | AtEnd | None = None
        self._reached = plan.HEAD_SIZE
        self._plan = formats.examine(claimed_format, self.facts, allow_luks)
        self.answer(None)

    def answer(self, data: bytes | None) -> None:
        """Give the parser what it asked for, and take its next request."""
        try:
            request = self._plan.send(data)  # type: ignore[arg-type]  # None starts a generator
            self._check(request)
        except StopIteration:
            self.request = None
        except Refused as e:
            self._plan.close()
            raise exception.ImageUnacceptable(image_id=self.image_id, reason=str(e)) from None
        else:
            self.request = request

    def _check(self, request: Read | AtEnd) -> None:
        if isinstance(request, AtEnd):
            self._reached = plan.MAX_VIRTUAL_SIZE  # the stream is gone: only the head can be read now
            return
        end = request.offset + request.length
        if request.length > plan.MAX_READ or request.length < 0 or request.offset < 0:
            raise Refused(f'its {request.what} is unreasonably large')
        if end > plan.HEAD_SIZE:
            if self._reached > plan.HEAD_SIZE and request.offset < self._reached:
                raise Refused(f'its {request.what} lies where another structure is')
            self._reached = end

    def refuse_short(self, data: bytes) -> None:
        if isinstance(self.request, Read) and len(data) < self.request.length and not self.request.short:
            raise exception.ImageUnacceptable(
                image_id=self.image_id,
                reason=f'the file ends inside its {self.request.what}: it is truncated')

    def info(self) -> ImageInfo:
        if self.facts.virtual_size is None:
            raise AssertionError(f'the parser of {self.claimed} found no size')
        return ImageInfo(self.claimed, self.facts.virtual_size, self.facts.file_size,
                         formats.QEMU_NAMES[self.claimed], self.facts.layout)


class StreamInspector:
    """Takes an image of any size in chunks of any size; keeps less than 1.2 MiB.

    `feed` and `finish` raise `ImageUnacceptable`; after that the inspector
    stays refused.  `virtual_size` is None until the header has passed: a
    caller with a limit looks at it after each `feed` and need not fetch the rest.
    """

    def __init__(self, claimed_format: str, *, image_id: str = UNNAMED, allow_luks: bool = False) -> None:
        self._position = 0
        self._head = bytearray()
        self._tail = b''
        self._partial = bytearray()
        self._refusal: exception.ImageUnacceptable | None = None
        self._run = _Run(claimed_format, image_id, allow_luks)

    @property
    def virtual_size(self) -> int | None:
        return self._run.facts.virtual_size

    @property
    def position(self) -> int:
        """Bytes fed so far."""
        return self._position

    def feed(self, chunk: bytes) -> None:
        self._raise_again()
        start, self._position = self._position, self._position + len(chunk)
        if len(self._head) < plan.HEAD_SIZE:
            self._head += chunk[:plan.HEAD_SIZE - len(self._head)]
        self._tail = (self._tail + chunk[-plan.TAIL_SIZE:])[-plan.TAIL_SIZE:]
        try:
            while (data := self._take(chunk, start)) is not None:
                self._run.answer(data)
        except exception.ImageUnacceptable as e:
            self._refusal = e
            raise

    def finish(self) -> ImageInfo:
        """The stream has ended; the facts, or `ImageUnacceptable`."""
        self._raise_again()
        self._run.facts.file_size = self._position
        try:
            while (request := self._run.request) is not None:
                self._run.answer(self._last(request))
        except exception.ImageUnacceptable as e:
            self._refusal = e
            raise
        return self._run.info()

    def _take(self, chunk: bytes, start: int) -> bytes | None:
        """The bytes of the pending read, once all of them have passed."""
        request = self._run.request
        if not isinstance(request, Read):
            return None
        end = request.offset + request.length
        if end <= plan.HEAD_SIZE:
            return bytes(self._head[request.offset:end]) if len(self._head) >= end else None
        if not self._partial and request.offset < len(self._head):
            self._partial += self._head[request.offset:]
        missing = request.offset + len(self._partial)
        if missing >= start:
            self._partial += chunk[missing - start:max(end - start, 0)]
        if len(self._partial) < request.length:
            return None
        data, self._partial = bytes(self._partial), bytearray()
        return data

    def _last(self, request: Read | AtEnd) -> bytes:
        if isinstance(request, AtEnd):
            return self._tail
        if request.offset + request.length <= plan.HEAD_SIZE:
            data = bytes(self._head[request.offset:request.offset + request.length])
        else:
            data, self._partial = bytes(self._partial), bytearray()
        self._run.refuse_short(data)
        return data

    def _raise_again(self) -> None:
        if self._refusal is not None:
            raise self._refusal


def inspect_file(path: str | os.PathLike[str], claimed_format: str, *, image_id: str = UNNAMED,
                 allow_luks: bool = False) -> ImageInfo:
    """Facts of the image at `path`, which is a file or a block device.

    Raises `ImageUnacceptable` for its content, `OSError` when it cannot be read.
    """
    with open(path, 'rb', buffering=0) as file:
        run = _Run(claimed_format, image_id, allow_luks)
        run.facts.file_size = file.seek(0, os.SEEK_END)
        while (request := run.request) is not None:
            data = _read(file, request, run.facts.file_size)
            run.refuse_short(data)
            run.answer(data)
        return run.info()


def _read(file: BinaryIO, request: Read | AtEnd, file_size: int) -> bytes:
    if isinstance(request, AtEnd):
        offset, length = max(0, file_size - plan.TAIL_SIZE), plan.TAIL_SIZE
    else:
        offset, length = request.offset, request.length
    if offset >= file_size:
        return b''
    file.seek(offset)
    parts: list[bytes] = []
    while length > 0 and (part := file.read(length)):
        parts.append(part)
        length -= len(part)
    return b''.join(parts)
