"""Whose turn it is on which worker."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from broker.core.queues import Queues, Rank
from schemas.values import JobKey


@dataclass(slots=True)
class Offer:
    """The free slots of one worker, which all its backends share.

    *free* is below zero by what it was given *ahead*: that waits there for the next slot.
    """

    worker: str
    instance: str
    backends: frozenset[str]
    free: int
    ahead: int = 0


class Choice(NamedTuple):
    """A job and the worker that it goes to."""

    key: JobKey
    backend: str
    offer: Offer


def next_dispatch(queues: Queues, offers: Sequence[Offer]) -> Choice | None:
    """Who goes next, and where: the worker with the most free slots. None if nobody can go."""
    offers = [offer for offer in offers if offer.free + offer.ahead > 0]
    if not offers:
        return None
    best: tuple[Rank, Choice] | None = None
    for backend in frozenset[str]().union(*(offer.backends for offer in offers)):
        head = queues.head(backend)
        if head is None or (best and head[0] >= best[0]):
            continue
        rank, key = head
        if offer := _roomiest(offers, backend):
            best = rank, Choice(key, backend, offer)
    return best[1] if best else None


def _roomiest(offers: Iterable[Offer], backend: str) -> Offer | None:
    suitable = (offer for offer in offers if backend in offer.backends)
    return max(suitable, key=lambda offer: offer.free, default=None)
