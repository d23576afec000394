"""`vqe`: the smallest eigenvalue of a Hamiltonian, by a variational ansatz (the program of 2021)."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from executors.backends.aer import LocalSimulator
from executors.faults import InvalidInputsError
from executors.programs import spsa
from executors.programs.circuits import read_state
from executors.programs.expectation import (
    Estimate,
    Exact,
    Sampled,
    must_be_ideal,
    with_values,
)
from executors.programs.operators import read_operator
from executors.programs.overlaps import Overlaps
from executors.programs.running import counts_of, run
from executors.programs.transpiling import transpiled

DEFAULT_SHOTS = 1024
SEEDS = 2**31
GROUPED = 50  # points that are evaluated together: as many as calibrate SPSA


@dataclass(slots=True)
class History:
    """What the optimizer did, told as it goes."""

    publish: Callable[[Any], None]
    values: list[float] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)
    timestamps: list[float] = field(default_factory=list)

    def add(self, evaluations: int, point: Any, value: float, step: float, accepted: bool) -> None:
        """One iteration, in the order in which the program of 2021 publishes it."""
        self.values.append(float(value))
        self.parameters.append(np.array(point))
        self.timestamps.append(time.time())
        told = [int(evaluations), list(map(float, point)), float(value), float(step)]
        self.publish([*told, bool(accepted)])

    def told(self) -> dict[str, Any]:
        """All of it."""
        return {
            "values": np.array(self.values),
            "parameters": np.array(self.parameters),
            "timestamps": self.timestamps,
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """What is asked for, checked; and how its expectation values are to be had."""

    backend: LocalSimulator
    ansatz: QuantumCircuit
    shots: int
    exact: bool
    mitigated: bool
    options: Mapping[str, Any]
    random: np.random.Generator
    method: str | None

    def expectation(self, operator: SparsePauliOp) -> Callable[[Any], list[Estimate]]:
        """What *operator* is at each of some points of the ansatz's parameters."""
        if self.exact:
            return Exact(self.backend, self.ansatz, operator, self.options, self.method).at_all
        sampled = Sampled(
            self.backend,
            self.ansatz,
            operator,
            self.options,
            self.mitigated,
            self.seed(),
            method=self.method,
        )
        return lambda points: sampled.at_all(points, self.shots, self.seed())

    def fidelity(self) -> Callable[[Any, Any], Any]:
        """How near the states of each two points are."""
        overlaps = Overlaps(self.backend, self.ansatz, self.options, self.exact, self.method)
        return lambda ones, others: overlaps.of(
            list(zip(ones, others, strict=True)), self.shots, self.seed()
        )

    def eigenstate(self, point: Any) -> dict[str, float]:
        """Square roots of how often each outcome is sampled."""
        made = self.ansatz.copy()
        made.measure_all()
        (ready,) = transpiled([made], self.backend, self.options)
        named = dict(zip(self.ansatz.parameters, map(float, point), strict=True))
        bound = with_values(ready, named)
        chosen = {"shots": self.shots, "seed_simulator": self.seed(), "method": self.method}
        (counts,) = counts_of(run(self.backend, [bound], chosen))
        return {outcome: math.sqrt(number / self.shots) for outcome, number in counts.items()}

    def seed(self) -> int:
        """The next one."""
        return 1 + int(self.random.integers(SEEDS - 1))


