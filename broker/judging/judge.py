"""Judges requests and inputs: small ones at once, others in a helper, so that no loop waits.

One at a time: so however many come, the memory that this takes is that of one. What is small goes
before what is large, unless that has waited for long.
"""

import asyncio
import heapq
import itertools
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import structlog
from msgspec.structs import replace

from broker.errors import UnavailableError
from broker.judging.wire import Answer, Import, Question, Wrong, receive, send
from schemas.batches import Span, spans
from schemas.decoding import Buffer, UnreadableError
from schemas.limits import KIB, SMALL_REQUEST
from schemas.requests import SubmitJob
from schemas.specification import Findings, Program
from schemas.submits import WrongFieldsError, read_submit
from schemas.uploads import Upload
from schemas.values import Violation

ELEMENTS = 1_000  # values of a small request: 3 ms at worst, as each costs far more than its bytes
LATER = 4.0 / (256 * KIB)  # s per byte by which what is smaller may come later and go first
LONGEST = 10.0  # s of that at most
JUDGED_WITHIN = 20.0  # s that the helper gets for one
CODE_WITHIN = 5.0  # s that it gets for a program, which is read in far less unless it is a trap
ROOM_WITHIN = 10.0  # s for which there may be no room for the helper's process
AGAIN_AFTER = 0.2  # s

logger = structlog.get_logger()


def is_small(data: bytes | bytearray | memoryview) -> bool:
    """Whether *data* is judged faster on the spot than anybody would notice."""
    return len(data) <= SMALL_REQUEST and bytes(data).count(b",") < ELEMENTS


@dataclass(frozen=True, slots=True)
class Brought:
    """A program as somebody brings it, whole or in part."""

    upload: Upload
    code: bytes | None
    imports: tuple[Import, ...]  # what the code can not do without


