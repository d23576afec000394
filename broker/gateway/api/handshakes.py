"""Hands that are shaken before TLS is spoken: each is a connection that waits, and has a place."""

import asyncio
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, cast

import structlog

from broker.gateway.api.errors import last_words
from broker.gateway.api.tls import Channel, Tls

logger = structlog.get_logger()

HTTP = (b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"PATC", b"OPTI")  # how a request begins
PLAIN = "this port speaks TLS: the address begins with https://"


class Entrance(Protocol):
    """Who knows of connections while they shake hands."""

    def enter(self, connection: "Handshake") -> None:
        """*connection* has been made."""

    def leave(self, connection: "Handshake") -> None:
        """*connection* waits no more: it has shaken hands, or is lost."""


class Handshake(asyncio.Protocol):
    """A connection until hands are shaken; from then on `Tls` is, with what *make* makes."""

    __slots__ = ("_channel", "_context", "_entrance", "_last_words", "_make", "_paused", "begun")

    is_idle = True
    _channel: Channel

    def __init__(
        self, context: ssl.SSLContext, entrance: Entrance, make: Callable[[], asyncio.Protocol]
    ) -> None:
        self._context, self._entrance, self._make = context, entrance, make
        self._last_words = b""  # if it is to be seen out
        self._paused = False
        self.begun = asyncio.get_running_loop().time()

    # As one of the connections that wait

    @property
    def worth(self) -> tuple[bool, float]:
        """Which one to keep: it has asked for nothing so far."""
        return False, self.begun

    def give_up(self) -> None:
        """Close it: somebody else needs the place."""
        self._channel.lower.abort()

    def turn_away(self, status: HTTPStatus, code: str, message: str) -> None:
        """Close it; nothing can be said before hands are shaken."""
        logger.info("tls.refused", status=status.value, reason=code)
        self.give_up()

    def see_out(self, status: HTTPStatus, code: str, message: str) -> None:
        """Say why once hands are shaken, and close it then."""
        logger.info("tls.refused", status=status.value, reason=code)
        self._last_words = last_words(status, code, message)

    # To the side of the network

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._channel = Channel(self._context, cast(asyncio.Transport, transport))
        self._entrance.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._entrance.leave(self)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def data_received(self, data: bytes) -> None:
        self._channel.take(data)
        try:
            self._channel.ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._channel.send()
        except ssl.SSLError as error:
            self._refuse(error, data)
        else:
            self._channel.send()
            self._shaken()

    def _shaken(self) -> None:
        if self._channel.lower.is_closing():
            return
        if self._last_words:
            self._channel.write(self._last_words)
            self._channel.close()
            return
        connection = Tls(self._channel, self._make())
        self._entrance.leave(self)
        connection.begin(paused=self._paused)

    def _refuse(self, error: ssl.SSLError, data: bytes) -> None:
        logger.info("tls.refused", reason=error.reason)
        if data.startswith(HTTP):
            self._channel.lower.write(last_words(HTTPStatus.BAD_REQUEST, "invalid_request", PLAIN))
        else:
            self._channel.send()  # an alert that says why
        self._channel.lower.close()
