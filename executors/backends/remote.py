"""A device as programs see it: what they run goes to the worker, which submits it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from qiskit import QuantumCircuit
from qiskit.providers import JobStatus, JobV1, Options
from qiskit.result import Result
from qiskit.result.models import ExperimentResult, ExperimentResultData

from executors.backends.compiled import compiled, target_of
from executors.backends.described import (
    MOST_CALL,
    Answered,
    Asked,
    AskedEstimate,
    DescribedDevice,
    Estimates,
    Outcomes,
)
from executors.backends.targeted import Targeted
from executors.faults import BackendError, InvalidInputsError

_NO_GATES = ("measure", "delay", "barrier")


class Calls(Protocol):
    """What a program asks of its device, by numbers: 1, 2, 3 …"""

    def begin(self, asked: bytes) -> int:
        """Ask; which call it is."""

    def answer(self, number: int) -> bytes:
        """Wait for what came of it."""


class RemoteDevice(Targeted):
    """A device that is reached by *calls*."""

    def __init__(self, device: DescribedDevice, calls: Calls) -> None:
        gates = [gate.name for gate in device.gates if gate.name not in _NO_GATES]
        super().__init__(device.name, target_of(device), gates)
        self.described, self.calibration = device, device.calibration
        self.calls = calls
        self._options = Options(shots=1024, memory=False, seed_simulator=None)

    def run(self, circuits: Any, parameter_binds: Any = None, **options: Any) -> "RemoteJob":
        """Ask the device to run *circuits*, which are compiled for it: one job of its vendor."""
        listed = [circuits] if isinstance(circuits, QuantumCircuit) else list(circuits)
        bound = list(_bound(listed, parameter_binds))
        chosen = {"shots": self.options.shots, **options}
        chosen = {
            name: value
            for name, value in chosen.items()
            if value is not None and name != "seed_simulator"  # a device draws by itself, and a
        }  # call that an earlier attempt has made is known by what it asks for
        asked = Asked(tuple(compiled(one, number) for number, one in enumerate(bound)), chosen)
        return RemoteJob(self, self._begun(asked), bound)

    def estimate(self, asked: AskedEstimate) -> Estimates:
        """Have the vendor estimate by itself, where it can: one job of it. Raises `BackendError`."""
        number = self._begun(Asked((), estimate=asked))
        answered = _answered(self.calls, number)
        if answered.estimates is None:
            raise BackendError("the vendor has told no estimates")
        return answered.estimates

    def _begun(self, asked: Asked) -> int:
        data = msgspec.json.encode(asked)
        if len(data) > MOST_CALL:
            raise InvalidInputsError(
                f"the circuits of one call have {len(data):,} bytes, at most {MOST_CALL:,} are taken"
            )
        return self.calls.begin(data)


class RemoteJob(JobV1):  # type: ignore[misc]  # Qiskit has no types
    """One call to a device, under way."""

    def __init__(self, device: RemoteDevice, number: int, circuits: list[QuantumCircuit]) -> None:
        super().__init__(device, str(number))
        self._calls, self._number, self._circuits = device.calls, number, circuits
        self._result: Result | None = None

    def submit(self) -> None:
        """It was, when it was made."""

    def result(self) -> Result:
        """Wait for it. Raises `BackendError` if the device has refused it or failed."""
        if self._result is None:
            self._result = self._made(_answered(self._calls, self._number).outcomes)
        return self._result

    def status(self) -> JobStatus:
        """Whether the answer was waited for."""
        return JobStatus.RUNNING if self._result is None else JobStatus.DONE

    def _made(self, outcomes: Sequence[Outcomes]) -> Result:
        results = [
            ExperimentResult(
                shots=found.shots,
                success=True,
                data=_data(found),
                header={"name": circuit.name, "memory_slots": circuit.num_clbits},
            )
            for found, circuit in zip(outcomes, self._circuits, strict=True)
        ]
        return Result(
            backend_name=self.backend().name, job_id=self.job_id(), success=True, results=results
        )


def _answered(calls: Calls, number: int) -> Answered:
    answered = msgspec.json.decode(calls.answer(number), type=Answered)
    if answered.failure:
        raise BackendError(answered.failure)
    return answered


def _data(found: Outcomes) -> ExperimentResultData:
    if found.memory is None:
        return ExperimentResultData(counts=found.counts)
    return ExperimentResultData(counts=found.counts, memory=list(found.memory))


def _bound(
    circuits: Sequence[QuantumCircuit], binds: Sequence[Mapping[Any, Any]] | None
) -> Iterator[QuantumCircuit]:
    """*circuits*, each with one after the other of the values of its parameters."""
    for number, circuit in enumerate(circuits):
        values = binds[number] if binds else {}
        times = {len(listed) for listed in values.values()}
        if not times:
            yield circuit
        for row in range(max(times, default=0)):
            yield circuit.assign_parameters({name: each[row] for name, each in values.items()})
