"""TLS on a connection: to the side of the network a protocol, to the side of HTTP a transport.

asyncio's own holds 256 KiB for each connection, does not tell how much waits below it, and shows a
connection only once hands are shaken (docs/decisions/0026-tls-is-a-transport-of-our-own.md).
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any, TypeAlias, cast

import structlog

logger = structlog.get_logger()

AT_ONCE = 64 * 1024  # bytes that are decrypted at a time
ASIDE = 64 * 1024  # bytes that TLS itself may say to a client that takes nothing

Data: TypeAlias = "bytes | bytearray | memoryview[Any]"


class Channel:
    """What goes encrypted over *lower*. It does so at once: all that waits, waits there."""

    __slots__ = ("_encrypted", "_received", "lower", "ssl")

    def __init__(self, context: ssl.SSLContext, lower: asyncio.Transport) -> None:
        self._received, self._encrypted = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self._received, self._encrypted, server_side=True)
        self.lower = lower

    def take(self, data: bytes) -> None:
        """*data* has come, encrypted."""
        self._received.write(data)

    @property
    def unsent(self) -> int:
        """Bytes that TLS itself has to say, until they are sent."""
        return self._encrypted.pending

    def send(self) -> None:
        """Send what TLS itself has to say."""
        if self._encrypted.pending and not self.lower.is_closing():
            self.lower.write(self._encrypted.read())

    def write(self, data: Data) -> None:
        """Send *data*, encrypted."""
        self.ssl.write(data)
        self.send()

    def close(self) -> None:
        """Say farewell; the client's is not waited for."""
        try:
            self.ssl.unwrap()
        except ssl.SSLError:
            self.send()
        self.lower.close()


class Tls(asyncio.Transport, asyncio.Protocol):
    """One connection over *channel*, on which hands are shaken; *inner* speaks HTTP on it."""

    __slots__ = ("_channel", "_closing", "_inner", "_is_reading", "_lower", "_paused_with")

    def __init__(self, channel: Channel, inner: asyncio.Protocol) -> None:
        super().__init__()
        self._channel, self._lower, self._inner = channel, channel.lower, inner
        self._is_reading, self._closing = True, False
        self._paused_with: int | None = None  # bytes that TLS said since the client takes nothing

    def begin(self, *, paused: bool) -> None:
        """Take over, with what has come already; *paused*: the client takes nothing right now."""
        self._lower.set_protocol(self)
        self._inner.connection_made(self)
        if paused:
            self.pause_writing()
        self._read()

    # To the side of the network

    def connection_lost(self, exc: BaseException | None) -> None:
        self._closing = True
        self._inner.connection_lost(cast(Exception | None, exc))

    def data_received(self, data: bytes) -> None:
        self._channel.take(data)
        self._read()

    def eof_received(self) -> bool:
        self._inner.eof_received()
        return False  # the network's side closes

    def pause_writing(self) -> None:
        self._paused_with = 0
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._paused_with = None
        self._inner.resume_writing()

    def _read(self) -> None:
        """Hand over what has come, for as long as it is wanted."""
        try:
            while self._is_reading and not self._closing:
                data = self._channel.ssl.read(AT_ONCE)
                if not data:
                    raise ssl.SSLZeroReturnError
                self._inner.data_received(data)
        except ssl.SSLWantReadError:
            pass  # that was all
        except ssl.SSLZeroReturnError:  # the client says nothing more
            self._inner.eof_received()
            self.close()
        except ssl.SSLError as error:
            logger.info("tls.broken", reason=error.reason)
            self.abort()
        self._reply()

    def _reply(self) -> None:
        """Send what TLS itself has to say; a client may ask for much of it and take nothing."""
        if self._paused_with is not None:
            self._paused_with += self._channel.unsent
            if self._paused_with > ASIDE:
                self.abort()
        self._channel.send()

    # To the side of HTTP

    def write(self, data: Data) -> None:
        if data and not self._closing:
            self._channel.write(data)

    def writelines(self, list_of_data: Iterable[Data]) -> None:
        if self._closing:
            return
        for data in list_of_data:
            if data:
                self._channel.ssl.write(data)
        self._channel.send()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._channel.close()

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
        return self._inner

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        match name:
            case "ssl_object":
                return self._channel.ssl
            case "sslcontext":
                return self._channel.ssl.context
            case "peercert":
                return None  # clients are asked for none
            case "cipher":
                return self._channel.ssl.cipher()
            case _:
                return self._lower.get_extra_info(name, default)
