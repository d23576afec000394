"""Sessions, as a gateway asks for them: opened, closed, cancelled, and seen on the ledger then."""

import random

from msgspec.structs import replace

from broker.core.session_turns import digest
from broker.core.sessions import details_of
from broker.errors import (
    InvalidRequestError,
    QjbError,
    SessionExistsError,
    TooManySessionsError,
    UnavailableError,
    UnknownBackendError,
    UnknownSessionError,
)
from broker.gateway.asking import Asking
from broker.gateway.awaited import Awaited
from broker.gateway.fleet import Fleet
from broker.gateway.intake import new_job_id
from broker.gateway.read_model import ReadModel
from broker.gateway.waiters import Waiters
from broker.telemetry.times import now
from schemas.cloudevents import request_record
from schemas.requests import CancelSession, CloseSession, OpenSession, SessionRequest
from schemas.sessions import Session, SessionState, session_key
from schemas.unknown import no
from schemas.values import JobKey, Reason, is_id

NEWS = 0.3  # s that an unknown session is waited for: it may have been opened a moment ago


class Sessions:
    """Asks for sessions. What is on the log is waited for *acknowledge* seconds."""

    def __init__(
        self,
        asking: Asking,
        fleet: Fleet,
        model: ReadModel,
        waiters: Waiters,
        acknowledge: float,
    ) -> None:
        self._asking, self._fleet, self._model = asking, fleet, model
        self._waiters, self._acknowledge = waiters, acknowledge
        self._awaited = Awaited()

    async def open(self, tenant: str, asked: OpenSession, trace: str) -> Session:
        """The session that *asked* opens, or has opened before; as it will be, while no broker has
        opened it yet.
        """
        named = asked.session_id or new_job_id()
        key, asked = session_key(tenant, named), replace(asked, session_id=named)
        if (session := self._model.session(key)) is None:
            self._check(asked)
            await self._ask(key, asked, trace)
            self._awaited.forget_later(key)
            session = await self._waiters.until(key, lambda: self._come(key), self._acknowledge)
        if session is None:
            return _to_be(tenant, named, asked)
        if session.state is SessionState.REJECTED:
            raise _refusal(session)
        if session.digest not in ("", digest(asked)):
            raise SessionExistsError(f"the session {named} is there already, and not as asked for")
        return session

    async def close(self, key: JobKey, trace: str) -> Session:
        """Let the session take no more jobs; what it is then. Raises `UnknownSessionError`."""
        session = await self.find(key)
        if session.accepts_jobs:
            await self._ask(key, CloseSession(session.session_id), trace)
        return await self._until_closing(session)

    async def cancel(self, key: JobKey, trace: str) -> Session:
        """End the session, with all its jobs; what it is then. Raises `UnknownSessionError`."""
        session = await self.find(key)
        if not session.terminal:
            await self._ask(key, CancelSession(session.session_id), trace)
        return await self._until_closing(session)

    async def find(self, key: JobKey) -> Session:
        """The session that *key* names. Raises `UnknownSessionError`."""
        named = key.job_id.partition("/")[2]
        is_awaited = key in self._awaited
        if is_id(named):
            wait = self._acknowledge if is_awaited else NEWS
            found = await self._waiters.until(key, lambda: self._model.session(key), wait)
            if found is not None and found.state is not SessionState.REJECTED:
                return found
            if found is None and is_awaited:
                raise UnavailableError(f"session {named} was asked for and waits for a broker")
            self._model.check_whole_for(f"session {named}")
        raise UnknownSessionError(f"there is no session {named[:80]!r}")

    async def finish(self) -> None:
        """Until everything that was asked is on the log, or given up."""
        await self._asking.finish()

    def _check(self, asked: OpenSession) -> None:
        if self._model.is_partial:
            self._model.check_whole_for(f"session {asked.session_id}")
        fleet = self._fleet
        if asked.backend and fleet.backends and not fleet.backend(asked.backend):
            known = [backend.name for backend in fleet.backends]
            raise UnknownBackendError(no("backend", asked.backend, known))

    async def _ask(self, key: JobKey, request: SessionRequest, trace: str) -> None:
        record = request_record(request, now(), trace, b"%032x" % random.getrandbits(128))
        await (await self._asking.put(key.tenant, record))

    async def _until_closing(self, before: Session) -> Session:
        key = before.key

        def closing() -> Session | None:
            found = self._come(key)
            return None if found is None or found.accepts_jobs else found

        return await self._waiters.until(key, closing, self._acknowledge) or before

    def _come(self, key: JobKey) -> Session | None:
        try:
            return self._model.session(key)
        except UnavailableError:
            return None


def _to_be(tenant: str, named: str, asked: OpenSession) -> Session:
    return Session(
        tenant=tenant,
        session_id=named,
        seq=0,
        state=SessionState.OPEN,
        created=now(),
        details=details_of(asked, asked.backend or ""),
    )


def _refusal(session: Session) -> QjbError:
    message = session.message or f"the session was refused: {session.reason}"
    if session.reason == Reason.UNKNOWN_BACKEND:
        return UnknownBackendError(message)
    if session.reason == Reason.QUOTA:
        return TooManySessionsError(message)
    return InvalidRequestError(message)
