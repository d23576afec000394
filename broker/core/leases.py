"""Which attempts seem lost: their workers are silent, were started again, or do not have them."""

from dataclasses import dataclass

from broker.core.attempts import LiveAttempt
from broker.core.book import Book
from broker.core.roster import LONGEST_LEASE, Roster
from schemas.values import JobKey, Reason
from schemas.workers import Heartbeat


def lease(base: float, ran_for: float) -> float:
    """How long an attempt outlives the silence of its worker: what that can waste stays small."""
    return max(base, min(LONGEST_LEASE, base + ran_for / 10))


@dataclass(frozen=True, slots=True)
class Suspect:
    """An attempt that seems lost. It is, unless a report of it is still to be read."""

    key: JobKey
    number: int
    message: str
    reason: Reason = Reason.WORKER_LOST
    silent: bool = False  # only because its worker is not heard, which may change
    missing: bool = (
        False  # only because its worker does not name it, which may never have been told
    )


def is_overdue(roster: Roster, attempt: LiveAttempt) -> bool:
    """Whether its worker has been silent for longer than its lease."""
    worker = roster.workers.get(attempt.worker)
    if worker is None:
        return True
    ran_for = roster.clock - attempt.since
    return roster.clock - worker.heard > lease(roster.base_lease, ran_for)


def overdue(roster: Roster, book: Book) -> list[Suspect]:
    """The attempts whose lease has run out."""
    return [
        _gone(roster, attempt, f"worker {name} is not heard any more", silent=True)
        for name in book.workers()
        if (worker := roster.workers.get(name)) is None or not roster.is_live(worker)
        for attempt in book.attempts_of(name).values()
        if is_overdue(roster, attempt)
    ]


def unnamed(roster: Roster, book: Book, beat: Heartbeat) -> list[Suspect]:
    """The attempts that the worker which beat has not got, although it should."""
    attempts = book.attempts_of(beat.worker)
    if not attempts:
        return []
    named = set(beat.attempts)
    suspects = []
    for attempt in attempts.values():
        if attempt.instance != beat.instance or beat.left:
            suspects.append(_gone(roster, attempt, f"worker {beat.worker} was started again"))
        elif (
            attempt.inbox is not None and beat.inbox >= attempt.inbox and attempt.name not in named
        ):
            message = f"worker {beat.worker} does not have it"
            suspects.append(Suspect(attempt.key, attempt.number, message, missing=True))
    return suspects


def _gone(roster: Roster, attempt: LiveAttempt, message: str, silent: bool = False) -> Suspect:
    if roster.has_left(attempt.instance):
        message = f"worker {attempt.worker} stopped before it ended"
        return Suspect(attempt.key, attempt.number, message, Reason.WORKER_STOPPED)
    if not silent and _is_withdrawn(roster, attempt):
        message = f"{message} without {attempt.backend}, which nobody else offers"
        return Suspect(attempt.key, attempt.number, message, Reason.BACKEND_WITHDRAWN)
    return Suspect(attempt.key, attempt.number, message, silent=silent)


def _is_withdrawn(roster: Roster, attempt: LiveAttempt) -> bool:
    """Whether its worker offers other backends by now, and nobody this one."""
    worker = roster.workers.get(attempt.worker)
    offers = worker is not None and any(pool.backends for pool in worker.pools)
    return offers and not roster.slots(attempt.backend)
