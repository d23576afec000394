"""What a turn has led to, in the metrics and in the log of the process."""

from collections import Counter
from functools import cache
from logging import DEBUG, INFO

import structlog

from broker.core.inputs import Input, Reported
from broker.core.promises import Promises
from broker.core.turn import Turn
from broker.telemetry import metrics, times
from schemas.events import AnyEvent, Dispatched, Interim, Rejected, Started, Withheld
from schemas.events import Log as LogEvent
from schemas.jobs import Job
from schemas.ledger import Entry, SessionEntry

logger = structlog.get_logger()


def tell(turn: Turn, inputs: int) -> None:
    """Count and log what is on the ledger now."""
    if inputs:
        metrics.BATCH.observe(inputs)
    counts = Counter([entry.event.kind for entry in turn.entries])
    for entry in turn.entries:
        if isinstance(job := turn.changed[entry.key], Job):
            _measure(entry.event, job, turn)
        if isinstance(entry.event, Rejected):
            metrics.REJECTIONS.labels(entry.event.reason).inc()
    if logger.is_enabled_for(INFO):
        for entry in turn.entries:
            _tell_event(entry)
    for said in turn.of_sessions:
        counts[said.event.kind] += 1
        _say("session.event", INFO, said, session_id=said.event.session_id)
    for kind, count in counts.items():
        metrics.EVENTS.labels(kind).inc(count)
    for tagging in turn.taggings:
        logger.info("job.tagged", job_id=tagging.job_id, tenant=tagging.tenant)
    for deletion in turn.deletions:
        logger.info("job.deleted", job_id=deletion.job_id, tenant=deletion.tenant)


def _tell_event(entry: Entry) -> None:
    event = entry.event
    level = DEBUG if isinstance(event, (Interim, LogEvent, Withheld)) else INFO
    _say("job.event", level, entry, job_id=event.job_id)


def _say(what: str, level: int, entry: Entry | SessionEntry, **named: str) -> None:
    event = entry.event
    logger.log(
        level,
        what,
        **named,
        tenant=entry.key.tenant,
        seq=event.seq,
        kind=event.kind,
        state=str(event.state),
        reason=getattr(event, "reason", None),
    )


def note(what: str, item: Input) -> None:
    """Log *what* came of *item*, which changed nothing."""
    if isinstance(item, Reported):
        report = item.report
        logger.debug(what, job_id=report.job_id, attempt=report.attempt, number=report.number)
    else:
        key = getattr(item, "key", None)
        logger.info(what, job_id=key.job_id if key else None)


_queue_seconds = cache(metrics.QUEUE_SECONDS.labels)
_job_seconds = cache(metrics.JOB_SECONDS.labels)


def _measure(event: AnyEvent, job: Job, turn: Turn) -> None:
    """How long *job* has waited for its first attempt, how late it begins, what it took in all."""
    if isinstance(event, Dispatched):
        if event.attempt == 1:
            _queue_seconds(event.backend).observe(_since(job.created, event.time))
    elif isinstance(event, Started):
        _check(turn.book.promises, event, job)
    elif event.terminal:
        turn.book.promises.drop(job.key)
        if not isinstance(event, Rejected):
            # What tenants bring is named in no metric, where everybody could read it.
            program = job.program_id if turn.catalogue.is_built_in(job.program_id) else "uploaded"
            _job_seconds(program, str(event.state)).observe(_since(job.created, event.time))


def _check(promises: Promises, event: Started, job: Job) -> None:
    """Measure how late *job* begins, if that was forecast."""
    if (miss := promises.begun(job.key, times.seconds_of(event.time))) is not None:
        metrics.START_LATE_SECONDS.labels(miss.backend).observe(miss.late)
        metrics.STARTS_FORECAST.labels(miss.backend, "yes" if miss.within else "no").inc()


def _since(start: str, end: str) -> float:
    return max(0.0, times.seconds_of(end) - times.seconds_of(start))
