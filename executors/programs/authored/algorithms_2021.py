"""`qiskit.algorithms`, as far as its successor has it with the same parameters."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

# These took a quantum instance, and what has their names today does not.
_OTHERS = frozenset(
    {
        "AmplitudeEstimation", "FasterAmplitudeEstimation", "Grover", "HamiltonianPhaseEstimation",
        "IterativeAmplitudeEstimation", "IterativePhaseEstimation",
        "MaximumLikelihoodAmplitudeEstimation", "PhaseEstimation", "QAOA", "VQE", "VQD",
    }
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _OTHERS:
        raise ImportError(
            f"qiskit.algorithms.{name} is gone; in its place: qiskit_algorithms.{name}, "
            "which takes primitives and no quantum instance"
        )
    import qiskit_algorithms  # takes a while, and is rarely asked for

    return getattr(qiskit_algorithms, name)


@dataclass
class _Globals:
    """`algorithm_globals` of `qiskit.utils`; its successor uses this one where there is one."""

    random_seed: int | None = None
    num_processes: int = 1
    massive: bool = False

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "random_seed":
            vars(self).pop("random", None)

    @cached_property
    def random(self) -> np.random.Generator:
        """Draws by the seed, if there is one."""
        return np.random.default_rng(self.random_seed)


algorithm_globals = _Globals()
