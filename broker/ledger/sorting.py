"""What very many snapshots say of jobs, as far as it takes to put them where they belong in a book."""

import asyncio
from collections.abc import Collection, Iterator, Sequence, Set
from itertools import compress, islice
from operator import attrgetter, itemgetter
from typing import NamedTuple

from broker.core.book import Book, by_age
from broker.core.lanes import Place
from broker.core.restoring import Restoring
from broker.core.snapshots import Snapshots
from broker.ledger.outlines import Places, outline, outlines
from broker.ledger.reading import say_snapshot_unreadable
from schemas.decoding import UnreadableError, decode
from schemas.jobs import Job, Outline
from schemas.sessions import session_key
from schemas.values import JobKey, State

BLOCKS = 20  # of jobs, mostly small or one, that are put into queues before others get a turn

_STATE, _CREATED = attrgetter("state", "next_attempt_at"), attrgetter("created")
_WAITS = State.QUEUED, None  # and does not rest
_SESSION = attrgetter("details.session_id")


class _Waiting(NamedTuple):
    """Jobs that wait: of each when it came, the key of its records, and where it waits."""

    created: Sequence[str]
    keys: Sequence[bytes]
    places: Sequence[Place]


class Sorting:
    """Jobs that wait, some at a time, and all others. Of each the keys, and little more, are kept."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._metered: dict[bytes, tuple[str, float]] = {}  # jobs that wait; what they took before
        self._in_sessions: dict[bytes, JobKey] = {}  # jobs that wait; the session of each
        self._others: dict[bytes, bool] = {}  # whether it is a job
        self._places = Places()

    def look(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Sort jobs by these snapshots, of which there is one at most for each."""
        found = outlines(keys, values)
        if len(found) < len(keys) or set(map(_STATE, found)) != {_WAITS}:
            keys, found = self._look_at_each(keys, values)
        if set(map(_SESSION, found)) - {None}:
            self._in_sessions |= {
                key: session_key(each.tenant, each.details.session_id)
                for key, each in zip(keys, found, strict=True)
                if each.details.session_id is not None
            }
        self._metered |= {
            key: (each.tenant, each.device_seconds)
            for key, each in zip(keys, found, strict=True)
            if each.device_seconds
        }
        if keys:
            created = list(map(_CREATED, found))
            self._waiting.append(_Waiting(created, keys, self._places.of(found)))

    def _look_at_each(
        self, keys: Sequence[bytes], values: Sequence[bytes]
    ) -> tuple[Sequence[bytes], Sequence[Outline]]:
        """Those that wait, and what their snapshots say."""
        waiting: dict[bytes, Outline] = {}
        for key, value in zip(keys, values, strict=True):
            found = outline(key, value)
            if found is not None and _STATE(found) == _WAITS:
                waiting[key] = found
            else:
                self._others[key] = found is not None
        return list(waiting), list(waiting.values())

    def forget(self, keys: Set[bytes]) -> None:
        """What was seen of them is old."""
        self._waiting = [
            waiting if keys.isdisjoint(waiting.keys) else _without(waiting, keys)
            for waiting in self._waiting
        ]
        self._in_sessions = {k: s for k, s in self._in_sessions.items() if k not in keys}
        self._metered = {k: it for k, it in self._metered.items() if k not in keys}
        self._others = {key: is_job for key, is_job in self._others.items() if key not in keys}

    async def restore(self, book: Book, snapshots: Snapshots) -> None:
        """Put them into *book*, and those that wait into their queues, as they came.

        These stay in *snapshots*; all others are taken out of them.
        """
        await self._restore_waiting(book)
        for key, is_job in self._others.items():
            if (snapshot := snapshots.pop(key)) and is_job:
                _restore(book, key, snapshot)
        for key, session in self._in_sessions.items():
            book.join(session, JobKey.decode(key))
        book.spending.meter_all(self._metered.values())

    async def _restore_waiting(self, book: Book) -> None:
        restoring = Restoring()
        for some in _by_age(self._waiting):
            if some is not None:
                restoring.take(some.keys, some.places)
            await asyncio.sleep(0)
        self._waiting.clear()
        blocks = restoring.blocks()
        while together := list(islice(blocks, BLOCKS)):
            for block in together:
                book.queues.restore(block)
            await asyncio.sleep(0)


def _restore(book: Book, key: bytes, snapshot: bytes) -> None:
    """Take in a job that does not wait in a queue."""
    try:
        book.restore(decode(snapshot, Job))
    except UnreadableError as error:
        say_snapshot_unreadable(repr(key), error.message)


def _without(waiting: _Waiting, keys: Collection[bytes]) -> _Waiting:
    stays = [key not in keys for key in waiting.keys]
    created, left, places = waiting
    return _Waiting(
        list(compress(created, stays)), list(compress(left, stays)), list(compress(places, stays))
    )


def _by_age(waiting: Sequence[_Waiting]) -> Iterator[_Waiting | None]:
    """Those in *waiting* in the order of their arrival, some at a time. Mostly they are in it."""
    waiting = [some for some in waiting if some.keys]
    newest = ""
    for some in waiting:
        if some.created[0] < newest or list(some.created) != sorted(some.created):
            break
        newest = some.created[-1]
        yield None
    else:
        yield from waiting
        return
    singly = (each for some in waiting for each in zip(*some, strict=True))
    for found in by_age(singly, itemgetter(0)):
        if not found:
            yield None
            continue
        created, keys, places = zip(*found, strict=True)
        yield _Waiting(created, keys, places)
