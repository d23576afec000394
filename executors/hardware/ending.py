"""A call that is under way, and what becomes of it at the end of its attempt."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from executors.hardware.patience import NOT_BEGUN, Patience, until_there
from executors.hardware.process import DeviceError, DeviceProcess
from executors.hardware.said import LostError, Meter, VendorError
from schemas.calls import Call
from schemas.reports import Accepted, Body, Metered, Withdrawn

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


class Ending:
    """Ends calls at the vendor of *process* by *until*, a time of the loop, and *say*s what there is
    to say of them; None: leaves them for the next attempt.
    """

    def __init__(
        self, process: DeviceProcess, until: float | None, say: Callable[[Body], None]
    ) -> None:
        self._process, self._until, self._say = process, until, say

    async def settle(self, call: OpenCall) -> None:
        """Say what there is to say of *call*."""
        if call.vendor_job_id is None and call.submitting is not None:
            call.vendor_job_id = await self._taken(call, call.submitting)
        if call.vendor_job_id is None:
            if call.is_own and not call.may_be_there:
                self._say(Withdrawn(call.tag))
            return
        if not call.is_told:
            self._say(Accepted(call.tag, call.vendor_job_id))
        if self._until is not None:
            self._say(await self._cancelled(call.tag, call.vendor_job_id))

    async def let_go(self, left: Call) -> None:
        """End a call of an earlier attempt, if the vendor has it."""
        vendor_job_id = left.vendor_job_id
        if vendor_job_id is None:
            with suppress(VendorError, DeviceError):
                vendor_job_id = await self._found(left.tag)
            if vendor_job_id is None:
                return
            self._say(Accepted(left.tag, vendor_job_id))
        self._say(await self._cancelled(left.tag, vendor_job_id))

    async def _taken(self, call: OpenCall, submitting: asyncio.Task[str]) -> str | None:
        """The id of what is being submitted, as far as can be known."""
        try:
            async with asyncio.timeout_at(self._until):
                return await submitting
        except LostError:
            with suppress(VendorError, DeviceError):
                found = await self._found(call.tag)
                call.may_be_there = found is not None
                return found
        except NOT_BEGUN:
            call.may_be_there = False
        except (VendorError, TimeoutError):
            pass
        return None

    async def _found(self, tag: str) -> str | None:
        """The id that the vendor has for it. Who is away is asked until then, or once."""
        if self._until is None:
            return await self._process.find(tag)
        return await until_there(lambda: self._process.find(tag), LostError, within=self._left())

    async def _cancelled(self, tag: str, vendor_job_id: str) -> Metered:
        try:
            meter = await until_there(
                lambda: self._process.cancel(vendor_job_id), LostError, within=self._left()
            )
        except (VendorError, DeviceError) as error:
            logger.warning("call.not_cancelled", tag=tag, error=str(error))
            return Metered(tag)
        return metered(tag, meter)

    def _left(self) -> float | None:
        """s until then."""
        if self._until is None:
            return None
        return self._until - asyncio.get_running_loop().time()


def metered(tag: str, meter: Meter, *, final: bool = True) -> Metered:
    """What *meter* says of the call."""
    return Metered(tag, meter.device_seconds, meter.cost, meter.currency, final)
