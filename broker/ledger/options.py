"""What an operator may want of a broker, and how much may wait in it."""

from dataclasses import dataclass

from broker.budget import LARGEST_BOOK
from schemas.limits import MIB


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator may want otherwise. Times in seconds."""

    alone: bool = False  # no other broker can reach this log (embedded, memory): claim at once
    tick: float = 0.5  # between ticks, in which silence is measured
    lease: float = 4.0  # silence after which a broker is given up, and an attempt that just began
    snapshot: float = 0.5  # at most so long until a job's newest state is on the state topic
    stall: float = 2.0  # a loop that stood still for longer steps down
    remembered: int = 1_000_000  # ended jobs whose ids are recognised when they come again
    book: int = LARGEST_BOOK  # bytes of live jobs in memory; then requests wait on the log
    leaving: float = 5.0  # for the last turn, for what is written behind, and for the last tick
    kept: float | None = None  # after its end a job is kept for so long; None: for ever
    requests: int = 500  # that a turn decides on
    gathered: int = 4_000  # records of one kind that wait for a turn; more wait in the log
    heard: int = 10_000  # status messages that wait for a turn; older ones are told again
    aside: int = 64 * MIB  # bytes of requests that are taken aside; then submits wait
    store_wait: float = 30.0  # that the blob store gets for one of them
    session_wait: float = 1.0  # that a job waits for the opening of its session, in tick seconds
    letter_bytes: int = 32 * MIB  # that wait to be put aside; then requests wait
    letters: int = 50_000  # beyond, what comes is told in the log of the process alone
