"""`sampler`: the distributions that circuits sample on the backend (the program of 2021)."""

from collections.abc import Mapping
from typing import Any

from executors.backends.aer import LocalSimulator
from executors.programs import mitigation
from executors.programs.circuits import must_be_runnable, read_circuits
from executors.programs.options import must_be_offered
from executors.programs.parameters import bound
from executors.programs.running import counts_of, run
from executors.programs.transpiling import transpiled


def main(
    backend: LocalSimulator,
    user_messenger: Any,
    circuits: Any,
    transpiler_config: Mapping[str, Any] | None = None,
    run_config: Mapping[str, Any] | None = None,
    skip_transpilation: bool = False,
    parameter_values: Any = None,
    use_measurement_mitigation: bool = False,
    return_mitigation_overhead: bool = False,
    **ignored: Any,
) -> dict[str, Any]:
    """The counts of each circuit; with mitigation quasi-probabilities too."""
    del user_messenger, ignored
    options = dict(run_config or {})
    asked = bound(read_circuits(circuits), parameter_values, options.pop("parameter_binds", None))
    must_be_runnable(asked, backend)
    if skip_transpilation:
        must_be_offered(asked, backend)
    ready = asked if skip_transpilation else transpiled(asked, backend, transpiler_config or {})
    counts = counts_of(run(backend, ready, options))
    results: dict[str, Any] = {"raw_counts": counts}
    if not use_measurement_mitigation:
        return results
    mitigated = mitigation.mitigated(backend, ready, counts)
    results["quasiprobabilities"] = [found.quasi for found in mitigated]
    if return_mitigation_overhead:
        results["mitigation_overhead"] = [found.overhead for found in mitigated]
    return results
