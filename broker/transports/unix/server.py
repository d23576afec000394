"""Serves a log of this process to others of the same user."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import structlog

from broker.errors import LogUnavailableError, QjbError, SettingsError
from broker.transports.embedded import EmbeddedLog
from broker.transports.log import Follower, TopicPartition
from broker.transports.unix.address import bound
from broker.transports.unix.frames import (
    ASKED,
    AT_ONCE,
    FULL,
    TAKEN_WITHIN,
    VERSION,
    Append,
    Appended,
    AskBounds,
    Asked,
    Failed,
    FrameError,
    FrameReader,
    FrameWriter,
    Held,
    Hello,
    Provide,
    Provided,
    Pushed,
    Read,
    Row,
    Rows,
    StoredRow,
    Welcome,
    failure,
    said_of,
)
from schemas.records import Record, Stored

logger = structlog.get_logger()

MOST_CONNECTIONS = 256
WAITING = 64  # connections that the kernel holds until they are taken
HELLO_WITHIN = 5.0  # s
MOST_HELD = 64 * 1024 * 1024  # bytes of what one has asked that is not answered
MOST_ASKED = 1024  # messages, likewise
MOST_READ = 4 * 1024 * 1024  # bytes in one answer, or one record
LIMIT = 10_000  # records in one answer
FOLLOW = 1.0  # s between looks at whether positions have moved without records

_Reader = FrameReader[list[Asked]]


class LogServer:
    """Serves *log*, which must be open, at the socket *path*.

    Who takes nothing for *patience* seconds is cut, and may come again.
    """

    def __init__(self, log: EmbeddedLog, path: Path, *, patience: float = TAKEN_WITHIN) -> None:
        self._log, self._path, self._patience = log, path, patience
        self._serving = uuid.uuid4().hex
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises `SettingsError`."""
        try:
            listening = bound(self._path)
            self._server = await asyncio.start_unix_server(
                self._serve, sock=listening, backlog=WAITING, limit=AT_ONCE
            )
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise SettingsError(
                f"QJB_LOG: {self._path} can not be served: {why.lower()}"
            ) from error

    async def close(self) -> None:
        """Hang up on everybody."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        with contextlib.suppress(OSError):
            self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        frames, answers = FrameReader(reader, ASKED), FrameWriter(writer, self._patience)
        try:
            if len(self._connections) > MOST_CONNECTIONS:
                raise FrameError(f"more than {MOST_CONNECTIONS} connections")
            await self._attend(frames, answers)
        except (FrameError, TimeoutError, QjbError) as error:
            logger.warning(
                "log.connection_cut", reason=str(error) or "it took nothing, or said nothing"
            )
        except (EOFError, OSError, asyncio.CancelledError):
            pass  # it has hung up, or `close` does
        finally:
            self._connections.discard(task)
            answers.flush()
            writer.transport.abort() if _is_stuck(writer) else writer.close()

    async def _attend(self, frames: _Reader, answers: FrameWriter) -> None:
        async with asyncio.timeout(HELLO_WITHIN):
            first = await frames.next()
        match first:
            case [Hello(version=version)] if version != VERSION:
                text = f"it is served by another version of qjb ({VERSION}, not {version})"
                answers.say(Failed(0, "version", text))
            case [Hello(serving=serving)] if serving not in ("", self._serving):
                answers.say(Failed(0, "log_unavailable", "it is served by another process now"))
            case [Hello(follows=None)]:
                answers.say(self._welcome())
                await _Asking(self._log, answers).run(frames)
            case [Hello(follows=follows)] if follows:
                await self._push(dict(follows), frames, answers)
            case _:
                raise FrameError("it does not begin with a greeting")

    def _welcome(self) -> Welcome:
        log = self._log
        placement = log.placement
        return Welcome(
            VERSION, log.identity, self._serving, log.now(), placement.counts, placement.placed
        )

    async def _push(
        self, starts: dict[tuple[str, int], int], frames: _Reader, answers: FrameWriter
    ) -> None:
        places = {TopicPartition(*place): start for place, start in starts.items()}
        counts = self._log.placement.counts
        for topic, partition in places:  # before it is followed: what passes waits for who follows
            if not 0 <= partition < counts.get(topic, 0):
                raise FrameError(f"there is no partition {partition} of {topic[:100]}")
        follower = self._log.follow(places)
        numbers = {where: number for number, where in enumerate(places)}
        pushing = asyncio.create_task(_push_on(follower, numbers, answers), name="log-push")
        gone = asyncio.create_task(frames.next(), name="log-gone")  # nothing more is said
        both = {pushing, gone}
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            await follower.close()


class _Asking:
    """One connection that asks: what is not answered is bounded, and reads are answered in turn."""

    def __init__(self, log: EmbeddedLog, answers: FrameWriter) -> None:
        self._log, self._answers = log, answers
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = 0
        self._eased = asyncio.Event()
        self._reading = asyncio.Lock()

    async def run(self, frames: _Reader) -> None:
        """Answer until it hangs up. What it has appended is stored all the same."""
        while True:
            asked = await frames.next()
            share = frames.read // max(1, len(asked))
            for message in asked:
                await self._room()
                self._start(message, share)
            await self._answers.drained()

    async def _room(self) -> None:
        while self._held > MOST_HELD or len(self._tasks) >= MOST_ASKED:
            self._eased.clear()
            await self._eased.wait()

    def _start(self, message: Asked, size: int) -> None:
        task = asyncio.create_task(self._answer(message), name="log-answer")
        self._tasks.add(task)
        self._held += size

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._held -= size
            self._eased.set()

        task.add_done_callback(done)

    async def _answer(self, message: Asked) -> None:
        if isinstance(message, Hello):
            return
        number = message.number
        try:
            match message:
                case Append(topic=topic, rows=rows):
                    positions = await self._log.append(topic, list(map(_record, rows)))
                    self._answers.say(Appended(number, positions))
                case Read():
                    await self._read(message)
                case Provide(names=names):
                    await self._log.provide(names)
                    placement = self._log.placement
                    self._answers.say(Provided(number, placement.counts, placement.placed))
                case AskBounds(topic=topic, partition=partition):
                    bounds = await self._log.bounds(topic, partition)
                    self._answers.say(Held(number, bounds.first, bounds.next))
        except QjbError as error:
            self._answers.say(failure(number, error))
        except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it was
            text = f"it can not be done: {error!r}"[:500]
            self._answers.say(Failed(number, LogUnavailableError.code, text))

    async def _read(self, asked: Read) -> None:
        async with self._reading:  # a client that takes no answers gets one at a time
            limit = max(1, min(asked.limit, LIMIT))
            found = await self._log.read(asked.topic, asked.partition, asked.start, limit)
            rows = next(_in_parts(((0, record) for record in found), MOST_READ), [])
            self._answers.say(Rows(asked.number, rows), FULL)
            with contextlib.suppress(OSError):  # who waited for it has left
                await self._answers.drained()


async def _push_on(
    follower: Follower, numbers: Mapping[TopicPartition, int], answers: FrameWriter
) -> None:
    """Push what comes, in frames of a size; who does not take one in time is cut."""
    said = list(follower.positions().values())
    while True:
        records = await follower.next(FOLLOW)
        positions = [follower.positions()[where] for where in numbers]
        if not records and positions == said:
            continue
        said = positions
        numbered = (
            (numbers[TopicPartition(record.topic, record.partition)], record) for record in records
        )
        for rows in _in_parts(numbered, FULL):
            answers.say(Pushed(rows), FULL)
            await answers.drained()
        answers.say(Pushed([], positions))


def _in_parts(records: Iterable[tuple[int, Stored]], most: int) -> Iterator[list[StoredRow]]:
    """As rows, of about *most* bytes together or one that is larger."""
    rows: list[StoredRow] = []
    size = 0
    for number, each in records:
        rows.append(said_of(each, number))
        size += len(each.value) + 100
        if size >= most:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _record(row: Row) -> Record:
    value, key, headers, partition = row
    return Record(value, key, headers, partition)


def _is_stuck(writer: asyncio.StreamWriter) -> bool:
    return bool(writer.transport.get_write_buffer_size())
