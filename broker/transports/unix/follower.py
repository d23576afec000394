"""Reads partitions of a log that another process has, as they grow: it pushes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from broker.errors import LogUnavailableError
from broker.transports.log import TopicPartition
from broker.transports.unix.connection import Streams, connect
from broker.transports.unix.frames import Failed, FrameError, Pushed, Said, stored_of
from schemas.records import Stored

AGAIN = 0.1  # s between two tries to connect


class RemoteFollower:
    """A `Follower` on a connection of its own, which is made again where it was lost.

    *serving*: names the process that it may read from. Raises `LogUnavailableError`.
    """

    def __init__(
        self,
        path: Path,
        starts: Mapping[TopicPartition, int],
        serving: Callable[[], Awaitable[str]],
        forget: "Callable[[RemoteFollower], None]",
    ) -> None:
        self._path, self._serving, self._forget = path, serving, forget
        self._positions = dict(starts)
        self._places = list(starts)
        self._streams: Streams | None = None
        self._closed = False

    def positions(self) -> Mapping[TopicPartition, int]:
        return self._positions

    async def next(self, wait: float) -> Sequence[Stored]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while not self._closed:
            try:
                await self._connect()
                async with asyncio.timeout_at(deadline):
                    if records := await self._receive():
                        return records
            except TimeoutError:
                break
            except LogUnavailableError:
                if self._closed or loop.time() + AGAIN >= deadline:
                    break
                await asyncio.sleep(AGAIN)
        if self._streams is None and not self._closed:
            raise LogUnavailableError("the process that has the log does not answer")
        return []

    async def _connect(self) -> None:
        if self._streams is None:
            follows = [
                ((topic, p), self._positions[TopicPartition(topic, p)]) for topic, p in self._places
            ]
            self._streams = await connect(self._path, follows, await self._serving())
            if self._closed:
                self._streams[1].close()

    async def _receive(self) -> list[Stored]:
        assert self._streams is not None
        frames, questions = self._streams
        try:
            said = await frames.next()
            return [record for each in said for record in self._taken(each)]
        except TimeoutError:
            raise
        except (EOFError, OSError, FrameError) as error:
            questions.close()
            self._streams = None
            raise LogUnavailableError(f"the log has hung up: {error}") from error

    def _taken(self, said: Said) -> list[Stored]:
        if isinstance(said, Failed):
            raise FrameError(said.message)
        if not isinstance(said, Pushed):
            return []
        records = [stored_of(row, self._places) for row in said.rows]
        for record in records:
            self._positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
        if said.positions is not None:
            self._positions.update(zip(self._places, said.positions, strict=True))
        return records

    async def close(self) -> None:
        self._closed = True
        self._forget(self)
        if self._streams is not None:
            self._streams[1].close()
