"""The connections of a process to the one that has the log."""

import asyncio
from pathlib import Path

from broker.errors import AppendUnknownError, LogBrokenError, LogUnavailableError
from broker.transports.unix.address import connected
from broker.transports.unix.frames import (
    AT_ONCE,
    SAID,
    VERSION,
    Append,
    AskBounds,
    Failed,
    FrameError,
    FrameReader,
    FrameWriter,
    Hello,
    Place,
    Provide,
    Pushed,
    Read,
    Said,
    Welcome,
    error_of,
)

HELLO_WITHIN = 10.0  # s until the other process answers: its loop may be at work
CLOSE_WITHIN = 10.0  # s for what is being asked

Streams = tuple[FrameReader[list[Said]], FrameWriter]


async def connect(
    path: Path, follows: list[tuple[Place, int]] | None = None, serving: str = ""
) -> Streams:
    """A connection to the log at the socket *path*, greeted. Raises `LogUnavailableError`."""
    try:
        reader, writer = await asyncio.open_unix_connection(sock=connected(path), limit=AT_ONCE)
    except OSError as error:
        raise LogUnavailableError(f"the log at {path} is not served: {error.strerror}") from error
    answers = FrameWriter(writer)
    answers.say(Hello(VERSION, follows, serving))
    return FrameReader(reader, SAID), answers


class Connection:
    """One connection that asks. Of no use any more once it `is_lost`."""

    def __init__(self, frames: FrameReader[list[Said]], questions: FrameWriter) -> None:
        self._frames, self._questions = frames, questions
        self._waiting: dict[int, asyncio.Future[Said]] = {}
        self._number = 0
        self.is_lost = False

    async def greeted(self) -> Welcome:
        """The log's answer; answers to questions come from then on."""
        try:
            async with asyncio.timeout(HELLO_WITHIN):
                first, *_ = await self._frames.next()
        except (EOFError, OSError, FrameError) as error:
            self.close()
            raise LogUnavailableError(f"the log does not answer: {error}") from error
        if not isinstance(first, Welcome):
            self.close()
            raise LogBrokenError(first.message if isinstance(first, Failed) else "it is no log")
        self._task = asyncio.create_task(self._listen(), name="log-answers")
        return first

    def next_number(self) -> int:
        """For the next question."""
        self._number += 1
        return self._number

    async def ask(self, question: Append | Read | AskBounds | Provide, size: int = 0) -> Said:
        """The answer. Raises what the log did; `AppendUnknownError` if it did not answer."""
        answer: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        self._waiting[question.number] = answer
        self._questions.say(question, size)
        try:
            said = await answer
        finally:
            self._waiting.pop(question.number, None)
        if isinstance(said, Failed):
            raise error_of(said)
        return said

    async def finish(self) -> None:
        """Wait for what is being asked, though not for ever, then hang up."""
        if self._waiting:
            await asyncio.wait(list(self._waiting.values()), timeout=CLOSE_WITHIN)
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._questions.close()

    async def _listen(self) -> None:
        why = "the process that has the log has hung up"
        try:
            while True:
                for said in await self._frames.next():
                    if isinstance(said, Welcome | Pushed):
                        continue
                    answer = self._waiting.get(said.number)
                    if answer is not None and not answer.done():
                        answer.set_result(said)
        except (EOFError, OSError, FrameError) as error:
            if isinstance(error, FrameError):
                why = str(error)
        finally:
            self.is_lost = True
            self._questions.close()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(AppendUnknownError(why))
                    answer.exception()  # who asked may have left
