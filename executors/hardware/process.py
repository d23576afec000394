"""The worker's side of the process of a device: starts it, asks it, starts it again."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterator

import msgspec
import structlog

from executors.children import posix
from executors.children.frames import Kind, pack
from executors.children.launcher import environment
from executors.children.wire import Wire
from executors.hardware import elsewhere
from executors.hardware.asks import ANSWERS_WITHIN, Asks, Note
from executors.hardware.said import (
    ERRORS,
    Ask,
    ClosedError,
    Description,
    EndedError,
    Meter,
    Told,
    VendorError,
    VendorSession,
    Verb,
    joined,
)
from executors.hardware.specs import DeviceSpec

READY_WITHIN = 120.0  # s: SDKs are slow to import, and some ask their service much
ENDS_WITHIN = 5.0  # s after it hung up
DESCRIBED_FOR = 60.0  # s for which what the device said of itself is taken to be so
ENDED = "the process of the device ended"

logger = structlog.get_logger()


class DeviceError(Exception):
    """The process of a device did not start, or its vendor was not reached."""


class DeviceProcess:
    """Speaks with the process of *spec*'s device, which is started again when it was lost; also when
    it said nothing for *answers_within* seconds, though it was asked for what does not take long.
    """

    def __init__(
        self,
        spec: DeviceSpec,
        described_for: float = DESCRIBED_FOR,
        ready_within: float = READY_WITHIN,
        answers_within: float = ANSWERS_WITHIN,
    ) -> None:
        self._spec, self._described_for, self._ready_within = spec, described_for, ready_within
        self._process: asyncio.subprocess.Process | None = None
        self._wire: Wire | None = None
        self._asks = Asks(answers_within)
        self._starting = asyncio.Lock()
        self._description: Description | None = None
        self._renewal: asyncio.Task[None] | None = None  # of the description
        self._described_at = 0.0
        self._is_closed = False
        self._is_ready = False  # and so may be lost

    @property
    def pid(self) -> int:
        """Its process; 0 while there is none."""
        return self._process.pid if self._process is not None and self._wire is not None else 0

    @property
    def labels(self) -> tuple[str, ...]:
        """What jobs may ask for the device by."""
        return self._spec.labels

    async def describe(self, within: float | None = None) -> Description:
        """The device: as it said last, or anew if that is long ago and the vendor is reached. That is
        waited for *within* seconds, and counts from whenever it comes.
        """
        now = asyncio.get_running_loop().time()
        if self._description is None:
            await self._started()
        elif now - self._described_at > self._described_for:
            self._described_at = now  # who is away is not asked by every attempt
            if self._renewal is None or self._renewal.done():
                self._renewal = asyncio.create_task(
                    self._renew(), name=f"look at {self._spec.name}"
                )
            await asyncio.wait([self._renewal], timeout=within)
        assert self._description is not None
        return self._description

    async def _renew(self) -> None:
        with contextlib.suppress(VendorError, DeviceError):
            _, body = await self.ask("describe")
            self._description = msgspec.json.decode(body, type=Description)

    async def calibrate(self) -> None:
        """Have the device calibrated anew. Raises `VendorError` or `DeviceError`."""
        _, body = await self.ask("calibrate")
        self._description = msgspec.json.decode(body, type=Description)
        self._described_at = asyncio.get_running_loop().time()

    async def submit(
        self, asked: bytes, tag: str, session: VendorSession | None, note: Note
    ) -> str:
        """Have it run; the vendor's id. *note*: what it says of *session*. Raises `VendorError`."""
        told, _ = await self.ask("submit", tag, asked, note, session)
        return told.message

    async def wait(self, vendor_job_id: str, note: Note) -> tuple[Meter, bytes, str]:
        """What it took, an `Answered` as JSON, and why there are no outcomes, if there are none."""
        told, body = await self.ask("wait", vendor_job_id, note=note)
        return told.meter, body, told.message

    async def cancel(self, vendor_job_id: str) -> Meter:
        """End the vendor's job; what it took."""
        return (await self.ask("cancel", vendor_job_id))[0].meter

    async def find(self, tag: str) -> str | None:
        """The vendor's id of what was submitted with *tag*; None if there is none for sure."""
        return (await self.ask("find", tag))[0].message or None

    async def close_session(self, session: VendorSession) -> None:
        """Close what was opened for it. Raises `VendorError`."""
        await self.ask("close_session", session=session)

    async def ask(
        self,
        verb: Verb,
        about: str = "",
        body: bytes = b"",
        note: Note = lambda told: None,
        session: VendorSession | None = None,
    ) -> tuple[Told, bytes]:
        """Ask, and wait. Raises `VendorError`: an `EndedError` if its process ends meanwhile."""
        wire = await self._started()
        number = self._asks.add(verb, note)
        try:
            wire.send(pack(Kind.ASK, joined(Ask(verb, about, session), body), number))
            told, answer = await self._asks.answer(number)
        except TimeoutError as silent:
            self._lose(str(silent))
            raise EndedError(f"{ENDED}: {silent}") from silent
        finally:
            self._asks.forget(number)
        if told.kind == "done":
            return told, answer
        raise ERRORS.get(told.kind, VendorError)(told.message)

    async def close(self) -> None:
        """End it."""
        self._is_closed = True
        await self._end()

    async def _started(self) -> Wire:
        async with self._starting:
            if self._is_closed:
                raise ClosedError("the device is closed")
            if self._wire is None:
                await self._start()
            assert self._wire is not None
            return self._wire

    async def _start(self) -> None:
        """Start it, and hear what it says of itself: all of that, or nothing is there."""
        await self._end()
        first = self._asks.add(None)
        ours, theirs = socket.socketpair()
        self._wire = Wire(ours, self._asks.take, self._on_end)
        try:
            with theirs:
                self._process = await _launched(self._spec, theirs)
            told, body = await self._first_words(first)
            if told.kind != "done":
                raise DeviceError(f"{self._spec.name}: {told.message}")
            self._description = msgspec.json.decode(body, type=Description)
        except BaseException:  # whoever asked may have been cancelled
            await self._end()
            raise
        finally:
            self._asks.forget(first)
        self._described_at = asyncio.get_running_loop().time()
        self._is_ready = True
        logger.info("device.ready", device=self._spec.name, pid=self._process.pid)

    async def _first_words(self, first: int) -> tuple[Told, bytes]:
        """What it says of itself, or of why it can not. Raises `DeviceError`."""
        made = f"the process of {self._spec.name}, with {self._spec.made_by},"
        try:
            async with asyncio.timeout(self._ready_within):
                return await self._asks.answer(first)
        except TimeoutError as error:
            raise DeviceError(f"{made} was not ready within {self._ready_within:g} s") from error
        except (EndedError, ClosedError) as error:
            status = await self._status()
            raise DeviceError(f"{made} ended with status {status} before it was ready") from error

    def _on_end(self, why: str | None) -> None:
        if self._is_ready and not self._is_closed:
            logger.error("device.lost", device=self._spec.name, why=why or "its process ended")
        self._is_ready = False
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        kind = ClosedError if self._is_closed else EndedError
        self._asks.fail(kind, f"{ENDED}: {why}" if why else ENDED)

    def _lose(self, why: str) -> None:
        """It is of no use any more; the next who asks has it started again."""
        self._on_end(why)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _status(self) -> int | None:
        """With which its process ends, which hung up; less than 0 is the signal."""
        process = self._process
        if process is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ENDS_WITHIN):
                    await process.wait()
        await self._end()
        return process.returncode if process is not None else None

    async def _end(self) -> None:
        if self._wire is not None:
            self._on_end(None)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None


