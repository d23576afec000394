"""How answers go out: in pieces as their client takes them, so that none is in memory as a whole."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec
import structlog
from aiohttp import web

from broker.gateway.api.parts import parts_of
from broker.transports.blobs import Blobs
from schemas.values import BlobRef

log = structlog.get_logger()

PIECE = 64 * 1024  # bytes that are handed to a connection at once; what is no longer is sent whole
JSON = {"Content-Type": "application/json"}
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")


@dataclass(frozen=True, slots=True)
class Content:
    """What an answer says: bytes, and payloads that are in the blob store, one after the other."""

    parts: Sequence[bytes | BlobRef]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(_size(part) for part in self.parts)

    @property
    def etag(self) -> str:
        """Names these bytes (RFC 9110, 8.8.3); of one payload it is its hash."""
        names = [_name(part) for part in self.parts]
        return f'"{names[0] if len(names) == 1 else sha256(":".join(names).encode()).hexdigest()}"'

    async def read(self, blobs: Blobs, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from *start* to *stop*, piece by piece."""
        for part in self.parts:
            first, last = max(start, 0), min(stop, _size(part))
            if first < last and isinstance(part, bytes):
                yield part[first:last]
            elif first < last and isinstance(part, BlobRef):
                async for piece in blobs.stream(part, first, last):
                    yield piece
            start, stop = start - _size(part), stop - _size(part)


def content_of(value: msgspec.Raw | bytes, ref: BlobRef | None) -> BlobRef | bytes:
    """A value, wherever it is."""
    return bytes(value) if ref is None else ref


def _size(part: bytes | BlobRef) -> int:
    return len(part) if isinstance(part, bytes) else part.size


def _name(part: bytes | BlobRef) -> str:
    return sha256(part).hexdigest() if isinstance(part, bytes) else part.sha256


async def send(request: web.Request, content: Content) -> web.StreamResponse:
    """*content* as JSON, or the part of it that the client asks for."""
    headers = JSON | {"ETag": content.etag, "Accept-Ranges": "bytes"}
    if is_known(request, content.etag):
        return web.Response(status=304, headers={"ETag": content.etag})
    span = _span(request, content)
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{content.size}"
    wanted = span or range(content.size)
    headers["Content-Length"] = str(len(wanted))
    pieces = content.read(parts_of(request).blobs, wanted.start, wanted.stop)
    return await send_pieces(request, pieces, headers, 206 if span else 200)


def is_known(request: web.Request, etag: str) -> bool:
    """Whether the client has what *etag* names already."""
    known = request.headers.get("If-None-Match", "")
    return known.strip() == "*" or etag in re.findall(r'"[^"]*"', known)


def _span(request: web.Request, content: Content) -> range | None:
    """The one part that is wanted; None for the whole, also where the client asks for several.

    Source: RFC 9110, 14.2. Raises `HTTPRequestRangeNotSatisfiable`.
    """
    found = _RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if found is None or request.method != "GET":
        return None
    if request.headers.get("If-Range", content.etag) != content.etag:
        return None
    size = content.size
    first, last, final = (int(text) if text else None for text in found.groups())
    if first is None:
        start, stop = max(size - (final or 0), 0), size
    else:
        start, stop = first, size if last is None else min(last + 1, size)
    if last is not None and first is not None and last < first:
        return None
    if start >= stop:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return range(start, stop)


async def send_pieces(
    request: web.Request,
    pieces: AsyncIterator[bytes],
    headers: Mapping[str, str],
    status: int = 200,
) -> web.StreamResponse:
    """*pieces* as one answer; once there are many they go out as the client takes them.

    What is wrong with the first of them is still an error with a status; later the connection is
    cut, so that the client sees that something is missing.
    """
    blocks = _gathered(pieces)
    first = await anext(blocks, b"")
    if len(first) <= PIECE:
        return web.Response(body=first, status=status, headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        await _write(request, response, first)
        async for block in blocks:
            await _write(request, response, block)
    except BaseException:
        if request.transport is not None:
            request.transport.abort()
        raise
    await response.write_eof()
    return response


async def _gathered(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """*pieces* put together until they are worth a write."""
    held, size = [], 0
    async for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size > PIECE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


async def _write(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Hand *data* over as the client takes it. Raises `ConnectionResetError` if it takes nothing."""
    stall = parts_of(request).stall
    view = memoryview(data)
    try:
        for start in range(0, len(view), PIECE):
            async with asyncio.timeout(stall):
                await response.write(view[start : start + PIECE])
    except TimeoutError:
        log.info("http.stalled", path=request.path)
        raise ConnectionResetError("the client takes nothing") from None
