"""What a turn is to decide on."""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.core.inputs import Request
from broker.ledger.heard import Said
from schemas.records import Stored


@dataclass(frozen=True, slots=True)
class InputBatch:
    """What a turn is to decide on, kind by kind; reports come before what may call them lost."""

    reports: Sequence[Stored] = ()
    status: Sequence[Said] = ()
    prepared: Sequence[Request] = ()
    requests: Sequence[Stored] = ()
    ahead: Sequence[Stored] = ()  # what makes room, out of turn: it comes again when it is its turn

    def __len__(self) -> int:
        kinds = self.reports, self.status, self.prepared, self.requests, self.ahead
        return sum(map(len, kinds))

    def without(self, first: "InputBatch") -> "InputBatch":
        """What is left of it behind *first*."""
        return InputBatch(
            self.reports[len(first.reports) :],
            self.status[len(first.status) :],
            self.prepared[len(first.prepared) :],
            self.requests[len(first.requests) :],
            self.ahead[len(first.ahead) :],
        )
