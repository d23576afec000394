"""Connections: how many there may be, and how long each may take to say what it wants.

There are fewer than the process has descriptors, so that its log, payloads and children always
have some. One that asks for nothing makes way for one that may; one that is being served stays.
"""

import asyncio
import resource
import socket
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from ipaddress import ip_address
from typing import Protocol

import structlog
from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from broker.errors import HeadTooLargeError
from broker.gateway.api.errors import error_answer, last_words
from broker.gateway.api.handshakes import Handshake
from broker.gateway.api.parking import AFTER, Leave, Parking
from broker.gateway.api.parts import Request
from broker.gateway.certificates import Certificate
from broker.gateway.subscribers import Flow, Subscriber

logger = structlog.get_logger()

KEPT = 200  # descriptors that are for everything else
FEWEST = 16  # connections, however few descriptors there are
SEEN_OUT = 32  # connections that may shake hands over TLS only to be told that no place is left
ACCEPTED = 16  # connections that are taken in one round of the event loop
SHARED = 2  # where several processes take them
WAITING = 1024  # connections that the kernel holds until they are taken
HEAD = 15.0  # s from the first byte of a request until its head is complete
AHEAD = 16 * 1024  # bytes of a body that may wait to be wanted; and a chunk for 16 of them
IDLE = 75.0  # s that a connection may ask for nothing; above what proxies keep theirs for
UNTAKEN = 60.0  # s until the kernel gives up a peer that does not answer, or takes nothing
SWEEP = 1.0  # s between looks at all connections


def most_connections(wanted: int) -> int:
    """*wanted*, or as many as the limit of descriptors has room for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, max(soft - KEPT, FEWEST))


class Connection(web.RequestHandler):
    """One connection."""

    __slots__ = ("_doors", "_resumes", "_since", "begun", "flow")

    def __init__(self, doors: "Doors", server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=IDLE,
            auto_decompress=False,
            read_bufsize=AHEAD,
            access_log=None,  # type: ignore[arg-type]  # which means none
        )
        self._doors = doors
        self._resumes = False  # in the next turn
        self._since = loop.time()
        self.flow: Flow | None = None  # who is told whether the client takes what it is sent
        self.begun: float | None = None  # when the first byte of a request came that is not whole

    @property
    def is_idle(self) -> bool:
        """Whether it has asked for nothing that is not answered."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def worth(self) -> tuple[bool, float]:
        """Which one to keep: one that has asked for something before, or that came later."""
        return self._request_count > 0, self._since

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        _bound(transport.get_extra_info("socket"), self._doors.untaken)
        self._doors.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._doors.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._since = self._loop.time()
        super().data_received(data)
        if not self.is_idle:
            self.begun = None
            self._tell_of_a_broken_body()
        elif self.begun is None:
            self.begun = self._since

    def resume_reading(self, resume_parser: bool = True) -> None:
        """What came while reading was paused is parsed in the next turn: others have theirs."""
        if not resume_parser:
            super().resume_reading(resume_parser=False)
        elif self._reading_paused and not self._resumes:
            self._resumes = True
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._resumes = False
        if self._reading_paused and self.transport is not None:
            super().resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.flow is not None:
            self.flow.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.flow is not None:
            self.flow.resume()

    def let_go(self) -> None:
        """Somebody else has the transport: what is being answered here is no more."""
        self.flow = self.transport = None
        self.connection_lost(None)

    def streams(self, subscriber: Subscriber, leave: Leave, *, keeps_alive: bool) -> None:
        """A stream has begun here, which may last; see `Parking.begin`."""
        self._doors.parking.begin(self, subscriber, leave, keeps_alive=keeps_alive)

    def _tell_of_a_broken_body(self) -> None:
        """What can not be read lies behind the request that is being served; it may wait for it."""
        if self._current_request is None or not self._messages:
            return
        newest, body = self._messages[-1][0], self._current_request.content
        if not isinstance(newest, RawRequestMessage) and not body.is_eof():
            body.set_exception(web.RequestPayloadError(_line(newest.message)))

    def give_up(self) -> None:
        """Close it: somebody else needs the place."""
        if self.transport is not None:
            self.transport.abort()

    def turn_away(self, status: HTTPStatus, code: str, message: str) -> None:
        """Say why, and close it."""
        if self.transport is not None:
            self.transport.write(last_words(status, code, message))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What can not be read as HTTP is an error in JSON, too; what a handler never saw."""
        if request.writer.output_size > 0 or isinstance(exc, ConnectionError):
            raise ConnectionError("there is nobody to answer, or a part of an answer has gone out")
        if status == 500:
            logger.error("http.broken", error=str(exc), exc_info=exc)
        else:
            logger.info("http.malformed", error=_line(message))
        assert isinstance(request, Request)
        response = _malformed(status, exc, _line(message), request.trace)
        request.add_headers(response)
        response.force_close()
        return response

    def log_exception(self, *args: object, **named: object) -> None:
        """A request that breaks off while nobody reads it is no error of ours."""
        error = named.get("exc_info")
        if isinstance(error, web.RequestPayloadError | HttpProcessingError):
            logger.info("http.malformed", error=_line(str(error)))
        else:
            logger.error("http.broken", error=str(error), exc_info=error)


def _bound(sock: socket.socket | None, untaken: float) -> None:
    """A client that has vanished, or stalls, does not keep what it is sent in memory for ever."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux has it
    if sock is not None and option is not None:
        sock.setsockopt(socket.IPPROTO_TCP, option, int(untaken * 1000))


