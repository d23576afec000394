"""Who listens is looked after: nobody may be silent, too old, or take nothing for too long."""

import asyncio
import math
import random
import time
from dataclasses import dataclass

from broker.gateway.behind import Behind
from broker.gateway.history import ManyJobs
from broker.gateway.subscribers import End, Subscriber


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what may last, in seconds."""

    age: float
    silence: float
    stall: float


class LookingAfter:
    """Comes to each subscriber when something may be due."""

    def __init__(self, patience: Patience, behind: Behind) -> None:
        self._patience, self._behind = patience, behind
        self._loop = asyncio.get_running_loop()

    def begin(self, subscriber: Subscriber) -> None:
        """*subscriber* has come."""
        age = self._patience.age * random.uniform(0.8, 1.2)  # noqa: S311
        may_last = age if subscriber.encoding.ages else math.inf
        if (expires := subscriber.caller.expires) is not None:
            left = expires - time.time()
            subscriber.ends_with_token = left <= may_last
            may_last = min(may_last, left)
        subscriber.deadline = self._loop.time() + may_last
        self._look(subscriber)

    def _look(self, subscriber: Subscriber) -> None:
        """See to it that it takes something, and is neither too old nor silent; and come again."""
        now, patience = self._loop.time(), self._patience
        if subscriber.is_paused and subscriber.stalled_at(patience.stall) <= now:
            self._behind.cut(subscriber)
            return
        if not subscriber.is_gone:
            if subscriber.deadline <= now:
                self._end(subscriber)
            elif self._is_silent(subscriber, now):
                self._break_silence(subscriber)
        again = self._next_look(subscriber, now)
        subscriber.look = self._loop.call_at(again, self._look, subscriber)

    def _end(self, subscriber: Subscriber) -> None:
        if subscriber.ends_with_token:
            subscriber.refuse("the token has expired")
        else:
            subscriber.send_away(End.AGE)

    def _next_look(self, subscriber: Subscriber, now: float) -> float:
        patience = self._patience
        if subscriber.is_paused:
            again = subscriber.stalled_at(patience.stall)
        else:
            heard = now if subscriber.is_gone else self._last_heard(subscriber)
            again = min(heard + patience.silence, now + patience.stall)
        return again if subscriber.is_gone else min(again, subscriber.deadline)

    def _is_silent(self, subscriber: Subscriber, now: float) -> bool:
        silent = now - self._last_heard(subscriber) >= self._patience.silence
        return silent and not subscriber.is_paused

    def _last_heard(self, subscriber: Subscriber) -> float:
        if subscriber in self._behind:
            return subscriber.quiet_since
        return max(subscriber.quiet_since, subscriber.group.told_at)

    def _break_silence(self, subscriber: Subscriber) -> None:
        """On a stream of many jobs it is said how far it has come without a match."""
        group, at = subscriber.group, None
        if isinstance(group.selection, ManyJobs) and subscriber not in self._behind:
            if not group.pending:
                group.selection.mark_told()
            at = group.selection.at
        subscriber.write(subscriber.encoding.silence(at))