def main(
    backend: LocalSimulator,
    user_messenger: Any,
    ansatz: Any,
    operator: Any,
    optimizer: Mapping[str, Any] | None = None,
    initial_parameters: Any = None,
    initial_point: Any = None,
    aux_operators: Any = None,
    shots: int = DEFAULT_SHOTS,
    exact: bool = False,
    readout_error_mitigation: bool = False,
    measurement_error_mitigation: bool = False,
    initial_layout: Any = None,
    seed: int | None = None,
    method: str | None = None,
    **ignored: Any,
) -> dict[str, Any]:
    """The value found, where, and how it was found; each iteration is published."""
    del ignored
    mitigated = readout_error_mitigation or measurement_error_mitigation
    state = _ansatz(ansatz, backend, exact, mitigated)
    wanted = read_operator(operator, "operator", state.num_qubits)
    others = _auxiliary(aux_operators, state.num_qubits)
    asked = optimizer or {}
    chosen = spsa.settings(asked, state.num_parameters)
    random = np.random.default_rng(seed)
    start = _start(initial_parameters, initial_point, state, random)
    problem = Problem(
        backend,
        state,
        shots,
        exact,
        mitigated,
        {"initial_layout": initial_layout, "seed_transpiler": int(random.integers(SEEDS))},
        random,
        method,
    )
    natural = str(asked.get("name", "SPSA")).upper() in spsa.NATURAL
    return _found(problem, wanted, others, chosen, start, natural, user_messenger.publish)


def _found(
    problem: Problem,
    operator: SparsePauliOp,
    others: Sequence[SparsePauliOp | None],
    chosen: Mapping[str, Any],
    start: Any,
    natural: bool,
    publish: Callable[[Any], None],
) -> dict[str, Any]:
    history, begun = History(publish), time.monotonic()
    energy = problem.expectation(operator)
    best = spsa.minimize(
        lambda point: _values(energy, point),
        start,
        chosen,
        problem.seed(),
        history.add,
        problem.fidelity() if natural else None,
        GROUPED,
    )
    taken = time.monotonic() - begun
    results = {
        "optimizer_evals": int(best.nfev),
        "optimizer_time": taken,
        "optimal_value": float(best.fun),
        "optimal_point": np.array(best.x),
        "optimal_parameters": None,
        "cost_function_evals": int(best.nfev),
        "eigenstate": problem.eigenstate(best.x),
        "eigenvalue": complex(best.fun),
        "optimizer_history": history.told(),
        "aux_operator_eigenvalues": None,
    }
    if others:
        results["aux_operator_eigenvalues"] = np.array(
            [_value(problem, one, best.x) for one in others]
        )
    return results


def _values(energy: Callable[[Any], list[Estimate]], point: Any) -> Any:
    """The value at a point, or those at rows of points: the optimizer asks for both."""
    if np.ndim(point) == 1:
        return energy([point])[0].value
    return [one.value for one in energy(point)]


def _value(problem: Problem, operator: SparsePauliOp | None, point: Any) -> tuple[float, float]:
    """What *operator* is at *point*, and the standard error of that."""
    if operator is None:
        return math.nan, math.nan
    (found,) = problem.expectation(operator)([point])
    return found.value, math.sqrt(found.variance)


def _ansatz(value: Any, backend: LocalSimulator, exact: bool, mitigated: bool) -> QuantumCircuit:
    if exact:
        must_be_ideal(backend)
    if exact and mitigated:
        raise InvalidInputsError("exact: there is no readout error to correct without shots")
    state = read_state(value, "ansatz", backend)
    if not state.num_parameters:
        raise InvalidInputsError("ansatz has no parameters: there is nothing to optimize")
    return state


def _auxiliary(value: Any, num_qubits: int) -> list[SparsePauliOp | None]:
    if value is not None and not isinstance(value, list):
        raise InvalidInputsError("aux_operators must be a list of operators")
    return [
        None if one is None else read_operator(one, f"aux_operators[{number}]", num_qubits)
        for number, one in enumerate(value or [])
    ]


def _start(given: Any, older: Any, state: QuantumCircuit, random: np.random.Generator) -> Any:
    """Where the optimizer begins: "random", or what is given by either name."""
    if given is not None and older is not None:
        raise InvalidInputsError("initial_parameters and initial_point say the same: give one")
    field = "initial_parameters" if older is None else "initial_point"
    value = given if older is None else older
    if value is None or (isinstance(value, str) and value == "random"):
        return random.uniform(-math.pi, math.pi, state.num_parameters)
    if isinstance(value, str):
        raise InvalidInputsError(f"{field} is {value[:60]!r}: a list of numbers or 'random'")
    return spsa.numbers(value, field, state.num_parameters)
