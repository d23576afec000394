"""What snapshots say of jobs that wait, as far as it takes to put them into queues."""

from collections.abc import Sequence
from operator import attrgetter

import structlog

from broker.core.lanes import Place, place_of
from broker.ledger.reading import say_snapshot_unreadable
from schemas.decoding import UnreadableError, decode, decode_each
from schemas.jobs import Outline

logger = structlog.get_logger()

_Wanted = tuple[str | None, int, int, str]  # backend, priority, attempt, tenant
_WANTED = attrgetter("backend", "details.priority", "attempt", "tenant")
_NAMES = attrgetter("tenant", "job_id")
_TENANT = attrgetter("tenant")


class Places(dict[_Wanted, Place]):
    """One for all who wait there: there may be very many."""

    def __missing__(self, wanted: _Wanted) -> Place:
        backend, priority, attempt, tenant = wanted
        place = self[wanted] = place_of(backend, priority, attempt > 0, tenant)
        return place

    def of(self, waiting: Sequence[Outline]) -> Sequence[Place]:
        """Where *waiting* wait; mostly all do so at one place."""
        wanted = list(map(_WANTED, waiting))
        if len(distinct := set(wanted)) == 1:
            return [self[distinct.pop()]] * len(waiting)
        return list(map(self.__getitem__, wanted))


def outlines(keys: Sequence[bytes], values: Sequence[bytes]) -> Sequence[Outline]:
    """What those snapshots say; nothing if one can not be read, or is not of the job with its key."""
    try:
        found: list[Outline] = decode_each(values, Outline)
    except UnreadableError:
        return ()
    return found if _names(found).encode() == b"\n".join(keys) else ()


def _names(found: Sequence[Outline]) -> str:
    """The keys of their records, a line each. Mostly all are of one tenant."""
    tenants = set(map(_TENANT, found))
    if len(tenants) == 1:
        begin = f"{tenants.pop()}/"
        return begin + f"\n{begin}".join([each.job_id for each in found])
    return "\n".join(map("/".join, map(_NAMES, found)))


def outline(key: bytes, snapshot: bytes) -> Outline | None:
    """What that snapshot says; None if it can not be read, or is not of the job with its key."""
    try:
        found: Outline = decode(snapshot, Outline)
    except UnreadableError as error:
        say_snapshot_unreadable(repr(key), error.message)
        return None
    name = f"{found.tenant}/{found.job_id}"
    if name.encode() != key:
        logger.error("snapshot.of_another_job", key=repr(key), job=name)
        return None
    return found
