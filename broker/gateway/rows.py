"""What the local copy stores, and how it is asked and answered: plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from broker.gateway.tallies import Tally
from schemas.jobs import Job
from schemas.sessions import Session
from schemas.values import JobKey


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """How far one partition of the ledger has been read, and what the reader rule knows of it."""

    partition: int
    first: int  # the oldest offset that was kept when it was read
    next: int
    claim: int
    holder: str


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as it is stored. `based`: it came from a snapshot, and none of its events did."""

    id: int
    job: Job
    based: bool


class StoredEvent(Protocol):
    """An event as it is stored: `job` is its job's number in the file."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def job(self) -> int: ...
    @property
    def seq(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def value(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it was stored."""

    partition: int
    offset: int
    job: int
    seq: int
    kind: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """What a file holds when it is opened."""

    partitions: Mapping[int, PartitionRow] = field(default_factory=dict)
    newest: int = 0  # largest id of a job
    filled: bool = False  # whether all that the log had at the start is in it
    tallies: Sequence[Tally] = ()


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is written in one transaction: content, and the positions that it reaches."""

    partitions: Sequence[PartitionRow]
    jobs: Sequence[JobRow]
    events: Sequence[StoredEvent]
    gone: Sequence[int] = ()  # ids of jobs to forget first
    deleted: Sequence[tuple[JobKey, str]] = ()  # jobs that there were, and when they were deleted
    sessions: Sequence[Session] = ()
    tallies: Sequence[Tally] = ()  # those that changed
    filled: bool = False  # with this, all that the log had at the start is in the file


@dataclass(frozen=True, slots=True)
class JobPage:
    """A part of a list of jobs."""

    jobs: Sequence[Job]  # without their results
    count: int  # that match in all
    offset: int  # how many of them come before these
