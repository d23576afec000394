"""How long a worker waits for what."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Seconds that others get."""

    grace: float = 30.0  # what runs, to end by itself when the worker stops
    # An executor, beside what it needs to let go of calls at a vendor,
    patience: float = 5.0  # to end an attempt as asked
    late: float = 60.0  # beyond an attempt's time limit
    hand_back: float = 10.0  # what the grace did not suffice for, to end and to be reported
    again: float = 5.0  # the broker, to put an intent on the ledger, until it is told once more
    fetch_for: float = 30.0  # the blob store, to give inputs, and
    fetch_briefly: float = 1.0  # where it did not answer last: others want the slot as well
