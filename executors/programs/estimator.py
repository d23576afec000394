"""`estimator`: expectation values of operators, for clients of the V1 and the V2 primitives."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import DataBin, PrimitiveResult, PubResult

from executors.backends.aer import LocalSimulator
from executors.backends.mocks import MockSimulator
from executors.backends.remote import RemoteDevice
from executors.faults import InvalidInputsError
from executors.programs import primitive_options
from executors.programs.circuits import read_state
from executors.programs.estimates_of_vendors import estimated_by_vendor, of_precision
from executors.programs.estimator_pubs import MOST_PUBS, Pub, read_pubs
from executors.programs.expectation import Estimate, Exact, Sampled, must_be_ideal
from executors.programs.indices import in_order, picked
from executors.programs.operators import read_operator
from executors.programs.options import unknown
from executors.programs.primitive_options import (
    compiler_options,
    in_place,
    is_mitigating,
    nested,
    whole,
)
from executors.programs.spsa import numbers

MOST_SHOTS = 1_000_000
KEPT = 1_000  # observables whose circuits are kept compiled
DEFAULT_PRECISION = 1 / 64
DEFAULT_SHOTS_V1 = 4_000
DEFAULT_TWIRLS = 32
SEEDS = 2**31

_RUN_OPTIONS = frozenset(
    {"shots", "seed_simulator", "noise_model"}
    | {"init_qubits", "rep_delay", "use_measure_esp", "dynamic", "job_tags"}  # of devices
)
_NEITHER = "give pubs (V2), or circuits and observables (V1)"


@dataclass(frozen=True, slots=True)
class How:
    """How expectation values are estimated."""

    backend: LocalSimulator
    options: Mapping[str, Any]  # the transpiler's
    mitigated: bool
    twirls: int
    random: np.random.Generator
    method: str | None  # of simulation

    def seed(self) -> int:
        """The next one."""
        return 1 + int(self.random.integers(SEEDS - 1))


@dataclass(frozen=True, slots=True)
class Often:
    """How often a circuit is run, 0 for an exact value, and the precision that this stands for."""

    shots: int
    precision: float


def main(
    backend: LocalSimulator,
    user_messenger: Any,
    pubs: Any = None,
    options: Mapping[str, Any] | None = None,
    resilience_level: Any = None,
    circuits: Any = None,
    observables: Any = None,
    parameter_values: Any = None,
    parameters: Any = None,
    circuit_indices: Any = None,
    observable_indices: Any = None,
    transpilation_settings: Mapping[str, Any] | None = None,
    resilience_settings: Mapping[str, Any] | None = None,
    run_options: Mapping[str, Any] | None = None,
    method: str | None = None,
    **ignored: Any,
) -> Any:
    """Values and standard errors, in the form that the client's generation reads."""
    del user_messenger, ignored
    if (pubs is None) == (circuits is None):
        raise InvalidInputsError(f"the inputs are of no generation, or of two: {_NEITHER}")
    if pubs is not None:
        return _second(backend, pubs, options or {}, resilience_level, method)
    settings = (transpilation_settings or {}, resilience_settings or {}, run_options or {})
    states = picked(_states(circuits, backend), circuit_indices, "circuit_indices", "circuits")
    operators = picked(
        _listed(observables, "observables"), observable_indices, "observable_indices", "observables"
    )
    values = in_order(parameter_values, parameters, circuit_indices, states)
    return _first(backend, states, operators, values, *settings, method)


# V2


def _second(
    backend: LocalSimulator, pubs: Any, options: Mapping[str, Any], level: Any, method: str | None
) -> PrimitiveResult[PubResult]:
    level = options.get("resilience_level") if level is None else level
    if isinstance(backend, RemoteDevice) and backend.described.estimates:
        if not isinstance(backend, MockSimulator):
            return estimated_by_vendor(backend, read_pubs(pubs, backend), options, level, method)
        options, level = of_precision(options), None  # nothing is run that could be mitigated
    primitive_options.check(options)
    asked = nested(options, "resilience", "measure_mitigation")
    read = read_pubs(pubs, backend)
    often = [
        _often(pub.precision, f"pubs[{number}][3]", backend, options)
        for number, pub in enumerate(read)
    ]
    seed = options.get("seed_estimator")
    if seed is None:
        seed = nested(options, "simulator", "seed_simulator")
    random = np.random.default_rng(whole(seed, "options.seed_estimator", 0, 2**64 - 1))
    mitigated = bool(is_mitigating(level, "resilience_level") if asked is None else asked)
    results = []
    for pub, each in zip(read, often, strict=True):
        how = How(
            backend, in_place(pub.state, backend), mitigated, _twirls(options), random, method
        )
        results.append(_result(pub, each, how))
    return PrimitiveResult(results, metadata={"version": 2})


def _twirls(options: Mapping[str, Any]) -> int:
    if not nested(options, "twirling", "enable_gates"):
        return 0
    asked = nested(options, "twirling", "num_randomizations")
    if asked in (None, "auto"):
        return DEFAULT_TWIRLS
    return whole(asked, "options.twirling.num_randomizations", 1, 1_000) or DEFAULT_TWIRLS


