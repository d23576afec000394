"""What an operator may want of a broker."""

from dataclasses import dataclass

from broker.budget import LARGEST_BOOK


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
