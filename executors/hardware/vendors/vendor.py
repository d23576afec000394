"""What a vendor is asked for. Only the process of its device does, one request at a time."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qiskit import QuantumCircuit
from qiskit.transpiler import Target

from executors.backends.described import Outcomes
from executors.hardware.said import Meter


class Phase(enum.Enum):
    """How far a vendor's job is. What a vendor says that nobody knows is `WAITS`."""

    WAITS = "waits"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Status:
    """How far a job is, and that in the vendor's own words."""

    phase: Phase
    text: str


class Vendor(Protocol):
    """A device, by way of its vendor. Any of these may raise `AwayError`; what a vendor has no way
    to do raises `CanNotSayError`.
    """

    description: str

    def target(self) -> Target:
        """What circuits are compiled for, as of now."""

    def calibration(self) -> str | None:
        """Which calibration is in force; None if the vendor has no name for it."""

    def submit(
        self, circuits: Sequence[QuantumCircuit], options: Mapping[str, Any], tag: str
    ) -> str:
        """Have *circuits* run; the vendor's id of that job. *tag* is the token, where there are
        tokens. Raises `RefusedError`, or `LostError` if nobody knows whether it was taken.
        """

    def status(self, vendor_job_id: str) -> Status:
        """How far that job is."""

    def result(self, vendor_job_id: str) -> Sequence[Outcomes]:
        """What each circuit of a job that is done has measured."""

    def meter(self, vendor_job_id: str) -> Meter:
        """What the job has taken and cost so far."""

    def cancel(self, vendor_job_id: str) -> None:
        """End the job, if it has not ended."""

    def find(self, tag: str) -> str | None:
        """The job that was submitted with *tag*; None if the vendor has none for sure."""
