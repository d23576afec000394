"""How answers go out: in pieces as their client takes them, so that none is in memory as a whole."""

import asyncio
import gzip
import re
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, TypeVar

import msgspec
import structlog
from aiohttp import web

from broker.errors import RangeError
from broker.gateway.api.parts import Parts, Request
from broker.transports.blobs import Blobs
from schemas.values import BlobRef

T = TypeVar("T")

logger = structlog.get_logger()

PIECE = 64 * 1024  # bytes that are handed to a connection at once; what is no longer is sent whole
AT_HAND = 4 * PIECE  # bytes of an answer in pieces that are read, packed or handed over at a time
PACKET = 1400  # bytes: what is no longer gains nothing from being packed
HASTE = 15.0  # s that a client may take nothing of an answer that others have to wait for
HASHED = 2 * 1024 * 1024  # bytes of an answer up to which it is named by its hash
LEVEL = 1  # of gzip: half of what more would save, for a tenth of the time
PACKABLE = ("application/json", "text/", "image/svg")
NO_STORE = {"Cache-Control": "no-store"}  # for what is different each time
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
    def held(self) -> int:
        """Bytes that are in memory."""
        return sum(len(part) for part in self.parts if isinstance(part, bytes))

    @property
    def etag(self) -> str:
        """Names these bytes (RFC 9110, 8.8.3); of one payload it is its hash."""
        if (plain := self.plain) is not None:
            return f'"{sha256(plain).hexdigest()}"'
        names = [_name(part) for part in self.parts]
        return f'"{names[0] if len(names) == 1 else sha256(":".join(names).encode()).hexdigest()}"'

    @property
    def plain(self) -> bytes | None:
        """The bytes, if they are all here."""
        here = [part for part in self.parts if isinstance(part, bytes)]
        return b"".join(here) if len(here) == len(self.parts) else None

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


async def send(
    request: Request, content: Content, kind: Mapping[str, str] = JSON
) -> web.StreamResponse:
    """*content* as what it is of *kind*, or the part of it that the client asks for."""
    if "Range" not in request.headers and content.size <= PIECE and content.plain is not None:
        return web.Response(body=content.plain, headers={**kind, "Accept-Ranges": "bytes"})
    headers = {**kind, "ETag": content.etag, "Accept-Ranges": "bytes"}
    if is_known(request, content.etag):
        told = web.StreamResponse(headers=headers)
        _wants_gzip(request, told)  # which says what it depends on
        return _not_modified(told)
    span = _span(request, content)
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{content.size}"
    wanted = span or range(content.size)
    headers["Content-Length"] = str(len(wanted))
    pieces = content.read(request.parts.blobs, wanted.start, wanted.stop)
    return await send_pieces(request, pieces, headers, 206 if span else 200, content.held)


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has what *etag* names already."""
    known = request.listed("If-None-Match")
    return known.strip() == "*" or etag in re.findall(r'"[^"]*"', known)


def _span(request: Request, content: Content) -> range | None:
    """The one part that is wanted; None for the whole, also where the client asks for several.

    Source: RFC 9110, 14.2. Raises `RangeError`.
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
        raise RangeError("the range begins behind the end", size)
    return range(start, stop)


