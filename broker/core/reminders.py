"""When a worker is told again to end an attempt: with its next heartbeat, then ever more seldom."""

from collections.abc import Collection
from typing import NamedTuple

from schemas.workers import AttemptName

FIRST, LONGEST = 2.0, 30.0  # tick seconds until it is told again; doubles
SOONEST = 1.0  # tick seconds until somebody who asks once more has it told again


class _Told(NamedTuple):
    at: float  # tick time
    pause: float  # tick seconds until it is told again
    before: bool = True  # whether it was told at all


class Reminders:
    """What each worker was told to end, and when. Bounded: only what its heartbeat names stays."""

    def __init__(self) -> None:
        self._told: dict[str, dict[AttemptName, _Told]] = {}

    def told(self, worker: str, name: AttemptName, now: float) -> None:
        """The worker is told, for the first time or because somebody asked again."""
        self._told.setdefault(worker, {})[name] = _Told(now, FIRST)

    def may_repeat(self, worker: str, name: AttemptName, now: float) -> bool:
        """Whether it is so long ago that asking once more has it told again."""
        told = self._told.get(worker, {}).get(name)
        return told is None or now - told.at >= SOONEST

    def is_due(self, worker: str, name: AttemptName, now: float, wait: float) -> bool:
        """Whether to tell it now, which is then taken for done; *wait* seconds until the first."""
        told = self._told.setdefault(worker, {}).setdefault(name, _Told(now, wait, before=False))
        if now - told.at < told.pause:
            return False
        pause = min(max(2 * told.pause, FIRST), LONGEST) if told.before else 0.0
        self._told[worker][name] = _Told(now, pause)
        return True

    def keep(self, worker: str, names: Collection[AttemptName]) -> None:
        """Forget what the worker does not name: it has not got it yet, or no more."""
        if worker not in self._told:
            return
        named = set(names)
        if kept := {name: told for name, told in self._told[worker].items() if name in named}:
            self._told[worker] = kept
        else:
            del self._told[worker]
