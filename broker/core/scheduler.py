"""Whose turn it is on which worker."""

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from schemas.values import JobKey

MANY = 16  # backends that are waited for: from then on it pays to know which are offered


@dataclass(slots=True)
class Offer:
    """The free slots of one pool of a worker, which all its backends share.

    *free* is below zero by what it was given *ahead*: that waits there for the next slot.
    """

    worker: str
    instance: str
    backends: frozenset[str]
    free: int
    ahead: int = 0


class Rank(NamedTuple):
    """When a job goes, compared with those that wait for other backends."""

    step: tuple[int, bool]  # of the priority: the lost ones, then the others
    reached: float  # by its tenant with its share of all backends together; 0 for the lost ones
    arrival: int


class Head(NamedTuple):
    """Who goes next on a backend."""

    rank: Rank
    key: JobKey


class Choice(NamedTuple):
    """A job and the worker that it goes to."""

    key: JobKey
    backend: str
    offer: Offer


def choose(
    head_of: Callable[[str], Head | None], waited: Set[str], offers: Sequence[Offer]
) -> Choice | None:
    """Who goes next, and where: the pool with the most free slots. None if nobody can go.

    *waited*: the backends that somebody waits for.
    """
    offers = [offer for offer in offers if offer.free + offer.ahead > 0]
    if not offers:
        return None
    best: tuple[Rank, Choice] | None = None
    if len(waited) > MANY:
        waited = waited & frozenset[str]().union(*(offer.backends for offer in offers))
    for backend in waited:
        if (offer := _roomiest(offers, backend)) is None or (head := head_of(backend)) is None:
            continue
        if best is None or head.rank < best[0]:
            best = head.rank, Choice(head.key, backend, offer)
    return best[1] if best else None


def _roomiest(offers: Iterable[Offer], backend: str) -> Offer | None:
    suitable = [offer for offer in offers if backend in offer.backends]
    if len(suitable) < 2:
        return suitable[0] if suitable else None
    return max(suitable, key=lambda offer: offer.free)
