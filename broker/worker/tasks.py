"""What an executor is given: the task of an attempt, with its inputs fetched and looked at."""

import asyncio
from functools import partial

from broker import payloads
from broker.errors import PayloadMissingError, UnknownProgramError
from broker.judging.judge import Judge
from broker.library import Library, code_of
from broker.retrying import say_unavailable, until_it_works
from broker.transports.blobs import Blobs
from broker.worker.attempts import Attempt
from broker.worker.options import Options
from executors.base import Task, Uploaded
from schemas.inbox import Dispatch
from schemas.limits import CHECKED_BEFORE
from schemas.reports import Body, Died, Published, Raised, Returned, Stopped, Withheld
from schemas.specification import Program
from schemas.values import NOTHING, Reason, Violation


class Tasks:
    """Makes tasks of what was dispatched. Without a *library* every program is the executor's."""

    def __init__(
        self, blobs: Blobs, library: Library | None, judge: Judge, options: Options
    ) -> None:
        self._blobs, self._library = blobs, library
        self._judge, self._options = judge, options
        self._answers = True  # the blob store, when it was asked last

    async def of(self, attempt: Attempt) -> Task | Raised | Died | Stopped:
        """The task of *attempt*; why there is none, if the inputs will not do, or it is to end."""
        dispatch = attempt.dispatch
        is_small = dispatch.params_ref is None and len(dispatch.params) <= CHECKED_BEFORE
        if is_small and self._is_built_in(dispatch.program_id):
            inputs = bytes(dispatch.params) or b"{}"
            attempt.inputs = len(dispatch.params) + len(inputs)
            return _task(dispatch, inputs)
        found = await attempt.unless_stopped(self._looked_at(attempt))
        return Stopped(attempt.stop.reason or "") if found is None else found

    async def _looked_at(self, attempt: Attempt) -> Task | Raised | Died:
        dispatch = attempt.dispatch
        options = self._options
        patience = options.fetch_for if self._answers else options.fetch_briefly
        try:
            async with asyncio.timeout(patience):
                inputs = await self._inputs(dispatch)
                uploaded = await self._uploaded(dispatch)
        except UnknownProgramError as error:
            return Raised(Reason.UNKNOWN_PROGRAM, error.message)
        except TimeoutError:  # says nothing of the job, which waits for the store here or elsewhere
            self._answers = False
            why = f"the blob store did not give what the job needs within {patience:g} s"
            return Died(Reason.STORE_UNAVAILABLE, why)
        except PayloadMissingError:
            self._answers = True
            raise
        self._answers = True
        attempt.inputs = len(dispatch.params) + len(inputs)
        if violations := await self._violations(dispatch, inputs):
            message = "the inputs break the program's schema"
            return Raised(Reason.INVALID_INPUTS, message, violations)
        return _task(dispatch, inputs, uploaded)

    async def looked_at(self, attempt: Attempt, body: Body) -> Body:
        """*body* if it holds no result, or one that keeps to its program's schema; else what to say.

        A program that somebody brought may have had its way with the process that looked at first.
        """
        dispatch = attempt.dispatch
        if not isinstance(body, (Published, Returned)) or self._is_built_in(dispatch.program_id):
            return body
        program = self._pinned(dispatch)
        if program is None:
            return body
        final, value = isinstance(body, Returned), bytes(body.value)
        asked = self._judge.look_at_result(program, value, final=final)
        violations = await attempt.unless_stopped(asked)
        if violations is None:
            return Stopped(attempt.stop.reason or "")
        if not violations:
            return body
        message = f"the {'final' if final else 'interim'} result breaks the program's schema"
        if not final:
            return Withheld(message, violations)
        kept = body.value if violations[0].rule != "json" else NOTHING
        return Raised(Reason.INVALID_RESULT, message, violations, value=kept)

    def _pinned(self, dispatch: Dispatch) -> Program | None:
        if self._library is None:
            return None
        return self._library.catalogue.pinned(dispatch.program_id, dispatch.program_version)

    def _is_built_in(self, program_id: str) -> bool:
        return self._library is None or self._library.catalogue.is_built_in(program_id)

    async def _uploaded(self, dispatch: Dispatch) -> Uploaded | None:
        """The version that the job pinned, of a program that somebody brought.

        Raises `UnknownProgramError`, or `PayloadMissingError` if its code is gone.
        """
        library, program_id = self._library, dispatch.program_id
        if library is None or library.catalogue.is_built_in(program_id):
            return None
        version = dispatch.program_version
        if (said := library.catalogue.brought(program_id, version)) is None:
            await until_it_works(library.catch_up)
            said = library.catalogue.brought(program_id, version)
        if said is None:
            raise UnknownProgramError(f"there is no version {version} of {program_id!r} any more")
        await asyncio.to_thread(library.catalogue.pinned, program_id, version)  # compiles, once
        return Uploaded(said.specification, await code_of(said, self._blobs))

    async def _violations(self, dispatch: Dispatch, inputs: bytes) -> tuple[Violation, ...]:
        if self._library is None or len(inputs) <= CHECKED_BEFORE:
            return ()
        if (program := self._pinned(dispatch)) is None:
            return ()
        return (await self._judge.look(program, inputs, circuits=False)).violations

    async def _inputs(self, dispatch: Dispatch) -> bytes:
        if dispatch.params_ref is None:
            return bytes(dispatch.params) or b"{}"
        fetch = partial(payloads.fetch, dispatch.params, dispatch.params_ref, self._blobs)
        return await until_it_works(fetch, partial(say_unavailable, job_id=dispatch.job_id))


def _task(dispatch: Dispatch, inputs: bytes, uploaded: Uploaded | None = None) -> Task:
    return Task(
        tenant=dispatch.tenant,
        job_id=dispatch.job_id,
        attempt=dispatch.attempt,
        program_id=dispatch.program_id,
        program_version=dispatch.program_version,
        inputs=inputs,
        backend=dispatch.backend,
        time_limit=dispatch.time_limit,
        uploaded=uploaded,
        leaves=dispatch.leaves,
        calls=dispatch.calls,
        calls_left_out=dispatch.calls_left_out,
        session=dispatch.session,
    )
