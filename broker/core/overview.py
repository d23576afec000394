"""Who waits for what, as everybody may know it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import nlargest
from itertools import islice

from msgspec.structs import replace

from broker.core.ahead import Standing, counted_ahead, named_ahead
from broker.core.attempts import LiveAttempt
from broker.core.book import Book
from broker.core.claims import claims_in
from broker.core.moments import moment
from broker.core.open_sessions import session_of
from broker.core.orders import Orders, shown
from broker.core.roster import Roster
from broker.core.usage import no_quota
from broker.core.waiting import goes, place_in
from broker.core.windows import NO_WINDOWS, Around, Windows, told_of
from schemas.reservations import Window
from schemas.tenants import Quota
from schemas.values import JobKey
from schemas.workers import QUEUE_SHOWN, RUNS_SHOWN, QueueLine, QueueSnapshot, Run

MISSING_SHOWN = 1_000  # backends that jobs wait for and nobody offers
NAMED = 20_000  # jobs that are named in all, and lines that are told


@dataclass(slots=True)
class _Slots:
    """Those for one backend, whichever others share them."""

    slots: int = 0
    free: int = 0
    taken: list[LiveAttempt] = field(default_factory=list)  # the first ones


def queue_snapshots(
    book: Book,
    roster: Roster,
    told: Iterable[str],
    orders: Orders,
    named: int = NAMED,
    quota_of: Callable[[str], Quota] = no_quota,
    windows: Windows = NO_WINDOWS,
    at: float = 0.0,
) -> list[QueueSnapshot]:
    """The queues of all backends that are offered, waited for, used or ordered, and those in *told*.

    At most *named* jobs are named, and so many lines told: first of what is offered.
    *at*: the time, Unix.
    """
    running = Counter(book.jobs[key].backend or "" for key in book.attempts)
    slots, claims = _slots(book, roster), claims_in(book, roster, windows, at)
    missing = islice(book.queues.backends(), MISSING_SHOWN)
    names = {*roster.backends, *missing, *running, *orders, *windows.backends, *told} - {""}
    found, lines = [], named
    for name in sorted(names, key=lambda name: (name not in roster.backends, name)):
        waiting = book.queues.waiting(name, min(QUEUE_SHOWN, named), claims)
        named -= len(waiting)
        held, spent = _held(book, name, quota_of, at)
        mode, because = shown(name, roster, orders)
        snapshot = replace(
            _forecast_of(book, name, slots[name], min(QUEUE_SHOWN, lines)),
            running=running[name],
            mode=mode,
            why=because,
            waiting=tuple(str(key) for key in waiting),
            held=held,
            spent=spent,
            windows=_windows(claims.windows(name)),
            sessions=tuple(map(str, islice(claims.holders(name), QUEUE_SHOWN))),
        )
        lines -= len(snapshot.lines)
        found.append(snapshot)
    return found


def _forecast_of(book: Book, backend: str, slots: _Slots, lines: int) -> QueueSnapshot:
    """Of a queue, what forecasts are made of; at most so many lines."""
    return QueueSnapshot(
        backend=backend,
        queued=book.queues.count(backend),
        running=0,
        slots=slots.slots,
        lines=_lines(book, backend, lines),
        free=slots.free,
        runs=tuple(_run(book, attempt) for attempt in slots.taken),
        seconds=round(book.queues.sharing.estimates.usual(backend).seconds, 3),
        late=book.promises.late(backend),
    )


def _windows(around: Around) -> tuple[Window, ...]:
    now, ahead = around
    told = (now and told_of(now, holds=True), ahead and told_of(ahead, holds=False))
    return tuple(window for window in told if window is not None)


def promise_starts(book: Book, queues: Iterable[QueueSnapshot], now: float) -> None:
    """Take note of when one of the jobs that came lately to each of *queues* is expected to begin.

    *now*: Unix time. *queues* must be as the book has them.
    """
    for queue in queues:
        if (came := book.queues.newcomers.take(queue.backend)) is None:
            continue
        _, name, (_, (negated, _), tenant) = came.entry
        key, priority = JobKey.decode(name), -negated
        at = Standing(tenant, priority, again=False, rank=came.rank)
        ahead = named_ahead(queue, key, priority) or counted_ahead(queue, at)
        job = book.jobs.get(key)
        if ahead is None or job is None:
            continue
        if goes(place_in(queue, tenant, session_of(job), ahead.total)):
            book.promises.make(queue, key, ahead, now)


def _slots(book: Book, roster: Roster) -> dict[str, _Slots]:
    found: dict[str, _Slots] = defaultdict(_Slots)
    for worker in roster.takers():
        attempts = book.attempts_of(worker.name).values()
        for pool in worker.pools:
            taken = [attempt for attempt in attempts if attempt.backend in pool.offered]
            for backend in pool.offered:
                slots = found[backend]
                slots.slots += pool.slots
                slots.free += max(0, pool.slots - len(taken))
                slots.taken += taken[: RUNS_SHOWN - len(slots.taken)]
    return found


def _run(book: Book, attempt: LiveAttempt) -> Run:
    job = book.jobs[attempt.key]
    takes = book.queues.sharing.estimates.of(job, attempt.backend)
    began = moment(job.started, 0.0) if job.started is not None else 0.0
    return Run(began, round(takes.seconds, 3), round(takes.spread, 3))


def _lines(book: Book, backend: str, most: int) -> tuple[QueueLine, ...]:
    """How many jobs of each priority each tenant has there: the first ones first, the largest ones
    where those are too many.
    """
    sharing, lines = book.queues.sharing, list(book.queues.lines(backend))
    if len(lines) > most:
        lines = sorted(nlargest(most, lines, key=lambda line: line[2]), key=lambda line: line[0])
    return tuple(
        QueueLine(
            tenant,
            -step[0],
            not step[1],
            count,
            round(sharing.reached(tenant, backend), 3),
            round(sharing.usual(tenant, backend), 6),
            round(sharing.seconds(tenant, backend), 3),
            book.attempts.count_of(tenant),
        )
        for step, tenant, count in lines
    )


def _held(
    book: Book, backend: str, quota_of: Callable[[str], Quota], at: float
) -> tuple[dict[str, int], dict[str, float]]:
    """The tenants that wait there for their limit of running jobs, and those for theirs of device
    seconds; and the limits.
    """
    running: dict[str, int] = {}
    spent: dict[str, float] = {}
    day = datetime.fromtimestamp(at, UTC).isoformat()
    waiting = filter(book.queues.count_of, book.queues.held.at(backend))
    for tenant in islice(waiting, QUEUE_SHOWN):
        quota = quota_of(tenant)
        if book.usage_of(tenant, quota, day).device_seconds_left == 0:
            spent[tenant] = quota.device_seconds or 0.0
        elif quota.running is not None:
            running[tenant] = quota.running
    return running, spent
