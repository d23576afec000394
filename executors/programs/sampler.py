"""`sampler`: what circuits sample on the backend, for clients of 2021 and of both primitives."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import DataBin, PrimitiveResult, SamplerPubResult

from executors.backends.aer import LocalSimulator
from executors.faults import InvalidInputsError, blame
from executors.programs import mitigation, primitive_options
from executors.programs.circuits import (
    must_be_runnable,
    must_fit,
    must_measure,
    read_circuit,
    read_circuits,
)
from executors.programs.expectation import Numbers
from executors.programs.indices import in_order, picked
from executors.programs.options import must_be_offered
from executors.programs.outcomes import fields, sampled
from executors.programs.parameters import bound
from executors.programs.primitive_options import (
    compiler_options,
    nested,
    read_values,
    whole,
)
from executors.programs.running import counts_of, run
from executors.programs.transpiling import transpiled

MOST_PUBS = 1_000
MOST_POINTS = 10_000  # circuits with values that the pubs of a job may ask for
MOST_OUTCOMES = 96 * 1024 * 1024  # bytes of outcomes: in a result they take a third more
MOST_SHOTS = 1_000_000
DEFAULT_SHOTS_V1 = 4_000
DEFAULT_SHOTS_V2 = 4_096
_ONLY_ESTIMATED = {"twirling.enable_gates": "the gates of circuits are twirled by estimator only"}


def main(
    backend: LocalSimulator,
    user_messenger: Any,
    circuits: Any = None,
    transpiler_config: Mapping[str, Any] | None = None,
    run_config: Mapping[str, Any] | None = None,
    skip_transpilation: bool = False,
    parameter_values: Any = None,
    parameters: Any = None,
    circuit_indices: Any = None,
    use_measurement_mitigation: bool = False,
    return_mitigation_overhead: bool = False,
    transpilation_settings: Mapping[str, Any] | None = None,
    resilience_settings: Mapping[str, Any] | None = None,
    run_options: Mapping[str, Any] | None = None,
    pubs: Any = None,
    options: Mapping[str, Any] | None = None,
    method: str | None = None,
    **ignored: Any,
) -> Any:
    """Outcomes in the form that the client's generation reads."""
    del user_messenger, ignored
    if (pubs is None) == (circuits is None):
        raise InvalidInputsError("give circuits, or pubs as the V2 primitives have them")
    if pubs is not None:
        return _second(backend, pubs, options or {}, method)
    settings = (transpilation_settings, resilience_settings, run_options)
    if any(one is not None for one in (*settings, circuit_indices, parameters)):
        wanted = picked(read_circuits(circuits), circuit_indices, "circuit_indices", "circuits")
        values = in_order(parameter_values, parameters, circuit_indices, wanted)
        compiling, resilience, running = (one or {} for one in settings)
        return _first(backend, wanted, values, compiling, resilience, {"method": method, **running})
    chosen = {"method": method, **(run_config or {})}
    asked = bound(read_circuits(circuits), parameter_values, chosen.pop("parameter_binds", None))
    ready = _compiled(backend, asked, skip_transpilation, transpiler_config or {})
    counts = counts_of(run(backend, ready, chosen))
    if not use_measurement_mitigation:
        return {"raw_counts": counts}
    return {"raw_counts": counts} | _mitigated(backend, ready, counts, return_mitigation_overhead)


def _mitigated(
    backend: LocalSimulator,
    ready: Sequence[QuantumCircuit],
    counts: Sequence[Mapping[str, int]],
    with_overhead: bool,
) -> dict[str, Any]:
    found = mitigation.mitigated(backend, ready, counts)
    overhead = {"mitigation_overhead": [one.overhead for one in found]} if with_overhead else {}
    return {"quasiprobabilities": [one.quasi for one in found], **overhead}


def _compiled(
    backend: LocalSimulator, asked: list[QuantumCircuit], skipped: bool, options: Mapping[str, Any]
) -> Sequence[QuantumCircuit]:
    must_be_runnable(asked, backend)
    if not skipped:
        return transpiled(asked, backend, options)
    must_be_offered(asked, backend)
    return asked


# V1


