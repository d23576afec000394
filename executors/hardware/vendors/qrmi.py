"""Resources that QRMI reaches and that take circuits: those of IBM, and whoever speaks as IBM does.

The entry point `qrmi` with the arguments of `device`. Where the resource is, and the credentials,
are in the variables that QRMI reads, such as `NAME_QRMI_IBM_QCS_ENDPOINT`.
"""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from qiskit import QuantumCircuit, qasm3
from qiskit.transpiler import Target

from executors.backends.described import Outcomes
from executors.faults import in_its_words
from executors.hardware.said import AwayError, CanNotSayError, LostError, Meter, RefusedError
from executors.hardware.vendors.ibm import outcomes_of
from executors.hardware.vendors.vendor import Phase, Status

if TYPE_CHECKING:
    from qrmi import QuantumResource

# What QRMI calls them in its own settings. The others that it knows take no circuits of gates.
KINDS = {
    "qiskit-runtime-service": "IBMQiskitRuntimeService",
    "ibm-quantum-compute-service": "IBMQuantumComputeService",
    "ibm-quantum-system": "IBMQuantumSystem",
}
FRESH_FOR = 60.0  # s for which the resource is taken to be as it was
KNOWN_WITHIN = 5.0  # s after which a task that was taken is known for sure
MOST_MISSED = 10_000  # tasks that are asked for again because they were not there
LONGEST_WHY = 300  # characters of the end of the log of a job that failed
_PHASES = {"Completed": Phase.DONE, "Failed": Phase.FAILED, "Cancelled": Phase.CANCELLED}


class QrmiVendor:
    """*resource*, whose tasks are jobs of the program `sampler`.

    QRMI has no way to look for a task, nor to say what one took and cost.
    """

    def __init__(self, resource: "QuantumResource") -> None:
        self._resource = resource
        self._target: Target | None = None
        self._read_at = 0.0
        self._measured: datetime | None = None
        self._missed: dict[str, float] = {}  # tasks that are not there, and since when
        self.description = f"{resource.resource_id()}, through QRMI"

    def target(self) -> Target:
        """As of a minute ago at most. Raises `RefusedError` if the resource is not there."""
        if self._target is None or time.monotonic() - self._read_at > FRESH_FOR:
            with _told():
                said = json.loads(self._resource.target().value)
            self._target, self._measured = _read(said, self._resource.resource_id())
            self._read_at = time.monotonic()
        return self._target

    def calibration(self) -> str | None:
        """When its properties were measured; simulators have none."""
        self.target()
        return self._measured.isoformat() if self._measured else None

    def calibrated(self) -> datetime | None:
        """The same, as a moment."""
        self.target()
        return self._measured

    def submit(
        self, circuits: Sequence[QuantumCircuit], options: Mapping[str, Any], tag: str
    ) -> str:
        """One task, in the form that QRMI's own sampler gives it. QRMI takes no *tag*.

        Of a connection that fails QRMI does not say whether the task was sent: so the resource is
        asked for its status before.
        """
        from qrmi import Payload

        pubs = [[_text(circuit), None, options.get("shots")] for circuit in circuits]
        given = {"pubs": pubs, "version": 2, "support_qiskit": True}
        payload = Payload.QiskitPrimitive(input=json.dumps(given), program_id="sampler")
        try:
            with _told():
                self._resource.status()
        except LostError as error:
            raise AwayError(str(error)) from error
        with _told():
            return str(self._resource.task_start(payload))

    def status(self, vendor_job_id: str) -> Status:
        """How far it is; of one that failed also how its log ends."""
        try:
            with _told():
                name = str(self._resource.task_status(vendor_job_id)).rpartition(".")[2]
                log = self._resource.task_logs(vendor_job_id) if name == "Failed" else ""
        except CanNotSayError as error:
            since = self._missed.setdefault(vendor_job_id, time.monotonic())
            if time.monotonic() - since < KNOWN_WITHIN and len(self._missed) <= MOST_MISSED:
                raise LostError(str(error)) from error
            raise
        self._missed.pop(vendor_job_id, None)
        text = name.lower()
        if end := log.strip()[-LONGEST_WHY:]:
            text = f"{text}, and its log ends: {end}"
        return Status(_PHASES.get(name, Phase.WAITS), text)

    def result(self, vendor_job_id: str) -> Sequence[Outcomes]:
        """The outcome of each shot of each circuit."""
        from qiskit_ibm_runtime import RuntimeDecoder

        with _told():
            said = self._resource.task_result(vendor_job_id).value
            return [outcomes_of(pub) for pub in json.loads(said, cls=RuntimeDecoder)]

    def meter(self, vendor_job_id: str) -> Meter:
        """Nothing: QRMI does not say."""
        return Meter()

    def cancel(self, vendor_job_id: str) -> None:
        """End it, if it has not ended."""
        with _told():
            self._resource.task_stop(vendor_job_id)

    def find(self, tag: str) -> str | None:
        """Nobody knows."""
        raise CanNotSayError("QRMI can not be asked for tasks by a tag")


class _told:  # noqa: N801 - a context manager
    """Makes one of ours of what QRMI raises."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception):
            return
        import qrmi

        text = f"{type(error).__name__}: {in_its_words(error)}"
        if isinstance(error, qrmi.TaskNotFoundError):
            raise CanNotSayError(text) from error
        # Of what goes wrong on the way it tells the text alone, and in no class of its own.
        if type(error) is qrmi.QrmiError:
            raise LostError(text) from error
        raise RefusedError(text) from error


def device(resource: str, kind: str = "ibm-quantum-compute-service") -> QrmiVendor:
    """The *resource* of that *kind*, in QRMI's own words for both.

    Raises `ValueError` for a kind that takes no circuits, or what QRMI raises: for instance if one
    of its variables is not set.
    """
    from qrmi import QuantumResource, ResourceType

    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: through QRMI, circuits go to one of {', '.join(KINDS)}")
    return QrmiVendor(QuantumResource(resource, getattr(ResourceType, KINDS[kind])))


def _read(said: Any, name: str) -> tuple[Target, datetime | None]:
    """Its target, and when it was measured."""
    from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
    from qiskit_ibm_runtime.utils.backend_decoder import (
        configuration_from_server_data,
        properties_from_server_data,
    )

    if not said.get("configuration"):
        raise RefusedError(f"there is no resource {name} where QRMI's variables point to")
    configuration = configuration_from_server_data(said["configuration"])
    if not said.get("properties"):
        return convert_to_target(configuration), None
    properties = properties_from_server_data(said["properties"])
    return convert_to_target(configuration, properties), properties.last_update_date


def _text(circuit: QuantumCircuit) -> str:
    return str(
        qasm3.dumps(
            circuit,
            disable_constants=True,
            allow_aliasing=True,
            experimental=qasm3.ExperimentalFeatures.SWITCH_CASE_V1,
        )
    )
