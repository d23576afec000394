"""Requests that need a moment: inputs that are not small are fetched, judged and put by reference.

Beside the loop, so that nobody else waits, and in order for each job.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from broker.core.admission import Refused, refused
from broker.core.catalogue import Catalogue
from broker.core.roster import Roster
from broker.core.turn import CancelAsked, DeleteAsked, Submitted
from broker.errors import PayloadMissingError, QjbError
from broker.judging.judge import HERE, Judge
from broker.payloads import INLINE_LIMIT
from broker.transports.blobs import Blobs
from schemas.ledger import InputPosition
from schemas.requests import SubmitJob
from schemas.values import BlobRef, JobKey, Reason

CHECKED_HERE = 8 * 1024 * 1024  # bytes; larger inputs are checked by the worker
AT_ONCE = 4  # inputs in memory at a time
PATIENCE = 30.0  # s that the blob store gets for one of them
PAUSE = 0.5  # s before it is asked again
LOOK = 0.1  # s between looks at whether a backend has been announced

Request = Submitted | CancelAsked | DeleteAsked
T = TypeVar("T")

log = structlog.get_logger()


class Preparation:
    """Takes requests aside that can not be decided in passing, and gives them back.

    Those are: inputs that are not small, and a backend of which nobody has heard while the first workers come.
    Later requests for the same job wait behind them. *give_back* is called with each, in order.
    """

    def __init__(
        self,
        blobs: Blobs,
        catalogue: Catalogue,
        roster: Roster,
        give_back: Callable[[list[Request]], None],
        judge: Judge,
    ) -> None:
        self._blobs = blobs
        self._judge = judge
        self._catalogue = catalogue
        self._roster = roster
        self._give_back = give_back
        self._behind: dict[JobKey, list[Request]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self.pending: set[InputPosition] = set()  # taken aside, and not yet `done`

    def __len__(self) -> int:
        return len(self.pending)

    def takes(self, item: Request) -> bool:
        """Take *item* aside, if it needs that or must wait behind one that does."""
        if item.key in self._behind:
            self._behind[item.key].append(item)
            self.pending.add(item.position)
            return True
        if not isinstance(item, Submitted) or not isinstance(item.body, SubmitJob):
            return False
        if not (self._is_large(item.body) or self._roster.may_soon_know(item.body.backend)):
            return False
        self.pending.add(item.position)
        self._behind[item.key] = []
        task = asyncio.create_task(self._prepare(item, item.body), name=f"prepare {item.key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def done(self, item: Request) -> None:
        """What *item* led to is on the ledger."""
        self.pending.discard(item.position)

    def close(self) -> None:
        """Drop what is under way: a successor reads it again."""
        for task in self._tasks:
            task.cancel()

    def _is_large(self, body: SubmitJob) -> bool:
        if self._catalogue.get(body.program_id) is None:
            return False  # refused for that alone
        ref = body.params_ref
        return len(body.params) > HERE or (ref is not None and ref.size <= CHECKED_HERE)

    async def _prepare(self, item: Submitted, body: SubmitJob) -> None:
        while self._roster.may_soon_know(body.backend):  # noqa: ASYNC110 -- time passes by ticks
            await asyncio.sleep(LOOK)
        if not self._is_large(body):
            self._give_back([item, *self._behind.pop(item.key)])
            return
        async with self._turns:
            try:
                ready = await self._checked(item, body)
            except Exception as error:
                log.exception("inputs.not_prepared", job_id=item.key.job_id)
                message = "the inputs could not be checked"
                ready = replace(item, body=_missing(body, f"{message}: {type(error).__name__}"))
        self._give_back([ready, *self._behind.pop(item.key)])

    async def _checked(self, item: Submitted, body: SubmitJob) -> Submitted:
        try:
            async with asyncio.timeout(PATIENCE):
                data, body = await self._at_hand(body)
        except (PayloadMissingError, TimeoutError) as error:
            text = str(error) or "the blob store did not answer"
            return replace(item, body=_missing(body, text))
        program = self._catalogue.get(body.program_id)
        assert program is not None
        return replace(item, body=body, findings=await self._judge.look(program, data))

    async def _at_hand(self, body: SubmitJob) -> tuple[bytes, SubmitJob]:
        """The inputs, and the request; if they are large with a reference to them."""
        if body.params_ref is not None:
            ref = body.params_ref
            return await self._persistently(lambda: self._blobs.get(ref)), body
        data = bytes(body.params)
        if len(data) <= INLINE_LIMIT:
            return data, body
        stored: BlobRef = await self._persistently(lambda: self._blobs.put(data))
        return data, replace(body, params=msgspec.Raw(b"{}"), params_ref=stored)

    async def _persistently(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await call()
            except PayloadMissingError:
                raise
            except QjbError as error:
                log.warning("blobs.unavailable", code=error.code, error=error.message)
            await asyncio.sleep(PAUSE)


def _missing(body: SubmitJob, message: str) -> Refused:
    ref = body.params_ref
    shown = ref.sha256 if ref else f"{len(body.params)} bytes"
    return refused(Reason.PAYLOAD_MISSING, body.program_id, message, "/params_ref", shown)
