"""What a vendor is asked for. Only the process of its device does, one request at a time."""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from qiskit import QuantumCircuit
from qiskit.transpiler import Target

from executors.backends.described import Estimates, Outcomes
from executors.hardware.said import Meter, VendorSession


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

    One that knows since when its calibration is in force has `calibrated` as well: a function
    without parameters that returns a `datetime` (UTC, if it has no zone), or None. One that can have
    its device calibrated has `calibrate`: without parameters, it returns once that is done. One that
    estimates expectation values by itself has `estimate`, which is as `submit`, with pubs of Qiskit
    (`EstimatorPub`) for circuits and options as the client has given them.
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

    def result(self, vendor_job_id: str) -> Sequence[Outcomes] | Estimates:
        """What each circuit of a job that is done has measured, or what it has estimated."""

    def meter(self, vendor_job_id: str) -> Meter:
        """What the job has taken and cost so far."""

    def cancel(self, vendor_job_id: str) -> None:
        """End the job, if it has not ended."""

    def find(self, tag: str) -> str | None:
        """The job that was submitted with *tag*; None if the vendor has none for sure."""


class Takes(Protocol):
    """Where calls go: a vendor is one itself."""

    def submit(
        self, circuits: Sequence[QuantumCircuit], options: Mapping[str, Any], tag: str
    ) -> str:
        """See `Vendor.submit`; with `estimate`, if the vendor has it."""


@runtime_checkable
class KeepsTogether(Protocol):
    """What a vendor has as well that has sessions: calls of one session here go to one there."""

    def in_session(self, session: VendorSession, say: Callable[[str], None]) -> Takes:
        """The vendor's session for *session*, opened if there is none; where the vendor opens none,
        the vendor itself. *say* which it is, or why there is none.
        """

    def close_session(self, session: VendorSession) -> None:
        """Close what was opened for it, also by an earlier process, if anything was."""
