"""The ideal simulator on a GPU: Qiskit Aer as `qiskit-aer-gpu` has it.

CUDA does not outlive a fork. Nothing here touches it before a circuit is run, which is in a child.
"""

import math
from typing import Any

from executors.backends import aer
from executors.backends.aer import LocalSimulator
from executors.faults import BackendError, InvalidInputsError
from executors.gpu import NAME, Gpu
from schemas.limits import MIB

AMPLITUDE = 16  # bytes of a complex number in double precision
METHODS = ("automatic", "density_matrix", "statevector", "tensor_network", "unitary")
LEAST = 1  # MiB of states that may be beside the GPU: Aer adds both, and takes 0 for all there is
MISSING = (
    f"{NAME} can run nothing: the Qiskit Aer of its worker is not built for GPUs, it needs the "
    "package qiskit-aer-gpu in place of qiskit-aer"
)


class GpuSimulator(LocalSimulator):
    """Qiskit Aer with its states on a GPU."""

    about = "Ideal simulator on a GPU: Qiskit Aer, which picks the method that suits the circuit"

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self.name = NAME
        if gpu.memory:
            self._set_configuration_option("n_qubits", widest(gpu.memory))

    def run(self, circuits: Any, parameter_binds: Any = None, **options: Any) -> Any:
        """Run *circuits*; options are Aer's, but for methods that it has on processors only.

        Raises `InvalidInputsError` for those, and `BackendError` where Aer knows no GPU.
        """
        method = options.get("method") or METHODS[0]
        if method not in METHODS:
            raise InvalidInputsError(
                f"method: {NAME} has no {str(method)[:60]!r}, which Aer simulates on processors "
                f"only ({aer.NAME} has it); choose one of {', '.join(METHODS)}"
            )
        if "GPU" not in aer.ideal().available_devices():
            raise BackendError(MISSING)
        options["device"] = "GPU"
        options.setdefault("max_memory_mb", LEAST)  # so that a state has to fit into the GPU
        return super().run(circuits, parameter_binds=parameter_binds, **options)


def widest(memory: int) -> int:
    """How many qubits a state of *memory* MiB has at most."""
    return int(math.log2(memory * MIB / AMPLITUDE))