def _often(value: Any, where: str, backend: LocalSimulator, options: Mapping[str, Any]) -> Often:
    if value is None and options.get("default_precision") is None:
        shots = whole(options.get("default_shots"), "options.default_shots", 1, MOST_SHOTS)
        if shots is not None:
            return Often(shots, 1 / math.sqrt(shots))
    if value is None:
        value, where = options.get("default_precision"), "options.default_precision"
    if value is None:
        value = DEFAULT_PRECISION
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInputsError(f"{where} must be a number, 0 or more")
    if value < 0 or 0 < value < 1 / math.sqrt(MOST_SHOTS):
        raise InvalidInputsError(
            f"{where} is {value}: at least {1 / math.sqrt(MOST_SHOTS)} is taken, for which "
            f"{MOST_SHOTS:,} shots are run, or 0 for exact values"
        )
    if value == 0:
        must_be_ideal(backend, where)
        return Often(0, 0.0)
    return Often(math.ceil(1 / min(value, 1) ** 2 - 1e-9), float(value))  # a shot at least


def _result(pub: Pub, often: Often, how: How) -> PubResult:
    evs, stds = np.empty(pub.shape), np.empty(pub.shape)
    observables = np.broadcast_to(pub.observables, pub.shape)
    values = np.broadcast_to(pub.values, (*pub.shape, pub.state.num_parameters))
    made: dict[int, Any] = {}
    for place in np.ndindex(*pub.shape):
        operator = observables[place]
        if len(made) == KEPT:
            made.clear()
        if id(operator) not in made:
            made[id(operator)] = _estimator(pub.state, operator, often.shots, how)
        found = made[id(operator)](values[place])
        evs[place], stds[place] = found.value, math.sqrt(found.variance)
    metadata: dict[str, Any] = {"target_precision": often.precision, "circuit_metadata": {}}
    if often.shots:
        metadata["shots"] = often.shots
    return PubResult(DataBin(evs=evs, stds=stds, shape=pub.shape), metadata=metadata)


def _estimator(state: QuantumCircuit, operator: Any, shots: int, how: How) -> Any:
    """From values of the parameters to an estimate."""
    if not shots:
        return Exact(how.backend, state, operator, how.options, how.method).at
    made = Sampled(
        how.backend, state, operator, how.options, how.mitigated, how.seed(), how.twirls, how.method
    )
    return lambda values: made.at(values, shots, how.seed())


# V1


def _first(
    backend: LocalSimulator,
    states: Sequence[QuantumCircuit],
    operators: Sequence[Any],
    values: Any,
    compiling: Mapping[str, Any],
    resilience: Mapping[str, Any],
    running: Mapping[str, Any],
    method: str | None,
) -> dict[str, Any]:
    given = _listed(values, "parameter_values") if values is not None else [[]] * len(states)
    if not len(states) == len(operators) == len(given):
        raise InvalidInputsError(
            f"there are {len(states)} circuits, {len(operators)} observables and {len(given)} "
            "parameter_values: one of each is wanted for each value"
        )
    mitigated = is_mitigating(resilience.get("level"), "resilience_settings.level")
    shots = whole(running.get("shots"), "run_options.shots", 1, MOST_SHOTS) or DEFAULT_SHOTS_V1
    seed = whole(running.get("seed_simulator"), "run_options.seed_simulator", 0, 2**64 - 1)
    _check_running(running)
    random = np.random.default_rng(seed)
    how = How(backend, compiler_options(compiling), mitigated, 0, random, method)
    tasks = []
    for number, (state, operator) in enumerate(zip(states, operators, strict=True)):
        read = read_operator(operator, f"observables[{number}]", state.num_qubits)
        point = numbers(given[number], f"parameter_values[{number}]", state.num_parameters)
        tasks.append((state, read, point))
    found: list[Estimate] = [
        _estimator(state, operator, shots, how)(point) for state, operator, point in tasks
    ]
    return {
        "values": np.array([one.value for one in found]),
        "metadata": [{"variance": one.variance * shots, "shots": shots} for one in found],
    }


def _states(circuits: Any, backend: LocalSimulator) -> list[QuantumCircuit]:
    return [
        read_state(circuit, f"circuits[{number}]", backend)
        for number, circuit in enumerate(_listed(circuits, "circuits"))
    ]


def _check_running(running: Mapping[str, Any]) -> None:
    asked = {name for name, value in running.items() if value is not None}
    if others := asked - _RUN_OPTIONS:
        raise unknown("run_options: estimator has no run option", others, _RUN_OPTIONS)
    if running.get("noise_model"):
        raise InvalidInputsError(
            "run_options.noise_model can not be chosen: run on a backend with noise instead"
        )


def _listed(value: Any, field: str) -> Sequence[Any]:
    found = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(found, list) or not 1 <= len(found) <= MOST_PUBS:
        raise InvalidInputsError(f"{field} must be a list of 1 to {MOST_PUBS:,}")
    return found
