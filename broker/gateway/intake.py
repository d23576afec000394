"""The way in: requests are checked, large inputs go to the blob store, the rest onto the log.

A request is acknowledged when the tail has shown what became of it, or after a moment, since it
is safe once it is on the log.
"""

import asyncio
import hashlib
import random
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from msgspec.structs import replace

from broker.budget import RECORD, Room
from broker.core.admission import malformed, over_quota
from broker.core.spending import Spent, first_day
from broker.core.usage import Usage
from broker.errors import (
    InvalidInputsError,
    InvalidRequestError,
    JobDeletedError,
    QuotaError,
    TooLargeError,
    UnknownProgramError,
)
from broker.gateway.asking import Asking
from broker.gateway.awaited import Awaited
from broker.gateway.fleet import Fleet
from broker.gateway.programs import known_program
from broker.gateway.read_model import ReadModel
from broker.gateway.refusals import exists, no_backend, rejection
from broker.gateway.waiters import Waiters
from broker.judging.judge import Judge
from broker.library import Library
from broker.transports.blobs import Blobs
from broker.transports.space import Space
from schemas.batches import MOST_BYTES
from schemas.batches import lines as lines_in
from schemas.decoding import UnreadableError
from schemas.jobs import Job, inputs_size
from schemas.limits import INLINE
from schemas.mocks import not_there
from schemas.requests import SubmitJob
from schemas.specification import Findings, Program, Specification
from schemas.submits import EMPTY, WrongFieldsError, digest, warnings
from schemas.tenants import NO_QUOTA, Quota
from schemas.unknown import MOST_WARNINGS
from schemas.values import ID_RULE, JobKey, State, is_id

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts as it counts
_GONE = Program(Specification("", "", 1.0))  # for inputs that are only told from others
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]

T = TypeVar("T")


