"""The data of an image, up and down, in chunks."""
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from minicompute import exception
from minicompute.api.image.images import store
from minicompute.api.image.table import Request, WrongContentType

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

CHUNK = 1 << 20
#: So far we read on after a refusal: a client that still sends sees no answer, but a broken connection.
DRAIN = 256 << 20
OCTETS = 'application/octet-stream'


class Body:
    """The request's body as a file that ends where it ends; a client that went away is an error."""

    def __init__(self, req: Request) -> None:
        self._stream = req.environ['wsgi.input']
        self._known = req.content_length is not None
        self._left = req.content_length if req.content_length is not None else -1
        # Without a length only a server that decodes chunks knows the end.
        chunked = req.environ.get('wsgi.input_terminated') or 'HTTP_TRANSFER_ENCODING' in req.environ
        if not self._known and not chunked:
            self._known, self._left = True, 0

    def read(self, size: int = CHUNK) -> bytes:
        if not self._known:
            return bytes(self._stream.read(size))
        if not self._left:
            return b''
        chunk = bytes(self._stream.read(min(size, self._left)))
        if not chunk:
            raise exception.Invalid(f'The upload was broken off: {self._left} bytes are missing.')
        self._left -= len(chunk)
        return chunk

    def drain(self) -> None:
        """Best effort, for the answer's sake only."""
        left = DRAIN
        try:
            while left > 0 and (chunk := self.read()):
                left -= len(chunk)
        except (exception.Invalid, OSError):
            pass


def upload(req: Request, image_id: str) -> None:
    body = Body(req)
    try:
        if req.content_type != OCTETS:
            raise WrongContentType(found=req.content_type[:64] or '(none)', wanted=OCTETS)
        store().upload(req.context, image_id, body, size=_announced(req))    # type: ignore[arg-type]
    except Exception:
        body.drain()
        raise


def _announced(req: Request) -> int | None:
    if req.content_length is not None:
        return req.content_length
    told = req.headers.get('X-OpenStack-Image-Size')
    if told is None:
        return None
    if not told.isascii() or not told.isdecimal() or len(told) > 19:
        raise exception.Invalid(f'Header X-OpenStack-Image-Size: {told[:64]!r} is not a number of bytes.')
    return int(told)


class Stream:
    """An answer that is longer than memory."""

    def __init__(self, chunks: Iterable[bytes], headers: list[tuple[str, str]]) -> None:
        self.chunks = chunks
        self.headers = headers

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response('200 OK', self.headers)
        return [] if environ['REQUEST_METHOD'] == 'HEAD' else self.chunks


def download(req: Request, image_id: str) -> Any:
    image = store().show(req.context, image_id)
    if image.status in ('queued', 'saving') or image.size == 0:
        return None    # 204: the image is there, its data is not
    chunks = store().download(req.context, image_id)
    return Stream(chunks, [('Content-Type', OCTETS), ('Content-Length', str(image.size)),
                           ('Content-MD5', str(image.checksum))])
