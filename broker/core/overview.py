"""Who waits for what, as everybody may know it."""

from collections.abc import Callable, Iterable
from itertools import islice

from broker.core.book import Book
from broker.core.orders import Orders, mode_of
from broker.core.roster import Roster
from broker.core.usage import no_quota
from schemas.tenants import Quota
from schemas.workers import QUEUE_SHOWN, QueueSnapshot

MISSING_SHOWN = 1_000  # backends that jobs wait for and nobody offers
NAMED = 20_000  # jobs that are named in all


def queue_snapshots(
    book: Book,
    roster: Roster,
    told: Iterable[str],
    orders: Orders,
    named: int = NAMED,
    quota_of: Callable[[str], Quota] = no_quota,
) -> list[QueueSnapshot]:
    """The queues of all backends that are offered, waited for, used or ordered, and those in *told*.

    At most *named* jobs are named: first those that wait for what is offered.
    """
    running: dict[str, int] = {}
    for key in book.attempts:
        backend = book.jobs[key].backend or ""
        running[backend] = running.get(backend, 0) + 1
    missing = islice(book.queues.backends(), MISSING_SHOWN)
    names = {*roster.backends, *missing, *running, *orders, *told} - {""}
    found = []
    for name in sorted(names, key=lambda name: (name not in roster.backends, name)):
        waiting = book.queues.waiting(name, min(QUEUE_SHOWN, named))
        named -= len(waiting)
        snapshot = QueueSnapshot(
            backend=name,
            queued=book.queues.count(name),
            running=running.get(name, 0),
            slots=roster.slots(name),
            mode=mode_of(name, orders),
            why=orders[name].why if name in orders else "",
            waiting=tuple(str(key) for key in waiting),
            held=_held(book, name, quota_of),
        )
        found.append(snapshot)
    return found


def _held(book: Book, backend: str, quota_of: Callable[[str], Quota]) -> dict[str, int]:
    """The tenants that wait there for their limit of running jobs, and the limit."""
    limits = ((tenant, quota_of(tenant).running) for tenant in book.queues.held(backend))
    return dict(islice(((name, most) for name, most in limits if most is not None), QUEUE_SHOWN))
