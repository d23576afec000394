"""What an executor promises. Executors run attempts and say what happens; they decide nothing."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from schemas.calls import Call
from schemas.reports import Body
from schemas.sessions import InSession, Mode
from schemas.specification import Specification
from schemas.workers import BackendAnnounced


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A program that a user wrote: nobody trusts it."""

    specification: Specification
    code: bytes  # Python source, in UTF-8


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt, as an executor sees it."""

    tenant: str
    job_id: str
    attempt: int
    program_id: str
    program_version: str
    inputs: bytes  # a JSON object in the Runtime encoding, already checked against the schema
    backend: str
    time_limit: float  # s, counted from `Began`
    uploaded: Uploaded | None = None  # None: the program comes with the executor
    # What earlier attempts have asked vendors for: to be taken up, and never to be paid twice.
    calls: Sequence[Call] = ()
    calls_left_out: int = (
        0  # how many more there were: what is not among `calls` may be one of them
    )
    session: InSession | None = None  # that the job is in, where its backend is a device
    leaves: bool = False  # it ends if its device is down for long: the job is tried again


class Stop:
    """Asks an attempt to end. A message, not a task's cancellation: it can not get lost."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], None]] = []
        self.reason: str | None = None

    def ask(self, reason: str) -> None:
        """End the attempt, because of *reason*; the first reason stands."""
        if self.reason is None:
            self.reason = reason
            for callback in tuple(self._callbacks):
                callback()

    @property
    def asked(self) -> bool:
        """Whether the attempt is to end."""
        return self.reason is not None

    def when_asked(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call *callback* when the attempt is to end, at once if it is; answers how to forget it.

        Cheaper than a task that waits: every attempt has one.
        """
        if self.asked:
            callback()
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    async def wait(self) -> str:
        """Wait until the attempt is to end; why."""
        asked = asyncio.Event()
        forget = self.when_asked(asked.set)
        try:
            await asked.wait()
        finally:
            forget()
        assert self.reason is not None
        return self.reason


@runtime_checkable
class Changing(Protocol):
    """What an executor has as well whose backends change by themselves."""

    async def look(self) -> Sequence[BackendAnnounced]:
        """The backends as they are now, or were lately; those that are gone are left out."""


@runtime_checkable
class OfDevice(Changing, Protocol):
    """What one has that is near a device."""

    async def calibrate(self) -> Sequence[BackendAnnounced]:
        """Have it calibrated; as it is then. Raises what says that it was not."""

    async def close_session(self, tenant: str, session_id: str, mode: Mode) -> None:
        """That session has ended: close what was opened for it at the vendor, if anything was.
        Raises what says that it was not.
        """


@runtime_checkable
class LetsGo(Protocol):
    """What one has as well that may need time to let go of what attempts have elsewhere."""

    def lets_go_within(self, reason: str) -> float:
        """s at most that this takes at the end of an attempt because of *reason*."""


@runtime_checkable
class OfMachine(Protocol):
    """What an executor has as well that finds out by itself how much the machine has for it."""

    @property
    def slots(self) -> int:
        """How many attempts it runs at once, as it is now that it has started."""


class Executor(Protocol):
    """Runs programs against backends."""

    async def start(self) -> Sequence[BackendAnnounced]:
        """Get ready to run; the backends on offer, if there are any. Called before any `run`, again
        if it raised.
        """

    def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
        """Yield what happens, `Began` first if the program begins; last, exactly one of
        `Returned`, `Raised`, `Stopped`, `Died`.

        When asked for more, what it yielded is on record, but for news (`Began`, `Published`,
        `Withheld`, `Logged`), of which some may still be on their way, in order. Closing the
        generator early ends the attempt and frees what it held.

        Hardware yields `Intended`, then submits; yields `Accepted`, then waits: both are on the
        ledger when it is asked for more, unless the attempt is to end, when it is asked for no more
        after an `Intended`. A call that `task.calls` has with a vendor's id is waited for; one
        without is looked up by its tag, and submitted only if the vendor can say that it has not
        got it, or if it says `again`. Who can not know yields `Parked`.
        """

    async def close(self) -> None:
        """End every attempt and let go of every process."""
