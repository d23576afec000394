"""What a turn does about requests for jobs: takes them or refuses them; ends, forgets, tags them."""

import dataclasses
from collections.abc import Callable

from msgspec.structs import replace

from broker.core import decide, session_turns
from broker.core.admission import Admitted, Refused, admit
from broker.core.catalogue import Catalogue
from broker.core.changes import Changes
from broker.core.inputs import CancelAsked, DeleteAsked, ResolveAsked, Submitted, TagAsked
from broker.core.site import Site
from broker.core.usage import Usage
from schemas.jobs import Job
from schemas.ledger import DeadLetter, InputPosition
from schemas.values import Reason, State


def submit(
    turn: Changes,
    item: Submitted,
    catalogue: Catalogue,
    site: Site,
    usage_of: Callable[[str], Usage],
) -> str | None:
    """Decide whether there is to be such a job; why nothing came of it, if nothing did."""
    if turn.book.knows(item.key):
        return _again(turn, item, catalogue, site)
    verdict = _verdict(turn, item, catalogue, site, usage_of(item.key.tenant))
    event = decide.on_submit(item.key.job_id, verdict, turn.time)
    session_turns.begin_with(turn, item.key, item.body, verdict)
    turn.record(item.key, event, position=item.position, traceparent=item.traceparent)
    return None


def take(turn: Changes, item: CancelAsked | DeleteAsked | TagAsked | ResolveAsked) -> str | None:
    """Decide on what is asked about a job; why nothing came of it, if nothing did."""
    match item:
        case CancelAsked():
            return _cancel(turn, item)
        case DeleteAsked():
            return _delete(turn, item)
        case TagAsked():
            return _tag(turn, item)
        case ResolveAsked():
            return _resolve(turn, item)


def _again(turn: Changes, item: Submitted, catalogue: Catalogue, site: Site) -> str:
    """The id is known: one job, the first; who asks for another with it is told."""
    job = turn.book.jobs.get(item.key)
    if job is not None and job.details is not None and not job.terminal:
        was = Admitted(job.details, job.backend or "")
        session_turns.begin_with(turn, item.key, item.body, was)
    if job is None or not job.digest or isinstance(item.body, Refused):
        return "job.known_already"
    verdict = _verdict(turn, item, catalogue, site, Usage(item.key.tenant))
    if verdict.digest in ("", job.digest):
        return "job.known_already"
    turn.letters.append(_asked_for_otherwise(job, verdict.digest, item.position))
    return "job.asked_for_otherwise"


def _verdict(
    turn: Changes, item: Submitted, catalogue: Catalogue, site: Site, usage: Usage
) -> Admitted | Refused:
    if isinstance(item.body, Refused):
        return item.body
    bound, refusal = session_turns.bound_to(turn, item.key.tenant, item.body)
    if refusal is not None:
        return refusal
    found = admit(item.body, catalogue, site, item.findings, usage, bound)
    if isinstance(found, Admitted) and session_turns.begins(item.body):
        details = replace(found.details, session_id=item.key.job_id)
        return dataclasses.replace(found, details=details)
    return found


def _asked_for_otherwise(job: Job, digest: str, position: InputPosition) -> DeadLetter:
    message = f"the job was asked for as {job.digest}, and now as {digest}"
    return DeadLetter(
        code="job_exists",
        message=message,
        job_id=job.job_id,
        tenant=job.tenant,
        source=position,
    )


def _cancel(turn: Changes, item: CancelAsked) -> str | None:
    job = turn.book.jobs.get(item.key)
    if job is None:
        return "cancel.of_no_live_job"
    if turn.book.came_after(item.key, item.position):  # read again, after a crash
        return "cancel.before_its_job"
    if turn.cancel(job, Reason.USER_REQUEST, item.position):
        return None
    return _cancel_again(turn, job)


def _cancel_again(turn: Changes, job: Job) -> str:
    attempt = turn.book.attempts.get(job.key)
    if job.state is not State.CANCELLING or attempt is None:
        return "cancel.again"
    if turn.book.reminders.may_repeat(attempt.worker, attempt.name, turn.roster.clock):
        turn.tell_to_stop(job, attempt, Reason.USER_REQUEST)
    return "cancel.again"


def _delete(turn: Changes, item: DeleteAsked) -> str | None:
    """Of a job that ended long ago even the id may be forgotten, so that what nobody knows is
    deleted as well.
    """
    job = turn.book.jobs.get(item.key)
    if job is not None and not job.terminal:
        return "delete.of_a_live_job"
    turn.delete(item.key)
    return None


def _tag(turn: Changes, item: TagAsked) -> str | None:
    """Whatever has become of the job; only what was rejected has no tags."""
    job = turn.book.jobs.get(item.key)
    if job is not None and job.details is None:
        return "tag.of_a_rejected_job"
    if turn.book.came_after(item.key, item.position):  # read again, after a crash
        return "tag.before_its_job"
    turn.tag(item.key, item.tags)
    return None


def _resolve(turn: Changes, item: ResolveAsked) -> str | None:
    job = turn.book.jobs.get(item.key)
    event = decide.on_resolve(job, item.body, turn.time) if job else None
    if event is None:
        return "resolve.of_no_parked_job"
    turn.record(item.key, event, position=item.position)
    return None
