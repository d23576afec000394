"""`qasm3-runner`: runs OpenQASM 3 programs, with control flow and inputs; gives the whole result."""

from collections.abc import Mapping
from typing import Any

from executors.backends.aer import LocalSimulator
from executors.faults import InvalidInputsError
from executors.programs.circuit_runner import DEFAULT_SHOTS, whole
from executors.programs.circuits import must_be_runnable, read_circuits
from executors.programs.options import must_be_offered
from executors.programs.parameters import bound
from executors.programs.running import run
from executors.programs.transpiling import transpiled


def main(
    backend: LocalSimulator,
    user_messenger: Any,
    circuits: Any,
    qasm3_args: Any = None,
    run_config: Mapping[str, Any] | None = None,
    transpiler_config: Mapping[str, Any] | None = None,
    skip_transpilation: bool = False,
    use_measurement_mitigation: bool = False,
    init_circuit: Any = None,
    noise_model: Any = None,
    shots: int | None = None,
    memory: bool | None = None,
    seed_simulator: int | None = None,
    **ignored: Any,
) -> dict[str, Any]:
    """The Qiskit result as a dictionary; corrected distributions stand in each header."""
    del user_messenger, ignored
    if init_circuit is not None:
        raise InvalidInputsError(
            "init_circuit can not be honoured: put its gates at the beginning of the circuits"
        )
    asked = _bound(read_circuits(circuits), qasm3_args)
    must_be_runnable(asked, backend, "qasm3_args")
    if skip_transpilation:
        must_be_offered(asked, backend)
    ready = asked if skip_transpilation else transpiled(asked, backend, transpiler_config or {})
    beside = {
        "shots": shots,
        "memory": memory or None,
        "seed_simulator": seed_simulator,
        "noise_model": noise_model,
    }
    chosen = {name: value for name, value in beside.items() if value is not None}
    options = {"shots": DEFAULT_SHOTS, **(run_config or {}), **chosen}
    return whole(run(backend, ready, options), backend, ready, use_measurement_mitigation)


def _bound(circuits: list[Any], values: Any) -> list[Any]:
    try:
        return bound(circuits, values, None)
    except InvalidInputsError as error:
        told = str(error).replace("parameter_values", "qasm3_args")
        raise InvalidInputsError(told) from error
