"""What is claimed of backends at one moment: by operators, by sessions, by batches."""

from broker.core.book import Book
from broker.core.precedence import Claims
from broker.core.roster import Roster
from broker.core.windows import Windows
from schemas.values import JobKey

NEVER = float("inf")


def claims_in(book: Book, roster: Roster, windows: Windows, at: float) -> Claims:
    """Those at the Unix time *at*. Sessions hold devices only."""
    holds = book.sessions.holds

    def ends(key: JobKey, backend: str) -> float:
        job = book.jobs.get(key)
        return NEVER if job is None else at + book.queues.sharing.longest(job, backend)

    return Claims(
        lambda name: found if (found := holds.holders(name)) and roster.is_device(name) else (),
        lambda name: found if (found := holds.batch(name, at)) and roster.is_device(name) else None,
        lambda name: windows.around(name, at),
        ends,
    )