def _malformed(
    status: int, exc: BaseException | None, message: str, trace: str
) -> web.StreamResponse:
    head = HeadTooLargeError
    if isinstance(exc, LineTooLong):
        said = "the request line or a header is too long"
        return error_answer(head.status, head.code, said, trace)
    if "Too many headers" in message:
        return error_answer(head.status, head.code, "there are too many headers", trace)
    if status == 400:
        return error_answer(400, "invalid_request", f"this is no HTTP request: {message}", trace)
    return error_answer(status, "internal_error", "something went wrong here", trace)


def _line(message: str | None) -> str:
    """The first line, as it can be shown."""
    first = next(iter((message or "").splitlines()), "")
    return first[:200].encode("utf-8", "backslashreplace").decode().rstrip(": ")


class Visitor(Protocol):
    """A connection, which over TLS shakes hands first."""

    @property
    def begun(self) -> float | None:
        """When it began to say what it wants, if that is not whole."""

    @property
    def is_idle(self) -> bool:
        """Whether it has asked for nothing that is not answered."""

    @property
    def worth(self) -> tuple[bool, float]:
        """Which one to keep: the greater."""

    def give_up(self) -> None:
        """Close it: somebody else needs the place."""

    def turn_away(self, status: HTTPStatus, code: str, message: str) -> None:
        """Say why, and close it."""


class Doors:
    """All connections of a server; over TLS if it has a *certificate*."""

    def __init__(
        self,
        server: web.Server,
        most: int,
        head: float,
        untaken: float,
        certificate: Certificate | None = None,
        park: float = AFTER,
    ) -> None:
        self._server, self._most, self._certificate = server, most, certificate
        self.untaken = untaken  # s, as UNTAKEN
        self._head = head  # s, as HEAD
        self._inside: dict[Visitor, None] = {}
        self._seen_out: dict[Handshake, None] = {}  # they have no place, and are told so
        self._listeners: list[asyncio.Server] = []
        self.parking = Parking(self, park)

    def __len__(self) -> int:
        return len(self._inside)

    async def open(self, host: str, port: int, given: Sequence[socket.socket] = ()) -> int:
        """Listen, on the sockets that are *given* or else there; the port. Raises `OSError`."""
        loop = asyncio.get_running_loop()

        made = self._connection if self._certificate is None else self._knocking
        for each in given:  # others accept there, too: each takes what it has time for
            self._listeners.append(await loop.create_server(made, sock=each, backlog=SHARED))
        if not given:
            self._listeners = [await loop.create_server(made, host, port, backlog=ACCEPTED)]
        for listening in self._sockets:  # asyncio takes as many at once as the kernel may hold
            with socket.fromfd(listening.fileno(), listening.family, listening.type) as same:
                same.listen(WAITING)
        return int(self._sockets[0].getsockname()[1])

    def _connection(self) -> Connection:
        return Connection(self, self._server)

    def _knocking(self) -> Handshake:
        assert self._certificate is not None
        return Handshake(self._certificate.context, self, self._connection)

    @property
    def _sockets(self) -> list[socket.socket]:
        return [each for listener in self._listeners for each in listener.sockets]

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return all(ip_address(each.getsockname()[0]).is_loopback for each in self._sockets)

    def close(self) -> None:
        """Take no more."""
        for listener in self._listeners:
            listener.close()

    def enter(self, connection: Visitor) -> None:
        """*connection* has been made."""
        self._inside[connection] = None
        if len(self._inside) <= self._most:
            return
        idle = (other for other in self._idle() if other is not connection)
        if (least := min(idle, key=lambda other: other.worth, default=None)) is not None:
            self.leave(least)
            least.give_up()
        else:
            self.leave(connection)
            self._turn_away(connection)

    def _turn_away(self, connection: Visitor) -> None:
        """There is no place for *connection*. Over TLS few at a time are told so: they need one."""
        tell = connection.turn_away
        if isinstance(connection, Handshake) and len(self._seen_out) < SEEN_OUT:
            self._seen_out[connection] = None
            tell = connection.see_out
        tell(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "unavailable",
            "too many connections are open; try again",
        )

    def serve(self, transport: asyncio.Transport, asked: bytes, *, paused: bool) -> None:
        """Speak HTTP on *transport*, where a client has *asked* already; *paused* is its writing."""
        connection = self._connection()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if paused:
            connection.pause_writing()
        if asked:
            connection.data_received(asked)

    def leave(self, connection: Visitor) -> None:
        """*connection* is no more."""
        self._inside.pop(connection, None)
        if isinstance(connection, Handshake):
            self._seen_out.pop(connection, None)

    def _idle(self) -> Iterator[Visitor]:
        return (connection for connection in self._inside if connection.is_idle)

    async def watch(self) -> None:
        """Close connections that do not come to the point, for as long as the server runs."""
        while True:
            await asyncio.sleep(SWEEP)
            late = asyncio.get_running_loop().time() - self._head
            for leaving in [each for each in self._seen_out if each.begun < late]:
                leaving.give_up()
            for connection in list(self._idle()):
                if connection.begun is not None and connection.begun < late:
                    connection.turn_away(
                        HTTPStatus.REQUEST_TIMEOUT,
                        "too_slow",
                        f"the head of a request must be complete within {self._head:g} s",
                    )

    async def watch_certificate(self) -> None:
        """Show a new one when its files change, for as long as the server runs."""
        if self._certificate is not None:
            await self._certificate.watch()
