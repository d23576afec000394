"""The calls of one attempt: each becomes one job at the vendor, and is paid once."""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import msgspec
import stamina
import structlog

from executors.backends.described import Answered, DescribedDevice
from executors.base import Task
from executors.children.run import Run
from executors.hardware.patience import AWAY_FOR, DownError, Patience
from executors.hardware.process import DeviceError, DeviceProcess
from executors.hardware.said import (
    SAME_JOB,
    AwayError,
    CanNotSayError,
    LostError,
    Meter,
    Told,
    VendorError,
    VendorSession,
)
from schemas.calls import Call
from schemas.reports import Accepted, Body, Died, Intended, Metered, Parked, Withdrawn

MOST_OPEN = 64  # calls of one attempt that are under way
AGAIN_FIRST, AGAIN_MOST = 0.2, 30.0  # s until a vendor that is away is asked again
LETTING_GO = 60.0  # s for which a vendor that is away is asked to end a call that nobody waits for

NOT_BEGUN = (AwayError, DeviceError)  # by what a submit raises when the vendor has not got it

T = TypeVar("T")

logger = structlog.get_logger()


class OpenCall:
    """One call, and how far it is."""

    def __init__(
        self, number: int, tag: str, known: Call | None, is_new: bool, patience: Patience
    ) -> None:
        self.number, self.tag, self.patience = number, tag, patience
        self.is_new = is_new  # no earlier attempt can have submitted it
        self.is_own = known is None or known.again  # the intent is this attempt's
        self.may_be_there = not is_new  # at the vendor
        self.vendor_job_id = known.vendor_job_id if known else None
        self.is_told = self.vendor_job_id is not None  # that the vendor has it
        self.submitting: asyncio.Task[str] | None = None
        self.seen_through: asyncio.Task[None] | None = None


class Calls:
    """Sees the calls of *task*'s attempt through, at the vendor of *device*.

    *letting_go*: seconds for which a vendor that is away is asked to end a call; *away_for*: for
    which an attempt stays with a device that does not answer, if its job is tried again.
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
        that this one has not made; else they are left for the next attempt.
        """
        for call in list(self._open.values()):
            _end(call.seen_through)
            if call.vendor_job_id is None and call.submitting is not None:
                call.vendor_job_id = await self._taken(call, call.submitting)
            if call.vendor_job_id is None:
                if call.is_own and not call.may_be_there:
                    yield Withdrawn(call.tag)
                continue
            if not call.is_told:
                yield Accepted(call.tag, call.vendor_job_id)
            if cancel:
                yield await self._cancelled(call.tag, call.vendor_job_id)
        self._open.clear()
        for left in self._task.calls if cancel else ():
            if left.final or left.again or left.tag in self._made:
                continue
            vendor_job_id = left.vendor_job_id or await self._found(left.tag)
            if vendor_job_id is None:
                continue
            if left.vendor_job_id is None:
                yield Accepted(left.tag, vendor_job_id)
            yield await self._cancelled(left.tag, vendor_job_id)

    def close(self) -> None:
        """Nobody wants to hear of them any more."""
        for call in self._open.values():
            _end(call.seen_through)

    async def _taken(self, call: OpenCall, submitting: asyncio.Task[str]) -> str | None:
        """The id of what is being submitted, as far as can be known."""
        try:
            return await submitting
        except LostError:
            found = None
            with suppress(VendorError, DeviceError):
                found = await self._process.find(call.tag)
                call.may_be_there = found is not None
            return found
        except NOT_BEGUN:
            call.may_be_there = False
        except VendorError:
            pass
        return None

    async def _found(self, tag: str) -> str | None:
        """The id that the vendor has for it, as far as it can say now."""
        with suppress(VendorError, DeviceError):
            return await self._process.find(tag)
        return None

    async def _cancelled(self, tag: str, vendor_job_id: str) -> Metered:
        try:
            meter = await until_there(
                lambda: self._process.cancel(vendor_job_id), LostError, within=self._letting_go
            )
        except (VendorError, DeviceError) as error:
            logger.warning("call.not_cancelled", tag=tag, error=str(error))
            return Metered(tag)
        return _metered(tag, meter)

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
        await run.put_on_record(_metered(call.tag, meter))
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
                run.put_on_record(_metered(call.tag, told.meter, final=False))

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


def _metered(tag: str, meter: Meter, *, final: bool = True) -> Metered:
    return Metered(tag, meter.device_seconds, meter.cost, meter.currency, final)


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


async def until_there(
    what: Callable[[], Awaitable[T]],
    *more: type[Exception],
    within: float | None = None,
    patience: Patience | None = None,
) -> T:
    """Do *what* until the vendor is not away any more; nothing has begun while it is.

    *within* seconds; after them the last error is raised. Raises `DownError` once *patience* is over.
    """
    errors: tuple[type[Exception], ...] = (*NOT_BEGUN, *more)
    async for attempt in stamina.retry_context(
        errors,
        attempts=None,
        timeout=within,
        wait_initial=AGAIN_FIRST,
        wait_max=AGAIN_MOST,
        wait_jitter=AGAIN_FIRST,
    ):
        with attempt:
            try:
                return await what()
            except errors as error:
                if patience is not None:
                    patience.failed(error)
                raise
    raise AssertionError("it is tried for ever")