async def _launched(spec: DeviceSpec, theirs: socket.socket) -> asyncio.subprocess.Process:
    """The process of the device, which serves *theirs*. Raises `DeviceError`."""
    with posix.ends_blocked(), _starting(spec):
        return await asyncio.create_subprocess_exec(
            *_server(spec),
            *(str(theirs.fileno()), str(os.getpid()), spec.name, spec.made_by),
            msgspec.json.encode(dict(spec.arguments)).decode(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=_environment_of(spec),
            cwd="/",
            start_new_session=True,
        )


def _server(spec: DeviceSpec) -> tuple[str, ...]:
    """What serves the device, on the worker's Python or on that of another environment."""
    if not spec.python:
        return sys.executable, "-P", "-m", "executors.hardware.vendors.serving"
    return spec.python, "-P", "-s", elsewhere.__file__


@contextlib.contextmanager
def _starting(spec: DeviceSpec) -> Iterator[None]:
    """Raises `DeviceError` where its Python is none."""
    try:
        yield
    except OSError as error:
        what = f"python={spec.python}" if spec.python else sys.executable
        text = f"{spec.name}: {what} is no program that can be run here: {error.strerror}"
        raise DeviceError(text) from error


def _environment_of(spec: DeviceSpec) -> dict[str, str]:
    """What it finds in its environment: another Python has packages of its own."""
    found = environment()
    if spec.python:
        del found["PYTHONPATH"]
    return found | dict(spec.variables)
