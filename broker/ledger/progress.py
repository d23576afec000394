"""How far a term has come, as its checkpoints say it."""

from dataclasses import dataclass, field

from broker.ledger.care import Care
from broker.ledger.inputs import Inputs
from broker.ledger.ledger import Ledger
from broker.ledger.mirrors import Mirrors
from schemas.ledger import InputPosition, LedgerPlace


@dataclass(frozen=True, slots=True)
class Cut:
    """Next offsets: of the ledger by partition, and of the inputs by `topic:partition`.

    What stands before them on the inputs has led to what stands before them on the ledger.
    `tried`, `mirrored` and `serving` are as in a `Checkpoint`.
    """

    ledger: dict[int, int]
    inputs: dict[str, int]
    tried: dict[InputPosition, int] = field(default_factory=dict)
    mirrored: dict[str, dict[int, LedgerPlace]] = field(default_factory=dict)
    serving: bool = True


@dataclass(slots=True)
class Progress:
    """What the writer moves on, and the snapshots note."""

    ledger: Ledger
    inputs: Inputs
    care: Care
    mirrors: Mirrors
    is_over: bool = False  # what a checkpoint says now is said on leaving in good order

    def cut(self) -> Cut:
        """How far inputs were read, and what of them is on the ledger."""
        positions = self.inputs.positions()
        return Cut(
            dict(self.ledger.ends),
            {f"{where.topic}:{where.partition}": at for where, at in positions.items()},
            self.care.tried,
            dict(self.mirrors.told),
            serving=not self.is_over,
        )

    def end(self) -> None:
        """No turn comes any more, and the last one is whole."""
        self.care.put_down()
        self.is_over = True
