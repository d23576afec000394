"""Facts that attempts report: what is so at the vendor, whatever has become of the attempt.

Told by what they say, not by the number of their report: a fact that is known already is no news,
however often and in whatever order it comes.
"""

from typing import NamedTuple

from broker.core import calls
from broker.core.job import step
from schemas import reports
from schemas.calls import Calibration, Call
from schemas.events import (
    Calibrated,
    CallAccepted,
    CallIntended,
    CallMetered,
    CallWithdrawn,
    Resolved,
)
from schemas.jobs import Job
from schemas.ledger import DeadLetter, InputPosition
from schemas.reports import Accepted, Fact, Intended, Metered, Report, Withdrawn
from schemas.values import JobKey, State

FactEvent = CallIntended | CallWithdrawn | CallAccepted | CallMetered | Calibrated | Resolved


class Told(NamedTuple):
    """What a fact leads to. *known*: it is on the ledger, or will be with *event*."""

    event: FactEvent | None = None
    known: bool = False


VOID, KNOWN = Told(), Told(known=True)


def on_fact(job: Job, fact: Fact, report: Report, time: str) -> Told:
    """What *fact*, in *report*, changes of *job*, which has not ended.

    What the vendor has done counts whoever says it; what an attempt is about to do, or meets, only
    while the attempt is the one that counts.
    """
    match fact:
        case Accepted():
            return _accepted(job, fact, report, time)
        case Metered():
            return _metered(job, fact, report, time)
        case Intended():
            return _intended(job, fact, report, time) if may_act(job, report) else VOID
        case Withdrawn():
            return _withdrawn(job, fact, time) if is_of(job, report) else VOID
        case reports.Calibrated():
            return _calibrated(job, fact, time) if may_act(job, report) else VOID


def knows(job: Job, fact: Fact) -> bool:
    """Whether *job*, which has ended, had heard that before."""
    match fact:
        case Accepted():
            return calls.find(job.calls, fact.tag, fact.vendor_job_id) is not None
        case Metered():
            call = calls.find(job.calls, fact.tag)
            return call is not None and not _says_more(fact, call)
        case _:
            return True


def may_be_paid(fact: Fact) -> bool:
    """Whether *fact* says that the vendor has done something, so that it must not be lost."""
    return isinstance(fact, (Accepted, Metered))


def letter(key: JobKey, fact: Fact, position: InputPosition) -> DeadLetter:
    """That *fact* came too late for the ledger, for an operator."""
    return DeadLetter(
        code="late_fact",
        message=f"said of job {key} when it had ended, or had more calls than are kept: {fact}",
        job_id=key.job_id,
        tenant=key.tenant,
        source=position,
    )


def is_of(job: Job, report: Report) -> bool:
    """Whether *report* is of the attempt that counts, as it was dispatched last."""
    return not job.terminal and (report.attempt, report.epoch) == (job.attempt, job.epoch)


def may_act(job: Job, report: Report) -> bool:
    """Whether the attempt that says *report* may begin something at the vendor."""
    return job.state is State.RUNNING and is_of(job, report)


def _intended(job: Job, fact: Intended, report: Report, time: str) -> Told:
    call = calls.find(job.calls, fact.tag)
    is_kept = call is not None or calls.has_room(job)
    is_known = call is not None and not call.again
    if is_known or (not is_kept and not _is_next(job, report)):
        return KNOWN
    event = CallIntended(
        **step(job, time, CallIntended), attempt=job.attempt, tag=fact.tag, call=fact.call
    )
    return Told(event, known=True)


def _withdrawn(job: Job, fact: Withdrawn, time: str) -> Told:
    """It counts of what that attempt itself meant to submit: what another did, it can not know."""
    call = calls.find(job.calls, fact.tag)
    is_open = call is not None and call.vendor_job_id is None and call.attempt == job.attempt
    if call is None or not is_open or call.again:
        return VOID
    event = CallWithdrawn(**step(job, time, CallWithdrawn), attempt=job.attempt, tag=fact.tag)
    return Told(event, known=True)


def _calibrated(job: Job, fact: reports.Calibrated, time: str) -> Told:
    if job.calibration == Calibration(fact.calibration_id, fact.properties_ref):
        return KNOWN
    event = Calibrated(
        **step(job, time, Calibrated),
        attempt=job.attempt,
        calibration_id=fact.calibration_id,
        properties_ref=fact.properties_ref,
    )
    return Told(event, known=True)


def _accepted(job: Job, fact: Accepted, report: Report, time: str) -> Told:
    if calls.find(job.calls, fact.tag, fact.vendor_job_id):
        return KNOWN
    if not _is_kept(job, fact.tag) and not _is_next(job, report):
        return VOID
    if job.parked == fact.tag:
        resolved = Resolved(
            **step(job, time, Resolved),
            attempt=job.attempt,
            tag=fact.tag,
            vendor_job_id=fact.vendor_job_id,
            message="the vendor had taken the call, as is known now",
        )
        return Told(resolved, known=True)
    event = CallAccepted(
        **step(job, time, CallAccepted),
        attempt=report.attempt,
        tag=fact.tag,
        vendor_job_id=fact.vendor_job_id,
    )
    return Told(event, known=True)


def _metered(job: Job, fact: Metered, report: Report, time: str) -> Told:
    call = calls.find(job.calls, fact.tag)
    if call is None and not calls.has_room(job) and not _is_next(job, report):
        return VOID
    if call is not None and not _says_more(fact, call):
        return KNOWN
    event = CallMetered(
        **step(job, time, CallMetered),
        attempt=report.attempt,
        tag=fact.tag,
        device_seconds=fact.device_seconds,
        job_device_seconds=calls.total_after(job, fact.tag, fact.device_seconds),
        cost=fact.cost,
        currency=fact.currency,
        final=fact.final,
    )
    return Told(event, known=True)


def _says_more(fact: Metered, call: Call) -> bool:
    """A meter only grows, and the last word stands: so what comes late, or again, changes nothing."""
    if call.final:
        return False
    return (
        fact.final
        or (fact.device_seconds or 0.0) > (call.device_seconds or 0.0)
        or (fact.cost or 0.0) > (call.cost or 0.0)
    )


def _is_kept(job: Job, tag: str) -> bool:
    """Whether the id of a call with that *tag* stays known, and so is told once."""
    call = calls.find(job.calls, tag)
    return calls.has_room(job) or (call is not None and call.vendor_job_id is None)


def _is_next(job: Job, report: Report) -> bool:
    """Whether nothing that came after *report* has been heard: where only that tells news."""
    return is_of(job, report) and report.number > job.reports
