"""The calls of a job: what is kept of them, and what each event makes of that."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from schemas.calls import Call
from schemas.events import CallAccepted, CallIntended, CallMetered, CallWithdrawn, Resolved
from schemas.jobs import Job

OfCall = CallIntended | CallWithdrawn | CallAccepted | CallMetered | Resolved
MOST = 400  # that are kept of a job: at their longest a quarter of what a record may take
NAMED = 10  # in warnings


class Known(NamedTuple):
    """Of what a job has, what events about its calls change."""

    calls: tuple[Call, ...]
    left_out: int
    device_seconds: float | None


def find(calls: Sequence[Call], tag: str, vendor_job_id: str | None = None) -> Call | None:
    """The newest call with that *tag*; if one is given, with that id at the vendor."""
    return next(
        (
            call
            for call in reversed(calls)
            if call.tag == tag and vendor_job_id in (None, call.vendor_job_id)
        ),
        None,
    )


def has_room(job: Job) -> bool:
    """Whether one more call of *job* can be kept."""
    return len(job.calls) < MOST


def after(job: Job, event: OfCall) -> Known:
    """What is known of the calls of *job* after *event*."""
    known = Known(job.calls, job.calls_left_out, job.device_seconds)
    before = find(job.calls, event.tag)
    match event:
        case CallIntended():
            call = Call(tag=event.tag, number=event.call, attempt=event.attempt)
            return _with(known, before, call)
        case CallWithdrawn():
            return _with(known, before, replace(before, again=True)) if before else known
        case CallAccepted():
            return _accepted(known, before, event)
        case CallMetered():
            return _metered(known, before, event, total_after(job, event.tag, event.device_seconds))
        case Resolved():
            return _resolved(known, before, event)


def _accepted(known: Known, before: Call | None, event: CallAccepted) -> Known:
    """An id that comes second is another job there, which is paid for as well: it is kept beside."""
    if before is not None and before.vendor_job_id is None:
        call = replace(before, vendor_job_id=event.vendor_job_id, again=False)
        return _with(known, before, call)
    if before is None and len(known.calls) >= MOST:
        return known  # it was counted when it was meant to be submitted
    number = before.number if before else 0
    call = Call(
        tag=event.tag, number=number, attempt=event.attempt, vendor_job_id=event.vendor_job_id
    )
    return _with(known, None, call)


def _metered(known: Known, before: Call | None, event: CallMetered, total: float | None) -> Known:
    if before is None and len(known.calls) >= MOST:  # it is only counted: so is what it took
        return known._replace(device_seconds=total)
    said = before or Call(tag=event.tag, attempt=event.attempt)
    call = replace(
        said,
        device_seconds=_newest(event.device_seconds, said.device_seconds),
        cost=_newest(event.cost, said.cost),
        currency=event.currency or said.currency,
        final=event.final or said.final,
    )
    return _with(known, before, call)._replace(device_seconds=total)


def total_after(job: Job, tag: str, seconds: float | None) -> float | None:
    """Device seconds of all calls of *job*, once that of *tag* has taken so many."""
    had = (call.device_seconds if (call := find(job.calls, tag)) else None) or 0.0
    if seconds is None:
        return job.device_seconds
    return (job.device_seconds or 0.0) + seconds - had


def _resolved(known: Known, before: Call | None, event: Resolved) -> Known:
    """What an operator has said is kept, however many calls there are."""
    said = before or Call(tag=event.tag, attempt=event.attempt)
    again = event.vendor_job_id is None
    call = replace(said, vendor_job_id=event.vendor_job_id, again=again)
    if before is None:
        return known._replace(calls=(*known.calls, call))
    return _with(known, before, call)


def _with(known: Known, before: Call | None, call: Call) -> Known:
    """*call* in the place of *before*; a new one behind all others, if there is room."""
    calls = known.calls
    if before is not None:
        at = calls.index(before)
        return known._replace(calls=(*calls[:at], call, *calls[at + 1 :]))
    if len(calls) >= MOST:
        return known._replace(left_out=known.left_out + 1)
    return known._replace(calls=(*calls, call))


def _newest(said: float | None, before: float | None) -> float | None:
    return before if said is None else said


def unsettled(job: Job) -> list[Call]:
    """The calls of *job* that may still run at the vendor."""
    return [call for call in job.calls if not call.final and not call.again]


def warnings(job: Job) -> tuple[str, ...]:
    """What is to be told of calls that may still run, when *job* ends without them."""
    calls = unsettled(job)
    said = [f"{_named(call)}: the device may be paid for it" for call in calls[:NAMED]]
    more = len(calls) - NAMED
    return (*said, *([f"the same of {more} more calls"] if more > 0 else ()))


def _named(call: Call) -> str:
    if call.vendor_job_id is None:
        return f"call {call.tag} may have been submitted"
    return f"call {call.tag}, the vendor's job {call.vendor_job_id}, may still run"