async def send_pieces(
    request: Request,
    pieces: AsyncIterator[bytes],
    headers: Mapping[str, str],
    status: int = 200,
    held: int = 0,
) -> web.StreamResponse:
    """*pieces* as one answer; once there are many they go out as the client takes them.

    *held*: bytes that are in memory until the last one has gone.

    What is wrong with the first of them is still an error with a status; later the connection is
    cut, so that the client sees that something is missing.
    """
    blocks = _gathered(pieces)
    first = await anext(blocks, b"")
    if len(first) <= PIECE:
        return web.Response(body=first, status=status, headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    whole = _after(first, blocks)
    if status == 200 and _wants_gzip(request, response):
        _say_packed(response)
        whole = _packed(whole)
    parts = request.parts
    with parts.room.share() as share:
        await parts.room.await_free(AT_HAND + held, parts.patience)
        share.take(AT_HAND + held)
        return await _stream(request, response, whole, _patience(parts))


def _patience(parts: Parts) -> float:
    """Seconds that a client may take nothing: fewer where others may soon need the memory."""
    is_scarce = 2 * parts.room.held > parts.room.size
    return min(parts.stall, HASTE) if is_scarce else parts.stall


async def _stream(
    request: Request,
    response: web.StreamResponse,
    blocks: AsyncIterator[bytes],
    stall: float,
) -> web.StreamResponse:
    request.add_headers(response)
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        async for block in blocks:
            await _write(request, response, block, stall)
    except BaseException:
        if request.transport is not None:
            request.transport.abort()
        raise
    await response.write_eof()
    return response


async def _after(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for each in rest:
        yield each


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


async def _packed(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(LEVEL, wbits=31)  # with gzip's head
    async for block in blocks:
        yield await asyncio.to_thread(packer.compress, block)
    yield packer.flush()


async def _write(request: Request, response: web.StreamResponse, data: bytes, stall: float) -> None:
    """Hand *data* over as the client takes it. Raises `ConnectionResetError` if it takes nothing."""
    view = memoryview(data)
    try:
        for start in range(0, len(view), PIECE):
            async with asyncio.timeout(stall):
                await response.write(view[start : start + PIECE])
    except TimeoutError:
        logger.info("http.stalled", path=request.path)
        raise ConnectionResetError("the client takes nothing") from None


# Answers that are made as a whole


async def finish(request: Request, response: web.StreamResponse) -> web.StreamResponse:
    """Whole answers are named by their hash, packed if the client likes, and sent piece by piece."""
    body = getattr(response, "body", None)
    if not isinstance(body, bytes) or (len(body) <= PACKET and request.method == "POST"):
        return response  # it is no whole answer, or there is nothing to be gained
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    with request.parts.room.share() as share:
        if len(response.body) > PIECE:
            share.take(len(response.body))
        is_packed = response.status != 206 and _wants_gzip(request, response)
        if response.status == 200 and request.method in ("GET", "HEAD"):
            etag = response.headers.get("ETag") or await _named(response)
            if etag and is_known(request, etag):
                return _not_modified(response)
        if is_packed:
            response.body = await _made(_gzip, response)
            _say_packed(response)
        if len(response.body) <= PIECE or request.method == "HEAD":
            return response
        return await _sent(request, response, response.body)


async def _named(response: web.Response) -> str | None:
    """Name *response* by its hash, unless it is different each time."""
    assert isinstance(response.body, bytes)
    if (
        len(response.body) > HASHED
        or response.headers.get("Cache-Control") == NO_STORE["Cache-Control"]
    ):
        return None
    response.headers.setdefault("Cache-Control", "no-cache")  # ask whether it is still right
    response.headers["ETag"] = etag = f'"{await _made(_hash, response)}"'
    return etag


def _not_modified(instead: web.StreamResponse) -> web.Response:
    """What is said in place of an answer that the client has (RFC 9110, 15.4.5)."""
    told = instead.headers
    kept = {name: told[name] for name in ("ETag", "Cache-Control", "Vary") if name in told}
    return web.Response(status=304, headers=kept)


def _wants_gzip(request: Request, response: web.StreamResponse) -> bool:
    """Whether *response* gains from it, and the client accepts it."""
    kind = response.headers.get("Content-Type", "")
    length = response.body if isinstance(response, web.Response) else None
    if not kind.startswith(PACKABLE) or kind.startswith("text/event-stream"):
        return False
    if isinstance(length, bytes) and len(length) <= PACKET:
        return False
    response.headers["Vary"] = "Accept-Encoding"
    return accepts_gzip(request.listed("Accept-Encoding"))


def accepts_gzip(header: str) -> bool:
    """What `Accept-Encoding` says of gzip (RFC 9110, 12.5.3)."""
    told = dict.fromkeys(("gzip", "*"), False)
    for item in header.lower().split(","):
        name, _, weight = item.partition(";")
        told[name.strip()] = not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return told["gzip"] or (told["*"] and "gzip" not in header.lower())


def _say_packed(response: web.StreamResponse) -> None:
    response.headers["Content-Encoding"] = "gzip"
    response.headers.pop("Content-Length", None)
    response.headers.pop("Accept-Ranges", None)
    if etag := response.headers.get("ETag"):
        response.headers["ETag"] = f"W/{etag}"  # the same content, but other bytes


def _hash(body: bytes) -> str:
    return sha256(body).hexdigest()


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, LEVEL, mtime=0)


ONCE: dict[Callable[[bytes], Any], Callable[[bytes], Any]] = {
    work: lru_cache(maxsize=8)(work) for work in (_hash, _gzip)
}


async def _made(work: Callable[[bytes], T], response: web.Response) -> T:
    """What *work* makes of the body: once of what stays the same, off the loop if it is large."""
    body = response.body
    assert isinstance(body, bytes)
    if "max-age" in response.headers.get("Cache-Control", ""):
        work = ONCE[work]
    return work(body) if len(body) <= PIECE else await asyncio.to_thread(work, body)


async def _sent(request: Request, made: web.Response, body: bytes) -> web.StreamResponse:
    async def pieces() -> AsyncIterator[bytes]:
        yield body

    made.headers["Content-Length"] = str(len(body))
    response = web.StreamResponse(status=made.status, headers=made.headers)
    return await _stream(request, response, pieces(), min(request.parts.stall, HASTE))
