"""TLS on a connection: to the side of the network a protocol, to the side of HTTP a transport.

asyncio's own holds 256 KiB for each connection, does not tell how much waits below it, and shows a
connection only once hands are shaken (docs/decisions/0026-tls-is-a-transport-of-our-own.md).
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Protocol, TypeAlias, cast

import structlog

from broker.gateway.api.errors import last_words

logger = structlog.get_logger()

AT_ONCE = 64 * 1024  # bytes that are decrypted at a time
ASIDE = 64 * 1024  # bytes that TLS itself may say to a client that takes nothing
HTTP = (b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"PATC", b"OPTI")  # how a request begins
PLAIN = "this port speaks TLS: the address begins with https://"

Data: TypeAlias = "bytes | bytearray | memoryview[Any]"


class Entrance(Protocol):
    """Who knows of connections while they shake hands."""

    def enter(self, connection: "Tls") -> None:
        """*connection* has been made."""

    def leave(self, connection: "Tls") -> None:
        """*connection* waits no more: it has shaken hands, or is lost."""


class Tls(asyncio.Transport, asyncio.Protocol):
    """One connection. What is written is encrypted at once, so that all that waits is below."""

    __slots__ = (
        "_closing",
        "_encrypted",
        "_entrance",
        "_inner",
        "_is_reading",
        "_last_words",
        "_lower",
        "_make",
        "_paused_with",
        "_received",
        "_ssl",
        "begun",
    )

    is_idle = True  # until hands are shaken
    _lower: asyncio.Transport

    def __init__(
        self, context: ssl.SSLContext, entrance: Entrance, make: Callable[[], asyncio.Protocol]
    ) -> None:
        super().__init__()
        self._entrance, self._make = entrance, make
        self._inner: asyncio.Protocol | None = None  # once hands are shaken
        self._received, self._encrypted = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._received, self._encrypted, server_side=True)
        self._is_reading, self._closing = True, False
        self._last_words = b""  # if it is to be seen out
        self._paused_with: int | None = None  # bytes that TLS said since the client takes nothing
        self.begun = asyncio.get_running_loop().time()  # when it began to shake hands

    # As one of the connections that wait

    @property
    def worth(self) -> tuple[bool, float]:
        """Which one to keep: it has asked for nothing so far."""
        return False, self.begun

    def give_up(self) -> None:
        """Close it: somebody else needs the place."""
        self.abort()

    def turn_away(self, status: HTTPStatus, code: str, message: str) -> None:
        """Close it; nothing can be said before hands are shaken."""
        logger.info("tls.refused", status=status.value, reason=code)
        self.abort()

    def see_out(self, status: HTTPStatus, code: str, message: str) -> None:
        """Say why once hands are shaken, and close it then."""
        logger.info("tls.refused", status=status.value, reason=code)
        self._last_words = last_words(status, code, message)

    # To the side of the network

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._lower = cast(asyncio.Transport, transport)
        self._entrance.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._closing = True
        if self._inner is None:
            self._entrance.leave(self)
        else:
            self._inner.connection_lost(cast(Exception | None, exc))

    def data_received(self, data: bytes) -> None:
        self._received.write(data)
        if self._inner is None and not self._shake(data):
            return
        self._read()

    def eof_received(self) -> bool:
        if self._inner is not None:
            self._inner.eof_received()
        return False  # the network's side closes

    def pause_writing(self) -> None:
        self._paused_with = 0
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._paused_with = None
        if self._inner is not None:
            self._inner.resume_writing()

    def _shake(self, data: bytes) -> bool:
        """Whether hands are shaken, and what follows can be read."""
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
            return False
        except ssl.SSLError as error:
            self._refuse(error, data)
            return False
        self._send()
        if self._closing:
            return False
        if self._last_words:
            self.write(self._last_words)
            self.close()
            return False
        self._inner = self._make()
        self._entrance.leave(self)
        self._inner.connection_made(self)
        if self._paused_with is not None:
            self._inner.pause_writing()
        return True

    def _refuse(self, error: ssl.SSLError, data: bytes) -> None:
        logger.info("tls.refused", reason=error.reason)
        if data.startswith(HTTP):
            self._lower.write(last_words(HTTPStatus.BAD_REQUEST, "invalid_request", PLAIN))
        else:
            self._send()  # an alert that says why
        self._closing = True
        self._lower.close()

    def _read(self) -> None:
        """Hand over what has come, for as long as it is wanted."""
        inner = self._inner
        assert inner is not None
        try:
            while self._is_reading and not self._closing:
                data = self._ssl.read(AT_ONCE)
                if not data:
                    raise ssl.SSLZeroReturnError
                inner.data_received(data)
        except ssl.SSLWantReadError:
            pass  # that was all
        except ssl.SSLZeroReturnError:
            self._ended()
        except ssl.SSLError as error:
            logger.info("tls.broken", reason=error.reason)
            self.abort()
        self._reply()

    def _reply(self) -> None:
        """Send what TLS itself has to say; a client may ask for much of it and take nothing."""
        if self._paused_with is not None:
            self._paused_with += self._encrypted.pending
            if self._paused_with > ASIDE:
                self.abort()
        self._send()

    def _ended(self) -> None:
        """The client says nothing more."""
        assert self._inner is not None
        self._inner.eof_received()
        self.close()

    def _send(self) -> None:
        if self._encrypted.pending and not self._lower.is_closing():
            self._lower.write(self._encrypted.read())

    # To the side of HTTP

    def write(self, data: Data) -> None:
        if self._closing or not data:
            return
        self._ssl.write(data)
        self._send()

    def writelines(self, list_of_data: Iterable[Data]) -> None:
        for data in list_of_data:
            if data and not self._closing:
                self._ssl.write(data)
        self._send()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        try:
            self._ssl.unwrap()
        except ssl.SSLError:  # the client's farewell is not waited for
            self._send()
        self._lower.close()

    def abort(self) -> None:
        self._closing = True
        self._lower.abort()

    def is_closing(self) -> bool:
        return self._closing or self._lower.is_closing()

    def pause_reading(self) -> None:
        self._is_reading = False
        self._lower.pause_reading()

    def resume_reading(self) -> None:
        self._is_reading = True
        self._lower.resume_reading()
        asyncio.get_running_loop().call_soon(self._read)

    def is_reading(self) -> bool:
        return self._is_reading

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._lower.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._lower.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        return self._lower.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        return False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._inner is not None
        return self._inner

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        match name:
            case "ssl_object":
                return self._ssl
            case "sslcontext":
                return self._ssl.context
            case "peercert":
                return None  # clients are asked for none
            case "cipher":
                return self._ssl.cipher()
            case _:
                return self._lower.get_extra_info(name, default)
