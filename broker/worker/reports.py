"""What attempts say, numbered and put on record, in order, several in one append."""

import asyncio
import sys
from contextlib import suppress
from functools import partial
from itertools import accumulate, takewhile
from typing import TypeVar

import msgspec
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
    SHORT,
    Began,
    Body,
    Calibrated,
    Died,
    Logged,
    Parked,
    Published,
    Raised,
    Report,
    Returned,
    Withheld,
)
from schemas.topics import REPORTS
from schemas.values import NOTHING

# What is merely told: to have it on record before the program runs on would protect nobody, and
# at a few milliseconds a record would hold up a program that publishes much.
NEWS = (Began, Published, Withheld, Logged)
AHEAD = 32  # reports of one attempt that may be on their way while its program runs on
COMPANY = 0.01  # s that a beginning waits at most: that of a short attempt goes with its end

B = TypeVar("B", Raised, Withheld)


class Reports:
    """Appends reports; those that come while an append is under way share the next one.

    While the log can not be reached they wait, bounded: an attempt waits for its own. A beginning
    waits a little for what follows, and goes in one report with the end of a short attempt.
    """

    def __init__(
        self, log: Log, blobs: Blobs, worker: str, instance: str, again: float = 5.0
    ) -> None:
        self._blobs = blobs
        self._worker = worker
        self._instance = instance
        self._again = again  # s
        # Those that wait for company, the first to come first, and since when on the loop's clock
        self._beginnings: dict[Attempt, tuple[Report, float]] = {}
        self._company: asyncio.TimerHandle | None = None  # when the first has waited enough
        # The broker knows a report by its number, so one that is stored twice does no harm.
        self._appender = Appender(log, REPORTS, Room("reports", sys.maxsize))

    async def append(self, attempt: Attempt, body: Body) -> None:
        """Put *body* on record as *attempt*'s next report.

        Returns once it is, and all before it; news may still be on its way, within bounds.
        Raises `RecordTooLargeError` where no log would take one of them.
        """
        body = await self.stowed(body)
        self._add(attempt, body)
        await _appended(attempt, AHEAD if isinstance(body, NEWS) else 0)

    async def to_ledger(self, attempt: Attempt, body: Body) -> bool:
        """The same, until the broker has put it on the ledger; said again where that takes long.

        False if the attempt is to end before that is known.
        """
        report = self._add(attempt, await self.stowed(body))
        waits = attempt.unrecorded[report.number] = asyncio.Event()

        async def recorded() -> None:
            while not waits.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._again):
                        await waits.wait()
                if not waits.is_set():
                    self._send(attempt, report)
                    await _appended(attempt)

        try:
            await _appended(attempt)
            await attempt.unless_stopped(recorded())
        finally:
            del attempt.unrecorded[report.number]
        return waits.is_set()

    def _add(self, attempt: Attempt, body: Body) -> Report:
        attempt.number += 1
        beginning, since = self._beginnings.pop(attempt, (None, 0.0))
        if beginning is not None and isinstance(body, LAST):
            ran = int(1000 * (asyncio.get_running_loop().time() - since))  # whole milliseconds
            both = replace(self._report(attempt, body), began=True, ran=min(ran, SHORT))
            self._send(attempt, both)
            return both
        if beginning is not None:
            self._send(attempt, beginning)
        report = self._report(attempt, body)
        if isinstance(body, Began):
            self._await_company(attempt, report)
        else:
            self._send(attempt, report)
        return report

    def _report(self, attempt: Attempt, body: Body) -> Report:
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
        )

    def _send(self, attempt: Attempt, report: Report) -> None:
        record = REPORTS.write(report, attempt.dispatch.traceparent)
        attempt.on_their_way.append(self._appender.put(record, RECORD + len(record.value)))

    def _await_company(self, attempt: Attempt, beginning: Report) -> None:
        loop = asyncio.get_running_loop()
        self._beginnings[attempt] = beginning, loop.time()
        if self._company is None:
            self._company = loop.call_later(COMPANY, self._await_no_longer)

    def _await_no_longer(self) -> None:
        """Send those that have waited enough, and come again for the next."""
        self._company, loop = None, asyncio.get_running_loop()
        for attempt, (beginning, since) in list(self._beginnings.items()):
            if since + COMPANY > loop.time():
                self._company = loop.call_at(since + COMPANY, self._await_no_longer)
                break
            del self._beginnings[attempt]
            self._send(attempt, beginning)

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
            case Calibrated():
                return await self._by_reference(body)
            case Raised():
                return await self._stowed(_in_short(body))
            case Withheld():
                return _in_short(body)
            case Died() | Parked():
                return replace(body, message=shortened(body.message))
            case Logged():
                return replace(body, text=shortened(body.text))
            case _:
                return body

    async def _by_reference(self, body: Calibrated) -> Body:
        """Properties are looked at seldom, and large for what every event of a job would carry."""
        if body.properties_ref is not None or not body.properties:
            return body
        put = partial(self._blobs.put, memoryview(body.properties))
        return replace(body, properties=NOTHING, properties_ref=await until_it_works(put))

    async def _stowed(self, body: Published | Returned | Raised) -> Body:
        value = bytes(body.value)
        if len(value) <= INLINE or body.value_ref is not None:
            return body
        raw, ref = await until_it_works(partial(payloads.stow, value, self._blobs))
        return replace(body, value=raw, value_ref=ref)


def _in_short(body: B) -> B:
    """*body*, of whose violations the first ones are told: no more than fit beside its message."""
    sizes = accumulate(len(msgspec.json.encode(each)) for each in body.violations)
    told = takewhile(
        lambda found: found[1] <= LONGEST_TEXT, zip(body.violations, sizes, strict=True)
    )
    violations = tuple(violation for violation, _ in told)
    return replace(body, message=shortened(body.message), violations=violations)


async def _appended(attempt: Attempt, but: int = 0) -> None:
    """Until what *attempt* has said is on record, *but* for so many reports."""
    while len(attempt.on_their_way) > but:
        await attempt.on_their_way.popleft()
