"""The ledger, for the one broker that may write there, which finds out when it may no more."""

import time
from collections.abc import Sequence
from functools import partial

from broker.errors import AppendFailedError, LogUnavailableError
from broker.ledger.claim import Mandate, SteppedDownError
from broker.ledger.stall import Stall
from broker.reading import take_each
from broker.retrying import until_it_works
from broker.telemetry import metrics
from broker.transports.log import Log, Position
from schemas.ledger import Claim
from schemas.records import Record, Stored
from schemas.topics import EVENTS


class Ledger:
    """Appends to the ledger with *mandate*. All raise `SteppedDownError`."""

    def __init__(self, log: Log, mandate: Mandate, stall: Stall) -> None:
        self._log = log
        self._epoch = mandate.epoch
        self._stall = stall
        self.ends = dict(mandate.ledger)  # behind what this broker knows of, by partition

    async def make_sure(self) -> None:
        """Before it writes: a broker that was busy for long looks whether it is still the one."""
        self._stall.check()
        if self._stall.take_doubt():
            for partition, at in self.ends.items():
                await self._look_for_claims(partition, at)
            self._stall.check()

    async def append(self, records: Sequence[Record]) -> Sequence[Position]:
        """Append *records* in one trip; where they stand. Nobody else has claimed before them."""
        positions = await self._append(records) if records else ()
        await self._check_gaps(positions)
        return positions

    def move_on(self, positions: Sequence[Position]) -> None:
        """What stands at *positions* is in the book, and whatever it leads to is done."""
        for partition, offset in positions:
            self.ends[partition] = max(offset + 1, self.ends.get(partition, 0))

    async def _append(self, records: Sequence[Record]) -> Sequence[Position]:
        began = time.perf_counter()
        positions = await until_it_works(partial(self._try_to_append, records))
        metrics.APPEND_SECONDS.observe(time.perf_counter() - began)
        return positions

    async def _try_to_append(self, records: Sequence[Record]) -> Sequence[Position]:
        """Raises `AppendFailedError` if nothing was stored, so that it may be tried again."""
        self._stall.check()
        try:
            return await self._log.append(EVENTS.name, records)
        except AppendFailedError:
            raise
        except LogUnavailableError as error:
            raise SteppedDownError(f"outcome of an append unknown: {error.message}") from error

    async def _check_gaps(self, positions: Sequence[Position]) -> None:
        """Where somebody else wrote in between, look whether it was a claim.

        Offsets have no holes, so that a broker which was thought dead finds out with its first
        append, before it tells anybody, and before a snapshot or a checkpoint says what is void.
        """
        expected = dict(self.ends)
        for partition, offset in positions:
            at = expected.get(partition, offset)
            if at < offset:
                await self._look_for_claims(partition, at, offset)
            expected[partition] = offset + 1

    async def _look_for_claims(self, partition: int, at: int, end: int | None = None) -> None:
        """Step down if another broker has claimed from offset *at* on, before *end*."""
        while end is None or at < end:
            limit = 1000 if end is None else min(end - at, 1000)
            try:
                records = await self._log.read(EVENTS.name, partition, at, limit)
            except LogUnavailableError as error:
                raise SteppedDownError(f"nobody knows who else wrote: {error}") from error
            if self._is_superseded(records):
                raise SteppedDownError("another broker has claimed the ledger")
            if not records:
                return
            at = records[-1].offset + 1

    def _is_superseded(self, records: Sequence[Stored]) -> bool:
        found: list[int] = []

        def look(record: Stored) -> None:
            if isinstance(said := EVENTS.read(record), Claim):
                found.append(said.epoch)

        take_each(records, look)
        return any(epoch > self._epoch for epoch in found)
