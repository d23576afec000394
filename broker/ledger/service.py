"""The active broker: everything that runs from a claim until it steps down or hands over."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog

from broker.errors import LogUnavailableError
from broker.ledger.claim import AsleepError, SteppedDownError
from broker.ledger.expiry import expire_for_ever
from broker.ledger.inputs import Offsets
from broker.ledger.queues import show_queues
from broker.ledger.sweeping import sweep_for_ever
from broker.ledger.term import Term
from broker.ledger.writer import Writer, reported
from broker.reading import next_of
from schemas.ledger import InputPosition
from schemas.records import Stored
from schemas.state_records import CHECKPOINT_KEY
from schemas.values import JobKey, count_in

logger = structlog.get_logger()


class Service:
    """Serves for a *term*."""

    def __init__(self, term: Term) -> None:
        self._means, self._book, self._mandate = term.means, term.book, term.mandate
        self._log = term.means.log
        self.inputs = term.progress.inputs
        self._progress = term.progress
        self._snapshots = term.snapshots
        self._stall = term.stall
        self._writer = Writer(term)
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until *stop*, then finish the turn. Raises `SteppedDownError`."""
        means, book, inputs = self._means, self._book, self.inputs
        inputs.nudge()  # what waits may be dispatched
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._writer.run(), name="broker writer")
                others = [
                    group.create_task(inputs.following.follow_requests(), name="broker requests"),
                    group.create_task(inputs.following.follow_reports(), name="broker reports"),
                    group.create_task(inputs.ahead.run(), name="broker requests ahead"),
                    group.create_task(inputs.letters.run(), name="broker dead letters"),
                    group.create_task(self._snapshots.run(), name="broker snapshots"),
                    group.create_task(self._stall.run(), name="broker stall"),
                    group.create_task(self._watch_state(), name="broker state"),
                    group.create_task(show_queues(means, book), name="broker queues"),
                    group.create_task(self._wait_for_loss(), name="broker mandate"),
                    group.create_task(self._progress.mirrors.run(), name="broker mirrors"),
                    group.create_task(
                        sweep_for_ever(means.log, means.blobs, book, means.tenants),
                        name="broker sweep",
                    ),
                    group.create_task(
                        expire_for_ever(means.log, book, means.options.kept), name="broker expiry"
                    ),
                ]
                await stop.wait()
                self._writer.finish(await self._last_words())
                await asyncio.wait({writing}, timeout=self._means.options.leaving)
                for task in (writing, *others):
                    task.cancel()
        except* SteppedDownError as group_error:
            raise _foremost(group_error.exceptions) from group_error
        finally:
            self.inputs.close()

    async def _last_words(self) -> Offsets:
        """How far to read the reports before the end: not every log keeps them for the next one."""
        try:
            async with asyncio.timeout(self._means.options.leaving):
                return await reported(self._log)
        except (LogUnavailableError, TimeoutError):
            return {}

    @property
    def under_way(self) -> frozenset[InputPosition]:
        """The inputs that are noted as being decided on."""
        return self._progress.care.under_way

    async def hand_over(self) -> None:
        """Write what is due, so that a successor has little to read."""
        self._progress.end()
        await self.inputs.letters.finish()
        try:
            async with asyncio.timeout(self._means.options.leaving):
                await self._snapshots.flush()
        except TimeoutError:
            logger.warning("snapshots.not_written")

    def lose(self, reason: str) -> None:
        """Another broker is active: write nothing any more."""
        if not self._lost.done():
            self._lost.set_exception(SteppedDownError(reason))

    async def _wait_for_loss(self) -> None:
        await self._lost

    # Beside the writer

    async def _watch_state(self) -> None:
        """Have snapshots written again that a lost broker has overwritten."""
        follower = self._log.follow(self._mandate.state)
        try:
            while True:
                records = await next_of(follower)
                foreign = [record for record in records if self._is_of_a_lost_broker(record)]
                if foreign:
                    logger.warning("snapshots.of_a_lost_broker", count=len(foreign))
                for record in foreign:
                    self._rewrite(record.key or b"")
        finally:
            await follower.close()

    def _is_of_a_lost_broker(self, record: Stored) -> bool:
        try:
            return count_in(record.header("qjb-epoch") or b"") < self._mandate.epoch
        except ValueError:
            return False

    def _rewrite(self, key: bytes) -> None:
        with suppress(ValueError):
            named = None if key == CHECKPOINT_KEY else JobKey.decode(key)
            self._snapshots.overwritten(named)


def _foremost(errors: Sequence[BaseException]) -> BaseException:
    """That it was asleep, before all other reasons to step down."""
    return next((error for error in errors if isinstance(error, AsleepError)), errors[0])
