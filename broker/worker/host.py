"""The worker role: reads its inbox and runs an executor once per attempt."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress

import structlog

from broker import payloads
from broker.errors import LogUnavailableError, PayloadMissingError, QjbError, UnavailableError
from broker.judging.judge import Judge
from broker.taking import take_each
from broker.telemetry import metrics
from broker.transports.blobs import Blobs
from broker.transports.log import Follower, Log, TopicPartition
from broker.transports.topics import INBOX
from broker.worker.attempts import PATIENCE, Attempt, Attempts
from broker.worker.heartbeat import Heart
from broker.worker.reports import Reports
from broker.worker.slots import Slots
from executors.base import Executor, Task
from schemas.cloudevents import read_instruction
from schemas.inbox import CancelAttempt, Dispatch
from schemas.records import Stored
from schemas.reports import LAST, Began, Body, Died, Published, Raised, Returned, Stopped
from schemas.specification import Program
from schemas.values import Reason, Violation

CHECKED_BY_THE_BROKER = 8 * 1024 * 1024  # bytes of inputs; larger ones are checked here
FETCH_FOR = 30.0  # s to get inputs from the blob store
LATE = 60.0  # s beyond its time limit after which an executor is not waited for any more
HAND_BACK = 10.0  # s to end what the grace did not suffice for, and to report it
PAUSE = 0.5  # s before an inbox that can not be read is tried again

_OFFERED = metrics.SLOTS.labels("offered")
_BUSY = metrics.SLOTS.labels("busy")

log = structlog.get_logger()


class Worker:
    """Offers an executor to the broker: its backends, and so many slots.

    Holds nothing that must survive. *grace*: seconds that what runs gets to end by itself when the
    worker stops; what has not ended then is handed back, to be run elsewhere. *patience*: seconds
    that the executor gets to end an attempt as asked.
    """

    def __init__(
        self,
        target: Log,
        blobs: Blobs,
        executor: Executor,
        worker_id: str,
        slots: int,
        *,
        programs: Iterable[Program] = (),
        grace: float = 30.0,
        patience: float = PATIENCE,
        judge: Judge | None = None,
    ) -> None:
        self._judge = judge or Judge()
        self.worker_id = worker_id
        self.instance = secrets.token_hex(8)
        self.ready = asyncio.Event()  # set once the broker has been told
        self._log = target
        self._blobs = blobs
        self._executor = executor
        self._slots = slots
        self._programs = {program.id: program for program in programs}
        self._grace = grace
        self._stopping = asyncio.Event()
        self._attempts = Attempts(patience)
        self._attending: set[asyncio.Task[None]] = set()
        metrics.holds("inputs", self._attempts, Attempts.held)
        self._reports = Reports(target, blobs, worker_id, self.instance)
        self._turns = Slots(slots)
        self._heart = Heart(target, self._attempts, worker_id, self.instance, self._turns)

    @property
    def backends(self) -> tuple[str, ...]:
        """What it offers, once it is ready."""
        return tuple(backend.name for backend in self._heart.backends)

    def stop(self) -> None:
        """Take no more, finish or hand back what runs, and let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`; cancelled, it drops everything at once."""
        try:
            self._heart.backends = await self._executor.start()
            inbox = await self._open_inbox()
            try:
                with self._judge.in_use():
                    await self._work(inbox)
            finally:
                await inbox.close()
        finally:
            await self._executor.close()

    async def _work(self, inbox: Follower) -> None:
        async with asyncio.TaskGroup() as tasks:
            services = [
                tasks.create_task(self._reports.run(), name="worker reports"),
                tasks.create_task(self._read(inbox, tasks), name="worker inbox"),
            ]
            await self._heart.beat()
            services.append(tasks.create_task(self._heart.run(), name="worker heartbeat"))
            _OFFERED.set(self._slots)
            self.ready.set()
            log.info("worker.ready", worker=self.worker_id, slots=self._slots)
            await self._stopping.wait()
            try:
                await self._drain()
            finally:
                for task in (*services, *self._attending):
                    task.cancel()

    async def _drain(self) -> None:
        self._heart.stopping = True
        self._heart.beat_now()
        running = self._attempts.running
        log.info("worker.draining", worker=self.worker_id, running=len(running))
        if not await self._all_ended(within=self._grace):
            for attempt in list(running.values()):
                attempt.end(Reason.WORKER_STOPPED)
            if not await self._all_ended(within=HAND_BACK):
                log.warning("worker.abandons", worker=self.worker_id, running=len(running))
        with suppress(TimeoutError):
            async with asyncio.timeout(HAND_BACK):
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
        partition = self._log.partition_of(INBOX, self.worker_id.encode())
        bounds = await self._log.bounds(INBOX, partition)
        self._heart.inbox = bounds.next  # what was said to an earlier start is not for this one
        return self._log.follow({TopicPartition(INBOX, partition): bounds.next})

    async def _read(self, inbox: Follower, tasks: asyncio.TaskGroup) -> None:
        while True:
            try:
                records = await inbox.next(60.0)
            except LogUnavailableError as error:
                log.warning("inbox.unavailable", code=error.code, error=error.message)
                await asyncio.sleep(PAUSE)
                continue
            take_each(records, lambda record: self._heed(record, tasks))
            if records:  # only now: whatever a heartbeat counts as read has its attempt beside it
                self._heart.inbox = records[-1].offset + 1

    def _heed(self, record: Stored, tasks: asyncio.TaskGroup) -> None:
        if record.key != self.worker_id.encode():
            return
        match instruction := read_instruction(record):
            case Dispatch() if instruction.instance == self.instance:
                self._begin(instruction, tasks)
            case Dispatch():
                log.info("dispatch.ignored", job_id=instruction.job_id, why="earlier start")
            case CancelAttempt():
                self._attempts.cancel(instruction)

    def _begin(self, dispatch: Dispatch, tasks: asyncio.TaskGroup) -> None:
        attempt = self._attempts.begin(dispatch)
        if attempt is None:
            log.info("dispatch.ignored", job_id=dispatch.job_id, why="known already, or void")
            return
        if self._stopping.is_set():
            attempt.stop.ask(Reason.WORKER_STOPPED)
        task = tasks.create_task(self._attend(attempt), name=f"attempt {dispatch.job_id}")
        self._attending.add(task)
        task.add_done_callback(self._attending.discard)

    # One attempt

    async def _attend(self, attempt: Attempt) -> None:
        """See one attempt through."""
        dispatch, loop = attempt.dispatch, asyncio.get_running_loop()
        about = {"job_id": dispatch.job_id, "tenant": dispatch.tenant, "attempt": dispatch.attempt}
        began = loop.time()
        _BUSY.set(len(self._attempts.running))
        try:
            last = await self._outcome(attempt)
            seconds = round(loop.time() - began, 4)
            outcome = "void" if attempt.is_void else str(last.__struct_config__.tag)
            metrics.ATTEMPTS.labels(outcome).inc()
            metrics.ATTEMPT_SECONDS.observe(seconds)
            log.info("attempt.ended", **about, outcome=outcome, seconds=seconds)
        except Exception:
            log.exception("attempt.unreported", **about)
        finally:
            self._attempts.end(attempt, loop.time())
            _BUSY.set(len(self._attempts.running))

    async def _outcome(self, attempt: Attempt) -> Body:
        """Run it, put all that happens on record, and say how it ended."""
        try:
            return await self._run(attempt)
        except UnavailableError as error:  # no room to look at the inputs: elsewhere there may be
            return await self._report(attempt, Died(Reason.WORKER_BUSY, error.message))
        except QjbError as error:  # inputs that are not there, a report that no log would take
            return await self._report(attempt, Raised(error.code, error.message))
        except Exception as error:
            if isinstance(error, TimeoutError) and attempt.is_overdue:
                log.warning("executor.overdue", job_id=attempt.dispatch.job_id)
                reason = attempt.stop.reason or Reason.RAN_TOO_LONG
                return await self._report(attempt, Stopped(reason))
            log.exception("executor.failed", job_id=attempt.dispatch.job_id)
            why = f"the executor failed: {type(error).__name__}: {error}"
            return await self._report(attempt, Died(Reason.CHILD_DIED, why))

    async def _run(self, attempt: Attempt) -> Body:
        if attempt.stop.reason is not None:
            return await self._report(attempt, Stopped(attempt.stop.reason))
        if not await self._turns.take(attempt):
            return await self._return_unbegun(attempt)
        try:
            last = await self._run_now(attempt)
        finally:
            self._turns.give(attempt)  # the next one need not wait until this one is on record
        return await self._report(attempt, await self._stowed(attempt, last))

    async def _return_unbegun(self, attempt: Attempt) -> Body:
        if attempt.stop.reason is not None:
            return await self._report(attempt, Stopped(attempt.stop.reason))
        self._heart.beat_now()  # that it takes nothing ahead now
        why = f"the worker {self.worker_id} had no slot for it soon"
        return await self._report(attempt, Died(Reason.WORKER_BUSY, why))

    async def _run_now(self, attempt: Attempt) -> Body:
        """Run it, and put on record what it says but for the last; the last."""
        if attempt.dispatch.params_ref is None:
            task = await self._task(attempt)
        elif (fetched := await attempt.unless_stopped(self._task(attempt))) is None:
            return Stopped(attempt.stop.reason or "")
        else:
            task = fetched
        if isinstance(task, Raised):
            return task
        async with aclosing(self._executor.run(task, attempt.stop)) as run:
            while not isinstance(body := await _next(attempt, run), LAST):
                if isinstance(body, Began):
                    attempt.expect_end(task.time_limit + LATE)
                body = await self._stowed(attempt, body)
                if isinstance(body, Stopped):
                    return body
                await self._report(attempt, body)
        return body

    async def _report(self, attempt: Attempt, body: Body) -> Body:
        """Put *body* on record, unless the attempt is void; what was recorded."""
        if isinstance(body, Stopped) and body.reason == Reason.WORKER_STOPPED:
            body = Died(Reason.WORKER_STOPPED, f"the worker {self.worker_id} does not run it (on)")
        if not attempt.is_void:
            await self._reports.append(attempt, body)
        return body

    async def _stowed(self, attempt: Attempt, body: Body) -> Body:
        """*body* as it may travel; an end as asked, if that comes before a large value is stored."""
        if not isinstance(body, (Published, Returned)) or len(body.value) <= payloads.INLINE_LIMIT:
            return body
        stowed = await attempt.unless_stopped(self._reports.stowed(body))
        return Stopped(attempt.stop.reason or "") if stowed is None else stowed

    async def _task(self, attempt: Attempt) -> Task | Raised:
        dispatch = attempt.dispatch
        inputs = await self._inputs(dispatch)
        attempt.inputs = len(dispatch.params) + len(inputs)
        program = self._programs.get(dispatch.program_id)
        if violations := await self._violations(program, inputs):
            message = "the inputs break the program's schema"
            return Raised(Reason.INVALID_INPUTS, message, violations)
        return Task(
            tenant=dispatch.tenant,
            job_id=dispatch.job_id,
            attempt=dispatch.attempt,
            program_id=dispatch.program_id,
            program_version=dispatch.program_version,
            inputs=inputs,
            backend=dispatch.backend,
            time_limit=dispatch.time_limit,
        )

    async def _violations(self, program: Program | None, inputs: bytes) -> tuple[Violation, ...]:
        if program is None or len(inputs) <= CHECKED_BY_THE_BROKER:
            return ()
        return (await self._judge.look(program, inputs, circuits=False)).violations

    async def _inputs(self, dispatch: Dispatch) -> bytes:
        if dispatch.params_ref is None:
            return bytes(dispatch.params) or b"{}"
        deadline = asyncio.get_running_loop().time() + FETCH_FOR
        while True:
            try:
                return await payloads.fetch(dispatch.params, dispatch.params_ref, self._blobs)
            except UnavailableError as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise PayloadMissingError(f"the inputs can not be read: {error}") from error
            await asyncio.sleep(PAUSE)


async def _next(attempt: Attempt, run: AsyncGenerator[Body, None]) -> Body:
    """What happens next; raises `TimeoutError` if the executor does not end it as asked."""
    async with asyncio.timeout_at(attempt.overdue) as attempt.limit:
        try:
            return await anext(run)
        except StopAsyncIteration:
            raise RuntimeError("the executor ended without saying how") from None
        finally:
            attempt.limit = None
