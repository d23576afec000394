"""What the process of a device was asked for, and for how long it may say nothing meanwhile."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from executors.children.frames import Frame, Kind
from executors.hardware.said import Told, VendorError, Verb

ANSWERS_WITHIN = 600.0  # s: large jobs are slow to submit, and SDKs try again by themselves
CALIBRATES_WITHIN = 12 * 3600.0  # s; nothing else is done meanwhile

Note = Callable[[Told], None]


@dataclass(slots=True)
class _Waiting:
    verb: Verb | None
    answer: asyncio.Future[tuple[Told, bytes]]
    note: Note
    since: float  # loop time


class Asks:
    """All that has no answer so far. The process does one thing after the other: so what counts is
    for how long it says nothing at all. *within*: s that it may.
    """

    def __init__(self, within: float) -> None:
        self._within = within
        self._waiting: dict[int, _Waiting] = {}
        self._newest = 0
        self._heard = -math.inf  # loop time at which it said something

    def add(self, verb: Verb | None, note: Note = lambda told: None) -> int:
        """The number of what is asked now; None, 0: its first words, which nobody asks for."""
        self._newest += verb is not None
        number = self._newest if verb is not None else 0
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[Told, bytes]] = loop.create_future()
        answer.add_done_callback(_retrieved)
        self._waiting[number] = _Waiting(verb, answer, note, loop.time())
        return number

    def forget(self, number: int) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(number, None)

    async def answer(self, number: int) -> tuple[Told, bytes]:
        """What comes of it. Raises `TimeoutError`, which says why, once nothing is to be expected,
        and what `fail` says.
        """
        waiting = self._waiting[number]
        while not waiting.answer.done():
            may, has_been = self._may_be_silent(waiting), self._silent_for(waiting)
            if has_been >= may:
                raise TimeoutError(
                    f"it was asked to {waiting.verb}, and said nothing for {may:g} s"
                )
            # By then it may have to say something sooner, or later.
            await asyncio.wait([waiting.answer], timeout=min(may - has_been, self._within))
        return waiting.answer.result()

    def take(self, frame: Frame) -> None:
        """It says something."""
        self._heard = asyncio.get_running_loop().time()
        line, _, body = frame.payload.partition(b"\n")
        waiting = self._waiting.get(frame.attempt)
        if frame.kind is not Kind.TOLD or waiting is None:
            return  # nobody waits for it any more
        told = msgspec.json.decode(line, type=Told)
        if told.kind == "note":
            waiting.note(told)
        elif not waiting.answer.done():
            waiting.answer.set_result((told, body))

    def fail(self, kind: type[VendorError], message: str) -> None:
        """There are no answers any more."""
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(kind(message))

    def _may_be_silent(self, waiting: _Waiting) -> float:
        """s; a job at the vendor may wait there for days."""
        if waiting.verb is None or waiting.verb == "wait":
            return math.inf
        calibrates = any(other.verb == "calibrate" for other in self._waiting.values())
        return max(self._within, CALIBRATES_WITHIN) if calibrates else self._within

    def _silent_for(self, waiting: _Waiting) -> float:
        """s since it said something, or was asked."""
        return asyncio.get_running_loop().time() - max(waiting.since, self._heard)


def _retrieved(answer: asyncio.Future[tuple[Told, bytes]]) -> None:
    """Nobody may wait for it by now."""
    if not answer.cancelled():
        answer.exception()