def _first(
    backend: LocalSimulator,
    circuits: list[QuantumCircuit],
    values: Any,
    compiling: Mapping[str, Any],
    resilience: Mapping[str, Any],
    running: Mapping[str, Any],
) -> dict[str, Any]:
    """Quasi-probabilities: without corrections how often each outcome was measured."""
    mitigated = primitive_options.is_mitigating(
        resilience.get("level"), "resilience_settings.level"
    )
    asked = bound(circuits, values, None)
    skipped = bool(compiling.get("skip_transpilation"))
    ready = _compiled(backend, asked, skipped, compiler_options(compiling))
    options = {name: value for name, value in running.items() if value is not None}
    shots = options["shots"] = options.get("shots", DEFAULT_SHOTS_V1)
    counts = counts_of(run(backend, ready, options))
    if mitigated:
        dists = [found.quasi for found in mitigation.mitigated(backend, ready, counts)]
    else:
        dists = [_frequencies(found) for found in counts]
    return {"quasi_dists": dists, "metadata": [{"shots": shots} for _ in dists]}


def _frequencies(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {bits.replace(" ", ""): number / total for bits, number in counts.items()}


# V2


def _second(
    backend: LocalSimulator, pubs: Any, options: Mapping[str, Any], method: str | None
) -> PrimitiveResult[SamplerPubResult]:
    primitive_options.check(options, _ONLY_ESTIMATED)
    if not isinstance(pubs, list) or not 1 <= len(pubs) <= MOST_PUBS:
        raise InvalidInputsError(f"pubs must be a list of 1 to {MOST_PUBS:,}")
    default = whole(options.get("default_shots"), "options.default_shots", 1, MOST_SHOTS)
    seed = whole(
        nested(options, "simulator", "seed_simulator"), "options.simulator.seed_simulator", 0, 2**63
    )
    random = np.random.default_rng(seed)
    read = [
        _pub(pub, f"pubs[{number}]", backend, default or DEFAULT_SHOTS_V2)
        for number, pub in enumerate(pubs)
    ]
    _check_sums(read)
    return PrimitiveResult(
        [_sampled(backend, *pub, random, method) for pub in read], {"version": 2}
    )


def _pub(
    value: Any, where: str, backend: LocalSimulator, default: int
) -> tuple[QuantumCircuit, Numbers, int]:
    """The circuit, values in their shape, and how often it is run."""
    parts = value if isinstance(value, list) else [value]
    if not 1 <= len(parts) <= 3:
        raise InvalidInputsError(f"{where} must be [circuit, values, shots]")
    circuit, values, shots = [*parts, None, None][:3]
    read = read_circuit(circuit, f"{where}[0]")
    must_fit(read, f"{where}[0]", backend)
    must_measure(read, f"{where}[0]")
    given = read_values(values, f"{where}[1]", read)
    return read, given, whole(shots, f"{where}[2]", 1, MOST_SHOTS) or default


def _check_sums(pubs: Sequence[tuple[QuantumCircuit, Numbers, int]]) -> None:
    points = sum(math.prod(values.shape[:-1]) for _, values, _ in pubs)
    if points > MOST_POINTS:
        raise InvalidInputsError(f"pubs ask for {points:,} runs, at most {MOST_POINTS:,} are taken")
    size = sum(
        math.prod(values.shape[:-1]) * shots * -(-len(bits) // 8)
        for circuit, values, shots in pubs
        for bits in fields(circuit).values()
    )
    if size > MOST_OUTCOMES:
        raise InvalidInputsError(
            f"pubs ask for {size:,} bytes of outcomes, at most {MOST_OUTCOMES:,} are taken"
        )


def _sampled(
    backend: LocalSimulator,
    circuit: QuantumCircuit,
    values: Numbers,
    shots: int,
    random: np.random.Generator,
    method: str | None,
) -> SamplerPubResult:
    """The outcomes of each shot, by register."""
    arrays = sampled(backend, circuit, values, shots, random, method)
    with blame(InvalidInputsError, "a classical register has a name that is taken"):
        if "self" in arrays:  # which is no field to Python
            raise ValueError("Cannot assign with these field names: ['self']")
        data = DataBin(**arrays, shape=values.shape[:-1])
        return SamplerPubResult(data, {"circuit_metadata": {}})
