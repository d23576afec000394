"""The worker role: reads its inbox and runs an executor once per attempt."""

import asyncio
import secrets
from collections.abc import Coroutine, Sequence
from contextlib import nullcontext, suppress

import structlog

from broker.judging.judge import Judge
from broker.library import Library
from broker.reading import next_of, take_each
from broker.telemetry import metrics
from broker.transports.blobs import Blobs
from broker.transports.log import Follower, Log, TopicPartition
from broker.worker.attempts import Attempts
from broker.worker.attending import Attendant
from broker.worker.environment import installed
from broker.worker.heartbeat import Heart
from broker.worker.options import Options
from broker.worker.pools import Pool, Pools
from broker.worker.reports import Reports
from broker.worker.tasks import Tasks
from schemas.inbox import Calibrate, CancelAttempt, CloseVendorSession, Dispatch, Recorded
from schemas.records import Stored
from schemas.topics import INBOX
from schemas.values import Reason

_OFFERED = metrics.SLOTS.labels("offered")

logger = structlog.get_logger()


class Worker:
    """Offers executors to the broker: their backends, and the slots of each.

    Holds nothing that must survive. What has not ended in the grace when it stops is handed back, to
    be run elsewhere.
    """

    def __init__(
        self,
        log: Log,
        blobs: Blobs,
        pools: Sequence[Pool] | Pools,
        worker_id: str,
        *,
        programs: Library | None = None,
        options: Options = Options(),  # noqa: B008 -- it is frozen
        judge: Judge | None = None,
    ) -> None:
        self._judge = judge or Judge()
        self._library = programs
        self.worker_id = worker_id
        self.instance = secrets.token_hex(8)
        self.ready = asyncio.Event()  # set once the broker has been told
        self._key = worker_id.encode()
        self._log = log
        self._pools = pools if isinstance(pools, Pools) else Pools(pools)
        self._options = options
        self._stopping = asyncio.Event()
        self._calibrated: dict[str, str] = {}  # backends, and when that was asked for
        self._beside: set[asyncio.Task[None]] = set()  # what devices are asked for, but for jobs
        self._attempts = Attempts(options.patience)
        metrics.holds("inputs", self._attempts, Attempts.held)
        self._reports = Reports(log, blobs, worker_id, self.instance, options.again)
        self._heart = Heart(log, self._attempts, worker_id, self.instance, self._pools)
        self._attendant = Attendant(
            worker_id,
            self._pools,
            Tasks(blobs, self._library, self._judge, options),
            self._attempts,
            self._reports,
            self._heart,
            late=options.late,
        )

    @property
    def backends(self) -> tuple[str, ...]:
        """What it offers, once it is ready."""
        return tuple(backend.name for backend in self._pools.backends)

    def stop(self) -> None:
        """Take no more, finish or hand back what runs, and let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`; cancelled, it drops everything at once."""
        try:
            await self._pools.start(self._heart.announce_now)
            inbox = await self._open_inbox()
            try:
                with self._judge.in_use():
                    async with self._library.in_use() if self._library else nullcontext():
                        await self._work(inbox)
            finally:
                await inbox.close()
        finally:
            await self._pools.close()

    async def _work(self, inbox: Follower) -> None:
        try:
            await self._serve(inbox)
        finally:
            await self._attendant.drop()
            await self._reports.drop()

    async def _serve(self, inbox: Follower) -> None:
        async with asyncio.TaskGroup() as tasks:
            services = [
                tasks.create_task(self._read(inbox), name="worker inbox"),
            ]
            await self._heart.beat()
            services.append(tasks.create_task(self._heart.run(), name="worker heartbeat"))
            watching = self._pools.watch(self._heart.announce_now)
            services.append(tasks.create_task(watching, name="worker devices"))
            services.append(
                tasks.create_task(self._say_what_is_installed(), name="worker packages")
            )
            _OFFERED.set_function(lambda: self._pools.slots)
            self.ready.set()
            logger.info("worker.ready", worker=self.worker_id, slots=self._pools.slots)
            await self._stopping.wait()
            try:
                await self._drain()
            finally:
                for task in (*services, *self._beside):
                    task.cancel()

    async def _say_what_is_installed(self) -> None:
        await self._heart.announce(await asyncio.to_thread(installed, self.worker_id))

    async def _drain(self) -> None:
        self._heart.stopping = True
        self._heart.beat_now()
        running = self._attempts.running
        logger.info("worker.draining", worker=self.worker_id, running=len(running))
        if not await self._all_ended(within=self._options.grace):
            for attempt in list(running.values()):
                attempt.end(Reason.WORKER_STOPPED)
            if not await self._all_ended(within=self._options.hand_back):
                logger.warning("worker.abandons", worker=self.worker_id, running=len(running))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.hand_back):
                self._heart.left = True
                await self._heart.beat()

    async def _all_ended(self, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                await self._attempts.idle.wait()
        except TimeoutError:
            return False
        return True

    # The inbox

    async def _open_inbox(self) -> Follower:
        where = TopicPartition(INBOX.name, self._log.partition_of(INBOX.name, self._key))
        end = (await self._log.bounds(*where)).next
        self._heart.inbox = end  # what was said to an earlier start is not for this one
        return self._log.follow({where: end})

    async def _read(self, inbox: Follower) -> None:
        while True:
            records = await next_of(inbox)
            take_each(records, self._heed)
            if records:  # only now: whatever a heartbeat counts as read has its attempt beside it
                self._heart.inbox = records[-1].offset + 1

    def _heed(self, record: Stored) -> None:
        if record.key != self._key:
            return
        match instruction := INBOX.read(record):
            case Dispatch() if instruction.instance == self.instance:
                self._begin(instruction)
            case Dispatch():
                logger.info("dispatch.ignored", job_id=instruction.job_id, why="earlier start")
            case CancelAttempt():
                self._attempts.cancel(instruction)
            case Recorded():
                self._attempts.recorded(instruction)
            case Calibrate():
                self._calibrate(instruction)
            case CloseVendorSession():
                closing = self._pools.close_session(instruction)
                self._do_beside(closing, f"close of session {instruction.session_id}")

    def _calibrate(self, asked: Calibrate) -> None:
        is_new = self._calibrated.get(asked.backend) != asked.asked
        if asked.instance != self.instance or not is_new or self._stopping.is_set():
            return
        self._calibrated[asked.backend] = asked.asked
        calibrating = self._pools.calibrate(asked.backend, self._heart.announce_now)
        self._do_beside(calibrating, f"calibrate {asked.backend}")

    def _do_beside(self, what: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(what, name=name)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _begin(self, dispatch: Dispatch) -> None:
        attempt = self._attempts.begin(dispatch)
        if attempt is None:
            logger.info("dispatch.ignored", job_id=dispatch.job_id, why="known already, or void")
            return
        if self._stopping.is_set():
            attempt.stop.ask(Reason.WORKER_STOPPED)
        self._attendant.begin(attempt)
