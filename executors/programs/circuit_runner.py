"""`circuit-runner`: compiles circuits, runs them, and gives the whole Qiskit result."""

import sys
from typing import Any

from qiskit.result import Result

from executors.backends.aer import LocalSimulator
from executors.programs import mitigation
from executors.programs.circuits import must_be_runnable, read_circuits
from executors.programs.parameters import bound
from executors.programs.running import counts_of, run
from executors.programs.transpiling import transpiled

DEFAULT_SHOTS = 1024


def main(
    backend: LocalSimulator,
    user_messenger: Any,
    circuits: Any,
    shots: int = DEFAULT_SHOTS,
    initial_layout: Any = None,
    layout_method: str | None = None,
    routing_method: str | None = None,
    translation_method: str | None = None,
    seed_transpiler: int | None = None,
    optimization_level: int = 1,
    init_qubits: bool = True,
    rep_delay: float | None = None,
    transpiler_options: dict[str, Any] | None = None,
    measurement_error_mitigation: bool = False,
    memory: bool = False,
    seed_simulator: int | None = None,
    parameter_values: Any = None,
    parameter_binds: Any = None,
    **ignored: Any,
) -> dict[str, Any]:
    """The Qiskit result as a dictionary; corrected distributions stand in each header."""
    del user_messenger, ignored
    if rep_delay is not None or not init_qubits:
        sys.stderr.write("note: init_qubits and rep_delay change nothing on a simulator\n")
    asked = bound(read_circuits(circuits), parameter_values, parameter_binds)
    must_be_runnable(asked, backend)
    options = {
        "initial_layout": initial_layout,
        "layout_method": layout_method,
        "routing_method": routing_method,
        "translation_method": translation_method,
        "seed_transpiler": seed_transpiler,
        "optimization_level": optimization_level,
        **(transpiler_options or {}),
    }
    ready = transpiled(asked, backend, options)
    chosen = {"shots": shots, "memory": memory or None, "seed_simulator": seed_simulator}
    found = run(backend, ready, chosen)
    return whole(found, backend, ready, mitigated=measurement_error_mitigation)


def whole(found: Result, backend: LocalSimulator, ready: Any, mitigated: bool) -> dict[str, Any]:
    """All of *found*; if asked for, with the corrected distributions."""
    result: dict[str, Any] = found.to_dict()
    if mitigated:
        corrected = mitigation.mitigated(backend, ready, counts_of(found))
        for experiment, one in zip(result["results"], corrected, strict=True):
            experiment["header"]["quasiprobabilities"] = one.quasi
            experiment["header"]["mitigation_overhead"] = one.overhead
    return result
