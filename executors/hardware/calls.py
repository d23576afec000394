"""The calls of one attempt: each becomes one job at the vendor, and is paid once."""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import msgspec
import structlog

from executors.backends.described import Answered, DescribedDevice
from executors.base import Task
from executors.children.run import Run
from executors.hardware.ending import Ending, OpenCall, metered
from executors.hardware.patience import AWAY_FOR, NOT_BEGUN, DownError, Patience, until_there
from executors.hardware.process import DeviceError, DeviceProcess
from executors.hardware.said import (
    SAME_JOB,
    CanNotSayError,
    LostError,
    Meter,
    Told,
    VendorError,
    VendorSession,
)
from schemas.calls import Call
from schemas.reports import Accepted, Body, Died, Intended, Parked

MOST_OPEN = 64  # calls of one attempt that are under way
LETTING_GO = 60.0  # s in all, for which a vendor is asked to end the calls that nobody waits for

T = TypeVar("T")

logger = structlog.get_logger()


class Calls:
    """Sees the calls of *task*'s attempt through, at the vendor of *device*.

    *letting_go*: seconds for which the vendor is asked to end those that nobody waits for;
    *away_for*: for which an attempt stays with a device that does not answer, if its job is tried
    again.
    """

    def __init__(
        self,
        task: Task,
        process: DeviceProcess,
        device: DescribedDevice,
        letting_go: float = LETTING_GO,
        away_for: float = AWAY_FOR,
    ) -> None:
        self.device = device
        self._away_for = min(away_for, task.time_limit / 2) if task.leaves else None
        # The next attempt draws the same, and so makes the same calls.
        self.seed = zlib.crc32(f"{task.tenant}/{task.job_id}".encode())
        self._task, self._process, self._letting_go = task, process, letting_go
        self._open: dict[int, OpenCall] = {}
        self._last = 0  # number of the newest
        self._made: set[str] = set()  # tags of this attempt's calls
        self._began = asyncio.get_running_loop().time()
        self._said_of_session = ""  # what the vendor said of it last

    def on_call(self, run: Run, number: int, asked: bytes) -> str | None:
        """The program asks; why that is no call, if it is none."""
        if number != self._last + 1 or len(self._open) >= MOST_OPEN:
            return f"call {number} after {self._last}, with {len(self._open)} under way"
        self._last = number
        tag = _tag_of(self._task, number, asked)
        self._made.add(tag)
        known = next((call for call in self._task.calls if call.tag == tag), None)
        is_new = known.again if known is not None else not self._task.calls_left_out
        patience = Patience(self._away_for)
        call = self._open[number] = OpenCall(number, tag, known, is_new, patience)
        name = f"call {number} of {self._task.job_id}"
        call.seen_through = asyncio.create_task(self._see_through(run, call, asked), name=name)
        return None

    async def settle(self, *, cancel: bool) -> AsyncGenerator[Body, None]:
        """The attempt is over: what is still to be said of its calls.

        With *cancel* those that are under way are ended at the vendor, and those of earlier attempts
        that this one has not made, each beside the others; else they are left for the next attempt.
        """
        until = asyncio.get_running_loop().time() + self._letting_go if cancel else None
        facts: asyncio.Queue[Body | None] = asyncio.Queue()
        self.close()
        ending = Ending(self._process, until, facts.put_nowait)
        each = [ending.settle(call) for call in self._open.values()]
        self._open.clear()
        each += [ending.let_go(left) for left in self._left()] if cancel else []
        settling = asyncio.gather(*each)
        settling.add_done_callback(lambda _: facts.put_nowait(None))
        try:
            while (fact := await facts.get()) is not None:
                yield fact
            await settling
        finally:
            settling.cancel()

    def close(self) -> None:
        """Nobody wants to hear of them any more."""
        for call in self._open.values():
            _end(call.seen_through)

    def _left(self) -> list[Call]:
        """Of earlier attempts, which this one has not made."""
        return [
            call
            for call in self._task.calls
            if not (call.final or call.again or call.tag in self._made)
        ]

    async def _see_through(self, run: Run, call: OpenCall, asked: bytes) -> None:
        try:
            answered = await self._answered(run, call, asked)
        except CanNotSayError as error:
            run.give_up(Parked(call.tag, f"call {call.number}: {error}"))
            return
        except DownError as down:
            run.give_up(Died(down.reason, f"call {call.number}: {down.message}"))
            return
        except (VendorError, DeviceError) as error:
            answered = msgspec.json.encode(Answered((), str(error)))
        self._open.pop(call.number, None)
        run.answer(call.number, answered)

    async def _answered(self, run: Run, call: OpenCall, asked: bytes) -> bytes:
        if call.vendor_job_id is None:
            call.vendor_job_id = await self._accepted(run, call, asked)
        if not call.is_told:
            await run.put_on_record(Accepted(call.tag, call.vendor_job_id))
            call.is_told = True
        call.patience.answered()
        meter, answered, _ = await self._waited_for(run, call, call.vendor_job_id)
        await run.put_on_record(metered(call.tag, meter))
        return answered

    async def _accepted(self, run: Run, call: OpenCall, asked: bytes) -> str:
        """The vendor's id: of an earlier submit, if there was one; else of this one."""
        if call.may_be_there and (found := await self._looked_up(call)) is not None:
            return found
        if call.is_own:
            await run.put_on_record(Intended(call.tag, call.number))
        while True:
            try:
                return await until_there(
                    lambda: self._submitted(run, call, asked), patience=call.patience
                )
            except LostError as error:
                call.patience.failed(error)
                run.say(f"call {call.number}: {error}; the vendor is asked whether it has it\n")
                if (found := await self._looked_up(call)) is not None:
                    return found

    async def _looked_up(self, call: OpenCall) -> str | None:
        """The vendor's id; None if it has not got the call for sure."""
        found = await _until_known(lambda: self._process.find(call.tag), call.patience)
        call.may_be_there = found is not None
        return found

    async def _submitted(self, run: Run, call: OpenCall, asked: bytes) -> str:
        """Once; what was sent is heard out, whatever becomes of the attempt."""

        def note(told: Told) -> None:
            if told.message != self._said_of_session:
                self._said_of_session = told.message
                run.say(f"call {call.number}: {told.message}\n")

        submit = self._process.submit(asked, call.tag, self._session(), note)
        call.submitting = asyncio.create_task(submit)
        call.submitting.add_done_callback(_heard)
        call.may_be_there = True
        try:
            return await asyncio.shield(call.submitting)
        except NOT_BEGUN:
            call.may_be_there = False
            raise

    def _session(self) -> VendorSession | None:
        """Where the vendor is to keep the calls of the job's session, while that lasts."""
        within = self._task.session
        if within is None:
            return None
        left = within.left - (asyncio.get_running_loop().time() - self._began)
        tag = session_tag(self._task.tenant, within.session_id)
        return VendorSession(tag, within.mode, left) if left >= 1 else None

    async def _waited_for(
        self, run: Run, call: OpenCall, vendor_job_id: str
    ) -> tuple[Meter, bytes, str]:
        def note(told: Told) -> None:
            call.patience.answered()
            if told.message:
                run.say(f"call {call.number}: {vendor_job_id} is {told.message}\n")
            if told.meter.device_seconds:
                run.put_on_record(metered(call.tag, told.meter, final=False))

        return await _until_known(
            lambda: call.patience.during(self._process.wait(vendor_job_id, note)), call.patience
        )


def _tag_of(task: Task, number: int, asked: bytes) -> str:
    """The same for whichever attempt makes that call, and for no other call.

    All calls of one job begin alike.
    """
    job = hashlib.sha256(f"{task.tenant}/{task.job_id}".encode()).hexdigest()
    call = hashlib.sha256(f"{job}/{number}/".encode() + asked).hexdigest()
    return f"{f'qjb-{job}'[:SAME_JOB]}-{number}-{call[:24]}"


def session_tag(tenant: str, session_id: str) -> str:
    """What all jobs bear that a vendor has for that session."""
    return f"qjb-session-{hashlib.sha256(f'{tenant}/{session_id}'.encode()).hexdigest()[:32]}"


def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()


def _heard(task: asyncio.Task[str]) -> None:
    """Nobody may wait for it any more: that it failed is known then."""
    if not task.cancelled():
        task.exception()


async def _until_known(what: Callable[[], Awaitable[T]], patience: Patience) -> T:
    """Do *what*, which changes nothing the second time, until there is an answer."""
    return await until_there(what, LostError, patience=patience)