class Turns:
    """Who is next: whoever came first, as if each had come later by what it is large."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    async def take(self, size: int) -> None:
        """Until it is the turn of what has *size* bytes; then `give` has to follow."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._taken = True
            return
        turn: asyncio.Future[None] = loop.create_future()
        due = loop.time() + min(size * LATER, LONGEST)
        heapq.heappush(self._waiting, (due, next(self._count), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given to who wants it no more
                self.give()
            raise

    def give(self) -> None:
        """Let the next one have it."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._taken = False


class Judge:
    """Shared by the roles of a process; its helper lives while somebody is inside `in_use`.

    *room_within*: seconds for which a request waits where no process can be made to judge it.
    """

    def __init__(self, room_within: float = ROOM_WITHIN) -> None:
        self._room_within = room_within
        self._users = 0
        self._turns = Turns()
        self._helper: _Helper | None = None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While this runs, the helper may live."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._end()

    async def read(self, body: Buffer) -> SubmitJob:
        """The submit in *body*. Raises `UnreadableError`, most often a `WrongFieldsError`."""
        if is_small(body):
            return read_submit(body)
        answer, _ = await self._ask(Question("read"), memoryview(body))
        if answer.request is None:
            raise _error(answer.wrong or Wrong("invalid_message", _UNJUDGED))
        params = memoryview(body)[answer.start : answer.stop] or b"{}"
        return replace(answer.request, params=msgspec.Raw(params))

    async def part(self, body: bytes | bytearray) -> Sequence[Span]:
        """Where each submit of a batch stands in *body*. Raises `UnreadableError`."""
        if is_small(body):
            return spans(body)
        answer, _ = await self._ask(Question("part"), memoryview(body))
        if answer.spans is None:
            raise _error(answer.wrong or Wrong("invalid_message", _UNJUDGED))
        return answer.spans

    async def look(
        self,
        program: Program,
        params: bytes | memoryview,
        *,
        circuits: bool = True,
        hashed: bool = True,
    ) -> Findings:
        """What is to be said about *params* as inputs of *program*; see `Program.examine`."""
        if is_small(params):
            return program.examine(bytes(params), circuits=circuits, hashed=hashed)
        question = Question("look", msgspec.Raw(program.text), circuits)
        answer, _ = await self._ask(question, memoryview(params))
        return answer.findings or _UNSOUND

    async def look_at_result(
        self, program: Program, data: bytes, *, final: bool
    ) -> tuple[Violation, ...]:
        """What is wrong with *data* as an interim or the *final* result of *program*."""
        if is_small(data):
            return program.examine_result(data, final=final)
        question = Question("final" if final else "interim", msgspec.Raw(program.text))
        answer, _ = await self._ask(question, memoryview(data))
        return (answer.findings or _UNSOUND_RESULT).violations

    async def read_program(self, body: bytes, *, whole: bool) -> Brought:
        """The program that *body* (JSON) brings, or with *whole* false some of it.

        Never on the spot: code that is read may kill who reads it. Raises `UnreadableError`.
        """
        question = Question("whole program" if whole else "part of a program")
        answer, code = await self._ask(question, memoryview(body), CODE_WITHIN)
        if answer.upload is None:
            raise _error(answer.wrong or Wrong("invalid_message", _UNJUDGED))
        known = answer.imports is not None
        return Brought(answer.upload, bytes(code) if known else None, answer.imports or ())

    async def _ask(
        self, question: Question, data: memoryview, within: float = JUDGED_WITHIN
    ) -> tuple[Answer, bytearray]:
        await self._turns.take(len(data))
        asked = asyncio.ensure_future(asyncio.to_thread(self._asked, question, data, within))
        asked.add_done_callback(lambda _: self._turns.give())
        return await asyncio.shield(asked)  # who waits no more leaves its answer to nobody else

    def _asked(
        self, question: Question, data: memoryview, within: float
    ) -> tuple[Answer, bytearray]:
        """What the helper says; an empty answer if it dies of it, or takes too long."""
        for _ in range(2):
            fresh = self._helper is None
            helper = self._helper = self._helper or _started(self._room_within)
            try:
                answer, more = helper.ask(question, data, within)
            except OSError as error:
                logger.warning("judge.lost", error=repr(error), bytes=len(data))
                self._end()
                if fresh or isinstance(error, TimeoutError):
                    break
            else:
                if answer.retires:
                    self._end()
                return answer, more
        return Answer(), bytearray()

    def _end(self) -> None:
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.end()


def _started(within: float) -> "_Helper":
    """A new helper, once there is room for a process. Raises `UnavailableError`."""
    deadline = time.monotonic() + within
    while True:
        try:
            return _Helper()
        except OSError as error:  # no descriptors, processes or memory
            if time.monotonic() > deadline:
                message = f"nothing large can be judged now: {error}"
                raise UnavailableError(message) from error
        time.sleep(AGAIN_AFTER)


class _Helper:
    """The process, from this side."""

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair()
        with theirs:
            number = str(theirs.fileno())
            command = [sys.executable, "-P", "-m", "broker.judging.helper", number]
            try:
                self._process = subprocess.Popen(  # noqa: S603 -- our own module
                    command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
                )
            except OSError:
                self._connection.close()
                raise

    def ask(self, question: Question, data: memoryview, within: float) -> tuple[Answer, bytearray]:
        """What it answers. Raises `OSError` if it does not, *within* so many seconds."""
        self._connection.settimeout(within)
        send(self._connection, question, data)
        answer = receive(self._connection)
        if answer is None:
            raise ConnectionResetError("the helper has died")
        return msgspec.json.decode(answer[0], type=Answer), answer[1]

    def end(self) -> None:
        """Have it gone."""
        self._connection.close()
        self._process.kill()
        self._process.wait()


_UNJUDGED = "it could not be judged: to do so takes too much memory or time"
_UNSOUND = Findings((Violation("/params", "judged", "…", _UNJUDGED),))
_UNSOUND_RESULT = Findings((Violation("", "judged", "…", _UNJUDGED),))


def _error(wrong: Wrong) -> UnreadableError:
    if wrong.violations:
        return WrongFieldsError({}, wrong.violations)
    return UnreadableError(wrong.code, wrong.message)
