"""`RemoteLog`: the promises of a log, kept by the process that has it open."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import structlog

from broker.errors import (
    AppendFailedError,
    AppendUnknownError,
    LogBrokenError,
    LogNotServedError,
    LogRestartedError,
    LogUnavailableError,
    SettingsError,
)
from broker.transports.base import BaseLog
from broker.transports.log import Bounds, Position, Reach, TopicPartition, check_size, size_of
from broker.transports.placement import Placement
from broker.transports.steady import LogTime
from broker.transports.topics import TOPICS, Topic, of_tenant
from broker.transports.unix.address import socket_of
from broker.transports.unix.connection import Connection, connect
from broker.transports.unix.follower import RemoteFollower
from broker.transports.unix.frames import (
    Append,
    Appended,
    AskBounds,
    Held,
    Provide,
    Provided,
    Read,
    Row,
    Rows,
    Said,
    Welcome,
    row_of,
    stored_of,
)
from schemas.records import Record, Stored

logger = structlog.get_logger()

LARGEST_APPEND = 8 * 1024 * 1024  # bytes in one message; more goes in several


class RemoteLog(BaseLog):
    """A `Log` in the file at *path*, which another process has open and serves.

    *outlives* it: with what passes in memory only (instructions, reports) lost, whoever uses this
    goes on as soon as it is served again. Else that ends the log here.
    """

    reach = Reach.MACHINE

    def __init__(
        self, path: Path, *, topics: Mapping[str, Topic] = TOPICS, outlives: bool = True
    ) -> None:
        self.path = path
        self._topics, self._outlives = topics, outlives
        self._provided: set[str] = set()  # what it takes to go on where it is served anew
        self._socket = socket_of(path)
        self.placement = Placement(topics, {})
        self.time = LogTime()
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._followers: set[RemoteFollower] = set()
        self._serving = ""
        self._open = False
        self.identity = ""

    # The log

    async def open(self) -> None:
        self._breaks: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._serving = self.identity = ""
        self._open = True
        try:
            await self._connected()
        except LogBrokenError as error:
            raise SettingsError(f"QJB_LOG: {self.path} can not be used: {error.message}") from error
        except LogUnavailableError as error:
            raise LogNotServedError(
                f"QJB_LOG: no process serves {self.path}: start `qjb up` there first, or name a log "
                "that needs none, such as kafka://host:9092"
            ) from error

    async def provide(self, names: Collection[str]) -> None:
        missing = {n: of_tenant(self._topics, n) for n in names if n not in self.placement.counts}
        if missing:
            await self._provide(await self._connected(), list(missing))
            self._provided |= missing.keys()

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        rows = []
        for record in records:
            check_size(size_of(record))
            rows.append(row_of(record, self.placement.place(topic, record)))
        positions: list[Position] = []
        for part, size in _parts(rows):
            try:
                positions += await self._append(topic, part, size)
            except LogUnavailableError as error:
                if positions:
                    raise AppendUnknownError(f"a part was stored: {error}") from error
                raise
        return positions

    async def _append(self, topic: str, rows: list[Row], size: int) -> list[Position]:
        connection = await self._connected()
        said = await connection.ask(Append(connection.next_number(), topic, rows), size)
        assert isinstance(said, Appended)
        return [Position(partition, offset) for partition, offset in said.positions]

    async def read(self, topic: str, partition: int, start: int, limit: int = 1000) -> list[Stored]:
        connection = await self._connected()
        question = Read(connection.next_number(), topic, partition, start, limit)
        said = await _surely(connection, question)
        assert isinstance(said, Rows)
        return [stored_of(row, ((topic, partition),)) for row in said.rows]

    def follow(self, starts: Mapping[TopicPartition, int]) -> RemoteFollower:
        for topic, partition in starts:
            if not 0 <= partition < self.placement.counts[topic]:
                raise KeyError(topic, partition)
        follower = RemoteFollower(self._socket, starts, self._served_by, self._followers.discard)
        self._followers.add(follower)
        return follower

    async def bounds(self, topic: str, partition: int) -> Bounds:
        connection = await self._connected()
        said = await _surely(connection, AskBounds(connection.next_number(), topic, partition))
        assert isinstance(said, Held)
        return Bounds(said.first, said.next)

    async def watch(self) -> None:
        await asyncio.shield(self._breaks)

    async def close(self) -> None:
        self._open = False
        for follower in list(self._followers):
            await follower.close()
        if self._connection is not None:
            await self._connection.finish()
            self._connection = None

    # Its own

    async def _connected(self) -> Connection:
        """The connection, made again if it was lost. Raises `AppendFailedError`."""
        if not self._open:
            raise AppendFailedError("the log is closed")
        if self._connection is not None and not self._connection.is_lost:
            return self._connection
        async with self._connecting:
            if self._connection is None or self._connection.is_lost:
                self._connection = await self._connect()
        return self._connection

    async def _served_by(self) -> str:
        await self._connected()
        return self._serving

    async def _connect(self) -> Connection:
        try:
            connection = Connection(*await connect(self._socket))
            welcome = await connection.greeted()
        except LogBrokenError:
            raise
        except LogUnavailableError as error:
            raise AppendFailedError(error.message) from error
        try:
            self._heed(welcome)
            if missing := self._provided - welcome.partitions.keys():
                await self._provide(connection, list(missing))
        except LogBrokenError as error:
            connection.close()
            if not self._breaks.done():
                self._breaks.set_exception(error)
                self._breaks.exception()  # nobody may be watching
            raise
        except LogUnavailableError as error:
            connection.close()
            raise AppendFailedError(error.message) from error
        return connection

    async def _provide(self, connection: Connection, names: list[str]) -> None:
        question = Provide(connection.next_number(), names)
        said = await _surely(connection, question)
        assert isinstance(said, Provided)
        self.placement = Placement(self._topics, said.partitions, said.placed)

    def _heed(self, welcome: Welcome) -> None:
        """Raise `LogBrokenError` if it is not the log that was there before."""
        if self.identity and welcome.identity != self.identity:
            raise LogBrokenError(f"QJB_LOG: {self.path} is another log now; start again")
        if self._serving and welcome.serving != self._serving:
            if not self._outlives:
                raise LogRestartedError(
                    f"QJB_LOG: the process that has {self.path} was started anew, so that what "
                    "went between broker and worker is lost"
                )
            logger.info("log.served_again", log=str(self.path))
        self.identity, self._serving = welcome.identity, welcome.serving
        self.placement = Placement(self._topics, welcome.partitions, welcome.placed)
        self.time = LogTime(known=welcome.now)


async def _surely(connection: Connection, question: Read | AskBounds | Provide) -> Said:
    """The answer; a question whose answer was lost has changed nothing."""
    try:
        return await connection.ask(question)
    except AppendUnknownError as error:
        raise LogUnavailableError(error.message) from error


def _parts(rows: Sequence[Row]) -> Iterator[tuple[list[Row], int]]:
    """*rows* for one message each, with about their bytes."""
    part: list[Row] = []
    size = 0
    for row in rows:
        part.append(row)
        size += len(row[0]) + 100
        if size >= LARGEST_APPEND:
            yield part, size
            part, size = [], 0
    if part:
        yield part, size
