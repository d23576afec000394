"""What attempts say, numbered and put on record, in order, several in one append."""

import asyncio
import sys
from functools import partial

from msgspec.structs import replace

from broker import payloads
from broker.appending import Appender
from broker.budget import RECORD, Room
from broker.retrying import until_it_works
from broker.telemetry import times
from broker.transports.blobs import Blobs
from broker.transports.log import Log
from broker.worker.attempts import Attempt
from schemas.limits import INLINE, LONGEST_TEXT, shortened
from schemas.reports import (
    LAST,
    Began,
    Body,
    Died,
    Logged,
    Published,
    Raised,
    Report,
    Returned,
    Withheld,
)
from schemas.topics import REPORTS

# What is merely told: to have it on record before the program runs on would protect nobody, and
# at a few milliseconds a record would hold up a program that publishes much.
NEWS = (Began, Published, Withheld, Logged)
AHEAD = 32  # reports of one attempt that may be on their way while its program runs on
COMPANY = 0.002  # s that a beginning waits at most: that of a short attempt goes with its end


class Reports:
    """Appends reports; those that come while an append is under way share the next one.

    While the log can not be reached they wait, bounded: an attempt waits for its own. A beginning
    waits a little for what follows, and goes in one report with the end of a short attempt.
    """

    def __init__(self, log: Log, blobs: Blobs, worker: str, instance: str) -> None:
        self._blobs = blobs
        self._worker = worker
        self._instance = instance
        self._beginnings: dict[Attempt, Report] = {}  # those that wait for company
        self._company: asyncio.TimerHandle | None = None  # when they have waited enough
        # The broker knows a report by its number, so one that is stored twice does no harm.
        self._appender = Appender(log, REPORTS, Room("reports", sys.maxsize))

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
            self._send(attempt, self._report(attempt, body, began=True))
            return
        if beginning is not None:
            self._send(attempt, beginning)
        report = self._report(attempt, body)
        if isinstance(body, Began):
            self._beginnings[attempt] = report
            self._await_company()
        else:
            self._send(attempt, report)

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

    def _send(self, attempt: Attempt, report: Report) -> None:
        record = REPORTS.write(report, attempt.dispatch.traceparent)
        attempt.on_their_way.append(self._appender.put(record, RECORD + len(record.value)))

    def _await_company(self) -> None:
        if self._company is None:
            self._company = asyncio.get_running_loop().call_later(COMPANY, self._await_no_longer)

    def _await_no_longer(self) -> None:
        self._company = None
        for attempt, beginning in self._beginnings.items():
            self._send(attempt, beginning)
        self._beginnings.clear()

    async def drop(self) -> None:
        """Let go of what is not on record yet."""
        if self._company is not None:
            self._company.cancel()
        await self._appender.drop()

    async def stowed(self, body: Body) -> Body:
        """*body* as it may travel: a large value by reference, no endless message."""
        match body:
            case Published() | Returned():
                return await self._stowed(body)
            case Raised():
                body = replace(body, message=shortened(body.message))
                return await self._stowed(body)
            case Died() if len(body.message) > LONGEST_TEXT:
                return replace(body, message=shortened(body.message))
            case Logged() if len(body.text) > LONGEST_TEXT:
                return replace(body, text=shortened(body.text))
            case _:
                return body

    async def _stowed(self, body: Published | Returned | Raised) -> Body:
        value = bytes(body.value)
        if len(value) <= INLINE or body.value_ref is not None:
            return body
        raw, ref = await until_it_works(partial(payloads.stow, value, self._blobs))
        return replace(body, value=raw, value_ref=ref)
