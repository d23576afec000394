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
from executors.hardware.process import DeviceError, DeviceProcess
from executors.hardware.said import AwayError, CanNotSayError, LostError, Meter, VendorError
from schemas.calls import Call
from schemas.reports import Accepted, Body, Intended, Metered, Parked

MOST_OPEN = 64  # calls of one attempt that are under way
AGAIN_FIRST, AGAIN_MOST = 0.2, 30.0  # s until a vendor that is away is asked again
LETTING_GO = 60.0  # s for which a vendor that is away is asked to end a call that nobody waits for

T = TypeVar("T")

logger = structlog.get_logger()


class OpenCall:
    """One call, and how far it is."""

    def __init__(self, number: int, tag: str, known: Call | None) -> None:
        self.number, self.tag = number, tag
        self.known = known  # what earlier attempts have told of it
        self.vendor_job_id = known.vendor_job_id if known else None
        self.is_told = self.vendor_job_id is not None  # that the vendor has it
        self.submitting: asyncio.Task[str] | None = None
        self.seen_through: asyncio.Task[None] | None = None


class Calls:
    """Sees the calls of *task*'s attempt through, at the vendor of *device*.

    *letting_go*: seconds for which a vendor that is away is asked to end a call.
    """

    def __init__(
        self,
        task: Task,
        process: DeviceProcess,
        device: DescribedDevice,
        letting_go: float = LETTING_GO,
    ) -> None:
        self.device = device
        # The next attempt draws the same, and so makes the same calls.
        self.seed = zlib.crc32(f"{task.tenant}/{task.job_id}".encode())
        self._task, self._process, self._letting_go = task, process, letting_go
        self._open: dict[int, OpenCall] = {}
        self._last = 0  # number of the newest
        self._made: set[str] = set()  # tags of this attempt's calls

    def on_call(self, run: Run, number: int, asked: bytes) -> str | None:
        """The program asks; why that is no call, if it is none."""
        if number != self._last + 1 or len(self._open) >= MOST_OPEN:
            return f"call {number} after {self._last}, with {len(self._open)} under way"
        self._last = number
        tag = self._tag(number, asked)
        self._made.add(tag)
        known = next((call for call in self._task.calls if call.tag == tag), None)
        call = self._open[number] = OpenCall(number, tag, known)
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
                call.vendor_job_id = await self._taken(call.tag, call.submitting)
            if call.vendor_job_id is None:
                continue
            if not call.is_told:
                yield Accepted(call.tag, call.vendor_job_id)
            if cancel:
                yield await self._cancelled(call.tag, call.vendor_job_id)
        self._open.clear()
        for left in self._task.calls if cancel else ():
            if left.final or left.tag in self._made:
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

    async def _taken(self, tag: str, submitting: asyncio.Task[str]) -> str | None:
        """The id of what is being submitted, as far as can be known."""
        try:
            return await submitting
        except LostError:
            return await self._found(tag)
        except (VendorError, DeviceError):
            return None

    async def _found(self, tag: str) -> str | None:
        """The id that the vendor has for it, as far as it can say now."""
        with suppress(VendorError, DeviceError):
            return await self._process.find(tag)
        return None

    async def _cancelled(self, tag: str, vendor_job_id: str) -> Metered:
        try:
            meter = await _until_there(
                lambda: self._process.cancel(vendor_job_id), LostError, within=self._letting_go
            )
        except (VendorError, DeviceError) as error:
            logger.warning("call.not_cancelled", tag=tag, error=str(error))
            return Metered(tag)
        return _metered(tag, meter)

    def _tag(self, number: int, asked: bytes) -> str:
        """The same for whichever attempt makes that call, and for no other call."""
        task = self._task
        name = f"{task.tenant}/{task.job_id}/{number}/".encode()
        return f"qjb-{number}-{hashlib.sha256(name + asked).hexdigest()[:32]}"

    async def _see_through(self, run: Run, call: OpenCall, asked: bytes) -> None:
        try:
            answered = await self._answered(run, call, asked)
        except CanNotSayError as error:
            run.park(Parked(call.tag, f"call {call.number}: {error}"))
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
        meter, answered, _ = await self._waited_for(run, call, call.vendor_job_id)
        await run.put_on_record(_metered(call.tag, meter))
        return answered

    async def _accepted(self, run: Run, call: OpenCall, asked: bytes) -> str:
        """The vendor's id: of an earlier submit, if there was one; else of this one."""
        known = call.known
        may_be_there = known is not None or self._task.calls_left_out > 0
        if may_be_there and not (known and known.again):
            found = await _until_known(lambda: self._process.find(call.tag))
            if found is not None:
                return found
        if known is None:
            await run.put_on_record(Intended(call.tag, call.number))
        while True:
            try:
                return await _until_there(lambda: self._submitted(call, asked))
            except LostError as error:
                run.say(f"call {call.number}: {error}; the vendor is asked whether it has it\n")
                found = await _until_known(lambda: self._process.find(call.tag))
                if found is not None:
                    return found

    async def _submitted(self, call: OpenCall, asked: bytes) -> str:
        """Once; what was sent is heard out, whatever becomes of the attempt."""
        call.submitting = asyncio.create_task(self._process.submit(asked, call.tag))
        call.submitting.add_done_callback(_heard)
        return await asyncio.shield(call.submitting)

    async def _waited_for(
        self, run: Run, call: OpenCall, vendor_job_id: str
    ) -> tuple[Meter, bytes, str]:
        def note(text: str) -> None:
            run.say(f"call {call.number}: {vendor_job_id} is {text}\n")

        return await _until_known(lambda: self._process.wait(vendor_job_id, note))


def _metered(tag: str, meter: Meter) -> Metered:
    return Metered(tag, meter.device_seconds, meter.cost, meter.currency, final=True)


def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()


def _heard(task: asyncio.Task[str]) -> None:
    """Nobody may wait for it any more: that it failed is known then."""
    if not task.cancelled():
        task.exception()


async def _until_known(what: Callable[[], Awaitable[T]]) -> T:
    """Do *what*, which changes nothing the second time, until there is an answer."""
    return await _until_there(what, LostError)


async def _until_there(
    what: Callable[[], Awaitable[T]], *more: type[Exception], within: float | None = None
) -> T:
    """Do *what* until the vendor is not away any more; nothing has begun while it is.

    *within* seconds; after them the last error is raised.
    """
    async for attempt in stamina.retry_context(
        (AwayError, DeviceError, *more),
        attempts=None,
        timeout=within,
        wait_initial=AGAIN_FIRST,
        wait_max=AGAIN_MOST,
        wait_jitter=AGAIN_FIRST,
    ):
        with attempt:
            return await what()
    raise AssertionError("it is tried for ever")
