"""What stands on the ledger beside events, and what a record of it carries in its headers."""

from typing import NamedTuple, TypeAlias

import msgspec

from schemas.events import AnyEvent
from schemas.sessions import AnySessionEvent
from schemas.values import Count, JobKey, count_in


class InputPosition(msgspec.Struct, frozen=True, gc=False, order=True):
    """Where the input stood that caused an event."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "InputPosition":
        """The position that *text* names; raises `ValueError`."""
        topic, partition, offset = text.rsplit(":", 2)
        return cls(topic, count_in(partition), count_in(offset))


class Claim(msgspec.Struct, frozen=True):
    """From here on this partition of the ledger belongs to `broker`, with `epoch`."""

    epoch: Count
    broker: str


class Deletion(msgspec.Struct, frozen=True):
    """A job that had ended was deleted: its events before this record are history no more.

    It stands on the ledger, without a number of its own, and takes the place of the job's snapshot,
    so that the id stays known. Counts as an event of its `epoch` does.
    """

    tenant: str
    job_id: str
    time: str
    epoch: Count

    @property
    def key(self) -> JobKey:
        """What named the job."""
        return JobKey(self.tenant, self.job_id)

    @property
    def terminal(self) -> bool:
        """Nothing can happen to it any more."""
        return True


class Tagging(msgspec.Struct, frozen=True):
    """A job has these tags from here on, whether it lives or has ended.

    It stands on the ledger, without a number of its own. Counts as an event of its `epoch` does.
    """

    tenant: str
    job_id: str
    tags: tuple[str, ...]
    time: str
    epoch: Count

    @property
    def key(self) -> JobKey:
        """What names the job."""
        return JobKey(self.tenant, self.job_id)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One event on the ledger, with what its headers say."""

    key: JobKey
    event: AnyEvent
    epoch: int
    report: int = 0  # the number of the report that caused it, 0 where none did
    input: InputPosition | None = None
    traceparent: str | None = None


class SessionEntry(msgspec.Struct, frozen=True):
    """One event of a session on the ledger, with what its headers say."""

    key: JobKey
    event: AnySessionEvent
    epoch: int
    input: InputPosition | None = None
    traceparent: str | None = None


class LedgerPlace(NamedTuple):
    """A place on a partition of the ledger: the next offset, and the newest claim's epoch before it."""

    offset: Count
    epoch: Count


ANY_SIZE = -1


class Took(msgspec.Struct, frozen=True, array_like=True):
    """How many seconds a program takes on a backend, as was seen; no program: any."""

    program_id: str
    backend: str
    seconds: float
    spread: float | None = None  # the standard deviation; an older broker does not say
    size: int = ANY_SIZE  # the class of the size of its inputs


class DaySpent(msgspec.Struct, frozen=True, array_like=True):
    """What a tenant used on a day (ISO 8601, UTC): of jobs that ended, and that were accepted."""

    day: str
    device_seconds: float = 0.0
    shots: Count = 0
    bytes: Count = 0  # of inputs


SpentByDay: TypeAlias = dict[str, tuple[DaySpent, ...]]  # by tenant


class Shared(msgspec.Struct, frozen=True):
    """How far tenants have come with their shares, at the time `at` (Unix).

    `used`: by backend ("" for all together) and tenant, how far it is ahead of the others, in seconds
    by weight; below zero, behind them.
    """

    at: float = 0.0
    used: dict[str, dict[str, float]] = {}
    takes: tuple[Took, ...] = ()
    stays: tuple[Took, ...] = ()  # in a slot, where a device says that it took less


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far the snapshots in `qjb.state.v1` reach. Key `~checkpoint`.

    Every ledger record before `ledger[partition]` is reflected in a snapshot, and every input
    before `inputs[topic:partition]` has led to whatever it leads to on the ledger before that.
    `tried`: inputs (`topic:partition:offset`) that are decided on now, or were when a broker was
    lost, with the number of terms in which that was begun. `mirrored`: by tenant that has a topic of
    its own for events, how far the ledger was told there; nothing of it before that is missing.
    `spent`: by tenant, what it has used by then.
    """

    epoch: Count
    ledger: dict[Count, Count]
    inputs: dict[str, Count]
    tried: dict[str, Count] = {}
    mirrored: dict[str, dict[Count, LedgerPlace]] = {}
    serving: bool = False  # the broker goes on; false once it has handed over
    shared: Shared = Shared()
    spent: SpentByDay = {}


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a record is on `qjb.dead-letters.v1`; the record's value and headers travel beside it."""

    code: str
    message: str
    source: InputPosition | None = None
    job_id: str | None = None
    tenant: str | None = None
