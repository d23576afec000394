"""`quantum-kernel-alignment`: learns the parameters of a quantum kernel (the program of 2021).

Glick et al., "Covariant quantum kernels for data with group structure", arXiv:2105.03406: SPSA over
the kernel's parameters, by what an SVM's margin comes to with each.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from executors.backends.aer import LocalSimulator
from executors.faults import InvalidInputsError, blame
from executors.programs import spsa
from executors.programs.expectation import Numbers
from executors.programs.kernels import FeatureMap, Kernel, margin_cost, read_feature_map
from executors.programs.overlaps import Overlaps

DEFAULT_SHOTS = 8192
MOST_POINTS = 500
STEP, STEP_DECAY = 0.05, 0.602  # of SPSA, as published
PERTURBATION, PERTURBATION_DECAY = 0.1, 0.101
SEEDS = 2**31


def main(
    backend: LocalSimulator,
    user_messenger: Any,
    feature_map: Any,
    data: Any,
    labels: Any,
    initial_kernel_parameters: Any = None,
    maxiters: int = 1,
    C: float = 1.0,  # noqa: N803  so it is called
    initial_layout: Any = None,
    shots: int = DEFAULT_SHOTS,
    exact: bool = False,
    seed: int | None = None,
    method: str | None = None,
    **ignored: Any,
) -> dict[str, Any]:
    """The kernel's parameters and matrix after so many steps; each step is published."""
    del ignored
    found = read_feature_map(feature_map, backend)
    points = _points(data, found)
    classes = _classes(labels, len(points))
    random = np.random.default_rng(seed)
    start = _start(initial_kernel_parameters, found, random)
    if maxiters * start.size > spsa.MOST_HISTORY:
        raise InvalidInputsError(f"maxiters {maxiters:,} is too much for {start.size} parameters")
    options = {"initial_layout": initial_layout, "seed_transpiler": int(random.integers(SEEDS))}
    overlaps = Overlaps(backend, found.circuit, options, exact, method)
    kernel = Kernel(overlaps, found, points)
    alignment = Alignment(
        lambda at: kernel.at(at, shots, 1 + int(random.integers(SEEDS))), classes, float(C)
    )
    settings = _settings(maxiters, user_messenger.publish)
    best = spsa.minimize(alignment.cost, start, settings, int(random.integers(SEEDS)))
    return {
        "aligned_kernel_parameters": np.array(best.x),
        "aligned_kernel_matrix": alignment.matrix,
    }


class Alignment:
    """What each kernel is worth; remembers the last one, which is that of the optimizer's end."""

    def __init__(
        self, kernel: Callable[[Numbers], Numbers], classes: Numbers, penalty: float
    ) -> None:
        self._kernel = kernel
        self._classes = classes
        self._penalty = penalty
        self.matrix: Numbers = np.eye(len(classes))

    def cost(self, parameters: Numbers) -> float:
        """The smaller, the wider the margin between the classes."""
        self.matrix = self._kernel(parameters)
        return margin_cost(self.matrix, self._classes, self._penalty)


def _settings(maxiters: int, publish: Callable[[Any], None]) -> dict[str, Any]:
    """Those of SPSA. It tells the cost between the two points that it tries, as published; to
    evaluate another for each step would be half as much work again.
    """
    steps = np.arange(1, maxiters + 1)

    def told(evaluations: int, point: Numbers, cost: float, step: float, accepted: bool) -> bool:
        del step, accepted
        iteration = evaluations // 2 - 1
        parameters = list(map(float, point))
        publish({"iteration": iteration, "cost": float(cost), "parameters": parameters})
        return False  # go on

    return {
        "maxiter": maxiters,
        "learning_rate": STEP / steps**STEP_DECAY,
        "perturbation": PERTURBATION / steps**PERTURBATION_DECAY,
        "termination_checker": told,
    }


def _points(value: Any, feature_map: FeatureMap) -> Numbers:
    """The data, a row for each point."""
    with blame(InvalidInputsError, "data must be a list of rows of numbers"):
        found = np.array(value)
        if found.dtype.kind not in "iuf":
            raise InvalidInputsError("data must be a list of rows of numbers, each of one length")
        found = found.astype(float)
    if found.ndim != 2 or found.shape[0] < 2:
        raise InvalidInputsError(
            f"data has the shape {found.shape}: two rows and more are wanted, one for each point"
        )
    if len(found) > MOST_POINTS:
        raise InvalidInputsError(f"data has {len(found):,} rows, at most {MOST_POINTS} are taken")
    if found.shape[1] != len(feature_map.data):
        raise InvalidInputsError(
            f"data has {found.shape[1]} columns, and feature_map takes {len(feature_map.data)}"
        )
    if not np.all(np.isfinite(found)):
        row, column = np.argwhere(~np.isfinite(found))[0]
        raise InvalidInputsError(f"data[{row}][{column}] is no finite number")
    return found


def _classes(value: Any, points: int) -> Numbers:
    found: Numbers = spsa.numbers(value, "labels", points)
    if set(found) != {-1.0, 1.0}:
        raise InvalidInputsError("labels must be -1 and 1, and both must be there")
    return found


def _start(value: Any, feature_map: FeatureMap, random: np.random.Generator) -> Numbers:
    """The kernel's parameters to begin with; a single one stands for all."""
    wanted = len(feature_map.kernel)
    if value is None:
        return random.uniform(-1, 1, wanted)
    found: Numbers = spsa.numbers(value, "initial_kernel_parameters")
    if found.size == 1:
        return np.repeat(found, wanted)
    if found.size != wanted:
        raise InvalidInputsError(
            f"initial_kernel_parameters has {found.size} numbers, and the kernel {wanted}"
        )
    return found
