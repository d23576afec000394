"""Bodies of requests: read in good time, unpacked, and within limits all the while."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from aiohttp import web

from broker.budget import Room, Share
from broker.errors import (
    InvalidRequestError,
    TooLargeError,
    TooSlowError,
    UnsupportedEncodingError,
)
from broker.gateway.api.spooling import Spool
from schemas.batches import MOST_BYTES

BLOCK = 64 * 1024  # bytes that are waited for at once; a body that is no longer needs no room
LARGE = 1024 * 1024  # bytes that take longer to copy than the event loop may be held up
SPOOLED = MOST_BYTES  # bytes; what is larger is one submit, and goes to the blob store anyway
MEMBERS = 1000  # parts that a gzip body may have: each takes time to begin
ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # and what zlib calls them
RAW = -15  # deflate as some clients misunderstand it: without zlib's head


class Bodies:
    """Reads bodies of at most *most* bytes. All that are read at the same time share *room*.

    A block of a body, or the rest of it, must come within *patience* seconds; twice as long a body
    that says how large it is waits for room. *folder*: where large ones lie while they are read.
    """

    def __init__(self, most: int, room: int, patience: float, folder: Path | None = None) -> None:
        self.most = most
        self._folder = folder
        self._patience = patience
        self._room = Room("bodies", room, "too many large bodies are being read")

    def at_hand(self, request: web.BaseRequest, most: int | None = None) -> bytes | None:
        """The body of *request* if it is small, not packed and has come already, as most have."""
        content = request.content
        if (
            content.total_bytes > min(BLOCK, self._most(most))
            or "Content-Encoding" in request.headers
        ):
            return None
        is_here = content.is_eof() and content.exception() is None
        return content.read_nowait() if is_here else None

    @asynccontextmanager
    async def read(self, request: web.BaseRequest, most: int | None = None) -> AsyncIterator[bytes]:
        """The body of *request*, unpacked; it takes room until the block ends.

        *most*: bytes that this one may have, if they are fewer than a body may have.

        Raises `TooLargeError`, `TooSlowError`, `UnavailableError`, `UnsupportedEncodingError`, or
        `InvalidRequestError` for what can not be unpacked.
        """
        async with self._counted(request, self._most(most)) as pieces:
            yield await _joined([piece async for piece in pieces])

    def _most(self, most: int | None) -> int:
        return self.most if most is None else min(most, self.most)

    @asynccontextmanager
    async def spooled(
        self, request: web.BaseRequest, most: int | None = None
    ) -> AsyncIterator[bytes | memoryview]:
        """The same; one above `SPOOLED` lies in a file. Raises `InsufficientStorageError`, too."""
        held: list[bytes] = []
        size = 0
        async with self._counted(request, self._most(most)) as pieces:
            with closing(Spool(self._folder)) as spool:
                async for piece in pieces:
                    size += len(piece)
                    held.append(piece)
                    if size > SPOOLED:
                        for each in held:
                            await spool.add(each)
                        held = []
                body = await (spool.whole() if size > SPOOLED else _joined(held))
            yield body

    @asynccontextmanager
    async def _counted(
        self, request: web.BaseRequest, most: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The pieces of a body of at most *most* bytes; it takes room until the block ends."""
        unpacker = _unpacker(request)
        if (request.content_length or 0) > most:
            raise too_large(most)
        with self._room.share() as share:
            told = 0 if unpacker else request.content_length or 0
            if told > BLOCK:
                await self._room.await_free(told, 2 * self._patience)
                share.take(told)
            yield self._within(request, unpacker, share, told, most)

    async def _within(
        self,
        request: web.BaseRequest,
        unpacker: "Unpacker | None",
        share: Share,
        told: int,
        most: int,
    ) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._pieces(request, unpacker):
            size += len(piece)
            if size > most:
                raise too_large(most)
            if size > max(BLOCK, told):
                share.take(len(piece))
            yield piece

    async def _pieces(
        self, request: web.BaseRequest, unpacker: "Unpacker | None"
    ) -> AsyncIterator[bytes]:
        while block := await self._block(request):
            if unpacker is None:
                yield block
                continue
            unpacker.feed(block)
            while piece := await asyncio.to_thread(unpacker.more):
                yield piece
        if unpacker is not None:
            unpacker.finish()

    async def _block(self, request: web.BaseRequest) -> bytes:
        """What comes next; nothing at the end."""
        held: list[bytes] = []
        try:
            if request.content.is_eof():  # all of it is here, as it mostly is
                return request.content.read_nowait()
            async with asyncio.timeout(self._patience):
                while sum(map(len, held)) < BLOCK and (data := await request.content.readany()):
                    held.append(data)
        except TimeoutError:
            slow = f"the body must come within {self._patience:g} s for each {BLOCK} bytes"
            raise TooSlowError(slow) from None
        except web.RequestPayloadError as error:
            raise InvalidRequestError(f"the body can not be read: {_line(error)}") from error
        return b"".join(held)


async def _joined(pieces: list[bytes]) -> bytes:
    if sum(map(len, pieces)) <= LARGE:
        return b"".join(pieces)
    return await asyncio.to_thread(b"".join, pieces)  # which lets go of the interpreter


def too_large(most: int) -> TooLargeError:
    """What is said of a body that has more than *most* bytes."""
    return TooLargeError(f"the body is too large: at most {most:,} bytes are allowed")


class Unpacker:
    """Unpacks what is fed to it, a piece at a time, however much it becomes."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._stream = zlib.decompressobj(ENCODINGS[encoding])
        self._begun = False
        self._members = 1
        self._data = b""
        self._more = False  # something that was fed may not have come out yet

    def feed(self, data: bytes) -> None:
        """*data* comes next; all that came before must have been asked for."""
        if not self._begun and self._encoding == "deflate" and data[0] & 0x0F != 8:
            self._stream = zlib.decompressobj(RAW)
        self._begun = True
        self._data = data

    def more(self) -> bytes:
        """The next piece; nothing when more has to be fed. Raises `InvalidRequestError`."""
        while self._data or self._more:
            if self._stream.eof:
                self._next_member()
            try:
                piece = self._stream.decompress(self._data, BLOCK)
            except zlib.error as error:
                raise self._not_packed(str(error)) from error
            self._data = self._stream.unused_data or self._stream.unconsumed_tail
            self._more = len(piece) == BLOCK and not self._stream.eof
            if piece:
                return piece
        return b""

    def finish(self) -> None:
        """Nothing follows. Raises `InvalidRequestError` if something should."""
        if self._begun and not self._stream.eof:
            raise self._not_packed("it ends too soon")

    def _next_member(self) -> None:
        self._members += 1
        if self._encoding == "deflate" or self._members > MEMBERS:
            raise self._not_packed("something follows its end")
        self._stream = zlib.decompressobj(ENCODINGS[self._encoding])

    def _not_packed(self, why: str) -> InvalidRequestError:
        return InvalidRequestError(f"Content-Encoding: the body is not {self._encoding}: {why}")


def _unpacker(request: web.BaseRequest) -> Unpacker | None:
    encoding = ", ".join(request.headers.getall("Content-Encoding", [])).strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in ENCODINGS:
        known = "gzip, deflate or identity"
        raise UnsupportedEncodingError(f"Content-Encoding: {encoding[:80]!r} is not {known}")
    return Unpacker(encoding)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
