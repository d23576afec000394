"""What attempts say, numbered and put on record, in order, several in one append."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from msgspec.structs import replace

from broker import payloads
from broker.budget import RECORD
from broker.errors import QjbError, RecordTooLargeError, UnavailableError
from broker.telemetry import metrics, times
from broker.transports.blobs import Blobs
from broker.transports.log import Log
from broker.transports.topics import REPORTS
from broker.worker.attempts import Attempt
from schemas.cloudevents import report_record
from schemas.records import Record
from schemas.reports import LAST, Began, Body, Died, Logged, Published, Raised, Report, Returned

# What is merely told: to have it on record before the program runs on would protect nobody, and
# at a few milliseconds a record would hold up a program that publishes much.
NEWS = (Began, Published, Logged)
AHEAD = 32  # reports of one attempt that may be on their way while its program runs on
COMPANY = 0.002  # s that a beginning waits at most: that of a short attempt goes with its end
BATCH = 500  # reports in one append
MESSAGE_LIMIT = 64 * 1024  # characters of a message; of a longer one the end is kept
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0  # s between tries while the log can not be reached

logger = structlog.get_logger()
T = TypeVar("T")


class Waiting:
    """A report that is not on record yet, and who waits until it is."""

    def __init__(self, report: Report, traceparent: str | None, done: asyncio.Future[None]) -> None:
        self.report = report
        self.traceparent = traceparent
        self.done = done

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        match self.report.body:
            case Published(value) | Returned(value):
                return RECORD + len(value)
            case Raised(_, text) | Died(_, text) | Logged(text):
                return RECORD + len(text)
            case _:
                return RECORD

    def record(self) -> Record:
        """What goes to the log."""
        return report_record(self.report, self.traceparent)


class Reports:
    """Appends reports; those that come while an append is under way share the next one.

    While the log can not be reached they wait, bounded: an attempt waits for its own. A beginning
    waits a little for what follows, and goes in one report with the end of a short attempt.
    """

    def __init__(self, log: Log, blobs: Blobs, worker: str, instance: str) -> None:
        self._log = log
        self._blobs = blobs
        self._worker = worker
        self._instance = instance
        self._beginnings: dict[Attempt, Waiting] = {}  # those that wait for company
        self._company: asyncio.TimerHandle | None = None  # when they have waited enough
        self._pending: list[Waiting] = []
        self._going: list[Waiting] = []  # being appended
        metrics.holds("reports", self, Reports.held)
        self._wake = asyncio.Event()

    def held(self) -> int:
        """Bytes of those that are not on record yet."""
        waiting = (*self._beginnings.values(), *self._pending, *self._going)
        return sum(report.size for report in waiting)

    async def append(self, attempt: Attempt, body: Body) -> None:
        """Put *body* on record as *attempt*'s next report.

        Returns once it is, and all before it; news may still be on its way, within bounds.
        Raises `RecordTooLargeError` where no log would take one of them.
        """
        body = await self.stowed(body)
        self._add(attempt, body)
        allowed = AHEAD if isinstance(body, NEWS) else 0
        while len(attempt.on_their_way) > allowed:
            await attempt.on_their_way.popleft()

    def _add(self, attempt: Attempt, body: Body) -> None:
        attempt.number += 1
        beginning = self._beginnings.pop(attempt, None)
        if beginning is not None and isinstance(body, LAST):
            beginning.report = self._report(attempt, body, began=True)
            self._send(beginning)
            return
        if beginning is not None:
            self._pending.append(beginning)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = Waiting(self._report(attempt, body), attempt.dispatch.traceparent, done)
        attempt.on_their_way.append(done)
        if isinstance(body, Began):
            self._beginnings[attempt] = waiting
            self._await_company()
        else:
            self._send(waiting)

    def _report(self, attempt: Attempt, body: Body, began: bool = False) -> Report:
        dispatch = attempt.dispatch
        return Report(
            tenant=dispatch.tenant,
            job_id=dispatch.job_id,
            attempt=dispatch.attempt,
            epoch=dispatch.epoch,
            number=attempt.number,
            worker=self._worker,
            instance=self._instance,
            time=times.now(),
            body=body,
            began=began,
        )

    def _send(self, *reports: Waiting) -> None:
        self._pending.extend(reports)
        self._wake.set()

    def _await_company(self) -> None:
        if self._company is None:
            self._company = asyncio.get_running_loop().call_later(COMPANY, self._await_no_longer)

    def _await_no_longer(self) -> None:
        self._company = None
        if self._beginnings:
            self._send(*self._beginnings.values())
            self._beginnings.clear()

    async def run(self) -> None:
        """Append what is waiting, until cancelled."""
        while True:
            await self._wake.wait()
            batch, self._pending = self._pending[:BATCH], self._pending[BATCH:]
            if not self._pending:
                self._wake.clear()
            if batch:  # what was waited for may have gone with others
                self._going = batch
                await self._append(batch)
                self._going = []

    async def _append(self, batch: list[Waiting]) -> None:
        records = [waiting.record() for waiting in batch]
        try:
            # The broker knows a report by its number, so one that is stored twice does no harm.
            await _persistently(lambda: self._log.append(REPORTS, records), "reports.waiting")
        except RecordTooLargeError as error:
            await self._append_singly(batch, error)
            return
        for waiting in batch:
            if not waiting.done.done():
                waiting.done.set_result(None)

    async def _append_singly(self, batch: list[Waiting], error: RecordTooLargeError) -> None:
        if len(batch) > 1:
            for waiting in batch:
                await self._append([waiting])
        elif not batch[0].done.done():
            batch[0].done.set_exception(error)

    async def stowed(self, body: Body) -> Body:
        """*body* as it may travel: a large value by reference, no endless message."""
        match body:
            case Published() | Returned():
                value = bytes(body.value)
                if len(value) <= payloads.INLINE_LIMIT or body.value_ref is not None:
                    return body
                raw, ref = await _persistently(
                    lambda: payloads.stow(value, self._blobs), "payloads.waiting"
                )
                return replace(body, value=raw, value_ref=ref)
            case Raised() | Died() if len(body.message) > MESSAGE_LIMIT:
                return replace(body, message="… " + body.message[-MESSAGE_LIMIT:])
            case Logged() if len(body.text) > MESSAGE_LIMIT:
                return replace(body, text="… " + body.text[-MESSAGE_LIMIT:])
            case _:
                return body


async def _persistently(what: Callable[[], Awaitable[T]], event: str) -> T:
    """Do *what* until it works; between the tries, ever longer pauses."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await what()
        except QjbError as error:
            if error.status != UnavailableError.status:
                raise
            logger.warning(event, code=error.code, error=error.message, pause=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