def new_job_id() -> str:
    """An id that nobody else has, and that sorts by time: 48 bits of milliseconds, 70 random.

    It keeps no secret, so it need not ask the system, which takes longer than all the rest.
    """
    number = (time.time_ns() // 1_000_000 << 70) | random.getrandbits(70)
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(110, -10, -10)])


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that is on the log. `job` is None while nothing has come of it yet."""

    key: JobKey
    backend: str | None
    session_id: str | None
    job: Job | None
    warnings: tuple[str, ...] = ()


class Intake:
    """Takes jobs in. A request that has been begun is finished, whether its client stays or not.

    *acknowledge*: seconds for which a client is kept waiting for what becomes of what is on the log.
    """

    def __init__(
        self,
        asking: Asking,
        blobs: Blobs,
        library: Library,
        fleet: Fleet,
        model: ReadModel,
        waiters: Waiters,
        acknowledge: float,
        judge: Judge,
        room: Room,
        space: Space | None = None,
    ) -> None:
        self._room = room  # for what was begun, and goes on if its client leaves
        self._judge, self._space = judge, space
        self._blobs, self._library, self._fleet = blobs, library, fleet
        self._model, self._waiters = model, waiters
        self._asking, self._acknowledge = asking, acknowledge
        self._running: set[asyncio.Task[Any]] = set()
        self._awaited = Awaited(forgotten=model.expect_no_more)

    def awaits(self, key: JobKey) -> bool:
        """Whether that job was submitted here a moment ago."""
        return key in self._awaited

    async def submit(
        self,
        tenant: str,
        body: bytes | memoryview,
        trace: str,
        *,
        may_refer: bool = True,
        quota: Quota = NO_QUOTA,
    ) -> Accepted:
        """Put the job that *body* (JSON) asks for onto the log; its inputs may be a reference if
        whoever asks *may_refer* to any payload that there is. *quota*: of the tenant.

        Raises `InvalidRequestError`, `InvalidInputsError`, `UnknownProgramError`, `QuotaError` or
        `UnavailableError`; and what the broker finds wrong, if it is quick to.
        """
        request = await self._read(body, may_refer=may_refer)
        named = request.named is not None
        key = self._key(tenant, request)
        request = replace(request, job_id=key.job_id)
        program = await self._program(key, request, named)
        findings = await self._look(program, request, named)
        asked_for = await _digest(request, findings) if named else ""
        if (known := self._known(key, named)) is None:
            if self._space is not None:
                self._space.check()
            self._check(request, findings)
            self._expect(key, request, quota, findings.shots)
            known = await self._place(key, request, trace)
        if named and known and known.digest not in ("", asked_for):
            raise exists(known, asked_for)
        if known and known.state is State.REJECTED:
            raise rejection(known)
        session_id = request.session_id or (request.start_session and key.job_id) or None
        told = (*warnings(request), *findings.warnings)[:MOST_WARNINGS]
        backend = known.backend if known else request.backend
        return Accepted(key, backend, session_id, known, known.warnings if known else told)

    async def part(self, body: bytes | memoryview, *, lines: bool) -> Sequence[bytes]:
        """The jobs that *body* asks for: JSON *lines*, or an object with a list of them.

        Raises `InvalidRequestError`, `TooLargeError` or `UnavailableError`.
        """
        if isinstance(body, memoryview) or len(body) > MOST_BYTES:  # or it lies in a file
            raise TooLargeError(f"jobs: {len(body):,} bytes, but at most {MOST_BYTES:,} at once")
        try:
            found = lines_in(body) if lines else await self._judge.part(body)
        except UnreadableError as error:
            raise InvalidRequestError(_unreadable(error)) from error
        return [body[start:stop] for start, stop in found]

    async def _place(self, key: JobKey, request: SubmitJob, trace: str) -> Job | None:
        """Put *request* onto the log; what has become of it, if that is soon known."""
        try:
            if len(request.params) <= INLINE:
                return await self._begin(key, request, trace, RECORD + 2 * len(request.params))
            return await self._shielded(self._place_large(key, request, trace))
        except BaseException:
            self._model.expect_no_more(key)  # if it is on the log after all, it is seen soon
            raise

    async def _place_large(self, key: JobKey, request: SubmitJob, trace: str) -> Job | None:
        with self._room.share() as share:
            share.take(RECORD + len(request.params))
            ref = await self._blobs.put(memoryview(request.params))
            return await self._begin(key, replace(request, params=EMPTY, params_ref=ref), trace)

    async def _begin(
        self, key: JobKey, request: SubmitJob, trace: str, cost: int = 0
    ) -> Job | None:
        """It holds *cost* bytes until it is on the log: as it came, and as a record."""
        appended = await self._asking.ask(key.tenant, request, trace, cost)
        self._awaited.add(key)
        try:
            await appended
            come = partial(self._model.known_now, key)
            return await self._waiters.until(key, come, self._acknowledge)
        finally:
            if self._model.known_now(key):
                self._awaited.discard(key)
            else:
                self._awaited.forget_later(key)

    def _expect(self, key: JobKey, request: SubmitJob, quota: Quota, shots: int) -> None:
        """It will be on the log. Raises `QuotaError` if its tenant may not have one more such job:
        the broker would say so too, but its word on a job is final.
        """
        if key in self._awaited:
            return
        if quota != NO_QUOTA:
            tallies, first = self._model.tallies, first_day(datetime.now(UTC).date())
            used = tallies.used_since(key.tenant, first)
            has = Usage(key.tenant, tallies.queued(key.tenant), quota=quota, used=used)
            asks = Spent(0.0, shots, inputs_size(request))
            if (refused := over_quota(request, has, asks)) is not None:
                raise QuotaError(refused.message)
        self._model.expect(key)

    async def _read(self, body: bytes | memoryview, *, may_refer: bool) -> SubmitJob:
        try:
            request = await self._judge.read(body)
        except WrongFieldsError as error:
            refused = malformed("", error.violations)
            raise InvalidRequestError(refused.message, refused.violations) from error
        except UnreadableError as error:
            raise InvalidRequestError(_unreadable(error)) from error
        if request.params_ref is not None and not may_refer:
            raise InvalidRequestError("params_ref: a caller with a token sends params themselves")
        return request

    def _key(self, tenant: str, request: SubmitJob) -> JobKey:
        key = JobKey(tenant, request.named or new_job_id())
        if not is_id(key.job_id):
            raise InvalidRequestError(f"tags: {key.job_id}: {ID_RULE}")
        if request.named is not None and self._model.was_deleted(key):
            raise JobDeletedError(f"the job {key.job_id} was deleted; take another id")
        return key

    async def _program(self, key: JobKey, request: SubmitJob, named: bool) -> Program:
        """What judges *request*. Of one that was taken before the program may have been deleted."""
        try:
            return await known_program(self._library, request.program_id, key.tenant)
        except UnknownProgramError:
            known = self._known(key, named)
            if known is None or known.program_id != request.program_id:
                raise
            return _GONE

    def _known(self, key: JobKey, named: bool) -> Job | None:
        """The job of that id, if whoever asks chose it. Raises `UnavailableError`."""
        known = self._model.job(key) if named else None
        if named and known is None and self._model.is_partial:
            self._model.check_whole_for(f"job {key.job_id}")
        return known

    async def _look(self, program: Program, request: SubmitJob, named: bool) -> Findings:
        if request.params_ref is not None:
            return Findings()  # the broker looks at what is in the blob store
        params = memoryview(request.params)
        return await self._judge.look(program, params, circuits=False, hashed=named)

    def _check(self, request: SubmitJob, findings: Findings) -> None:
        if request.backend and self._fleet.backends and not self._fleet.backend(request.backend):
            known = [backend.name for backend in self._fleet.backends]
            raise no_backend(not_there(request.backend, known))
        if violations := findings.violations:
            first = violations[0]
            said = f"{first.path}: {first.message or first.rule}"
            raise InvalidInputsError(f"invalid inputs for {request.program_id}: {said}", violations)

    async def _shielded(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # its client may have gone; then nobody else looks at it

    async def finish(self) -> None:
        """Until everything that has been begun is on the log, or given up."""
        if self._running:
            await asyncio.wait(self._running)
        await self._asking.finish()


async def _digest(request: SubmitJob, findings: Findings) -> str:
    """What *request* asks for; its inputs, if they are large, as they will be by reference."""
    if request.params_ref is not None or findings.sha256:
        return digest(request, findings.sha256)
    params = memoryview(request.params)
    return digest(request, await asyncio.to_thread(lambda: hashlib.sha256(params).hexdigest()))


def _unreadable(error: UnreadableError) -> str:
    what = "the body is not JSON: " if error.code == "invalid_json" else ""
    return f"{what}{error.message}"
