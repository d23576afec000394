"""What makes room is found among requests that have to wait."""

import asyncio
import re
from collections.abc import Callable

from broker.ledger.following import Following
from broker.ledger.gathered import Gathered
from broker.ledger.resuming import Offsets
from broker.reading import next_of
from broker.transports.log import Follower, Log
from schemas.limits import SMALL_REQUEST
from schemas.records import Stored

LINGER = 5.0  # s for which the requests that wait are looked through after they last had to

# How requests name what they ask for, in a header or inside.
_MAKE_ROOM = frozenset({b"qjb.request.cancel", b"qjb.request.delete"})
_KIND = re.compile(rb'"(?:qjb\.request\.)?(?:cancel|delete)"')


class LookAhead:
    """Gathers cancels and deletions out of turn; they come again when it is their turn.

    *most* at a time. For each that is found *nudge* is called.
    """

    def __init__(
        self, log: Log, following: Following, most: int, nudge: Callable[[], None]
    ) -> None:
        self._log, self._following, self._nudge = log, following, nudge
        self.found = Gathered(most)
        self._seen: Offsets = {}  # how far requests were looked through
        self._held = asyncio.Event()  # set while requests wait, and a little longer
        self._held_at = 0.0  # loop time at which they last had to

    def begin(self) -> None:
        """Requests have to wait now."""
        self._held_at = asyncio.get_running_loop().time()
        self._held.set()

    async def run(self) -> None:
        """Look through them whenever they wait, until cancelled."""
        while True:
            await self._held.wait()
            followed = self._following.requests.topics
            starts = {
                where: max(done, self._seen.get(where, 0))
                for where, done in self._following.done.items()
                if where.topic in followed
            }
            follower = self._log.follow(starts)
            try:
                await self._look_through(follower)
            finally:
                await follower.close()

    async def _look_through(self, follower: Follower) -> None:
        while asyncio.get_running_loop().time() - self._held_at < LINGER:
            if found := [record for record in await next_of(follower, 1.0) if _makes_room(record)]:
                self.found.put(found)
                self._nudge()
                await self.found.room.wait()
            self._seen |= follower.positions()
        self._held.clear()


def _makes_room(record: Stored) -> bool:
    """Whether *record* may ask for an end or a deletion. One that does not say so waits its turn."""
    return len(record.value) <= SMALL_REQUEST and (
        record.header("ce_type") in _MAKE_ROOM or (_KIND.search(record.value) is not None)
    )
