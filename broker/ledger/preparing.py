"""Requests that need a moment: inputs that are not small are fetched, judged and put by reference.

Beside the loop, so that nobody else waits, and in order for each job.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from broker.core.admission import Refused, refused
from broker.core.inputs import CancelAsked, Request, SessionAsked, Submitted
from broker.core.roster import Roster
from broker.errors import PayloadMissingError, QjbError
from broker.judging.judge import Judge, is_small
from broker.ledger.options import Options
from broker.ledger.sessions_aside import SessionsAside
from broker.library import Library
from broker.retrying import until_it_works
from broker.telemetry import metrics
from broker.transports.blobs import Blobs
from schemas.ledger import InputPosition
from schemas.limits import CHECKED_BEFORE, INLINE, KIB
from schemas.requests import SubmitJob
from schemas.specification import Findings, Program
from schemas.values import BlobRef, JobKey, Reason

AT_ONCE = 4  # inputs out of the blob store in memory at a time
OVERHEAD = 8 * KIB  # bytes of each beside its inputs: what is read of it, and a task
PAUSE = 0.5  # s before it is asked again
LOOK = 0.1  # s between looks at whether a backend has been announced

T = TypeVar("T")

logger = structlog.get_logger()


class Preparation:
    """Takes requests aside that can not be decided in passing, and gives them back.

    Those are: inputs that are not small, a program that somebody brings, as it may have been brought
    or changed a moment ago, a backend of which nobody has heard while the first workers come, and a
    session of which nobody has heard, as requests of other keys may come late. Later requests for
    the same job wait behind them until they are decided, and so does the close of its session; but
    of one that waits for the blob store, a cancel is an end at once. *give_back* is called with
    each, in order.
    """

    def __init__(
        self,
        blobs: Blobs,
        library: Library,
        roster: Roster,
        give_back: Callable[[list[Request]], None],
        judge: Judge,
        options: Options = Options(),  # noqa: B008 -- it is frozen
        knows: Callable[[JobKey], bool] = lambda session: True,
    ) -> None:
        self._options = options
        self._blobs = blobs
        self._judge = judge
        self._library = library
        self._roster = roster
        self._give_back = give_back
        self._first: dict[JobKey, InputPosition] = {}  # what others wait behind
        self._behind: dict[JobKey, list[Request]] = {}
        self._sessions = SessionsAside(knows)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_store: dict[JobKey, tuple[Submitted, asyncio.Task[Any] | None]] = {}
        self._weight = 0
        metrics.holds("prepared", self, Preparation.held)
        self.pending: dict[
            InputPosition, int
        ] = {}  # taken aside and not yet `done`: what it weighs

    def held(self) -> int:
        """Bytes of what is taken aside."""
        return self._weight

    @property
    def is_full(self) -> bool:
        """Whether no more should be taken aside now."""
        return self._weight > self._options.aside

    def takes(self, item: Request) -> bool:
        """Take *item* aside, if it needs that or must wait behind one that does."""
        if item.key in self._behind:
            self._behind[item.key].append(item)
            self._set_aside(item, OVERHEAD)
            if isinstance(item, CancelAsked):
                self._end(item.key)
            return True
        if isinstance(item, SessionAsked):
            if is_held := self._sessions.holds(item):
                self._set_aside(item, OVERHEAD)
            return is_held
        if not isinstance(item, Submitted) or not isinstance(item.body, SubmitJob):
            return False
        if not self._needs_a_moment(item, item.body):
            return False
        self._set_aside(item, OVERHEAD + len(item.body.params))
        self._first[item.key] = item.position
        self._behind[item.key] = []
        self._sessions.take(item, item.body)
        task = asyncio.create_task(self._prepare(item, item.body), name=f"prepare {item.key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def done(self, item: Request) -> None:
        """What *item* led to is on the ledger."""
        self._weight -= self.pending.pop(item.position, 0)
        if self._first.get(item.key) == item.position:
            del self._first[item.key]
            if later := self._behind.pop(item.key) + self._sessions.done(item.key):
                self._give_back(later)

    def close(self) -> None:
        """Drop what is under way: a successor reads it again."""
        for task in self._tasks:
            task.cancel()

    def _set_aside(self, item: Request, weight: int) -> None:
        self._weight += weight - self.pending.get(item.position, 0)
        self.pending[item.position] = weight

    def _end(self, key: JobKey) -> None:
        """Nobody need look at inputs that are still in the blob store: their job is cancelled."""
        item, task = self._at_store.pop(key, (None, None))
        if item is not None and task is not None:
            task.cancel()
            self._return(replace(item, findings=Findings()))

    def _return(self, item: Submitted) -> None:
        """It is still to be decided, so that what comes now waits until that is `done`."""
        self._give_back([item, *self._behind[item.key]])
        self._behind[item.key] = []

    def _program(self, item: Submitted, body: SubmitJob) -> Program | None:
        return self._library.catalogue.get(body.program_id, item.key.tenant)

    def _needs_a_moment(self, item: Submitted, body: SubmitJob) -> bool:
        return (
            not self._library.catalogue.is_built_in(body.program_id)
            or self._is_large(item, body)
            or self._roster.may_soon_know(body.backend)
            or self._sessions.is_strange(item)
        )

    def _is_worth_a_wait(self, item: Submitted, until: float) -> bool:
        """Whether a session that nobody knows may be opened yet, by a request of another key."""
        if not self._sessions.is_strange(item):
            return False
        return self._roster.clock < until or self._sessions.is_opened_aside(item)

    def _is_large(self, item: Submitted, body: SubmitJob) -> bool:
        if self._program(item, body) is None:
            return False  # refused for that alone
        ref = body.params_ref
        return not is_small(memoryview(body.params)) or (
            ref is not None and ref.size <= CHECKED_BEFORE
        )

    async def _prepare(self, item: Submitted, body: SubmitJob) -> None:
        until = self._roster.clock + self._options.session_wait
        while self._roster.may_soon_know(body.backend) or (  # noqa: ASYNC110 -- time passes by ticks
            self._is_worth_a_wait(item, until)
        ):
            await asyncio.sleep(LOOK)
        try:
            await until_it_works(lambda: self._library.look_up(body.program_id, item.key.tenant))
            ready = await self._ready(item, body) if self._is_large(item, body) else item
        except Exception as error:
            logger.exception("inputs.not_prepared", job_id=item.key.job_id)
            message = "the inputs could not be checked"
            text = f"{message}: {type(error).__name__}"
            ready = replace(item, body=_unread(body, Reason.PAYLOAD_MISSING, text))
        self._return(ready)

    async def _ready(self, item: Submitted, body: SubmitJob) -> Submitted:
        """*item* with what is to be said of its inputs. Who needs no blob store waits for none."""
        if body.params_ref is None and len(body.params) <= INLINE:
            return await self._judged(item, body, bytes(body.params))
        if body.params_ref is not None:
            self._at_store[item.key] = item, asyncio.current_task()
        async with self._turns:
            try:
                async with asyncio.timeout(self._options.store_wait):
                    data, body = await self._at_hand(body)
            except PayloadMissingError as error:
                return replace(item, body=_unread(body, Reason.PAYLOAD_MISSING, error.message))
            except TimeoutError:
                wait = self._options.store_wait
                text = f"the blob store did not answer within {wait:g} s; ask again later"
                return replace(item, body=_unread(body, Reason.STORE_UNAVAILABLE, text))
            finally:
                self._at_store.pop(item.key, None)
            return await self._judged(item, body, data)

    async def _judged(self, item: Submitted, body: SubmitJob, data: bytes) -> Submitted:
        program = self._program(item, body)
        if program is None:  # it was deleted meanwhile
            return item
        findings = await self._persistently(lambda: self._judge.look(program, data))
        return replace(item, body=body, findings=findings)

    async def _at_hand(self, body: SubmitJob) -> tuple[bytes, SubmitJob]:
        """The inputs, and the request with a reference to them."""
        if body.params_ref is not None:
            ref = body.params_ref
            return await self._persistently(lambda: self._blobs.get(ref)), body
        data = bytes(body.params)
        stored: BlobRef = await self._persistently(lambda: self._blobs.put(data))
        return data, replace(body, params=msgspec.Raw(b"{}"), params_ref=stored)

    async def _persistently(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await call()
            except PayloadMissingError:
                raise
            except QjbError as error:
                logger.warning("inputs.unavailable", code=error.code, error=error.message)
            await asyncio.sleep(PAUSE)


def _unread(body: SubmitJob, reason: Reason, message: str) -> Refused:
    ref = body.params_ref
    shown = ref.sha256 if ref else f"{len(body.params)} bytes"
    return refused(reason, body.program_id, message, "/params_ref", shown)
