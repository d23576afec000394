"""What a turn does about facts of calls to a vendor, whichever attempt tells them."""

from broker.core import decide, facts
from broker.core.changes import Changes
from schemas.jobs import Job
from schemas.ledger import InputPosition
from schemas.reports import AWAITED, Fact, Report
from schemas.values import JobKey


def take(
    turn: Changes, job: Job | None, fact: Fact, report: Report, position: InputPosition
) -> str | None:
    """Decide on *fact* of *job*; why nothing came of it, if nothing did."""
    key = JobKey(report.tenant, report.job_id)
    if job is None or job.terminal:
        return _late(turn, key, job, fact, position)
    told = facts.on_fact(job, fact, report, turn.time)
    if told.event is not None:
        number = report.number if decide.is_current(job, report) else 0
        turn.record(key, told.event, position=position, report=number)
    if told.known and isinstance(fact, AWAITED):
        turn.tell_recorded(report)
    if not told.known and facts.may_be_paid(fact):
        turn.letters.append(facts.letter(key, fact, position))
    return None if told.event is not None else "fact.known_already"


def _late(
    turn: Changes, key: JobKey, job: Job | None, fact: Fact, position: InputPosition
) -> str | None:
    """Nothing follows a job's end on the ledger: what it may cost is put aside."""
    was_there = job is not None or turn.book.has_ended(key.encode())
    if not (was_there and facts.may_be_paid(fact)) or (job and facts.knows(job, fact)):
        return "fact.void"
    turn.letters.append(facts.letter(key, fact, position))
    return "fact.late"
